//! `license keygen`, `issue` and `show`, as an administrator runs them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use license::Day;

const ID: &str = "e3e3a99fc336637a24514be19e8a5e692ba90f21fefa67bba1e7940a895d3d0dpx";

/// Runs a command in this folder, which has nothing to do with where it was built.
fn ctl(folder: &Path, line: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_os4x_proxyctl"));
    command.current_dir(folder).arg("license").args(line).stdin(Stdio::null()).output().unwrap()
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn bad(output: &Output, code: i32) -> String {
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(code), true), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn issue_and_show() {
    let folder = tempfile::tempdir().unwrap();
    let issued = ctl(folder.path(), &["issue", "--proxy-id", ID, "--days", "30", "-o", "lic"]);
    let expires = Day::today().plus(30);
    assert_eq!(good(&issued), format!("lic: for test license until {expires}\n"));
    let text = std::fs::read_to_string(folder.path().join("lic")).unwrap();
    assert!(text.contains(&format!("\nproxy-id: {ID}\nlicensee: test license\n")), "{text}");
    let shown = good(&ctl(folder.path(), &["show", "lic"]));
    for wanted in
        [ID, "the development key, with which anybody can sign", "minisign -V -P RW", "(30 days left)"]
    {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    let again = bad(&ctl(folder.path(), &["issue", "--proxy-id", ID, "-o", "lic"]), 1);
    assert!(again.contains("lic exists and is not written over"), "{again}");
    let printed =
        good(&ctl(folder.path(), &["issue", "--proxy-id", ID, "--licensee", "ACME & Söhne", "--days", "0"]));
    assert!(printed.contains("\nlicensee: ACME & Söhne\n") && printed.lines().count() == 10, "{printed}");
}

#[test]
fn what_show_has_to_say_of_bad_ones() {
    let folder = tempfile::tempdir().unwrap();
    let show = || ctl(folder.path(), &["show", "lic"]);
    assert!(bad(&show(), 1).contains("lic: missing"));
    good(&ctl(folder.path(), &["issue", "--proxy-id", ID, "-o", "lic"]));
    let path = folder.path().join("lic");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("test license\n", "free license\n")).unwrap();
    assert!(bad(&show(), 1).contains("signature wrong"));
}

#[test]
fn own_keys_sign_what_only_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let made = good(&ctl(folder.path(), &["keygen", "--no-password", "-o", "acme.v1"]));
    let path = |name: &str| folder.path().join(name);
    assert_eq!(std::fs::metadata(path("acme.v1.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let public = std::fs::read_to_string(path("acme.v1.pub")).unwrap();
    let public = public.lines().nth(1).unwrap();
    assert!(made.contains(&format!("OS4X_LICENSE_PUBLIC_KEY={public} cargo build")), "{made}");
    good(&ctl(folder.path(), &["issue", "--proxy-id", ID, "--secret-key", "acme.v1.key", "-o", "lic"]));
    assert!(
        bad(&ctl(folder.path(), &["show", "lic"]), 1)
            .contains("signed with a key that this build does not trust")
    );
    let shown = good(&ctl(folder.path(), &["show", "lic", "--public-key", public]));
    assert!(shown.contains(&format!("signed with {public}")), "{shown}");
    let again = bad(&ctl(folder.path(), &["keygen", "--no-password", "-o", "acme.v1"]), 1);
    assert!(again.contains("acme.v1.key exists"), "{again}");
    std::fs::remove_file(path("acme.v1.key")).unwrap();
    let again = bad(&ctl(folder.path(), &["keygen", "--no-password", "-o", "acme.v1"]), 1);
    assert!(again.contains("acme.v1.pub exists") && !path("acme.v1.key").exists(), "{again}");
}

#[test]
fn mistakes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (line, code, said) in [
        (&["issue"][..], 2, "--proxy-id"),
        (&["issue", "--proxy-id", "0px"], 2, "64 lower-case hexadecimal digits"),
        (&["issue", "--proxy-id", ID, "--days", "-1"], 2, "--days"),
        (&["issue", "--proxy-id", ID, "--days", "36526"], 2, "36525"),
        (&["issue", "--proxy-id", ID, "--licensee", "a\nb"], 2, "no licensee"),
        (&["issue", "--proxy-id", ID, "--secret-key", "none.key"], 1, "none.key"),
        (&["issue", "--proxy-id", ID, "-o", "no/such/folder"], 1, "no/such/folder"),
        (&["show", "lic", "--public-key", "RW"], 2, "no public key of minisign"),
    ] {
        let text = bad(&ctl(folder.path(), line), code);
        assert!(text.contains(said) && !text.contains("panicked"), "{line:?}: {text}");
    }
}

/// The calendar of licenses is that of the log.
#[test]
fn days_are_those_of_the_log() {
    for day in 0..200_000 {
        let moment = daemon::civil::Civil::from_unix(day * 86_400 + 43_200);
        let text = format!("{:04}-{:02}-{:02}", moment.year, moment.month, moment.day);
        let epoch = "1970-01-01".parse::<Day>().unwrap();
        assert_eq!(epoch.plus(day as i64).to_string(), text);
    }
}
