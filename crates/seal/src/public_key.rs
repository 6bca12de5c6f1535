//! A public key and the one way it is written.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The public half of an [`IdentityKey`](crate::IdentityKey): 32 bytes (RFC 8032 §5.1.5).
///
/// Written as the 44 characters of its base64 (RFC 4648 §4), as WireGuard does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; PublicKey::BYTES]);

impl PublicKey {
    /// Length of a key, in bytes.
    pub const BYTES: usize = 32;
    /// Length of a key as text, in characters: `4 × ceil(32 / 3)`.
    pub const CHARACTERS: usize = 44;

    /// A key from its bytes.
    ///
    /// # Errors
    /// [`PublicKeyError::Weak`] for the few points of small order, for which anybody can sign.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Result<Self, PublicKeyError> {
        let mut unsigned = bytes;
        unsigned[31] &= 0x7f;
        if SMALL_ORDER.contains(&unsigned) {
            return Err(PublicKeyError::Weak);
        }
        Ok(Self(bytes))
    }

    /// The bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The key out of a `SubjectPublicKeyInfo` as RFC 8410 §4 writes Ed25519 keys; `None` for
    /// anything else, a certificate included.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        let bytes = spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok()?;
        Self::from_bytes(bytes).ok()
    }

    /// The key as a `SubjectPublicKeyInfo` (RFC 8410 §4).
    pub(crate) fn to_spki(self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        if let Some((at, character)) = text.chars().enumerate().find(|(_, c)| !alphabet(*c)) {
            return Err(PublicKeyError::Character { character, position: at + 1 });
        }
        if text.len() != Self::CHARACTERS {
            return Err(PublicKeyError::Length { characters: text.len() });
        }
        let bytes = STANDARD.decode(text).map_err(|_| PublicKeyError::Padding)?;
        let bytes = bytes.try_into().map_err(|_| PublicKeyError::Padding)?;
        Self::from_bytes(bytes)
    }
}

/// Why a text or some bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyError {
    /// Not 44 characters long.
    Length {
        /// What was found.
        characters: usize,
    },
    /// A character that base64 does not know.
    Character {
        /// The character.
        character: char,
        /// Its place, counted from 1.
        position: usize,
    },
    /// 44 characters of the alphabet, but not the base64 of exactly 32 bytes.
    Padding,
    /// One of the known keys for which anybody can make signatures.
    Weak,
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { characters } => {
                write!(f, "a public key has {} characters, this has {characters}", PublicKey::CHARACTERS)
            }
            Self::Character { character, position } => {
                write!(f, "{character:?} at position {position} cannot be part of a public key")
            }
            Self::Padding => {
                f.write_str("this is not the base64 of 32 bytes, something was cut off or changed")
            }
            Self::Weak => f.write_str("this key protects nothing, anybody could sign for it"),
        }
    }
}

impl std::error::Error for PublicKeyError {}

/// SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING (0 unused bits) } in front of the 32 bytes
/// (RFC 8410 §10.1).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// p + `low`, where p = 2^255 - 19, little-endian; `low` is the lowest byte.
const fn near_p(low: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = low;
    bytes[31] = 0x7f;
    bytes
}

/// A small number, little-endian.
const fn small(low: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = low;
    bytes
}

/// The points whose order divides 8, sign bit cleared, with their non-canonical spellings. A signature
/// check against such a key accepts signatures that nobody made.
const SMALL_ORDER: [[u8; 32]; 7] = [
    small(0),
    small(1),
    near_p(0xec),
    near_p(0xed),
    near_p(0xee),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reasons_are_told_apart() {
        let error = |text: &str| text.parse::<PublicKey>().unwrap_err();
        assert_eq!(error(""), PublicKeyError::Length { characters: 0 });
        assert_eq!(error(&"A".repeat(43)), PublicKeyError::Length { characters: 43 });
        assert_eq!(error("ab cd"), PublicKeyError::Character { character: ' ', position: 3 });
        assert_eq!(error(&"B".repeat(44)), PublicKeyError::Padding);
        // The last character before the padding carries two bits that must be zero.
        assert_eq!(error(&format!("{}B=", "A".repeat(42))), PublicKeyError::Padding);
        assert_eq!(error(&format!("{}A=", "A".repeat(42))), PublicKeyError::Weak);
    }

    #[test]
    fn small_orders_are_refused_with_either_sign() {
        for mut bytes in SMALL_ORDER {
            assert_eq!(PublicKey::from_bytes(bytes), Err(PublicKeyError::Weak));
            bytes[31] |= 0x80;
            assert_eq!(PublicKey::from_bytes(bytes), Err(PublicKeyError::Weak));
        }
    }

    #[test]
    fn spki_takes_nothing_else() {
        let key = PublicKey::from_bytes([7; 32]).unwrap();
        let spki = key.to_spki();
        assert_eq!(PublicKey::from_spki(&spki), Some(key));
        assert_eq!(PublicKey::from_spki(&spki[..43]), None);
        assert_eq!(PublicKey::from_spki(&[spki.as_slice(), &[0]].concat()), None);
        assert_eq!(PublicKey::from_spki(&[]), None);
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes in any::<[u8; 32]>()) {
            let key = PublicKey::from_bytes(bytes).unwrap();
            let text = key.to_string();
            prop_assert_eq!(text.len(), PublicKey::CHARACTERS);
            prop_assert_eq!(text.parse::<PublicKey>(), Ok(key));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,60}") {
            if let Ok(key) = text.parse::<PublicKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
