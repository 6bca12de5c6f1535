//! What can end a session badly, split by whose fault it is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::buffer::BufferError;
use crate::command::{Code, CommandKind, DecodeError, EndReason};

/// Why a session did not end as it should.
#[derive(Debug)]
pub enum OftpError {
    /// The other station broke the protocol, refused us or ended the session.
    Peer(PeerFault),
    /// The connection failed between the stations.
    Link(LinkFault),
    /// Something on this side.
    Local(LocalFault),
}

/// What the other station did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// It sent a command that its state does not allow (section 9). It was told ESID 02.
    Unexpected {
        /// What it sent.
        command: CommandKind,
        /// What this side was waiting for.
        awaiting: &'static str,
    },
    /// It sent more data exchange buffers than its credit (9.12.3, P6). It was told ESID 02.
    CreditExceeded,
    /// It asked to restart, which was not agreed (9.12.3, P1), or answered with a restart position beyond the one
    /// it was given (9.10.3, P2). It was told ESID 02.
    Restart,
    /// It sent a file although the session is for the other direction (9.12.3, P1). It was told ESID 02.
    Direction,
    /// It sent bytes that are no command. It was told the reason of [`DecodeError::end_reason`].
    Malformed(DecodeError),
    /// It sent bytes that are no buffer. It was told ESID 01 or 07.
    Buffer(BufferError),
    /// It sent a data exchange buffer larger than agreed. It was told ESID 07.
    BufferTooLarge {
        /// Octets it sent.
        bytes: usize,
        /// Octets agreed.
        bytes_max: usize,
    },
    /// Its code is not among the partners. It was told ESID 03.
    UnknownCode(Code),
    /// Its password is wrong. It was told ESID 04.
    WrongPassword(Code),
    /// It speaks a protocol level other than 5 (revision 2.0). It was told ESID 10.
    Level(u8),
    /// No file could go the way it should. It was told ESID 10.
    Incompatible,
    /// It wants secure authentication, which this station does not have. It was told ESID 12.
    Authentication,
    /// It answered with a larger credit than it was offered (5.3.2). It was told ESID 02.
    CreditRaised,
    /// It ended the session.
    EndedSession {
        /// ESIDREAS.
        reason: EndReason,
        /// ESIDREAST.
        text: String,
    },
}

/// What happened to the connection.
#[derive(Debug)]
pub enum LinkFault {
    /// The other side disconnected in the middle of the session.
    Closed {
        /// What this side was waiting for.
        awaiting: &'static str,
    },
    /// Nothing came, or nothing was taken, for too long.
    TimedOut {
        /// What this side was waiting for.
        awaiting: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The operating system or TLS gave up the connection.
    Io(io::Error),
    /// The TLS handshake failed.
    Handshake(io::Error),
}

/// What went wrong on this side.
#[derive(Debug)]
pub enum LocalFault {
    /// A file to be sent cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The certificate or key is of no use.
    Certificate(String),
    /// A blocking task was cancelled, because the runtime is shutting down.
    ShuttingDown,
}

impl From<PeerFault> for OftpError {
    fn from(fault: PeerFault) -> Self {
        Self::Peer(fault)
    }
}

impl From<LinkFault> for OftpError {
    fn from(fault: LinkFault) -> Self {
        Self::Link(fault)
    }
}

impl From<LocalFault> for OftpError {
    fn from(fault: LocalFault) -> Self {
        Self::Local(fault)
    }
}

impl PeerFault {
    /// What the other station is told about it with ESID; `None` when it was itself the one to end the session.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        Some(match self {
            Self::Unexpected { .. }
            | Self::CreditExceeded
            | Self::Restart
            | Self::Direction
            | Self::CreditRaised => EndReason::PROTOCOL_VIOLATION,
            Self::Malformed(error) => error.end_reason(),
            Self::Buffer(BufferError::Version(_)) => EndReason::COMMAND_NOT_RECOGNISED,
            Self::Buffer(_) | Self::BufferTooLarge { .. } => EndReason::BUFFER_SIZE_ERROR,
            Self::UnknownCode(_) => EndReason::USER_CODE_NOT_KNOWN,
            Self::WrongPassword(_) => EndReason::INVALID_PASSWORD,
            Self::Level(_) | Self::Incompatible => EndReason::INCOMPATIBLE,
            Self::Authentication => EndReason::AUTHENTICATION_INCOMPATIBLE,
            Self::EndedSession { .. } => return None,
        })
    }
}

impl fmt::Display for OftpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(fault) => fault.fmt(f),
            Self::Link(fault) => fault.fmt(f),
            Self::Local(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for PeerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { command, awaiting } => {
                write!(f, "the other station sent {command} while {awaiting} was due")?;
            }
            Self::CreditExceeded => {
                f.write_str("the other station sent more data than its credit allows")?;
            }
            Self::Restart => {
                f.write_str("the other station wants a restart, which was not agreed")?;
            }
            Self::Direction => {
                f.write_str("the other station sends a file against the agreed direction")?;
            }
            Self::Malformed(error) => {
                write!(f, "the other station sent an invalid command: {error}")?;
            }
            Self::Buffer(error) => {
                write!(f, "the other station sent an invalid buffer: {error}")?;
            }
            Self::BufferTooLarge { bytes, bytes_max } => {
                write!(f, "the other station sent a buffer of {bytes} octets, agreed were {bytes_max}")?;
            }
            Self::UnknownCode(code) => {
                write!(f, "the code \"{code}\" of the other station is not known here")?;
            }
            Self::WrongPassword(code) => {
                write!(f, "the password of station \"{code}\" is wrong")?;
            }
            Self::Level(level) => {
                write!(
                    f,
                    "the other station speaks protocol level {level}, this one only level 5 (OFTP 2.0)"
                )?;
            }
            Self::Incompatible => {
                f.write_str("the two stations cannot send files in the direction wanted")?;
            }
            Self::Authentication => {
                f.write_str(
                    "the other station requires secure authentication, which this one does not have",
                )?;
            }
            Self::CreditRaised => {
                f.write_str("the other station answered with a larger credit than offered")?;
            }
            Self::EndedSession { reason, text } => {
                write!(f, "the other station ended the session with reason {reason}")?;
                if !text.is_empty() {
                    write!(f, ": \"{}\"", text.escape_debug())?;
                }
            }
        }
        match self.end_reason() {
            Some(reason) => write!(f, "; the session was ended with reason {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { awaiting } => {
                write!(f, "the connection was closed by the other side while {awaiting} was due")
            }
            Self::TimedOut { awaiting, after } => {
                write!(f, "no progress for {} s while {awaiting} was due", after.as_secs_f32())
            }
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Handshake(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

impl fmt::Display for LocalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Certificate(reason) => write!(f, "the certificate or key is of no use: {reason}"),
            Self::ShuttingDown => f.write_str("this program is shutting down"),
        }
    }
}

impl std::error::Error for OftpError {}
impl std::error::Error for PeerFault {}
impl std::error::Error for LinkFault {}
impl std::error::Error for LocalFault {}
