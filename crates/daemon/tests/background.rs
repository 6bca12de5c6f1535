//! A daemon in the background, as a process of its own (`examples/shell.rs`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it expects")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, getsid, kill_process, test_kill_process};

/// The example that Cargo builds beside this test.
fn shell() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/shell");
    assert!(program.is_file(), "{} is built with the tests", program.display());
    Command::new(program)
}

fn run(place: &str, fate: &str, pid_file: &Path) -> Output {
    shell().args([place, fate]).arg(pid_file).stdin(Stdio::null()).output().unwrap()
}

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn pid_file(&self) -> PathBuf {
        self.0.path().join("shell.pid")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.0.path().join("shell.log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.pid_file()).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }
}

/// Waits for what another process will do; the bound is there for a broken one only.
fn wait_for(what: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !what() {
        assert!(began.elapsed().as_secs() < 20, "nothing happened");
        std::thread::yield_now();
    }
}

fn is_gone(pid: Pid) -> bool {
    // Whose parent has gone may stay a zombie where nobody collects orphans.
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_err() || state.is_ok_and(|state| state.contains(") Z "))
}

#[test]
fn the_command_ends_when_the_daemon_serves() {
    let directory = Directory::new();
    let output = run("background", "serve", &directory.pid_file());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "a warning on the way\n");
    assert_eq!(output.stdout, b"");
    let pid = directory.pid();
    assert_eq!(getsid(Some(pid)).unwrap(), pid, "it has a session of its own");
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    assert_eq!(std::fs::read_link(process.join("cwd")).unwrap(), Path::new("/"));
    assert_eq!(std::fs::read_to_string(process.join("comm")).unwrap(), "shell\n");
    for descriptor in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(std::fs::read_link(process.join(descriptor)).unwrap(), Path::new("/dev/null"));
    }
    let second = run("background", "serve", &directory.pid_file());
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("already running as process"), "{second:?}");
    kill_process(pid, Signal::TERM).unwrap();
    wait_for(|| is_gone(pid));
    assert!(!directory.pid_file().exists());
}

#[test]
fn relative_paths_are_those_of_the_command() {
    let directory = Directory::new();
    let output =
        shell().args(["background", "serve", "shell.pid"]).current_dir(directory.0.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pid = directory.pid();
    kill_process(pid, Signal::TERM).unwrap();
    wait_for(|| is_gone(pid));
}

#[test]
fn a_daemon_that_fails_gives_its_reason_and_code() {
    let directory = Directory::new();
    let said = |fate| {
        let output = run("background", fate, &directory.pid_file());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(said("fail"), (Some(1), String::from("shell: the key is gone\n")));
    assert_eq!(said("usage"), (Some(2), String::from("shell: no such flag; see shell --help\n")));
    let vanished = String::from("shell: the daemon ended before it was ready (exit status: 7)\n");
    assert_eq!(said("vanish"), (Some(7), vanished));
    assert_eq!(said("end").0, Some(1), "a daemon that is not there is no success");
}

#[test]
fn the_terminal_may_close() {
    let directory = Directory::new();
    // The command leads a group, as a shell makes it; the hang-up goes to all of the group.
    let mut launcher = shell();
    launcher.args(["background", "serve"]).arg(directory.pid_file()).process_group(0).stderr(Stdio::null());
    let mut launcher = launcher.spawn().unwrap();
    let group = Pid::from_raw(launcher.id().cast_signed()).unwrap();
    assert!(launcher.wait().unwrap().success());
    let _ = rustix::process::kill_process_group(group, Signal::HUP);
    let pid = directory.pid();
    assert!(!is_gone(pid));
    kill_process(pid, Signal::TERM).unwrap();
    wait_for(|| is_gone(pid));
    assert!(!directory.log().contains("Reload"), "the daemon was not of that group");
}

#[test]
fn a_marker_set_by_hand_means_nothing() {
    let directory = Directory::new();
    let output = shell()
        .args(["background", "fail"])
        .arg(directory.pid_file())
        .env("OS4X_PROXY_LAUNCHER", "1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "shell: the key is gone\n");
}

#[test]
fn signals_in_the_foreground() {
    let directory = Directory::new();
    let mut daemon = shell();
    daemon
        .args(["foreground", "patient"])
        .arg(directory.pid_file())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut daemon = daemon.spawn().unwrap();
    wait_for(|| directory.pid_file().exists());
    let pid = Pid::from_raw(daemon.id().cast_signed()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait_for(|| directory.log().contains("signal=Reload"));
    // As logrotate does it: the name is moved away, a hang-up brings a new file.
    let log = directory.0.path().join("shell.log");
    std::fs::rename(&log, directory.0.path().join("shell.log.1")).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait_for(|| log.exists());
    kill_process(pid, Signal::INT).unwrap();
    wait_for(|| directory.log().contains("signal=Drain"));
    kill_process(pid, Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    assert!(directory.log().contains("signal=EndNow"));
}

#[test]
fn systemd_is_told() {
    let directory = Directory::new();
    let path = directory.0.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut daemon = shell();
    daemon.args(["foreground", "serve"]).arg(directory.pid_file()).env("NOTIFY_SOCKET", &path);
    let mut daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
    kill_process(Pid::from_raw(daemon.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}
