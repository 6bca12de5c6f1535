//! The Proxy ID: which installation a license is made for.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The identity of one installation of the proxy: 64 lower-case hexadecimal digits and `px`.
///
/// It is a SHA-256 (FIPS 180-4) over a label of this product, a byte that tells the source, and the source:
///
/// * the machine id, the 32 hexadecimal digits of `/etc/machine-id`, else of `/var/lib/dbus/machine-id`;
/// * where neither is valid (some containers), the public half of the identity key.
///
/// So it stays the same over restarts, updates, new addresses, new names and, with a machine id, new keys; it
/// changes when the system is installed anew or cloned with a fresh machine id, and without a machine id when
/// the key is replaced. The machine id itself cannot be got back from it, as machine-id(5) asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProxyId([u8; 32]);

impl ProxyId {
    /// The Proxy ID of this installation. `public_key` is asked only where there is no valid machine id, and
    /// gives the 32 bytes of the installation's public identity key, or `None` when there is no key.
    ///
    /// # Errors
    /// [`ProxyIdError`] when there is neither.
    pub fn of_installation(public_key: impl FnOnce() -> Option<[u8; 32]>) -> Result<Self, ProxyIdError> {
        Self::of_sources(&MACHINE_ID_FILES.map(Path::new), public_key)
    }

    /// As [`ProxyId::of_installation`], with the machine id files to look into, in this order.
    ///
    /// # Errors
    /// As there.
    pub fn of_sources(
        machine_id_files: &[&Path],
        public_key: impl FnOnce() -> Option<[u8; 32]>,
    ) -> Result<Self, ProxyIdError> {
        let mut misses = Vec::new();
        for path in machine_id_files {
            match std::fs::read_to_string(path) {
                Ok(text) => match MachineId::parse(&text) {
                    Some(machine_id) => return Ok(Self::of_machine(&machine_id)),
                    None => misses.push(Miss::Invalid((*path).to_owned())),
                },
                Err(error) => misses.push(Miss::Unreadable((*path).to_owned(), error.kind())),
            }
        }
        public_key().map(|key| Self::of_key(&key)).ok_or(ProxyIdError { misses })
    }

    fn of_machine(machine_id: &MachineId) -> Self {
        Self::over(b'm', &machine_id.0)
    }

    fn of_key(public_key: &[u8; 32]) -> Self {
        Self::over(b'k', public_key)
    }

    fn over(source: u8, bytes: &[u8]) -> Self {
        // The zero byte ends the label, and the sources differ in their letter: no two inputs are alike.
        let mut hash = Sha256::new();
        hash.update(LABEL);
        hash.update([0, source]);
        hash.update(bytes);
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(SUFFIX)
    }
}

impl fmt::Debug for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyId({self})")
    }
}

impl FromStr for ProxyId {
    type Err = ProxyIdTextError;

    fn from_str(text: &str) -> Result<Self, ProxyIdTextError> {
        let wrong = || ProxyIdTextError(text.to_owned());
        let digits = text.strip_suffix(SUFFIX).ok_or_else(wrong)?;
        hex_bytes(digits).map(Self).ok_or_else(wrong)
    }
}

/// Not the text of a Proxy ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyIdTextError(pub String);

impl fmt::Display for ProxyIdTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no Proxy ID; it is 64 lower-case hexadecimal digits and {SUFFIX}, as -L prints it",
            self.0
        )
    }
}

impl std::error::Error for ProxyIdTextError {}

/// Why this installation has no Proxy ID: what was looked for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyIdError {
    misses: Vec<Miss>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Miss {
    Unreadable(PathBuf, io::ErrorKind),
    Invalid(PathBuf),
}

impl fmt::Display for ProxyIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot tell the Proxy ID of this installation: ")?;
        for miss in &self.misses {
            match miss {
                Miss::Unreadable(path, kind) => write!(f, "{}: {kind}; ", path.display())?,
                Miss::Invalid(path) => write!(f, "{} does not hold 32 hexadecimal digits; ", path.display())?,
            }
        }
        f.write_str("and there is no identity key; run systemd-machine-id-setup, or make the key readable")
    }
}

impl std::error::Error for ProxyIdError {}

/// The 16 bytes of a machine id (machine-id(5)).
struct MachineId([u8; 16]);

impl MachineId {
    /// 32 hexadecimal digits on one line; all zeros is what images are shipped with, and names no machine.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('\n').unwrap_or(text);
        hex_bytes(digits).filter(|bytes: &[u8; 16]| *bytes != [0; 16]).map(Self)
    }
}

/// Bytes from exactly twice as many lower-case hexadecimal digits.
fn hex_bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

const SUFFIX: &str = "px";

/// Tells our hashes of a machine id from those of other programs. A change changes every Proxy ID.
const LABEL: &[u8] = b"OS4X Proxy ID v1";

const MACHINE_ID_FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "0123456789abcdef0123456789abcdef";

    fn id_of(content: &[u8], key: Option<[u8; 32]>) -> Result<ProxyId, ProxyIdError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("machine-id");
        std::fs::write(&path, content).unwrap();
        ProxyId::of_sources(&[&directory.path().join("nothing"), &path], || key)
    }

    #[test]
    fn text_round_trips_and_nothing_else_is_taken() {
        let id = id_of(MACHINE.as_bytes(), None).unwrap();
        let text = id.to_string();
        assert!(text.len() == 66 && text.ends_with("px"));
        assert_eq!(text.parse(), Ok(id));
        for bad in [
            "",
            "px",
            &text[1..],
            &text[..64],
            &text.to_uppercase(),
            &format!("{text} "),
            &format!("0{text}"),
        ] {
            assert!(bad.parse::<ProxyId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_valid_machine_id_counts() {
        let with_break = format!("{MACHINE}\n");
        assert_eq!(id_of(with_break.as_bytes(), None), id_of(MACHINE.as_bytes(), Some([1; 32])));
        let of_key = ProxyId::of_key(&[1; 32]);
        let zeros = "0".repeat(32);
        let upper = MACHINE.to_uppercase();
        for bad in [
            "",
            "uninitialized\n",
            &zeros,
            &upper,
            &MACHINE[1..],
            &format!("{MACHINE}0"),
            &format!("{MACHINE}\n\n"),
        ] {
            assert_eq!(id_of(bad.as_bytes(), Some([1; 32])), Ok(of_key), "{bad:?}");
        }
        assert_eq!(id_of(&[0xff; 32], Some([1; 32])), Ok(of_key));
    }

    /// The same bytes given to another SHA-256: `printf 'OS4X Proxy ID v1\0m' | cat - ID | sha256sum`.
    #[test]
    fn fixed_vectors() {
        assert_eq!(
            id_of(MACHINE.as_bytes(), None).unwrap().to_string(),
            "e3e3a99fc336637a24514be19e8a5e692ba90f21fefa67bba1e7940a895d3d0dpx"
        );
        assert_eq!(
            ProxyId::of_key(&[1; 32]).to_string(),
            "ac69ec2874ffb4ea337f5180ec9dfd69ad025de954fc7ca13bfa221dc2783106px"
        );
    }

    #[test]
    fn without_any_source_the_operator_is_told() {
        let text = id_of(b"uninitialized", None).unwrap_err().to_string();
        assert!(
            text.contains("does not hold 32 hexadecimal digits") && text.contains("no identity key"),
            "{text}"
        );
    }
}
