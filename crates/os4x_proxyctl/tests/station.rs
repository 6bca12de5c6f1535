//! `station send` and `station listen` against each other, as an administrator runs them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_os4x_proxyctl");

/// A `station listen` on a port that the system chose. It is killed if the test fails.
struct Listening {
    child: Child,
    lines: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Listening {
    fn start(at: &str, inbox: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["station", "listen", at, "--once", "--inbox"])
            .arg(inbox)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let address = first.split_whitespace().nth(2).unwrap_or_else(|| panic!("{first}"));
        let address = address.parse().unwrap_or_else(|_| panic!("{first}"));
        Self { child, lines, address }
    }

    /// What it printed until its end, and whether it ended well.
    fn finish(mut self) -> (String, bool) {
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        (text, self.child.wait().unwrap().success())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(to: &str, files: &[&Path], more: &[&str]) -> Output {
    Command::new(PROGRAM).args(["station", "send", to]).args(files).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

/// The hash that a side printed for the file it named before.
fn hashes(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim().strip_prefix("SHA-256 ")).map(str::to_owned).collect()
}

fn no_listener() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn files_arrive_plain() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = folder.path().join("inbox");
    let station = Listening::start("127.0.0.1:0", &inbox, &["--buffer", "2048", "--credit", "7"]);
    let content: Vec<u8> = (0..300_000_u32).map(|number| (number * 7 % 251) as u8).collect();
    let large = file(folder.path(), "INVOICE.PDF", &content);
    let empty = file(folder.path(), "EMPTY", b"");
    let sent = send(&station.address.to_string(), &[&large, &empty], &[]);
    let (said, errors) = (text(&sent.stdout), text(&sent.stderr));
    assert!(sent.status.success(), "{said}{errors}");
    let (heard, went_well) = station.finish();
    assert!(went_well, "{heard}");

    assert_eq!(fs::read(inbox.join("INVOICE.PDF")).unwrap(), content);
    assert_eq!(fs::read(inbox.join("EMPTY")).unwrap(), b"");
    let sums = hashes(&said);
    assert_eq!(sums.len(), 2, "{said}");
    assert_eq!(hashes(&heard), sums, "{heard}");
    assert_eq!(sums[1], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert!(said.contains("buffer 2,048 bytes, credit 7"), "{said}");
    assert!(said.contains("sent INVOICE.PDF: 300,000 bytes in "), "{said}");
    assert!(said.contains("EERP for INVOICE.PDF: delivered"), "{said}");
    assert!(heard.contains("received INVOICE.PDF of \"OS4X-PROXYCTL\": 300,000 bytes"), "{heard}");
}

#[test]
fn files_arrive_over_tls_and_only_at_the_pinned_station() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed([String::from("station.example")]).unwrap();
    let certificate = file(folder.path(), "station.pem", made.cert.pem().as_bytes());
    let key = file(folder.path(), "station.key", made.signing_key.serialize_pem().as_bytes());
    let other = rcgen::generate_simple_self_signed([String::from("station.example")]).unwrap();
    let other = file(folder.path(), "other.pem", other.cert.pem().as_bytes());
    let payload = file(folder.path(), "ORDER", b"12 gears");
    let inbox = folder.path().join("inbox");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let shows = ["--tls", "--certificate", &path(&certificate), "--private-key", &path(&key)];

    let station = Listening::start("127.0.0.1:0", &inbox, &shows);
    let to = station.address.to_string();
    let sent = send(&to, &[&payload], &["--tls", "--pin", &path(&certificate)]);
    assert!(sent.status.success(), "{}{}", text(&sent.stdout), text(&sent.stderr));
    let (heard, went_well) = station.finish();
    assert!(went_well, "{heard}");
    assert_eq!(fs::read(inbox.join("ORDER")).unwrap(), b"12 gears");
    assert_eq!(hashes(&heard), hashes(&text(&sent.stdout)));

    let station = Listening::start("127.0.0.1:0", &inbox, &shows);
    let sent = send(&station.address.to_string(), &[&payload], &["--tls", "--pin", &path(&other)]);
    assert_eq!(sent.status.code(), Some(1));
    let errors = text(&sent.stderr);
    assert!(errors.contains("shows another certificate than the one given with --pin"), "{errors}");
    let (heard, went_well) = station.finish();
    assert!(!went_well, "{heard}");
}

#[test]
fn a_self_made_certificate_and_ipv6_will_do() {
    let folder = tempfile::tempdir().unwrap();
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this host has no IPv6");
        return;
    }
    let station = Listening::start("[::1]:0", &folder.path().join("inbox"), &["--tls"]);
    let payload = file(folder.path(), "ORDER", b"1");
    let sent = send(&station.address.to_string(), &[&payload], &["--tls"]);
    assert!(sent.status.success(), "{}{}", text(&sent.stdout), text(&sent.stderr));
    assert!(station.finish().1);
}

#[test]
fn a_wrong_password_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let payload = file(folder.path(), "ORDER", b"1");
    let more = ["--partner", "PARTNER:SECRET"];
    let station = Listening::start("127.0.0.1:0", &folder.path().join("inbox"), &more);
    let who = ["--code", "PARTNER", "--password", "GUESS"];
    let sent = send(&station.address.to_string(), &[&payload], &who);
    assert_eq!(sent.status.code(), Some(1));
    let errors = text(&sent.stderr);
    assert!(errors.contains("reason 04 (invalid password)") && errors.contains("--password"), "{errors}");
    let (heard, went_well) = station.finish();
    assert!(!went_well && heard.contains("the password of station \"PARTNER\" is wrong"), "{heard}");

    let station = Listening::start("127.0.0.1:0", &folder.path().join("inbox"), &more);
    let who = ["--code", "PARTNER", "--password", "SECRET"];
    let sent = send(&station.address.to_string(), &[&payload], &who);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert!(station.finish().1);
}

#[test]
fn what_cannot_be_reached_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let payload = file(folder.path(), "ORDER", b"1");
    let sentence = |to: &str| {
        let sent = send(to, &[&payload], &["--timeout", "30"]);
        assert_eq!(sent.status.code(), Some(1));
        text(&sent.stderr)
    };
    let closed = no_listener().to_string();
    let errors = sentence(&closed);
    assert!(errors.contains(&format!("cannot connect to {closed}: connection refused")), "{errors}");
    assert!(errors.contains("nothing listens there"), "{errors}");
    let errors = sentence("does-not-exist.invalid:6619");
    assert!(errors.contains("does-not-exist.invalid:6619: the name does not resolve"), "{errors}");
}

#[test]
fn a_station_that_says_nothing_or_goes_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let payload = file(folder.path(), "ORDER", b"1");
    // A listener that nobody serves: the kernel accepts, and nothing comes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sent = send(&silent.local_addr().unwrap().to_string(), &[&payload], &["--timeout", "1"]);
    assert_eq!(sent.status.code(), Some(1));
    assert!(text(&sent.stderr).contains("try --tls"), "{}", text(&sent.stderr));

    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = closing.local_addr().unwrap().to_string();
    let closes = std::thread::spawn(move || closing.accept().map(drop));
    let sent = send(&to, &[&payload], &["--timeout", "30"]);
    closes.join().unwrap().unwrap();
    assert_eq!(sent.status.code(), Some(1));
    let errors = text(&sent.stderr);
    assert!(errors.contains("the station is not there or turns this caller away"), "{errors}");
}

#[test]
fn what_is_wrong_here_is_said_before_anybody_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let to = no_listener().to_string();
    let sent = send(&to, &[&folder.path().join("NOWHERE")], &[]);
    assert_eq!(sent.status.code(), Some(1));
    assert!(text(&sent.stderr).contains("NOWHERE: No such file"), "{}", text(&sent.stderr));
    assert_eq!(text(&sent.stdout), "", "nobody was called");
    let sent = send(&to, &[folder.path()], &[]);
    assert!(text(&sent.stderr).contains("it is no regular file"), "{}", text(&sent.stderr));
    let usage = Command::new(PROGRAM).args(["station", "send", "nowhere"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    let listen =
        Command::new(PROGRAM).args(["station", "listen", &taken.1, "--inbox"]).arg(folder.path()).output();
    let listen = listen.unwrap();
    assert_eq!(listen.status.code(), Some(1));
    assert!(text(&listen.stderr).contains("address already in use"), "{}", text(&listen.stderr));
}
