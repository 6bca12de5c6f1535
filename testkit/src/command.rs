//! Commands that end by themselves, and daemons that go to the background.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::daemon::Program;
use crate::wait_until;

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run<A: AsRef<OsStr>>(program: Program, arguments: impl IntoIterator<Item = A>) -> Outcome {
    outcome(Command::new(program.path()).args(arguments))
}

/// As [`run`], for any command.
pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A daemon in the background, known by its pid file. It is killed when this is dropped.
pub struct Background {
    process: Pid,
    pid_file: PathBuf,
}

impl Background {
    /// The daemon that a command has just started with this pid file.
    ///
    /// # Panics
    /// When the file names none.
    pub fn of(pid_file: &Path) -> Self {
        let text = std::fs::read_to_string(pid_file).unwrap();
        let process = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
        Self { process, pid_file: pid_file.to_owned() }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has gone already.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process, signal).unwrap();
    }

    /// Waits until it has gone and has taken its pid file with it.
    ///
    /// # Panics
    /// When it does not go.
    pub fn wait_end(&self) {
        wait_until("the daemon ends", || !self.is_running());
        assert!(!self.pid_file.exists(), "the pid file is left over");
    }

    fn is_running(&self) -> bool {
        // Whose parent has gone may stay a zombie where nobody collects orphans.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.as_raw_nonzero()));
        test_kill_process(self.process).is_ok() && !stat.is_ok_and(|stat| stat.contains(") Z "))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.is_running() {
            // It may be gone by now.
            let _ = kill_process(self.process, Signal::KILL);
        }
    }
}
