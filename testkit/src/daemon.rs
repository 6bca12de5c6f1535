//! A daemon as a process.

use std::ffi::OsStr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::log::Log;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `os4x_proxy`.
    Proxy,
    /// `os4x_proxyclient`.
    Client,
}

impl Program {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proxy => "os4x_proxy",
            Self::Client => "os4x_proxyclient",
        }
    }

    /// Where Cargo has put it: beside the directory of this test.
    ///
    /// # Panics
    /// When it was not built.
    pub fn path(self) -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let mut places = test.ancestors().skip(1).map(|directory| directory.join(self.name()));
        match places.find(|path| path.is_file()) {
            Some(path) => path,
            None => panic!("{} was not built; run `cargo build --workspace` first", self.name()),
        }
    }
}

/// What a daemon may have.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// The most descriptors; `None`: as many as the test.
    pub open_files: Option<u32>,
    /// The network namespace in which it runs; `None`: that of the test.
    pub namespace: Option<String>,
    /// A file that it sees as `/etc/hosts`; needs root.
    pub hosts: Option<PathBuf>,
}

impl Room {
    fn command(&self, program: Program) -> Command {
        let Self { open_files, namespace, hosts } = self;
        // Each of these becomes the program in the end, so that its process id is the daemon's.
        if let Some(hosts) = hosts {
            let mut own_mounts = Command::new("unshare");
            let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
            own_mounts.args(["--mount", "sh", "-c", script]).arg(hosts).arg(program.path());
            return own_mounts;
        }
        match (open_files, namespace) {
            (None, None) => Command::new(program.path()),
            (Some(limit), _) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]).arg(program.path());
                shell
            }
            (None, Some(name)) => {
                let mut ip = Command::new("ip");
                ip.args(["netns", "exec", name]).arg(program.path());
                ip
            }
        }
    }
}

/// A running daemon. It gives access to its [`Log`], and is killed when it is dropped.
pub struct Daemon {
    name: String,
    child: Child,
    log: Log,
}

impl Daemon {
    /// Starts a program whose log goes to stderr.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        program: Program,
        arguments: impl IntoIterator<Item = A>,
        room: &Room,
    ) -> Self {
        let mut child = room
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::read(name, child.stderr.take().unwrap());
        Self { name: name.to_owned(), child, log }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has gone already.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it in the middle of what it does, and waits until it stands still. [`Daemon::wake`] lets it go on.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.child.id());
        crate::wait_until("the daemon stands still", || {
            std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
        });
    }

    /// Lets a frozen daemon go on.
    ///
    /// # Panics
    /// When it has gone.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it and waits until the kernel has closed its connections.
    ///
    /// # Panics
    /// When that is impossible.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_end(&mut self) -> ExitStatus {
        assert!(self.log.wait_end(), "{} does not end", self.name);
        self.child.wait().unwrap()
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors it has open.
    ///
    /// # Panics
    /// When it has gone.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Whether it waits for its sockets, and with no time limit. `None` where it may not be watched (proc_pid_syscall(5)).
    ///
    /// # Panics
    /// When it has gone.
    pub fn waits_for_sockets_alone(&self) -> Option<bool> {
        let said = match std::fs::read_to_string(format!("/proc/{}/syscall", self.child.id())) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
            said => said.unwrap(),
        };
        let mut words = said.split_whitespace();
        // epoll_wait(2) and epoll_pwait(2) on x86-64, and on 64-bit ARM, which has only the latter.
        let is_wait = words.next().is_some_and(|number| ["232", "281", "22"].contains(&number));
        // In 32 bits it is -1; what stands above them is not defined.
        Some(is_wait && words.nth(3).is_some_and(|limit| limit.ends_with("ffffffff")))
    }

    /// How much memory it holds.
    ///
    /// # Panics
    /// When it has gone.
    pub fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        1_024 * resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }
}

impl Deref for Daemon {
    type Target = Log;

    fn deref(&self) -> &Log {
        &self.log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log.wait_end();
            eprint!("{}", self.log);
        }
    }
}
