//! How a daemon ends when it cannot do its work.

use std::fmt;
use std::process::ExitCode;

use tokio::task::JoinHandle;

/// Why a command ends without having done what it was asked. Its text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line is wrong: exit code 2.
    Usage(String),
    /// The operator must act (license, key, address in use, unreadable file): exit code 1.
    Operator(String),
    /// As `Operator`, for a text of several lines that scripts look for: printed as it is.
    Verbatim(String),
}

impl Failure {
    /// A failure that the operator must act on, from any error whose text says how.
    pub fn operator(error: impl fmt::Display) -> Self {
        Self::Operator(error.to_string())
    }

    /// A wrong command line, from any error whose text says what is wrong.
    pub fn usage(error: impl fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// What is printed, for the program called `program`.
    pub fn message(&self, program: &str) -> String {
        match self {
            Self::Usage(sentence) => format!("{program}: {sentence}; see {program} --help"),
            Self::Operator(sentence) => format!("{program}: {sentence}"),
            Self::Verbatim(text) => text.clone(),
        }
    }

    /// The exit code, 1 or 2.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Operator(_) | Self::Verbatim(_) => 1,
        }
    }

    /// Prints the message on stderr and gives the exit code for `main`. In the background, the command that
    /// the operator typed prints it and ends with this code.
    pub fn report(&self, program: &str) -> ExitCode {
        use std::io::Write;
        // Not eprintln!: it would panic when nobody reads stderr any more.
        let _ = writeln!(std::io::stderr(), "{}", self.message(program));
        ExitCode::from(self.code())
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error)
    }
}

/// From now on a panic, which is always a mistake of ours, becomes one line of the log.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("no reason given");
        if tracing::dispatcher::has_been_set() {
            tracing::error!(event = "panic", place = %place, reason, "a mistake in this program; please report it");
        } else {
            use std::io::Write;
            let _ = writeln!(
                std::io::stderr(),
                "a mistake in this program; please report it: {reason} ({place})"
            );
        }
    }));
}

/// Watches over a task without which the daemon is of no use. One that panics, which is always a mistake of ours,
/// takes the process with it, so that the service manager can start it again.
pub fn supervise(task: JoinHandle<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            tracing::error!(event = "ended", "ending because of a mistake in this program; please report it");
            std::process::abort();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_codes() {
        let usage = Failure::from(lexopt::Error::from("unknown flag"));
        assert_eq!(usage.message("os4x_proxy"), "os4x_proxy: unknown flag; see os4x_proxy --help");
        assert_eq!(usage.code(), 2);
        let operator = Failure::operator("the key is gone");
        assert_eq!((operator.message("x").as_str(), operator.code()), ("x: the key is gone", 1));
        let verbatim = Failure::Verbatim(String::from("ERROR: a\n  b"));
        assert_eq!((verbatim.message("x").as_str(), verbatim.code()), ("ERROR: a\n  b", 1));
    }
}
