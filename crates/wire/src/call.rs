//! Identities and reasons: types of their own, so that no two can be swapped.

use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use crate::limits::{HOST_BYTES_MAX, NAME_BYTES_MAX, TARGET_BYTES_MAX};

/// A point in time: milliseconds on a clock that only runs forward and whose zero means nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// The point `ms` milliseconds later.
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` until this point; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
    };
}

id! {
    /// One call, named alike in both daemons and in both logs. Given by the daemon at which it begins: by the proxy
    /// for a partner's call, by the client for a station's.
    CallId
}
id! {
    /// One attached client for as long as its control link stands. Given by the proxy at every attachment:
    /// a client that returns gets a new one, so that a late clean-up cannot hit its successor.
    SessionId
}
id! {
    /// One link as its own daemon numbers it. Never sent.
    LinkId
}

/// The secret with which an announced call is claimed, once.
#[derive(Clone, Copy)]
pub struct CallToken(pub [u8; 16]);

impl CallToken {
    /// Compares without leaking by its duration where the two differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    }
}

impl fmt::Debug for CallToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallToken(..)")
    }
}

/// Who the seal says the peer is: its raw Ed25519 public key (RFC 8032, section 5.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerKey(pub [u8; 32]);

/// The name of an external listener: 1 to 32 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    length: u8,
}

/// Where a client takes the calls of a listener: `host:port`, as its operator wrote it. For the proxy's log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The external listener.
    pub name: Name,
    address: Arc<str>,
}

impl Target {
    /// A target; `None` unless `address` is 1 to 255 printable ASCII characters.
    pub fn new(name: Name, address: &str) -> Option<Self> {
        let is_text = (1..=TARGET_BYTES_MAX).contains(&address.len())
            && address.bytes().all(|byte| byte.is_ascii_graphic());
        is_text.then(|| Self { name, address: Arc::from(address) })
    }

    /// `host:port`.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }
}

/// Whom a station calls: a host name or an IP address as text, and a port. The proxy looks the name up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    host: Arc<str>,
    port: u16,
}

impl Destination {
    /// A destination; `None` unless `host` is 1 to 255 printable ASCII characters and `port` is not 0.
    pub fn new(host: &str, port: u16) -> Option<Self> {
        let is_text =
            (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic());
        (is_text && port != 0).then(|| Self { host: Arc::from(host), port })
    }

    /// The host, as the station wrote it; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is empty or longer than 32 characters.
    Length,
    /// It has a character outside `A-Z a-z 0-9 _ -`.
    Character,
}

impl Name {
    /// Reads a name from bytes.
    pub fn from_bytes(text: &[u8]) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(NameError::Length);
        }
        if !text.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return Err(NameError::Character);
        }
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Ok(Self { bytes, length: text.len() as u8 })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).expect("a name is ASCII, checked when it was made")
    }

    /// The name as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a name has 1 to 32 characters",
            Self::Character => "a name consists of letters, digits, '_' and '-'",
        })
    }
}

/// Declares an enum of reasons with its byte on the wire and its text in the log.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $code:literal => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$item_doc])* $item = $code,)*
        }

        impl $name {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$item,)*];

            /// Reads the byte of a frame; `None` for one that this version does not know.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$item),)*
                    _ => None,
                }
            }

            /// The byte in the frame.
            pub const fn code(self) -> u8 {
                self as u8
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$item => $text,)*
                })
            }
        }
    };
}

reasons! {
    /// Why the client does not take a call.
    RefuseReason {
        /// No `--target` has the name of the listener at which the call came in.
        NoTarget = 1 => "the client has no target for this listener",
        /// The target answered the connection attempt with a reset.
        Refused = 2 => "the target refused the connection",
        /// There is no way to the target's network or host.
        Unreachable = 3 => "the target is unreachable",
        /// The target did not answer within `-T`.
        TimedOut = 4 => "the target did not answer in time",
        /// The target's name does not resolve.
        UnknownName = 5 => "the target's name does not resolve",
        /// The client is ending and takes no new calls.
        Draining = 6 => "the client is ending",
        /// The client could not open a link to carry the call, or has no descriptors left.
        NoLink = 7 => "the client could not open a link for the call",
    }
}

reasons! {
    /// Why the proxy does not connect a station to its partner.
    FailReason {
        /// The proxy's policy has no rule for the destination.
        NotAllowed = 1 => "the proxy does not allow this destination",
        /// The partner's name does not resolve in the DMZ.
        UnknownName = 2 => "the partner's name does not resolve",
        /// The partner answered the connection attempt with a reset.
        Refused = 3 => "the partner refused the connection",
        /// There is no way from the DMZ to the partner's network.
        NetworkUnreachable = 4 => "the partner's network is unreachable",
        /// There is no way from the DMZ to the partner's host.
        HostUnreachable = 5 => "the partner's host is unreachable",
        /// The partner did not answer within the proxy's `-T`.
        TimedOut = 6 => "the partner did not answer in time",
        /// The proxy is ending, or does not know the session any more.
        Draining = 7 => "the proxy is ending",
        /// The proxy has no descriptors left, or no free port at the source address.
        NoResources = 8 => "the proxy is out of resources",
    }
}

reasons! {
    /// Why one end aborts a call. It reaches the other end of the call as a reset.
    AbortReason {
        /// The end that this daemon serves (partner at the proxy, station at the client) reset or failed.
        Reset = 1 => "reset",
        /// No byte in either direction for the configured time, or none for `-T` after one direction had ended.
        Idle = 2 => "idle",
        /// The daemon is ending and its time to drain is over.
        Drain = 3 => "drain",
        /// The call was given up before it was joined: the partner left, or the time to set it up was over.
        GivenUp = 4 => "given up",
        /// The answer to an abort: nothing was left to say in this direction.
        Answer = 5 => "aborted by the other end",
    }
}

reasons! {
    /// Why the proxy does not accept a session.
    RejectReason {
        /// The two builds speak different versions of the protocol.
        Version = 1 => "the two builds speak different versions of the protocol; install the same release on both sides",
        /// As many clients as the proxy serves are attached already.
        TooManySessions = 2 => "the proxy serves as many clients as it can already",
        /// The proxy is ending.
        Draining = 3 => "the proxy is ending",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn names_keep_to_their_alphabet_and_length() {
        assert_eq!("plain-3305_A".parse::<Name>().unwrap().as_str(), "plain-3305_A");
        assert_eq!(Name::from_bytes(b""), Err(NameError::Length));
        assert_eq!(Name::from_bytes(&[b'a'; 33]), Err(NameError::Length));
        assert!(Name::from_bytes(&[b'a'; 32]).is_ok());
        for bad in ["a b", "a\n", "ü", "a=b", "a/b"] {
            assert_eq!(bad.parse::<Name>(), Err(NameError::Character), "{bad:?}");
        }
    }

    #[test]
    fn a_token_matches_only_itself_and_is_never_printed() {
        let token = CallToken([7; 16]);
        assert!(token.matches(&CallToken([7; 16])));
        for at in 0..16 {
            let mut other = [7; 16];
            other[at] ^= 1;
            assert!(!token.matches(&CallToken(other)));
        }
        assert!(!format!("{token:?}").contains('7'));
    }

    #[test]
    fn reasons_survive_their_code() {
        for &reason in RefuseReason::ALL {
            assert_eq!(RefuseReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(RefuseReason::from_code(0), None);
        assert_eq!(RefuseReason::from_code(200), None);
        assert_eq!(CallId(0xab).to_string(), "00000000000000ab");
    }
}
