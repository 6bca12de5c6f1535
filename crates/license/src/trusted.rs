//! Whose signature counts.

use std::fmt;

use minisign_verify::PublicKey;

/// The public half of the development key of this repository, as minisign writes it. The secret half is in the
/// repository as well (`crates/issuer/development.key`): anybody can sign with it.
pub const DEVELOPMENT_KEY: &str = second_line(include_str!("../development.pub"));

/// The public key that this build trusts: that of the variable `OS4X_LICENSE_PUBLIC_KEY` when it was built, the second
/// line of a minisign `.pub` file; otherwise the [`DEVELOPMENT_KEY`].
pub const TRUSTED_KEY: &str = match option_env!("OS4X_LICENSE_PUBLIC_KEY") {
    Some(key) => key,
    None => DEVELOPMENT_KEY,
};

// A key with a typing mistake would make a build that accepts no license at all.
const _: () = assert!(
    looks_like_a_key(TRUSTED_KEY),
    "OS4X_LICENSE_PUBLIC_KEY has to be the second line of a minisign .pub file: 56 characters that begin with RW"
);

/// A key whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey(pub(crate) PublicKey);

impl TrustedKey {
    /// The key of this build.
    ///
    /// # Errors
    /// It is none: a mistake of whoever built this.
    pub fn built_in() -> Result<Self, TrustedKeyError> {
        Self::parse(TRUSTED_KEY)
    }

    /// A key as minisign writes it, 56 characters of base64.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, TrustedKeyError> {
        PublicKey::from_base64(text).map(Self).map_err(|_| TrustedKeyError(text.to_owned()))
    }

    /// Whether it is the development key, with which anybody can sign.
    pub fn is_development(&self) -> bool {
        Self::parse(DEVELOPMENT_KEY).is_ok_and(|development| development == *self)
    }
}

/// Not the public key of minisign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKeyError(String);

impl fmt::Display for TrustedKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no public key of minisign; it is the second line of a .pub file", self.0)
    }
}

impl std::error::Error for TrustedKeyError {}

const fn second_line(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut start = 0;
    while bytes[start] != b'\n' {
        start += 1;
    }
    text.split_at(start + 1).1.split_at(KEY_CHARACTERS).0
}

/// 42 bytes in base64, without padding, the first two of which are "Ed".
const fn looks_like_a_key(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut is_key = bytes.len() == KEY_CHARACTERS && bytes[0] == b'R' && bytes[1] == b'W';
    let mut at = 0;
    while at < bytes.len() {
        is_key &= bytes[at].is_ascii_alphanumeric() || bytes[at] == b'+' || bytes[at] == b'/';
        at += 1;
    }
    is_key
}

const KEY_CHARACTERS: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_this_build_are_keys() {
        assert!(TrustedKey::parse(DEVELOPMENT_KEY).unwrap().is_development());
        assert_eq!(TrustedKey::built_in().unwrap().is_development(), TRUSTED_KEY == DEVELOPMENT_KEY);
    }

    #[test]
    fn a_typing_mistake_is_seen_when_it_is_built() {
        assert!(looks_like_a_key(DEVELOPMENT_KEY));
        for wrong in ["", &DEVELOPMENT_KEY[1..], &format!("{DEVELOPMENT_KEY} "), &"=".repeat(56)] {
            assert!(!looks_like_a_key(wrong), "{wrong}");
            assert!(TrustedKey::parse(wrong).is_err(), "{wrong}");
        }
    }
}
