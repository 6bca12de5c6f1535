//! `init proxy` and `init client`, as an administrator runs them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use testkit::{Program, run};

fn init(folder: &Path, line: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_os4x_proxyctl"));
    command.current_dir(folder).arg("init").args(line).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn key_of(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("Public key:")).unwrap().trim()
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn both_sides_are_ready_to_start() {
    let root = tempfile::tempdir().unwrap();
    let proxy = said(&init(root.path(), &["proxy", "dmz", "--host", "dmz1.example.com"]));
    let dmz = root.path().join("dmz");
    assert_eq!(names(&dmz), ["os4x_proxy.authorized", "os4x_proxy.key", "os4x_proxy.lic", "os4x_proxy.toml"]);
    assert_eq!(fs::metadata(dmz.join("os4x_proxy.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let proxy_key = key_of(&proxy);
    let next = format!(
        "os4x_proxyctl init client /etc/os4x_proxyclient --proxy dmz1.example.com --proxy-key {proxy_key} --proxy-dir {}",
        dmz.display()
    );
    assert!(proxy.lines().any(|line| line.trim() == next), "{next} in {proxy}");
    assert!(
        proxy.contains("test license") && proxy.contains("(30 days), signed with the development key"),
        "{proxy}"
    );
    let config = dmz.join("os4x_proxy.toml");
    let check = run(Program::Proxy, ["--check", "-c", config.to_str().unwrap()]);
    assert_eq!(check.code, Some(0), "{check:?}");
    for wanted in ["external default ", "no client is trusted", proxy_key, "(30 days left)"] {
        assert!(check.stdout.contains(wanted), "{wanted} in {}", check.stdout);
    }

    let line =
        ["client", "in", "--proxy", "dmz1.example.com", "--proxy-key", proxy_key, "--proxy-dir", "/x y"];
    let client = said(&init(root.path(), &line));
    let inside = root.path().join("in");
    assert_eq!(
        names(&inside),
        ["os4x_proxyclient.authorized", "os4x_proxyclient.key", "os4x_proxyclient.toml"]
    );
    let trusted = fs::read_to_string(inside.join("os4x_proxyclient.authorized")).unwrap();
    assert!(trusted.ends_with(&format!("\ndmz1.example.com {proxy_key}\n")), "{trusted}");
    let allow = format!("echo '{} ", key_of(&client));
    let allow = client.lines().map(str::trim).find(|line| line.starts_with(&allow)).unwrap();
    assert!(allow.ends_with(">> '/x y/os4x_proxy.authorized'"), "{allow}");
    let config = inside.join("os4x_proxyclient.toml");
    let check = run(Program::Client, ["--check", "-c", config.to_str().unwrap()]);
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains("proxy dmz1.example.com:65432"), "{}", check.stdout);
}

#[test]
fn a_client_that_is_known_already_is_let_in_at_once() {
    let root = tempfile::tempdir().unwrap();
    let client = run(
        Program::Client,
        ["-K", "-c", "/dev/null", "-k", root.path().join("client.key").to_str().unwrap()],
    );
    let key = client.stdout.trim();
    said(&init(root.path(), &["proxy", "dmz", "--client-key", key]));
    let authorized = fs::read_to_string(root.path().join("dmz/os4x_proxy.authorized")).unwrap();
    assert!(authorized.ends_with(&format!("\n{key}\n")), "{authorized}");
}

#[test]
fn nothing_is_ever_written_over() {
    let root = tempfile::tempdir().unwrap();
    let key = "8l0QHB1dL8jOOI7ZkEd2yXBvSySrJFX5uPvr5/A+46g=";
    let lines: [(&[&str], &[&str]); 2] = [
        (&["proxy", "d"], &["os4x_proxy.key", "os4x_proxy.lic", "os4x_proxy.toml", "os4x_proxy.authorized"]),
        (
            &["client", "d", "--proxy", "h", "--proxy-key", key],
            &["os4x_proxyclient.key", "os4x_proxyclient.toml", "os4x_proxyclient.authorized"],
        ),
    ];
    for (line, files) in lines {
        for name in files {
            let folder = root.path().join("d");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(name), "mine").unwrap();
            let refused = init(root.path(), line);
            let text = String::from_utf8_lossy(&refused.stderr);
            assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(1), true), "{text}");
            assert!(text.contains("nothing was written") && text.contains(&format!("d/{name};")), "{text}");
            assert_eq!(names(&folder), [*name]);
            assert_eq!(fs::read(folder.join(name)).unwrap(), b"mine");
            fs::remove_dir_all(&folder).unwrap();
        }
    }
}

#[test]
fn mistakes_are_explained() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    for (line, code, words) in [
        (&["proxy"][..], 2, "<DIR>"),
        (&["proxy", "file"], 1, "cannot make the folder"),
        (&["proxy", "d", "--client-key", "short"], 2, "--client-key"),
        (&["client", "d", "--proxy", "h"], 2, "--proxy-key"),
        (&["client", "d", "--proxy", "h:0", "--proxy-key", "x"], 2, "--proxy"),
    ] {
        let refused = init(root.path(), line);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{text}");
        assert!(text.contains(words) && !text.contains("panicked"), "{line:?}: {text}");
    }
    assert!(!root.path().join("d").exists());
}
