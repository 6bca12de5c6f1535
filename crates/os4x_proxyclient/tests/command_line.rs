//! `os4x_proxyclient` as a command: what it prints, how it ends, and how it goes to the background.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{Background, Outcome, Plan, Program, Signal, Site, run, wait_until};

fn client(arguments: &[&str]) -> Outcome {
    run(Program::Client, arguments)
}

#[test]
fn help_names_every_flag_and_default() {
    for flag in ["-h", "--help"] {
        let help = client(&[flag]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        let flags = [
            "-h, --help",
            "-v, --version",
            "-Q, --outgoing",
            "-i, --target",
            "-e, --proxy",
            "-T, --timeout",
            "-d, --debug",
            "-t, --trace",
            "-f, --foreground",
            "-c, --config",
            "-k, --key",
            "-a, --authorized",
            "-K, --public-key",
            "-p, --pid-file",
            "--forward",
            "--status",
            "--log-file",
            "--log-format text|json",
            "--check",
            "65433",
            "65432",
            "localhost:6619",
            "[180]",
            "127.0.0.1:65434",
        ];
        for wanted in flags {
            assert!(help.stdout.contains(wanted), "{wanted} in {}", help.stdout);
        }
    }
}

#[test]
fn the_version_begins_as_scripts_expect() {
    let version = client(&["-v"]);
    assert_eq!((&version, version.code), (&client(&["--version"]), Some(0)));
    let date = version.stdout.lines().next().unwrap().strip_prefix("OS4X Proxy client build ").unwrap();
    assert!(date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()), "{date}");
}

#[test]
fn the_public_key_needs_nothing_else() {
    let site = Site::new();
    let path = site.path("own.key");
    let ask = || client(&["-K", "-k", path.to_str().unwrap(), "-c", "/dev/null"]);
    let key = ask();
    assert_eq!((&key, key.code), (&ask(), Some(0)));
    assert_eq!(key.stdout.trim_end().len(), 44, "{}", key.stdout);
}

#[test]
fn wrong_command_lines_are_explained_with_code_2() {
    let lines: [(&[&str], &str); 11] = [
        (&["-z"], "unknown flag -z"),
        (&["-L"], "unknown flag -L"),
        (&["stray"], "stray"),
        (&["-c", "/dev/null"], "no proxy is given"),
        (&["-e", "dmz:port"], "dmz:port"),
        (&["-e", "dmz", "-i", "a=nowhere"], "nowhere"),
        (&["-e", "dmz", "--forward", "13305"], "13305"),
        (&["-e", "dmz", "--forward", "13305=partner"], "partner"),
        (&["-e", "dmz", "-i", "off", "-i", "6619"], "-i off"),
        (&["-e", "dmz", "-Q", "here:port"], "here:port"),
        (&["-e", "dmz", "-T", "x"], "whole seconds"),
    ];
    for (line, said) in lines {
        let outcome = client(line);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{line:?}");
        assert!(outcome.stderr.contains(said) && outcome.stderr.contains("--help"), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn check_says_what_would_be_run() {
    let plan = Plan::new();
    plan.client.write();
    let config = plan.client.path("toml");
    let good =
        client(&["--check", "-c", config.to_str().unwrap(), "-e", "dmz1.example.com", "-e", "dmz2:7000"]);
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""), "{good:?}");
    let target = plan.client.targets[0].1.to_string();
    let key = plan.client.public_key();
    for wanted in ["dmz1.example.com:65432", "dmz2:7000", &target, &key, "1 trusted"] {
        assert!(good.stdout.contains(wanted), "{wanted} in {}", good.stdout);
    }
    plan.client.trust(&["no key at all"]);
    let bad = client(&["--check", "-c", config.to_str().unwrap()]);
    assert_eq!((bad.code, bad.stdout.as_str()), (Some(1), ""));
    assert!(bad.stderr.contains("client.authorized:1: "), "{}", bad.stderr);
}

#[test]
fn a_wrong_configuration_names_key_and_line() {
    let site = Site::new();
    let wrong = [
        ("proxy = [\"dmz\"]\n\n[[targets]]\n", ":3: ", "targets"),
        ("proxy = \"dmz\"\n", ":1: ", "proxy"),
        ("proxy = [\"dmz\"]\nseal = \"never\"\n", ":2: ", "seal"),
        ("[outgoing]\nallow = [\"partner.example\"]\n", ":2: ", "HOST:PORT"),
        ("[outgoing]\nfrom = [\"10.0.0.0/40\"]\n", ":2: ", "10.0.0.0/40"),
        ("[outgoing]\nusers = [\"secret\"]\n", ":2: ", "no colon"),
        ("proxy = [\"dmz\"]\n[[target]]\nconnet = \"a:1\"\n", ":3: ", "connet"),
    ];
    for (text, line, key) in wrong {
        let config = site.write("wrong.toml", text);
        for command in [&["--check"][..], &["-f"], &[]] {
            let outcome = client(&[command, &["-c", config.to_str().unwrap()]].concat());
            assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
            assert!(outcome.stderr.contains(&format!("wrong.toml{line}")), "{outcome:?}");
            assert!(outcome.stderr.contains(key), "{outcome:?}");
        }
    }
}

#[test]
fn check_says_what_stations_may_do() {
    let site = Site::new();
    let config = site.write(
        "out.toml",
        "proxy = [\"dmz\"]\ntarget = []\n[outgoing]\nlisten = \"10.20.0.9:65433\"\nfrom = [\"10.20.0.5\"]\n\
         users = { station = \"secret\" }\nallow = [\"*.example.com:*\"]\n\
         [[outgoing.forward]]\nlisten = \"127.0.0.1:13305\"\nto = \"partner.example.com:3305\"\n\
         [[outgoing.forward]]\nlisten = \":13306\"\ntransparent = true\n",
    );
    let config = config.to_str().unwrap();
    let said = client(&["--check", "-c", config, "-k", "/nonexistent/key", "-a", "/nonexistent/list"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    for wanted in [
        "calls inward are switched off",
        "stations call out at 10.20.0.9:65433 (SOCKS5, SOCKS4, HTTP CONNECT), from 10.20.0.5/32",
        "what connects to 127.0.0.1:13305 is connected to partner.example.com:3305, from this host",
        "what the firewall redirects to 0.0.0.0:13306 is connected to where it was going",
        "user and password are asked for",
        "stations may call *.example.com:*",
    ] {
        assert!(said.stdout.contains(wanted), "{wanted} in {}", said.stdout);
    }
    assert!(!said.stdout.contains("secret"), "{}", said.stdout);
    let off = client(&[
        "--check",
        "-c",
        "/dev/null",
        "-e",
        "dmz",
        "-Q",
        "off",
        "-k",
        "/nonexistent/key",
        "-a",
        "/nonexistent/list",
    ]);
    assert!(off.stdout.contains("calls outward are switched off"), "{off:?}");
    let both = "proxy = [\"dmz\"]\n[[outgoing.forward]]\nlisten = \":1\"\nto = \"a:1\"\ntransparent = true\n";
    let both = site.write("both.toml", both);
    let refused = client(&["--check", "-c", both.to_str().unwrap()]);
    assert!(refused.code == Some(1) && refused.stderr.contains("either to"), "{refused:?}");
    let twice =
        client(&["--check", "-c", "/dev/null", "-e", "dmz", "-Q", "7000", "--forward", "127.0.0.1:7000=a:1"]);
    assert!(twice.code == Some(1) && twice.stderr.contains("one address for two things"), "{twice:?}");
}

#[test]
fn two_targets_of_one_name_are_a_mistake() {
    let site = Site::new();
    let target = |port| format!("[[target]]\nname = \"a\"\nconnect = \"h:{port}\"\n");
    let config = site.write("two.toml", &format!("proxy = [\"dmz\"]\n{}{}", target(1), target(2)));
    let by_file = client(&["--check", "-c", config.to_str().unwrap()]);
    let by_flags = client(&["--check", "-c", "/dev/null", "-e", "dmz", "-i", "a=h:1", "-i", "a=h:2"]);
    for (outcome, code) in [(by_file, 1), (by_flags, 2)] {
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        assert!(outcome.stderr.contains("h:1") && outcome.stderr.contains("h:2"), "{outcome:?}");
    }
}

#[test]
fn the_command_ends_when_the_daemon_is_attaching_in_the_background() {
    // The proxy is not there: the client tries for ever.
    let plan = Plan::new();
    plan.client.write();
    let files = [plan.client.path("toml"), plan.site.path("client.pid"), plan.site.path("client.log")];
    let [config, pid_file, log] = files.each_ref().map(|path| path.to_str().unwrap());
    let started = client(&["-c", config, "-p", pid_file, "--log-file", log, "--log-format", "json"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let daemon = Background::of(&files[1]);
    let said = |words: &str| std::fs::read_to_string(&files[2]).is_ok_and(|text| text.contains(words));
    wait_until("it has tried", || said("\"event\":\"not_attached\""));
    let proxy = plan.proxy.start();
    proxy.wait(&[("event", "attached")]);
    daemon.signal(Signal::TERM);
    daemon.wait_end();
    wait_until("the log has its last line", || said("\"event\":\"ended\""));
    proxy.wait(&[("event", "lost")]);
}

#[test]
fn what_hinders_the_start_is_said_with_code_1() {
    let plan = Plan::new();
    plan.client.write();
    plan.client.trust(&["no key at all"]);
    let config = plan.client.path("toml");
    let log = plan.site.path("client.log");
    for place in [&["-f"][..], &["--log-file", log.to_str().unwrap()]] {
        let outcome = client(&[place, &["-c", config.to_str().unwrap()]].concat());
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains("client.authorized:1: "), "{outcome:?}");
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
    }
}
