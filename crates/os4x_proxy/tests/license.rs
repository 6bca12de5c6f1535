//! The license of a proxy, as an operator meets it: at the start, at a reload, in every status.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{Ending, Peer, Plan, Program, Signal, Site, Station, is_root, run};

/// What a start says, which has to end with code 1 and open nothing.
fn refused(plan: &Plan, place: &[&str]) -> String {
    let config = plan.proxy.path("toml");
    let outcome = run(Program::Proxy, [place, &["-c", config.to_str().unwrap()]].concat());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
    outcome.stderr
}

/// What is done to a good license.
type Change = dyn Fn(&Path);

/// A plan whose proxy has a license that this changes.
fn with_license(change: impl FnOnce(&Path)) -> Plan {
    let plan = Plan::new();
    plan.proxy.write();
    change(&plan.proxy.path("lic"));
    plan
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn without_a_license_the_message_is_the_known_one_and_nothing_is_opened() {
    let plan = with_license(|path| std::fs::remove_file(path).unwrap());
    let license = plan.proxy.path("lic");
    let expected = format!(
        "ERROR: invalid license found in '{}'! Please obtain a valid OS4X Proxy license for your OS4X Proxy ID:\n  \
         {}\nReason: missing; there is no such file\n",
        license.display(),
        plan.proxy.proxy_id()
    );
    let [log, pid_file] = ["proxy.log", "proxy.pid"].map(|name| plan.site.path(name));
    let files = ["--log-file", log.to_str().unwrap(), "-p", pid_file.to_str().unwrap()];
    for place in [&["-f"][..], &["-d"], &["--check"], &files, &[]] {
        assert_eq!(refused(&plan, place), expected, "{place:?}");
        assert!(Peer::connect(plan.proxy.internal).is_err(), "{place:?}");
        assert!(!log.exists() && !pid_file.exists(), "{place:?}");
    }
}

#[test]
fn each_way_of_being_wrong_is_named() {
    let wrong: [(&Change, &str); 7] = [
        (&|path| std::fs::write(path, "").unwrap(), "the file is empty"),
        (&|path| std::fs::write(path, "hello\n").unwrap(), "no license; the first line is not"),
        (&|path| edit(path, "\n", "\r\n"), "CR LF"),
        (&|path| edit(path, "untrusted comment", "comment"), "signature missing"),
        (&|path| edit(path, "the tests", "all tests"), "signature wrong; the file was changed"),
        (&|path| edit(path, "trusted comment: OS4X", "trusted comment: os4x"), "signature wrong"),
        (
            &|path| std::fs::remove_file(path).and_then(|()| std::fs::create_dir(path)).unwrap(),
            "unreadable; ",
        ),
    ];
    for (change, reason) in wrong {
        let said = refused(&with_license(change), &["-f"]);
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("Reason: ") && last.contains(reason), "{reason}: {said}");
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}

#[test]
fn a_license_that_is_over_or_of_another_proxy_is_refused_and_the_last_day_is_not() {
    let plan = Plan::new();
    plan.proxy.license(-1);
    plan.proxy.write();
    assert!(refused(&plan, &["-f"]).contains("\nReason: expired on "), "yesterday was the last day");
    let other = format!("{}px", "0".repeat(64));
    plan.proxy.license_for(&other, 30);
    let said = refused(&plan, &["-f"]);
    assert!(said.ends_with(&format!("\nReason: made for another OS4X Proxy ID, {other}\n")), "{said}");
    plan.proxy.license(0);
    let proxy = plan.proxy.start();
    assert!(proxy.wait_saying(0, "ready").field("status").ends_with("(the last day)"));
    let warning = proxy.wait_saying(0, "obtain a new one");
    assert_eq!([warning.field("level"), warning.field("event")], ["warn", "license"]);
}

#[test]
fn a_reload_takes_a_new_license_and_reports_a_bad_one_without_touching_calls() {
    let (plan, _station) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    plan.proxy.license(40);
    let chain = plan.start();
    let license = chain.plan.proxy.path("lic");
    assert!(chain.proxy.wait_saying(0, "ready").field("status").ends_with("(40 days left)"));
    let mut held = chain.call();
    held.receive(1);
    let reload = || {
        let mark = chain.proxy.mark();
        chain.plan.proxy.reload(&chain.proxy);
        (mark, chain.proxy.wait_after(mark, &[("event", "reloaded")]).field("status").to_owned())
    };
    edit(&license, "the tests", "all tests");
    let (mark, status) = reload();
    assert!(status.starts_with("NOT VALID for the next start (signature wrong"), "{status}");
    let said = chain.proxy.wait_after(mark, &[("event", "license")]);
    assert_eq!(said.field("level"), "error");
    assert!(said.raw.contains("calls go on") && said.raw.contains(license.to_str().unwrap()), "{}", said.raw);
    // New calls as well as the one that runs.
    chain.call().receive(1);
    // What else was to be reloaded is in force, above all that a key is trusted no more.
    chain.plan.proxy.trust(&[]);
    reload();
    chain.proxy.wait_saying(mark, "lost");
    chain.plan.proxy.trust(&[&chain.plan.client.public_key()]);
    chain.plan.proxy.license(50);
    assert!(reload().1.ends_with("(50 days left)"));
    held.finish();
    assert_eq!(held.ending(), Ending::Fin);
}

#[test]
fn check_shows_it() {
    let plan = Plan::new();
    plan.proxy.license(7);
    plan.proxy.write();
    let config = plan.proxy.path("toml");
    let check = run(Program::Proxy, ["--check", "-c", config.to_str().unwrap()]);
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.contains("proxy.lic: licensed to the tests until "), "{}", check.stdout);
    assert!(check.stdout.trim_end().ends_with("(7 days left)"), "{}", check.stdout);
}

#[test]
fn the_service_manager_is_told() {
    let plan = Plan::new();
    plan.proxy.license(7);
    plan.proxy.write();
    let path = plan.site.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(testkit::DEADLINE)).unwrap();
    let mut daemon = Command::new(Program::Proxy.path())
        .args(["-f", "-c"])
        .arg(plan.proxy.path("toml"))
        .env("NOTIFY_SOCKET", &path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).unwrap();
        told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    told.sort();
    assert_eq!(told[0], "READY=1");
    assert!(told[1].starts_with("STATUS=licensed to the tests until ") && told[1].ends_with("(7 days left)"));
}

#[test]
fn the_file_may_be_replaced_by_renaming_and_removed() {
    let plan = Plan::new();
    plan.proxy.license(40);
    let proxy = plan.proxy.start();
    std::fs::remove_file(plan.proxy.path("lic")).unwrap();
    let mark = proxy.mark();
    proxy.signal(Signal::HUP);
    let line = proxy.wait_after(mark, &[("event", "reloaded")]);
    assert!(line.field("status").starts_with("NOT VALID for the next start (missing"), "{}", line.raw);
    plan.proxy.license(60);
    let mark = proxy.mark();
    proxy.signal(Signal::HUP);
    assert!(proxy.wait_after(mark, &[("event", "reloaded")]).field("status").ends_with("(60 days left)"));
}

/// Where there is no machine id, as in many containers.
#[test]
fn without_a_machine_id_the_key_is_the_identity() {
    if !is_root("taking the machine id away") {
        return;
    }
    let site = Site::new();
    let hide = "for file in /etc/machine-id /var/lib/dbus/machine-id; do \
                [ ! -e $file ] || mount --bind /dev/null $file; done; exec \"$0\" \"$@\"";
    let ask = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", hide]).arg(Program::Proxy.path());
        let output = command.args(["-c", "/dev/null"]).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let [one, two, moved] = ["one.key", "two.key", "moved.key"].map(|name| site.path(name));
    let [one, two, moved] = [&one, &two, &moved].map(|path| path.to_str().unwrap());
    // The key is made if it is missing, and is the one that -K says.
    let id = ask(&["-L", "-k", one]);
    assert_eq!(id, ask(&["-L", "-k", one]));
    assert_ne!(id, ask(&["-L", "-k", two]));
    std::fs::copy(one, moved).unwrap();
    assert_eq!(id, ask(&["-L", "-k", moved]), "a mounted key makes the ID portable");
    assert_eq!(ask(&["-K", "-k", one]), ask(&["-K", "-k", moved]));
}

/// An ordinary user can read the machine id and not the key.
#[test]
fn an_ordinary_user_is_told_the_same_id() {
    if !is_root("being another user") {
        return;
    }
    let site = Site::new();
    let program = site.path("os4x_proxy");
    std::fs::copy(Program::Proxy.path(), &program).unwrap();
    std::fs::set_permissions(site.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    let has_one = |path| std::fs::read_to_string(path).is_ok_and(|text: String| text.trim_end().len() == 32);
    if !["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().any(has_one) {
        eprintln!("skipped: this machine has no machine id");
        return;
    }
    let own = run(Program::Proxy, ["-L"]);
    let ask = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .arg("-L")
        .output()
        .unwrap();
    assert_eq!((ask.status.code(), String::from_utf8_lossy(&ask.stdout)), (Some(0), own.stdout.into()));
}
