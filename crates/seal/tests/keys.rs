//! Identity keys and lists of keys as files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it expects")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use seal::{Authorized, AuthorizedError, IdentityKey, KeyError, PublicKeyError};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn made_once_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.key");
    assert!(matches!(IdentityKey::load(&path), Err(KeyError::Missing { .. })));
    let made = IdentityKey::load_or_create(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    let found = IdentityKey::load_or_create(&path).unwrap();
    assert_eq!(made.public_key(), found.public_key());
    assert_ne!(made.public_key(), IdentityKey::generate().unwrap().public_key());
}

#[test]
fn all_who_start_at_once_get_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.key");
    let barrier = std::sync::Barrier::new(16);
    let keys: Vec<_> = std::thread::scope(|scope| {
        let race = || {
            barrier.wait();
            IdentityKey::load_or_create(&path).unwrap().public_key()
        };
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(race)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn keys_that_others_can_use_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.key");
    IdentityKey::load_or_create(&path).unwrap();
    for open in [0o640, 0o604, 0o620, 0o601, 0o666] {
        set_mode(&path, open);
        let text = IdentityKey::load_or_create(&path).unwrap_err().to_string();
        assert!(text.ends_with(&format!("(mode {open:04o}); run: chmod 600 {}", path.display())), "{text}");
    }
    set_mode(&path, 0o400);
    IdentityKey::load_or_create(&path).unwrap();
}

#[test]
fn what_is_no_key_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.key");
    let body = "MC4CAQAwBQYDK2VwBCIEIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4";
    let contents = [
        String::new(),
        String::from("-----BEGIN PRIVATE KEY-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", &body[4..]),
        format!("-----BEGIN PRIVATE KEY-----\n!{body}\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n"),
        "\u{0}".repeat(100_000),
    ];
    for content in contents {
        std::fs::write(&path, &content).unwrap();
        set_mode(&path, 0o600);
        assert!(matches!(IdentityKey::load_or_create(&path), Err(KeyError::NoKey { .. })), "{content:.40}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    let whole = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&path, whole).unwrap();
    IdentityKey::load(&path).unwrap();
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let error = IdentityKey::load_or_create(directory.path()).unwrap_err();
    assert!(matches!(error, KeyError::NotAFile { .. }), "{error}");
    let error = IdentityKey::load_or_create(Path::new("/nonexistent/x.key")).unwrap_err();
    assert!(matches!(error, KeyError::Create { .. }), "{error}");
    // A link to nowhere must not make a key somewhere else.
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/nonexistent/x.key", &link).unwrap();
    let error = IdentityKey::load_or_create(&link).unwrap_err();
    assert!(matches!(error, KeyError::Missing { .. }), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.key");
    let key = IdentityKey::load_or_create(&path).unwrap();
    assert_eq!(format!("{key:?}"), format!("IdentityKey {{ public: PublicKey({}), .. }}", key.public_key()));
}

#[test]
fn standard_tools_read_and_write_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.key");
    let key = IdentityKey::load_or_create(&path).unwrap();
    let openssl = |arguments: &[&str]| Command::new("openssl").args(arguments).arg(&path).output();
    let Ok(output) = openssl(&["pkey", "-pubout", "-outform", "DER", "-in"]) else {
        return; // not installed
    };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(&output.stdout[output.stdout.len() - 32..], key.public_key().as_bytes());
    std::fs::remove_file(&path).unwrap();
    assert!(openssl(&["genpkey", "-algorithm", "ed25519", "-out"]).unwrap().status.success());
    set_mode(&path, 0o600);
    let theirs = IdentityKey::load(&path).unwrap();
    let output = openssl(&["pkey", "-pubout", "-outform", "DER", "-in"]).unwrap();
    assert_eq!(&output.stdout[output.stdout.len() - 32..], theirs.public_key().as_bytes());
    // The right container with another kind of key.
    std::fs::remove_file(&path).unwrap();
    assert!(openssl(&["genpkey", "-algorithm", "x25519", "-out"]).unwrap().status.success());
    set_mode(&path, 0o600);
    assert!(matches!(IdentityKey::load(&path), Err(KeyError::NoKey { .. })));
}

#[test]
fn a_missing_list_trusts_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let list = Authorized::load(&directory.path().join("none")).unwrap();
    assert!(list.is_empty());
}

#[test]
fn a_list_with_one_mistake_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    let key = IdentityKey::generate_for_tests().public_key();
    std::fs::write(&path, format!("{key} plant\n# fine\n{key}x\n")).unwrap();
    set_mode(&path, 0o644);
    let error = Authorized::load(&path).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("{}:3: a public key has 44 characters, this has 45", path.display())),
        "{text}"
    );
    let AuthorizedError::Line { fault: seal::LineFault::Key(fault), .. } = error else { panic!("{text}") };
    assert_eq!(fault, PublicKeyError::Length { characters: 45 });
}

#[test]
fn a_list_that_others_can_write_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    std::fs::write(&path, "").unwrap();
    for open in [0o664, 0o646] {
        set_mode(&path, open);
        let text = Authorized::load(&path).unwrap_err().to_string();
        assert!(text.ends_with(&format!("run: chmod go-w {}", path.display())), "{text}");
    }
    set_mode(&path, 0o644);
    assert!(Authorized::load(&path).unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_as_a_list_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Authorized::load(directory.path()), Err(AuthorizedError::NotAFile { .. })));
    let path = directory.path().join("list");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    set_mode(&path, 0o600);
    assert!(matches!(Authorized::load(&path), Err(AuthorizedError::Read { .. })));
    std::fs::write(&path, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert!(matches!(Authorized::load(&path), Err(AuthorizedError::TooLong { .. })));
}
