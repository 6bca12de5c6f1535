//! Where the lines go.

use std::ffi::CString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use syslog_tracing::{Facility, Options, Syslog};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::LogError;

/// Whereto the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDestination {
    /// Standard error: in the foreground.
    Stderr,
    /// The syslog, facility `daemon`: in the background.
    Syslog,
    /// A file that lines are added to, made with mode 0640 where it is missing.
    File(PathBuf),
}

/// An open destination. Lines of several threads never mix.
pub(super) enum Output {
    Stderr,
    Syslog(Syslog),
    File {
        path: PathBuf,
        file: Mutex<File>,
    },
    #[cfg(test)]
    Memory(Mutex<Vec<u8>>),
}

impl Output {
    pub(super) fn open(destination: &LogDestination, program: &str) -> Result<Self, LogError> {
        match destination {
            LogDestination::Stderr => Ok(Self::Stderr),
            LogDestination::Syslog => {
                let identity = CString::new(program).map_err(|_| LogError::Syslog)?;
                Syslog::new(identity, Options::LOG_PID, Facility::Daemon)
                    .map(Self::Syslog)
                    .ok_or(LogError::Syslog)
            }
            LogDestination::File(path) => {
                let failed = |source| LogError::Open { path: path.clone(), source };
                // The daemon may change its directory before the file is opened again.
                let path = std::path::absolute(path).map_err(failed)?;
                let file = Mutex::new(append_to(&path).map_err(failed)?);
                Ok(Self::File { path, file })
            }
        }
    }

    pub(super) fn reopen(&self) -> Result<(), LogError> {
        if let Self::File { path, file } = self {
            let fresh = append_to(path).map_err(|source| LogError::Open { path: path.clone(), source })?;
            *file.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(())
    }

    /// The syslog has a clock and severities of its own.
    pub(super) const fn keeps_time(&self) -> bool {
        matches!(self, Self::Syslog(_))
    }

    /// Writes one line, its break included. There is nobody to tell when a log cannot be written.
    pub(super) fn write(&self, line: &str, metadata: &Metadata<'_>) {
        let _ = match self {
            Self::Stderr => io::stderr().lock().write_all(line.as_bytes()),
            Self::Syslog(syslog) => syslog.make_writer_for(metadata).write_all(line.as_bytes()),
            Self::File { file, .. } => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
            }
            #[cfg(test)]
            Self::Memory(lines) => {
                lines.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
            }
        };
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stderr => "Stderr",
            Self::Syslog(_) => "Syslog",
            Self::File { .. } => "File",
            #[cfg(test)]
            Self::Memory(_) => "Memory",
        })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}
