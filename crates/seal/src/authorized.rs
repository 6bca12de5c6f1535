//! The list of keys that one side trusts.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{PublicKey, PublicKeyError};

/// The keys that may be talked to, read from a file like OpenSSH's `authorized_keys`.
///
/// A line is `KEY`, or `HOST KEY` for a proxy that is trusted under that host name only, then anything the
/// operator wants to remember; `#` begins a comment line. The default is the empty list: nobody is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorized {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    host: Option<String>,
    key: PublicKey,
    name: Option<String>,
}

impl Authorized {
    /// Reads the list at `path`. A missing file is the empty list.
    ///
    /// # Errors
    /// [`AuthorizedError`]: anything doubtful refuses the whole file, so that no mistake opens a door.
    pub fn load(path: &Path) -> Result<Self, AuthorizedError> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let failed = |source| AuthorizedError::Read { path: path.to_owned(), source };
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(AuthorizedError::NotAFile { path: path.to_owned() });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(AuthorizedError::TooOpen { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(AuthorizedError::TooLong { path: path.to_owned() });
        }
        Self::parse(&text).map_err(|(line, fault)| AuthorizedError::Line {
            path: path.to_owned(),
            line,
            fault,
        })
    }

    /// The list in `text`.
    ///
    /// # Errors
    /// The number of the first bad line, counted from 1, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, LineFault)> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                entries.push(entry(line).map_err(|fault| (index + 1, fault))?);
            }
        }
        Ok(Self { entries })
    }

    /// A list of keys that are trusted whatever the host is called.
    pub fn of_keys(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let entries = keys.into_iter().map(|key| Entry { host: None, key, name: None }).collect();
        Self { entries }
    }

    /// Whether `key` is trusted. `host` is what was dialled; `None` on the side that is called, where a
    /// line with a host in front never counts.
    pub fn trusts(&self, key: &PublicKey, host: Option<&str>) -> bool {
        let host = host.map(canonical_host);
        self.entries.iter().any(|entry| entry.key == *key && (entry.host.is_none() || entry.host == host))
    }

    /// What the operator wrote behind `key`.
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        self.entries.iter().filter(|entry| entry.key == *key).find_map(|entry| entry.name.as_deref())
    }

    /// How many lines name a key.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn entry(line: &str) -> Result<Entry, LineFault> {
    let (first, rest) = split_word(line);
    let first_fault = match first.parse() {
        Ok(key) => {
            return Ok(Entry { host: None, key, name: name(rest) });
        }
        Err(fault) => fault,
    };
    let host = host_of(first).ok_or(LineFault::Key(first_fault))?;
    let (second, rest) = split_word(rest);
    if second.is_empty() {
        return Err(LineFault::Key(first_fault));
    }
    let key = second.parse().map_err(LineFault::Key)?;
    Ok(Entry { host: Some(host), key, name: name(rest) })
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn name(rest: &str) -> Option<String> {
    let name = rest.trim().trim_start_matches('#').trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The host in front of a key, if `word` can be one: an address, or a name of letters, digits, `-`, `_`, `.`.
fn host_of(word: &str) -> Option<String> {
    let host = canonical_host(word);
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (is_name || host.parse::<IpAddr>().is_ok()).then_some(host)
}

/// One spelling for each host: lower case, no dot at the end, addresses without brackets and abbreviated.
pub(crate) fn canonical_host(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

/// Why a list of keys was refused.
#[derive(Debug)]
pub enum AuthorizedError {
    /// The file is there and cannot be read.
    Read {
        /// The list.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, a device, a pipe.
    NotAFile {
        /// The list.
        path: PathBuf,
    },
    /// Somebody else than the owner can write to the list.
    TooOpen {
        /// The list.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Longer than one mebibyte.
    TooLong {
        /// The list.
        path: PathBuf,
    },
    /// One line is wrong.
    Line {
        /// The list.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
}

/// What is wrong with one line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// What stands in the place of the key is none.
    Key(PublicKeyError),
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for AuthorizedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => {
                write!(f, "cannot read the list of trusted keys {}: {source}", path.display())
            }
            Self::NotAFile { path } => {
                write!(f, "{} is not a regular file; name one with --authorized", path.display())
            }
            Self::TooOpen { path, mode } => write!(
                f,
                "others than its owner could add keys to {0} (mode {mode:04o}); run: chmod go-w {0}",
                path.display()
            ),
            Self::TooLong { path } => {
                write!(f, "{} is longer than {FILE_BYTES_MAX} bytes; is it the right file?", path.display())
            }
            Self::Line { path, line, fault } => write!(
                f,
                "{}:{line}: {fault}; a line is KEY or HOST KEY, where KEY is what --public-key prints on the other side",
                path.display()
            ),
        }
    }
}

impl std::error::Error for AuthorizedError {}

/// Room for 10,000 lines of 100 bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32]).unwrap()
    }

    #[test]
    fn lines_of_every_kind() {
        let text = format!(
            "# the plants\n\n{}\n  {}\tplant two  \r\ndmz1.Example.com. {} first #1\n[::1] {}\n",
            key(1),
            key(2),
            key(3),
            key(4)
        );
        let list = Authorized::parse(&text).unwrap();
        assert_eq!((list.len(), list.is_empty()), (4, false));
        assert!(list.trusts(&key(1), None) && list.trusts(&key(1), Some("anything")));
        assert_eq!(list.name_of(&key(1)), None);
        assert_eq!(list.name_of(&key(2)), Some("plant two"));
        assert_eq!(list.name_of(&key(3)), Some("first #1"));
        assert!(list.trusts(&key(3), Some("DMZ1.example.com")));
        assert!(!list.trusts(&key(3), Some("dmz2.example.com")));
        assert!(
            !list.trusts(&key(3), None),
            "a key bound to a host is worth nothing on the side that is called"
        );
        assert!(list.trusts(&key(4), Some("0:0::1")));
        assert!(!list.trusts(&key(5), None));
    }

    #[test]
    fn bad_lines_name_their_number_and_reason() {
        let good = key(9);
        let short = LineFault::Key(PublicKeyError::Length { characters: 8 });
        assert_eq!(Authorized::parse(&format!("{good}\nnot0akey\n")), Err((2, short.clone())));
        assert_eq!(Authorized::parse("host not0akey"), Err((1, short)));
        // A damaged key in front of a good one must not pass as a host.
        let cut = &good.to_string()[1..];
        assert!(Authorized::parse(&format!("{cut} {good}")).is_err());
        assert!(Authorized::parse(&format!("{} {good}", "h".repeat(254))).is_err());
        assert!(Authorized::parse(&format!("*.example.com {good}")).is_err());
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        assert!(Authorized::default().is_empty());
        assert!(!Authorized::default().trusts(&key(1), None));
    }
}
