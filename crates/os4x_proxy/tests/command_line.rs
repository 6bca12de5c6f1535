//! `os4x_proxy` as a command: what it prints, how it ends, and how it goes to the background.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use testkit::{Background, Ending, Outcome, Peer, Plan, Program, Signal, Site, run, wait_until};

fn proxy(arguments: &[&str]) -> Outcome {
    run(Program::Proxy, arguments)
}

/// A configuration file in which nothing stands, instead of one that this machine may have.
const NOTHING: [&str; 2] = ["-c", "/dev/null"];

#[test]
fn help_names_every_flag_and_default() {
    for flag in ["-h", "--help"] {
        let help = proxy(&[flag]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        let flags = [
            "-h, --help",
            "-v, --version",
            "-i, --internal",
            "-e, --external",
            "-T, --timeout",
            "-d, --debug",
            "-t, --trace",
            "-L ",
            "-l, --license",
            "-f, --foreground",
            "-c, --config",
            "-k, --key",
            "-a, --authorized",
            "-K, --public-key",
            "-p, --pid-file",
            "--log-file",
            "--log-format text|json",
            "--check",
            "0.0.0.0:65432",
            "0.0.0.0:6619",
            "[180]",
            "/etc/os4x_proxy.lic",
        ];
        for wanted in flags {
            assert!(help.stdout.contains(wanted), "{wanted} in {}", help.stdout);
        }
    }
}

#[test]
fn the_version_begins_as_scripts_expect() {
    let version = proxy(&["-v"]);
    assert_eq!((&version, version.code), (&proxy(&["--version"]), Some(0)));
    let mut lines = version.stdout.lines();
    let date = lines.next().unwrap().strip_prefix("OS4X Proxy daemon build ").unwrap();
    assert!(date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()), "{date}");
    assert!(lines.next().is_some_and(|line| line.contains(env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_public_key_is_made_once_and_kept_private() {
    let site = Site::new();
    let path = site.path("own.key");
    let ask = || proxy(&["-K", "-k", path.to_str().unwrap(), NOTHING[0], NOTHING[1]]);
    let (first, second) = (ask(), ask());
    assert_eq!((&first, first.code), (&second, Some(0)));
    assert_eq!(first.stdout.trim_end().len(), 44, "{}", first.stdout);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = ask();
    assert_eq!((open.code, open.stdout.as_str()), (Some(1), ""));
    assert!(open.stderr.contains(&format!("chmod 600 {}", path.display())), "{}", open.stderr);
}

#[test]
fn the_proxy_id_is_always_the_same() {
    let site = Site::new();
    let key = site.path("own.key");
    let ask = || proxy(&["-L", "-k", key.to_str().unwrap(), NOTHING[0], NOTHING[1]]);
    let id = ask();
    assert_eq!((&id, id.code), (&ask(), Some(0)));
    let digits = id.stdout.trim_end().strip_prefix("OS4X Proxy ID: ").unwrap().strip_suffix("px").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{digits}");
}

#[test]
fn wrong_command_lines_are_explained_with_code_2() {
    let lines: [(&[&str], &str); 9] = [
        (&["-z"], "unknown flag -z"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["stray"], "stray"),
        (&["-T", "0"], "whole seconds"),
        (&["-e", "nowhere"], "nowhere"),
        (&["-e", "off", "-e", "6619"], "-e off"),
        (&["-e", "6619", "-e", "off"], "-e off"),
        (&["-i"], "-i"),
        (&["--log-format", "xml"], "xml"),
    ];
    for (line, said) in lines {
        let outcome = proxy(line);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{line:?}");
        assert!(outcome.stderr.contains(said) && outcome.stderr.contains("--help"), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn check_says_what_would_be_run_and_opens_nothing() {
    let plan = Plan::new();
    plan.proxy.write();
    let config = plan.proxy.path("toml");
    let check = |more: &[&str]| proxy(&[&["--check", "-c", config.to_str().unwrap()], more].concat());
    // Not even a port that is taken matters.
    let _taken = TcpListener::bind(plan.proxy.internal).unwrap();
    let good = check(&["-e", "plant=127.0.0.1:7000"]);
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""), "{good:?}");
    let key = plan.proxy.public_key();
    for wanted in
        [&plan.proxy.internal.to_string(), "plant 127.0.0.1:7000", "1 trusted", &key, "timeout 180 s"]
    {
        assert!(good.stdout.contains(wanted), "{wanted} in {}", good.stdout);
    }
    assert!(good.stdout.contains("the inside may call *:3305, *:6619"), "{}", good.stdout);
    let only_out = check(&["-e", "off"]);
    assert!(only_out.stdout.contains("calls inward are switched off"), "{only_out:?}");
    plan.proxy.trust(&["no key at all"]);
    let bad = check(&[]);
    assert_eq!((bad.code, bad.stdout.as_str()), (Some(1), ""));
    assert!(bad.stderr.contains("proxy.authorized:1: "), "{}", bad.stderr);
}

#[test]
fn a_wrong_configuration_names_key_and_line() {
    let site = Site::new();
    let wrong = [
        ("# one\n\ntiemout = 3\n", ":3: ", "tiemout"),
        ("timeout = \"long\"\n", ":1: ", "timeout"),
        ("[[external]]\nname = \"a\"\nlisten = \":1\"\npayload = \"tsl\"\n", ":4: ", "payload"),
        ("\n[outgoing]\nallowed = []\n", ":3: ", "allowed"),
        ("[outgoing]\nallow = [\"10.0.0.1/8:*\"]\n", ":2: ", "10.0.0.1/8"),
        ("[[outgoing.source]]\nto = \"*:6619\"\nfrom = \"here\"\n", ":3: ", "from"),
    ];
    for (text, line, key) in wrong {
        let config = site.write("wrong.toml", text);
        for command in [&["--check"][..], &["-f"], &[]] {
            let outcome = proxy(&[command, &["-c", config.to_str().unwrap()]].concat());
            assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
            assert!(outcome.stderr.contains(&format!("wrong.toml{line}")), "{outcome:?}");
            assert!(outcome.stderr.contains(key), "{outcome:?}");
        }
    }
    let missing = proxy(&["--check", "-c", site.path("missing.toml").to_str().unwrap()]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("missing.toml"), "{missing:?}");
}

#[test]
fn a_flag_wins_over_the_file() {
    let plan = Plan::new();
    plan.proxy.license(30);
    let site = &plan.site;
    let license = plan.proxy.path("lic");
    let config = site.write("flags.toml", "internal = \"127.0.0.1:1\"\ntimeout = 7\n");
    let authorized = site.write("own.authorized", "");
    let outcome = proxy(&[
        "--check",
        "-c",
        config.to_str().unwrap(),
        "-i",
        "127.0.0.1:2",
        "-T",
        "9",
        "-k",
        plan.proxy.path("key").to_str().unwrap(),
        "-a",
        authorized.to_str().unwrap(),
        "-l",
        license.to_str().unwrap(),
    ]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for wanted in ["internal 127.0.0.1:2", "timeout 9 s", "no client is trusted"] {
        assert!(outcome.stdout.contains(wanted), "{wanted} in {}", outcome.stdout);
    }
}

#[test]
fn the_command_ends_when_the_daemon_serves_in_the_background() {
    let plan = Plan::new();
    plan.proxy.write();
    let files = [plan.proxy.path("toml"), plan.site.path("proxy.pid"), plan.site.path("proxy.log")];
    let [config, pid_file, log] = files.each_ref().map(|path| path.to_str().unwrap());
    let start = || proxy(&["-c", config, "-p", pid_file, "--log-file", log]);
    let started = start();
    assert_eq!(started.code, Some(0), "{started:?}");
    let daemon = Background::of(&files[1]);
    // It serves: a stranger is let in and shown out.
    let mut stranger = Peer::call(plan.proxy.internal);
    stranger.send(b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(stranger.ending(), Ending::Fin | Ending::Reset));
    let again = start();
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("already running"), "{}", again.stderr);
    daemon.signal(Signal::TERM);
    daemon.wait_end();
    let said = |words: &str| std::fs::read_to_string(&files[2]).is_ok_and(|text| text.contains(words));
    assert!(said("event=\"ready\""));
    wait_until("the log has its last line", || said("event=\"ended\""));
    assert!(Peer::connect(plan.proxy.internal).is_err());
}

#[test]
fn what_hinders_the_start_is_said_with_code_1() {
    let plan = Plan::new();
    plan.proxy.write();
    let config = plan.proxy.path("toml");
    let config = config.to_str().unwrap();
    let taken = TcpListener::bind(plan.proxy.internal).unwrap();
    let log = plan.site.path("proxy.log");
    for place in [&["-f"][..], &["--log-file", log.to_str().unwrap()]] {
        let outcome = proxy(&[place, &["-c", config]].concat());
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let internal = plan.proxy.internal.to_string();
        assert!(
            outcome.stderr.contains("already in use") && outcome.stderr.contains(&internal),
            "{outcome:?}"
        );
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    }
    drop(taken);
    let nowhere = proxy(&["-c", config, "--log-file", "/nonexistent/proxy.log"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("/nonexistent/proxy.log"), "{nowhere:?}");
}
