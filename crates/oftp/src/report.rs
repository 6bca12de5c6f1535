//! What a session tells: events while it runs, a report when it is over.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::command::{
    Code, DatasetName, EndResponse, FileReason, NegativeEndResponse, ResponseReason, Stamp,
};

/// A SHA-256 hash over the data of a file. Shows as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The hash of no data.
    pub const OF_NOTHING: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);
}

/// Something an operator may want to see while the session runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// Both stations have introduced themselves.
    Started {
        /// The other station.
        peer: Code,
        /// Data exchange buffer agreed on, in octets.
        buffer_bytes: usize,
        /// Credit agreed on, in buffers.
        credit: u16,
    },
    /// A file begins to come in.
    Receiving {
        /// Its dataset name.
        name: DatasetName,
        /// The size announced, in blocks of 1,024 octets.
        size_kib: u64,
    },
    /// A file begins to go out.
    Sending {
        /// Its dataset name.
        name: DatasetName,
        /// Its size in octets.
        bytes: u64,
    },
    /// More of the current file has gone either way; comes every 64 MiB.
    Progress {
        /// Octets so far.
        bytes: u64,
    },
    /// A file is complete and in its place.
    Received(ReceivedFile),
    /// An incoming file was refused or thrown away.
    ReceiveRefused {
        /// Its dataset name.
        name: DatasetName,
        /// The reason the other station was told.
        reason: FileReason,
        /// The reason in plain text.
        text: String,
    },
    /// A file has gone out, or was refused.
    Sent(SentFile),
    /// A response to one of our files came in, whether it belongs to a file of this session or not.
    ResponseReceived {
        /// Dataset name in the response.
        name: DatasetName,
        /// The response.
        response: Response,
    },
    /// A response to a received file went out and was taken.
    ResponseSent {
        /// Dataset name in the response.
        name: DatasetName,
    },
}

/// A file that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedFile {
    /// Its dataset name.
    pub name: DatasetName,
    /// Its stamp.
    pub stamp: Stamp,
    /// Its originator.
    pub originator: Code,
    /// Where it was put; `None` when the inbox is [`crate::Inbox::Discard`].
    pub path: Option<PathBuf>,
    /// Its size in octets.
    pub bytes: u64,
    /// Hash over its data.
    pub sha256: Sha256,
    /// From the start to the end of the file.
    pub duration: Duration,
}

/// A file that went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFile {
    /// Its dataset name.
    pub name: DatasetName,
    /// Its stamp.
    pub stamp: Stamp,
    /// Octets sent.
    pub bytes: u64,
    /// Hash over the data sent.
    pub sha256: Sha256,
    /// From the start to the end of the file.
    pub duration: Duration,
    /// What the other station said.
    pub outcome: SendOutcome,
    /// The response, if one came within this session; it may also come days later (section 4.3.6).
    pub response: Option<Response>,
}

/// What the other station said to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// EFPA: it has the file.
    Accepted,
    /// SFNA: it did not want the file.
    RefusedAtStart {
        /// SFNAREAS.
        reason: FileReason,
        /// SFNARRTR: it may be tried again later.
        retry: bool,
        /// SFNAREAST.
        text: String,
    },
    /// EFNA: it threw the file away.
    RefusedAtEnd {
        /// EFNAREAS.
        reason: FileReason,
        /// EFNAREAST.
        text: String,
    },
}

/// A response to a file (section 4.3.6 and 4.3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// EERP: it arrived at its final recipient.
    Delivered {
        /// EERPHSH: hash of the file, present only in a signed response.
        hash: Vec<u8>,
        /// Whether the response is signed. The signature is not verified.
        signed: bool,
    },
    /// NERP: it did not.
    NotDelivered {
        /// NERPCREA: who says so.
        creator: Code,
        /// NERPREAS.
        reason: ResponseReason,
        /// NERPREAST.
        text: String,
    },
}

/// A session that ended as it should.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// The other station.
    pub peer: Code,
    /// Data exchange buffer agreed on, in octets.
    pub buffer_bytes: usize,
    /// Credit agreed on, in buffers.
    pub credit: u16,
    /// Files that went out or were refused, in order.
    pub sent: Vec<SentFile>,
    /// Files that came in and were kept, in order.
    pub received: Vec<ReceivedFile>,
    /// Responses owed to the other station that could not be sent, as it ended the session first.
    pub responses_owed: usize,
    /// From the first octet to the disconnect.
    pub duration: Duration,
}

impl SentFile {
    /// Whether the other station has the file.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.outcome == SendOutcome::Accepted
    }

    /// Whether its final recipient has the file.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        matches!(self.response, Some(Response::Delivered { .. }))
    }
}

impl SessionReport {
    /// Whether every file that was to go out was accepted.
    #[must_use]
    pub fn is_all_accepted(&self) -> bool {
        self.sent.iter().all(SentFile::is_accepted)
    }
}

impl From<EndResponse> for Response {
    fn from(response: EndResponse) -> Self {
        Self::Delivered { signed: !response.signature.is_empty(), hash: response.hash }
    }
}

impl From<NegativeEndResponse> for Response {
    fn from(response: NegativeEndResponse) -> Self {
        Self::NotDelivered { creator: response.creator, reason: response.reason, text: response.text }
    }
}

impl fmt::Display for SendOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reason, text) = match self {
            Self::Accepted => return f.write_str("accepted"),
            Self::RefusedAtStart { reason, retry, text } => {
                let again = if *retry { "may be tried later" } else { "not to be tried again" };
                write!(f, "refused with reason {reason}, {again}")?;
                (reason, text)
            }
            Self::RefusedAtEnd { reason, text } => {
                write!(f, "refused after transfer with reason {reason}")?;
                (reason, text)
            }
        };
        if text.is_empty() || text == reason.text() {
            Ok(())
        } else {
            write!(f, ": \"{}\"", text.escape_debug())
        }
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { signed: false, .. } => f.write_str("delivered"),
            Self::Delivered { signed: true, .. } => f.write_str("delivered (signed, signature not verified)"),
            Self::NotDelivered { creator, reason, text } => {
                write!(f, "not delivered, says {creator}, with reason {reason}")?;
                if text.is_empty() { Ok(()) } else { write!(f, ": \"{}\"", text.escape_debug()) }
            }
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
