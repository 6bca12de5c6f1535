//! Signed files: every way in which one can be wrong, bit by bit, and beside the standard tool.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use issuer::{KeyError, KeyPair, SigningKey, grant};
use license::{DEVELOPMENT_KEY, License, Refusal, TrustedKey, file};

fn development() -> TrustedKey {
    TrustedKey::parse(DEVELOPMENT_KEY).unwrap()
}

fn license() -> License {
    let id = format!("{}px", "0123456789abcdef".repeat(4)).parse().unwrap();
    grant(id, "ACME GmbH & Söhne".parse().unwrap(), "2026-11-24".parse().unwrap(), 30)
}

fn signed() -> String {
    SigningKey::development().unwrap().sign(&license()).unwrap()
}

fn refusal(file: impl AsRef<[u8]>) -> Refusal {
    file::open(file.as_ref(), &development()).unwrap_err()
}

#[test]
fn both_halves_of_the_development_key_belong_together() {
    assert_eq!(SigningKey::development().unwrap().public_key(), DEVELOPMENT_KEY);
    assert_eq!(file::open(signed().as_bytes(), &development()), Ok(license()));
    assert_eq!(license().expires.to_string(), "2026-12-24");
}

#[test]
fn the_example_of_the_readme_is_a_license() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let lines = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let file: Vec<&str> = lines.skip_while(|line| *line != "OS4X Proxy license, format 1").take(10).collect();
    let license = file::open(file.join("\n").as_bytes(), &development()).unwrap();
    assert_eq!(
        (license.licensee.to_string(), license.days_left(license.issued)),
        (String::from("ACME GmbH"), 365)
    );
}

#[test]
fn every_single_bit_counts_but_those_of_the_untrusted_comment() {
    let signed = signed();
    let prefix = "\nuntrusted comment: ";
    let comment = signed.find(prefix).unwrap() + prefix.len();
    let comment = comment..comment + signed[comment..].find('\n').unwrap();
    let mut passed_over = 0;
    for at in 0..signed.len() {
        for bit in 0..8 {
            let mut changed = signed.clone().into_bytes();
            changed[at] ^= 1 << bit;
            match file::open(&changed, &development()) {
                Ok(read) => {
                    assert!(
                        comment.contains(&at),
                        "byte {at}, bit {bit}: {:?}",
                        signed.as_bytes()[at] as char
                    );
                    assert_eq!(read, license());
                    passed_over += 1;
                }
                Err(refusal) => assert!(!refusal.to_string().is_empty()),
            }
        }
    }
    assert!(passed_over > comment.len() * 5, "the comment is free: {passed_over}");
}

#[test]
fn nothing_can_be_added_and_only_the_last_line_end_may_be_missing() {
    let signed = signed();
    for at in 0..=signed.len() {
        for more in ["\n", " ", "=", "A", "\r", "\0"] {
            let mut changed = signed.clone();
            if !changed.is_char_boundary(at) {
                continue;
            }
            changed.insert_str(at, more);
            if let Ok(read) = file::open(changed.as_bytes(), &development()) {
                assert_eq!((read, signed[..at].matches('\n').count()), (license(), 6), "{at} {more:?}");
            }
        }
    }
    for length in 0..signed.len() - 1 {
        assert!(file::open(&signed.as_bytes()[..length], &development()).is_err(), "{length}");
    }
    assert_eq!(file::open(signed.trim_end().as_bytes(), &development()), Ok(license()));
}

#[test]
fn each_way_of_being_wrong_has_its_reason() {
    let signed = signed();
    let lines: Vec<&str> = signed.lines().collect();
    let text = format!("{}\n", lines[..6].join("\n"));
    assert_eq!(refusal(""), Refusal::Empty);
    assert_eq!(refusal(vec![b'x'; file::FILE_BYTES_MAX + 1]), Refusal::TooLong);
    assert_eq!(refusal(b"OS4X Proxy license, format 1\n\xff"), Refusal::NotText);
    assert_eq!(refusal(signed.replace('\n', "\r\n")), Refusal::LineEnds);
    assert_eq!(refusal("Dear customer,\n"), Refusal::NoLicense);
    assert_eq!(refusal(signed.replace("format 1", "format 2")), Refusal::NoLicense);
    assert_eq!(refusal(&text), Refusal::Unsigned);
    assert_eq!(refusal(lines[..8].join("\n")), Refusal::Unsigned);
    assert_eq!(refusal(format!("{signed}\n")), Refusal::Trailing);
    assert_eq!(
        refusal(signed.replace("trusted comment: OS4X", "Trusted: OS4X")),
        Refusal::SignatureUnreadable
    );
    assert_eq!(refusal(signed.replace(lines[7], &lines[7][4..])), Refusal::SignatureUnreadable);
    assert_eq!(refusal(signed.replace("ACME", "ACNE")), Refusal::SignatureWrong);
    assert_eq!(refusal(signed.replace("license for", "licence for")), Refusal::SignatureWrong);
    assert_eq!(refusal(signed.replace("\nRUS", "\nRWS")), Refusal::SignatureOld);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("license");
    assert_eq!(file::read(&path, &development()), Err(Refusal::Missing));
    let unreadable = file::read(directory.path(), &development()).unwrap_err();
    assert!(matches!(&unreadable, Refusal::Unreadable(_)), "{unreadable}");
    std::fs::write(&path, &signed).unwrap();
    assert_eq!(file::read(&path, &development()), Ok(license()));
}

#[test]
fn another_key_is_not_trusted_even_under_the_same_number() {
    let pair = KeyPair::generate(None).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.key");
    issuer::create(&path, 0o600, pair.secret.as_bytes()).unwrap();
    let other = SigningKey::read(&path, || panic!("it has no password")).unwrap();
    assert_eq!(other.public_key(), pair.public_key);
    let file = other.sign(&license()).unwrap();
    assert_eq!(refusal(&file), Refusal::OtherKey);
    assert_eq!(file::open(file.as_bytes(), &TrustedKey::parse(&pair.public_key).unwrap()), Ok(license()));
    // The number of a key, eight bytes behind those of the algorithm, is for finding it, and proves nothing.
    let line = |text: &str| text.lines().nth(7).unwrap().to_owned();
    let mut forged = STANDARD.decode(line(&file)).unwrap();
    forged[2..10].copy_from_slice(&STANDARD.decode(line(&signed())).unwrap()[2..10]);
    assert_eq!(refusal(file.replace(&line(&file), &STANDARD.encode(forged))), Refusal::SignatureWrong);
}

#[test]
fn what_is_signed_and_not_understood_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let Some(tool) = Minisign::find() else { return };
    let text = license().to_string();
    for (from, to, line) in
        [("expires", "ends", 5), ("2026-12-24", "2026-02-30", 5), ("proxy\n", "Proxy\n", 6)]
    {
        let file = tool.sign(directory.path(), &text.replace(from, to), &[]);
        assert!(matches!(refusal(&file), Refusal::NotUnderstood(error) if error.line == line), "{file}");
    }
}

#[test]
fn the_standard_tool_checks_what_was_issued() {
    let Some(tool) = Minisign::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("os4x_proxy.lic");
    std::fs::write(&path, signed()).unwrap();
    let output = tool.check(&path);
    assert!(output.contains("Signature and comment signature verified"), "{output}");
    assert!(
        output.contains(&format!("Trusted comment: OS4X Proxy license for {}", license().proxy_id)),
        "{output}"
    );
    std::fs::write(&path, signed().replace("2026-12-24", "2036-12-24")).unwrap();
    assert!(!tool.check(&path).contains("verified"));
}

#[test]
fn what_the_standard_tool_signs_is_a_license() {
    let Some(tool) = Minisign::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = tool.sign(directory.path(), &license().to_string(), &[]);
    assert_eq!(file::open(file.as_bytes(), &development()), Ok(license()));
    // In the old way it signs the text itself instead of its hash.
    let old = tool.sign(directory.path(), &license().to_string(), &["-l"]);
    assert_eq!(refusal(&old), Refusal::SignatureOld);
}

#[test]
fn keys_are_those_of_the_standard_tool() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("locked.key");
    let pair = KeyPair::generate(Some(String::from("secret"))).unwrap();
    issuer::create(&path, 0o600, pair.secret.as_bytes()).unwrap();
    let open = |password: &str| SigningKey::read(&path, || Ok(String::from(password)));
    let key = open("secret").unwrap();
    let trusted = TrustedKey::parse(&pair.public_key).unwrap();
    assert_eq!(file::open(key.sign(&license()).unwrap().as_bytes(), &trusted), Ok(license()));
    assert!(open("wrong").err().unwrap().to_string().contains("password"));
    let untold = SigningKey::read(&path, || Err(KeyError(String::from("no terminal"))));
    assert!(untold.err().unwrap().to_string().contains("no terminal"));
    for wrong in
        ["", "one line", "a\nb\n", "untrusted comment: x\nRWQ=\n", "untrusted comment: x\nRWQAAEIyAAAA\n"]
    {
        let path = directory.path().join("wrong.key");
        std::fs::write(&path, wrong).unwrap();
        let error = SigningKey::read(&path, || Ok(String::new())).err().unwrap().to_string();
        assert!(error.contains("wrong.key"), "{wrong:?}: {error}");
    }
}

/// The standard tool.
struct Minisign;

impl Minisign {
    fn find() -> Option<Self> {
        let found = Command::new("minisign").arg("-v").stdout(Stdio::null()).status().is_ok();
        if !found {
            eprintln!("skipped: minisign is not installed here (Debian: apt install minisign)");
        }
        found.then_some(Self)
    }

    /// By the command of the README and of `license show`.
    fn check(&self, path: &Path) -> String {
        let command = issuer::check_command(path, DEVELOPMENT_KEY);
        let output = Command::new("bash").args(["-c", &command]).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    }

    fn sign(&self, directory: &Path, text: &str, more: &[&str]) -> String {
        let path = directory.join("signed");
        std::fs::write(&path, text).unwrap();
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/development.key");
        let mut command = Command::new("minisign");
        command.args(["-S", "-s", key, "-m"]).arg(&path).args(more).stdout(Stdio::null());
        assert!(command.status().unwrap().success());
        text.to_owned() + &std::fs::read_to_string(directory.join("signed.minisig")).unwrap()
    }
}
