//! Going to the background, and telling the one who waits that the daemon really serves.
//!
//! There is no fork. The command that the operator typed (the *launcher*) runs this program once more with the
//! same command line; that process (the *daemon*) leaves the terminal's session, starts up, and says over a pipe
//! that it is ready. Whatever it writes on stderr until then the launcher passes on, and ends with its exit code.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;

use rustix::fs::{Mode, OFlags};

use crate::service_manager;

/// Where a daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the process that was started: under a service manager, in a container, to watch it.
    Foreground,
    /// In a process of its own, without a terminal.
    Background,
}

/// What this process is.
#[derive(Debug)]
#[must_use]
pub enum Role {
    /// The daemon has come up, or failed with its reason on stderr: `main` ends with this code.
    Launcher(ExitCode),
    /// The daemon: start up, then say so.
    Daemon(Readiness),
}

/// Decides what this process is, and in the launcher waits for the daemon.
///
/// Call it once, after the command line was read and every path in it made absolute
/// ([`std::path::absolute`]): a daemon in the background moves to `/`. Call it before threads are started and
/// anything is opened.
///
/// # Errors
/// [`BackgroundError`]; only for [`Place::Background`].
pub fn start(place: Place) -> Result<Role, BackgroundError> {
    if place == Place::Foreground {
        return Ok(Role::Daemon(Readiness { launched: false }));
    }
    let launcher = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    // Only the parent itself can have said so: a variable that is inherited or set by hand means nothing.
    if std::env::var(MARKER).is_ok_and(|marker| marker == launcher.to_string()) {
        rustix::process::setsid().map_err(|error| BackgroundError::Session(error.into()))?;
        std::env::set_current_dir("/").map_err(BackgroundError::Session)?;
        return Ok(Role::Daemon(Readiness { launched: true }));
    }
    launch().map(Role::Launcher)
}

/// Owed by a daemon that starts up.
#[derive(Debug)]
#[must_use = "who started the daemon waits for it"]
pub struct Readiness {
    launched: bool,
}

impl Readiness {
    /// Whether this process runs in the background, where stderr goes nowhere once it is ready.
    pub const fn in_background(&self) -> bool {
        self.launched
    }

    /// The daemon serves. Tells the launcher, and systemd where it listens; in the background stdout and stderr
    /// lead nowhere from here on.
    pub fn ready(self) {
        service_manager::ready();
        if self.launched {
            // Errors are passed over: a launcher that was killed meanwhile is no reason not to serve. The word comes
            // last: when the launcher has gone, nothing here leads to it any more.
            let launcher = io::stdout().as_fd().try_clone_to_owned();
            if let Ok(nowhere) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            {
                let _ = rustix::stdio::dup2_stderr(&nowhere);
                let _ = rustix::stdio::dup2_stdout(&nowhere);
            }
            let _ = launcher.map(File::from).and_then(|mut launcher| launcher.write_all(READY));
        }
    }
}

/// Why a daemon could not go to the background.
#[derive(Debug)]
pub enum BackgroundError {
    /// The program could not be run once more.
    Spawn(io::Error),
    /// The new process could not leave the terminal.
    Session(io::Error),
}

impl fmt::Display for BackgroundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => write!(f, "cannot start the background process: {error}"),
            Self::Session(error) => write!(f, "cannot detach from the terminal: {error}"),
        }?;
        f.write_str("; use --foreground under a service manager")
    }
}

impl std::error::Error for BackgroundError {}

fn launch() -> Result<ExitCode, BackgroundError> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("daemon"));
    let mut daemon = Command::new(program())
        .arg0(&name)
        .args(arguments)
        .env(MARKER, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(BackgroundError::Spawn)?;
    let (ready, said) = listen(&mut daemon);
    if ready {
        return Ok(ExitCode::SUCCESS);
    }
    let status = daemon.wait().map_err(BackgroundError::Spawn)?;
    if !said {
        let name = PathBuf::from(name);
        let name = name.file_name().unwrap_or(name.as_os_str()).to_string_lossy();
        let _ = writeln!(io::stderr(), "{name}: the daemon ended before it was ready ({status})");
    }
    Ok(code_of(status))
}

/// This program's file. Not `/proc/self/exe` where it can be helped: the process would be called `exe` in `ps`.
fn program() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Passes on what the daemon says until it is ready or gone. Returns whether it is ready, and whether it said
/// anything.
fn listen(daemon: &mut Child) -> (bool, bool) {
    let stderr = daemon.stderr.take();
    let passing_on = thread::spawn(move || stderr.is_some_and(pass_on));
    let mut word = Vec::new();
    if let Some(stdout) = daemon.stdout.take() {
        // Ends with the word, or with the process; anything else on stdout is none of ours.
        let _ = stdout.take(READY.len() as u64).read_to_end(&mut word);
    }
    (word == READY, passing_on.join().unwrap_or(false))
}

fn pass_on(mut from: impl Read) -> bool {
    let mut buffer = [0_u8; 1024];
    let mut said = false;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        said = true;
        let _ = io::stderr().write_all(buffer.get(..length).unwrap_or_default());
    }
    said
}

/// The daemon's own code; 1 when a signal ended it, or when it ended well without having been ready.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    ExitCode::from(code.unwrap_or(1))
}

/// Tells the new process that it is the daemon; holds the pid of its launcher.
const MARKER: &str = "OS4X_PROXY_LAUNCHER";

/// What the daemon says on its stdout when it serves.
const READY: &[u8] = b"ready\n";
