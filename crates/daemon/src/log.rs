//! The log: one line an event, for people and for machines.
//!
//! Text: `2026-07-01T09:30:00.125Z INFO message event="call" call=7f3a direction=in bytes_in=512 reason="…"`.
//! JSON: one flat object a line, `{"time":"…","level":"info","message":"…","event":"call",…}`.
//! Values that come from outside cannot begin a line or a field of their own: they are quoted and escaped.

mod destination;
mod format;
mod layer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt;

pub use destination::LogDestination;
use destination::Output;
use layer::LineLayer;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What an operator needs.
    #[default]
    Normal,
    /// `-d`: what happens to each connection.
    Debug,
    /// `-t`: every frame.
    Trace,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// Not the name of a log format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(pub String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no log format; use text or json", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

/// What is logged, how, and whereto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// How much.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
    /// Whereto.
    pub destination: LogDestination,
}

/// The running log.
#[derive(Clone, Debug)]
pub struct LogHandle {
    output: Arc<Output>,
}

impl LogHandle {
    /// Opens the log file again by its name, as after logrotate has moved it. On an error the old file goes on;
    /// other destinations have nothing to reopen.
    ///
    /// # Errors
    /// [`LogError::Open`].
    pub fn reopen(&self) -> Result<(), LogError> {
        self.output.reopen()
    }
}

/// Opens the log for the whole process; `program` is the name in the syslog. Call it once.
///
/// # Errors
/// [`LogError`], whose text tells the operator what to do.
pub fn init(options: &LogOptions, program: &str) -> Result<LogHandle, LogError> {
    let output = Arc::new(Output::open(&options.destination, program)?);
    let layer = LineLayer::new(options.level, options.format, Arc::clone(&output));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    Ok(LogHandle { output })
}

/// Why there is no log.
#[derive(Debug)]
pub enum LogError {
    /// The log file cannot be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name of the program cannot stand in the syslog, or the syslog was opened before.
    Syslog,
    /// The log was opened before: a mistake of ours.
    Twice,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, source } => write!(
                f,
                "cannot open the log file {}: {source}; its directory must exist and be writable for this daemon",
                path.display()
            ),
            Self::Syslog => f.write_str("cannot open the syslog; name a file with --log-file"),
            Self::Twice => f.write_str("the log was opened twice; please report this"),
        }
    }
}

impl std::error::Error for LogError {}
