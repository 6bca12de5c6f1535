//! Why a link ends.

use std::fmt;
use std::io;

use wire::{Malformed, Violation};

/// Why a link or a control link is of no more use.
#[derive(Debug)]
pub enum LinkError {
    /// The peer closed it in order, between two frames.
    Closed,
    /// It broke: a reset, a time-out, or an end in the middle of a frame or without the seal's own goodbye.
    Broken(io::Error),
    /// The peer sent what is no frame.
    Malformed(Malformed),
    /// The peer sent a frame out of turn.
    Violation(Violation),
}

impl LinkError {
    /// The peer gave no sign of life in time.
    pub fn silence() -> Self {
        Self::Broken(io::ErrorKind::TimedOut.into())
    }

    /// Whether that is so.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Broken(error) if error.kind() == io::ErrorKind::TimedOut)
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the other end"),
            // The library's own words are longer and lead elsewhere.
            Self::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("broken off: the other end stopped without a word")
            }
            Self::Broken(error) => write!(f, "broken: {error}"),
            Self::Malformed(malformed) => write!(f, "the other end sent {malformed}"),
            Self::Violation(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Malformed> for LinkError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Violation> for LinkError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}
