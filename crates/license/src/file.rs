//! The file: the text of a license, and below it the four lines of minisign's signature.
//!
//! ```text
//! OS4X Proxy license, format 1
//! …
//! features: proxy
//! untrusted comment: …            free text, not signed
//! RUQ…                            key number and signature of the text above, base64
//! trusted comment: …              signed
//! oBT…                            signature of signature and trusted comment, base64
//! ```
//!
//! So the standard tool checks it, in bash, without anything being taken apart by hand:
//!
//! ```text
//! minisign -V -P KEY -m <(head -n -4 FILE) -x <(tail -n 4 FILE)
//! ```
//!
//! Nothing of the text is read before its signature is known to be right.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use minisign_verify::{Error, Signature};

use crate::grant::{License, TITLE};
use crate::refusal::Refusal;
use crate::trusted::TrustedKey;

/// Bytes of a license file at most. A license has less than a thousand.
pub const FILE_BYTES_MAX: usize = 16_384;

/// Reads a license and checks its signature. For whom and until when it holds is for [`License::check`].
///
/// # Errors
/// Why it does not count.
pub fn read(path: &Path, trusted: &TrustedKey) -> Result<License, Refusal> {
    let refuse = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::Missing,
        _ => Refusal::Unreadable(error.to_string()),
    };
    // To open a pipe is to wait for somebody at its other end.
    if !std::fs::metadata(path).map_err(refuse)?.is_file() {
        return Err(Refusal::Unreadable(String::from("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refuse)?;
    // One byte more than fits tells that there is more.
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(refuse)?;
    open(&bytes, trusted)
}

/// As [`read`], from the content of a file.
///
/// # Errors
/// As there.
pub fn open(bytes: &[u8], trusted: &TrustedKey) -> Result<License, Refusal> {
    let (text, signature) = take_apart(bytes)?;
    let signature = Signature::decode(signature).map_err(|error| match error {
        Error::UnsupportedAlgorithm => Refusal::SignatureUnreadable,
        error => from_library(&error),
    })?;
    trusted.0.verify(text.as_bytes(), &signature, false).map_err(|error| from_library(&error))?;
    text.parse().map_err(Refusal::NotUnderstood)
}

/// The text, and the four lines below it. A final line end may be missing: copying from a screen loses it.
fn take_apart(bytes: &[u8]) -> Result<(&str, &str), Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let file = str::from_utf8(bytes).map_err(|_| Refusal::NotText)?;
    if file.contains('\r') {
        return Err(Refusal::LineEnds);
    }
    if file.lines().next() != Some(TITLE) {
        return Err(Refusal::NoLicense);
    }
    let at = file.find(SIGNATURE_START).ok_or(Refusal::Unsigned)? + 1;
    let (text, signature) = file.split_at(at);
    match signature.strip_suffix('\n').unwrap_or(signature).split('\n').count() {
        4 => Ok((text, signature)),
        5.. => Err(Refusal::Trailing),
        _ => Err(Refusal::Unsigned),
    }
}

fn from_library(error: &Error) -> Refusal {
    match error {
        Error::UnexpectedKeyId => Refusal::OtherKey,
        Error::UnexpectedAlgorithm | Error::UnsupportedLegacyMode => Refusal::SignatureOld,
        Error::InvalidSignature => Refusal::SignatureWrong,
        Error::InvalidEncoding | Error::UnsupportedAlgorithm | Error::IoError(_) => {
            Refusal::SignatureUnreadable
        }
    }
}

/// What the signature begins with, and the end of the line above it.
const SIGNATURE_START: &str = "\nuntrusted comment: ";
