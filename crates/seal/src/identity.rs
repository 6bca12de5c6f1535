//! The private key of one installation, and the file it rests in.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

use crate::PublicKey;

/// The Ed25519 key that an installation proves itself with (RFC 8032).
///
/// The secret lives only inside the cryptographic library, which wipes it when the last clone goes.
#[derive(Clone)]
pub struct IdentityKey {
    signing: Arc<dyn SigningKey>,
    public: PublicKey,
}

impl IdentityKey {
    /// A new key that lives in memory only.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pkcs8 = generate_pkcs8()?;
        Self::from_pkcs8(&pkcs8).ok_or(KeyError::Generate)
    }

    /// A new key for tests, that need no error path.
    ///
    /// # Panics
    /// When the system gives no randomness.
    pub fn generate_for_tests() -> Self {
        Self::generate().expect("the system has randomness")
    }

    /// Reads the key at `path`, and makes it first when there is none.
    ///
    /// The file is PKCS#8 in PEM (RFC 5958, RFC 7468 §10), mode 0600. It appears complete or not at all, and
    /// never replaces a file: of several processes that start at once, all end with the same key.
    ///
    /// # Errors
    /// [`KeyError`], whose text tells the operator what to do.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Missing { .. }) => create(path)?,
            other => return other,
        }
        // Read back what is there now: ours, or that of the process that was faster.
        Self::load(path)
    }

    /// Reads the key at `path`.
    ///
    /// # Errors
    /// [`KeyError`]; [`KeyError::Missing`] when there is no such file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let pem = read_private(path)?;
        let pkcs8 = pkcs8_of_pem(&pem).ok_or_else(|| KeyError::NoKey { path: path.to_owned() })?;
        Self::from_pkcs8(&pkcs8).ok_or_else(|| KeyError::NoKey { path: path.to_owned() })
    }

    /// The public half.
    pub const fn public_key(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn signing(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signing)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let signing = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8)).ok()?;
        let public = PublicKey::from_spki(signing.public_key()?.as_ref())?;
        Some(Self { signing, public })
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Why there is no identity key to work with.
#[derive(Debug)]
pub enum KeyError {
    /// There is no such file.
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// Somebody else than the owner can read or change the file.
    TooOpen {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a device, a pipe.
    NotAFile {
        /// The key file.
        path: PathBuf,
    },
    /// The file cannot be read.
    Read {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no Ed25519 private key in PKCS#8 PEM.
    NoKey {
        /// The key file.
        path: PathBuf,
    },
    /// The key could not be made at its place.
    Create {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no randomness.
    Generate,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "the key file {} does not exist", path.display()),
            Self::TooOpen { path, mode } => write!(
                f,
                "the key file {0} can be used by others than its owner (mode {mode:04o}); run: chmod 600 {0}",
                path.display()
            ),
            Self::NotAFile { path } => write!(
                f,
                "{} is not a regular file and cannot hold the key; name a file with --key",
                path.display()
            ),
            Self::Read { path, source } => write!(
                f,
                "cannot read the key file {}: {source}; let the user of this daemon own it",
                path.display()
            ),
            Self::NoKey { path } => write!(
                f,
                "{0} holds no Ed25519 private key (PKCS#8 PEM); move it away and start again to make a new one",
                path.display()
            ),
            Self::Create { path, source } => write!(
                f,
                "cannot make the key file {}: {source}; its directory must exist and be writable for this daemon",
                path.display()
            ),
            Self::Generate => {
                f.write_str("cannot make a key: the system gives no randomness; see getrandom(2)")
            }
        }
    }
}

impl std::error::Error for KeyError {}

fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // Version 1 (RFC 5208): the 48 bytes that every reader knows, without the public half behind.
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?;
    let document = pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

/// Puts a new key at `path`; succeeds as well when another process was faster.
fn create(path: &Path) -> Result<(), KeyError> {
    let pem = pem_of_pkcs8(&generate_pkcs8()?);
    let failed = |source| KeyError::Create { path: path.to_owned(), source };
    let temporary = temporary_beside(path).map_err(failed)?;
    let written = write_private(&temporary, &pem).and_then(|()| std::fs::hard_link(&temporary, path));
    // Whether it was linked or not, the temporary name has done its work; a crash before here leaves a
    // file of mode 0600 that nothing reads.
    let _ = std::fs::remove_file(&temporary);
    match written {
        Ok(()) => sync_directory_of(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// A name in the same directory that no other process and no other thread uses.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut random = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::ErrorKind::Other)?;
    let random = u64::from_ne_bytes(random);
    Ok(path.with_file_name(format!(".{}.{serial}-{random:016x}", name.to_string_lossy())))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

/// The content of a file that is regular and nobody else's business.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.to_owned() },
        _ => KeyError::Read { path: path.to_owned(), source },
    };
    // Not blocking, so that a pipe of that name cannot hold up the start.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeyError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::TooOpen { path: path.to_owned(), mode });
    }
    // Reserved at once: a buffer that grows leaves copies of the secret behind.
    let mut pem = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX));
    file.take(KEY_FILE_BYTES_MAX as u64 - 1).read_to_end(&mut pem).map_err(failed)?;
    Ok(pem)
}

fn pem_of_pkcs8(pkcs8: &[u8]) -> Zeroizing<Vec<u8>> {
    // 48 bytes are 64 characters: exactly the one line that RFC 7468 §2 allows.
    let body = Zeroizing::new(STANDARD.encode(pkcs8));
    let mut pem = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX));
    for part in [PEM_BEGIN, "\n", &body, "\n", PEM_END, "\n"] {
        pem.extend_from_slice(part.as_bytes());
    }
    pem
}

fn pkcs8_of_pem(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once(PEM_BEGIN)?;
    let (body, _) = rest.split_once(PEM_END)?;
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    base64.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    Some(Zeroizing::new(STANDARD.decode(&*base64).ok()?))
}

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// Ours has 119 bytes; room for a comment in front, as some tools write.
const KEY_FILE_BYTES_MAX: usize = 8 * 1024;
