//! The keys with which licenses are signed.

use std::fmt;
use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use license::{License, TrustedKey, file};
use minisign::{PublicKey, SecretKey, SecretKeyBox, sign};

/// A secret key of minisign, ready to sign.
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
}

/// The two files of a new pair of keys, as minisign writes them.
pub struct KeyPair {
    /// For whoever signs.
    pub secret: String,
    /// For whoever builds the proxy.
    pub public: String,
    /// The second line of the latter: the key itself.
    pub public_key: String,
}

impl KeyPair {
    /// A new pair. With `password` the secret key is encrypted.
    ///
    /// # Errors
    /// The system gives no random numbers, or not enough memory for the encryption.
    pub fn generate(password: Option<String>) -> Result<Self, KeyError> {
        let (pair, comment) = match password {
            Some(password) => (
                minisign::KeyPair::generate_encrypted_keypair(Some(password)),
                "OS4X Proxy license key, encrypted",
            ),
            None => {
                (minisign::KeyPair::generate_unencrypted_keypair(), "OS4X Proxy license key, not encrypted")
            }
        };
        let pair = pair?;
        Ok(Self {
            secret: pair.sk.to_box(Some(comment))?.to_string(),
            public: pair.pk.to_box()?.to_string(),
            public_key: pair.pk.to_base64(),
        })
    }
}

impl SigningKey {
    /// The development key of this repository, with which anybody can sign.
    ///
    /// # Errors
    /// It is damaged: a mistake of whoever built this.
    pub fn development() -> Result<Self, KeyError> {
        Self::parse(DEVELOPMENT, || Err(KeyError(String::from("the development key has no password"))))
    }

    /// The key of a file that `license keygen` or `minisign -G` has written. The password of an encrypted one is asked
    /// for by `password`.
    ///
    /// # Errors
    /// It cannot be read, is none, or the password is wrong.
    pub fn read(path: &Path, password: impl FnOnce() -> Result<String, KeyError>) -> Result<Self, KeyError> {
        let named = |error: String| KeyError(format!("the secret key {}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        Self::parse(&text, password).map_err(|error| named(error.to_string()))
    }

    fn parse(text: &str, password: impl FnOnce() -> Result<String, KeyError>) -> Result<Self, KeyError> {
        let no_key = || KeyError(String::from("it is no secret key as minisign writes it"));
        let line = text.lines().nth(1).ok_or_else(no_key)?;
        let bytes = STANDARD.decode(line.trim_end()).map_err(|_| no_key())?;
        let secret = match bytes.get(2..4).ok_or_else(no_key)? {
            // `minisign -G -W` leaves the checksum of an unencrypted key out, for which the library's reader of files
            // would refuse it. A damaged key is found when it signs: the signature is checked.
            b"\0\0" => SecretKey::from_bytes(&bytes).map_err(|_| no_key())?,
            _ => {
                let password = password()?;
                SecretKeyBox::from_string(text).and_then(|text| text.into_secret_key(Some(password)))?
            }
        };
        let public = PublicKey::from_secret_key(&secret)?;
        Ok(Self { secret, public })
    }

    /// The public half, as it is trusted by a build: the second line of a `.pub` file.
    pub fn public_key(&self) -> String {
        self.public.to_base64()
    }

    /// The license as a file: its text, and below it the signature.
    ///
    /// # Errors
    /// The key is damaged.
    pub fn sign(&self, license: &License) -> Result<String, KeyError> {
        let text = license.to_string();
        let trusted = format!("OS4X Proxy license for {}", license.proxy_id);
        let signature = sign(
            Some(&self.public),
            &self.secret,
            Cursor::new(text.as_bytes()),
            Some(&trusted),
            Some(COMMENT),
        )?;
        let signed = text + &signature.into_string();
        // What leaves this house has been read by the eyes of those who will get it.
        let own = TrustedKey::parse(&self.public_key()).map_err(|error| KeyError(error.to_string()))?;
        match file::open(signed.as_bytes(), &own) {
            Ok(read) if read == *license => Ok(signed),
            _ => Err(KeyError(String::from("the secret key is damaged: its signatures are not good"))),
        }
    }
}

/// What keeps a license from being signed. Its text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError(pub String);

impl From<minisign::PError> for KeyError {
    fn from(error: minisign::PError) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

const DEVELOPMENT: &str = include_str!("../development.key");

/// Stands in front of the signature and is not signed.
const COMMENT: &str =
    "signature of the lines above, to be checked with minisign; this line alone is not signed";
