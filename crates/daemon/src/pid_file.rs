//! The file that tells scripts which process the daemon is.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};

/// A pid file that holds our pid; removed when dropped, if it still does.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Checks that no running daemon of this program owns the file. For the check before the start;
    /// [`PidFile::write`] checks again.
    ///
    /// # Errors
    /// [`PidFileError::Running`].
    pub fn check(path: &Path) -> Result<(), PidFileError> {
        match recorded(path) {
            Some(pid) if pid != own_pid() && runs_this_program(pid) => {
                Err(PidFileError::Running { path: path.to_owned(), pid })
            }
            _ => Ok(()),
        }
    }

    /// Writes our pid; readers see the old content or the new, nothing between. A stale file is replaced.
    ///
    /// # Errors
    /// [`PidFileError`], whose text tells the operator what to do.
    pub fn write(path: &Path) -> Result<Self, PidFileError> {
        Self::check(path)?;
        let failed = |source| PidFileError::Write { path: path.to_owned(), source };
        let path = std::path::absolute(path).map_err(failed)?;
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!(".{}", own_pid()));
        let written = write_new(Path::new(&temporary)).and_then(|()| std::fs::rename(&temporary, &path));
        match written {
            Ok(()) => Ok(Self { path }),
            Err(error) => {
                let _ = std::fs::remove_file(&temporary);
                Err(failed(error))
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if recorded(&self.path) == Some(own_pid()) {
            // At the end nobody is left to tell; a stale file does not hinder the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Why there is no pid file.
#[derive(Debug)]
pub enum PidFileError {
    /// A running daemon owns it.
    Running {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// It cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { path, pid } => write!(
                f,
                "already running as process {pid} by the pid file {}; stop that one first, or use another pid file",
                path.display()
            ),
            Self::Write { path, source } => write!(
                f,
                "cannot write the pid file {}: {source}; its directory must exist and be writable for this daemon",
                path.display()
            ),
        }
    }
}

impl std::error::Error for PidFileError {}

fn write_new(path: &Path) -> io::Result<()> {
    // A crash of an earlier process with our pid may have left the name behind; a link somebody laid there
    // is removed, not followed.
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    writeln!(file, "{}", own_pid())
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn recorded(path: &Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Whether `pid` lives and is this program: after a reboot, the pid of a stale file often belongs to another
/// program, which must not keep us from starting.
fn runs_this_program(pid: i32) -> bool {
    let Some(process) = Pid::from_raw(pid) else {
        return false;
    };
    if test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let name = |which: &str| std::fs::read(format!("/proc/{which}/comm")).ok();
    match (name(&pid.to_string()), name(&own_pid().to_string())) {
        (Some(theirs), Some(ours)) => theirs == ours,
        // Where processes are hidden from each other, the living one has the benefit of the doubt.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        let file = PidFile::write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_became_anothers_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        let file = PidFile::write(&path).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn stale_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        // A process that is gone, another program, no number at all.
        for content in [gone.id().to_string(), String::from("1"), String::from("what?"), String::from("-1")] {
            std::fs::write(&path, content).unwrap();
            drop(PidFile::write(&path).unwrap());
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_explained() {
        let error = PidFile::write(Path::new("/nonexistent/x.pid")).unwrap_err().to_string();
        assert!(error.starts_with("cannot write the pid file /nonexistent/x.pid: "), "{error}");
    }
}
