//! The demo as it is, with real daemons.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_os4x_proxyctl");

/// A program cannot be started while it is open for writing, and what one test has open for writing is for a moment
/// also open in a process that another one starts.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn demo(program: &Path, folder: &Path) -> Output {
    Command::new(program).args(["demo", "--once", "--size", "1M"]).env("TMPDIR", folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn daemons_are_there() -> bool {
    let beside = |name| Path::new(PROGRAM).with_file_name(name).is_file();
    let are_there = beside("os4x_proxy") && beside("os4x_proxyclient");
    if !are_there {
        println!("skipped: the daemons are not built; `cargo test --workspace` builds them");
    }
    are_there
}

#[test]
fn everything_goes_well() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !daemons_are_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ran = demo(Path::new(PROGRAM), folder.path());
    let (said, errors) = (text(&ran.stdout), text(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{errors}");
    assert!(said.contains("All 16 steps went well.") && !said.contains('✗'), "{said}");
    assert_eq!(said.matches("refuses connections").count(), 3, "{said}");
    assert_eq!(said.matches("same SHA-256 there, EERP came back").count(), 6, "{said}");
    assert!(said.contains("Connection not allowed by ruleset"), "{said}");
    assert!(said.contains("says \"ODETTE FTP READY\""), "{said}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn without_daemons_it_says_what_to_build() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("os4x_proxyctl");
    // A link would be followed to where the daemons may be.
    std::fs::copy(PROGRAM, &alone).unwrap();
    let ran = demo(&alone, folder.path());
    assert_eq!(ran.status.code(), Some(1));
    let errors = text(&ran.stderr);
    assert!(errors.contains("os4x_proxy is not in") && errors.contains("cargo build --release"), "{errors}");
}

#[test]
fn a_daemon_that_ends_early_is_told_of_with_its_last_words() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let alone = bin.join("os4x_proxyctl");
    std::fs::copy(PROGRAM, &alone).unwrap();
    let key = seal::IdentityKey::load_or_create(&folder.path().join("key")).unwrap().public_key();
    let id = format!("{}px", "0".repeat(64));
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in -K) echo {key};; -L) echo {id};; *) echo no license >&2; exit 1;; esac\n"
    );
    for name in ["os4x_proxy", "os4x_proxyclient"] {
        let path = bin.join(name);
        std::fs::write(&path, &script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ran = demo(&alone, folder.path());
    let said = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("✗ os4x_proxy has ended (exit status: 1)"), "{said}");
    assert!(said.contains("no license") && said.contains("Left to look at: "), "{said}");
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if !daemons_are_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["demo", "--size", "1M"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("Everything stays up")), "it stays up");
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:#?}");
    assert_eq!(rest.iter().filter(|line| line.contains("ended (exit status: 0)")).count(), 2, "{rest:#?}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is left behind");
}
