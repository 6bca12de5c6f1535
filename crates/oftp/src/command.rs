//! The commands of section 5.3: bytes to values and back. No I/O.
//!
//! Lengths and field contents are checked strictly; hostile bytes are worth a [`DecodeError`], never a panic.
//! Reserved fields are read and thrown away, and written as spaces.

mod field;
mod file;
mod reason;
mod response;
mod start;

use std::fmt;

pub use field::{Code, DatasetName, Password, Stamp, Text, TextError, UserData};
pub use file::{EndFile, EndFileNegative, FileFormat, StartFile, StartFileNegative};
pub use reason::{EndReason, FileReason, ResponseReason};
pub use response::{EndResponse, NegativeEndResponse};
pub use start::{BufferBytes, Capability, Credit, EndSession, LEVEL, OutOfRange, StartSession};

use field::{Fields, put_number, put_yes};

/// A command exchange buffer or a data exchange buffer (section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// SSRM, start session ready message (5.3.1).
    Ready,
    /// SSID, start session (5.3.2).
    StartSession(StartSession),
    /// SFID, start file (5.3.3).
    StartFile(Box<StartFile>),
    /// SFPA, start file positive answer (5.3.4).
    StartFilePositive {
        /// SFPAACNT: where to restart; zero without restart.
        restart: u64,
    },
    /// SFNA, start file negative answer (5.3.5).
    StartFileNegative(StartFileNegative),
    /// DATA, data exchange buffer (5.3.6): the subrecords behind the command octet.
    Data(Vec<u8>),
    /// CDT, set credit (5.3.7).
    SetCredit,
    /// EFID, end file (5.3.8).
    EndFile(EndFile),
    /// EFPA, end file positive answer (5.3.9).
    EndFilePositive {
        /// EFPACD: the listener asks for the turn.
        change_direction: bool,
    },
    /// EFNA, end file negative answer (5.3.10).
    EndFileNegative(EndFileNegative),
    /// ESID, end session (5.3.11).
    EndSession(EndSession),
    /// CD, change direction (5.3.12).
    ChangeDirection,
    /// EERP, end to end response (5.3.13).
    EndResponse(Box<EndResponse>),
    /// NERP, negative end response (5.3.14).
    NegativeEndResponse(Box<NegativeEndResponse>),
    /// RTR, ready to receive (5.3.15).
    ReadyToReceive,
}

/// What an exchange buffer is, by its first octet (section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// Start session ready message.
    Ssrm,
    /// Start session.
    Ssid,
    /// Start file.
    Sfid,
    /// Start file positive answer.
    Sfpa,
    /// Start file negative answer.
    Sfna,
    /// Data exchange buffer.
    Data,
    /// Set credit.
    Cdt,
    /// End file.
    Efid,
    /// End file positive answer.
    Efpa,
    /// End file negative answer.
    Efna,
    /// End session.
    Esid,
    /// Change direction.
    Cd,
    /// End to end response.
    Eerp,
    /// Negative end response.
    Nerp,
    /// Ready to receive.
    Rtr,
    /// Security change direction. Recognised, not supported.
    Secd,
    /// Authentication challenge. Recognised, not supported.
    Auch,
    /// Authentication response. Recognised, not supported.
    Aurp,
}

/// Why an exchange buffer is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The first octet is no command of the RFC. ESID reason 01.
    Unknown(u8),
    /// The buffer is shorter or longer than the command says. ESID reason 07.
    Length(CommandKind),
    /// The named field holds what it must not. ESID reason 06.
    Field(&'static str),
    /// A command of secure authentication, which this station never agrees to. ESID reason 02.
    NotSupported(CommandKind),
}

/// SSRMMSG (5.3.1).
const READY_MESSAGE: &[u8; 17] = b"ODETTE FTP READY ";

impl Command {
    /// The command in `buffer`, which is one whole exchange buffer without its stream transmission header.
    pub fn decode(buffer: &[u8]) -> Result<Self, DecodeError> {
        let (&first, rest) = buffer.split_first().ok_or(DecodeError::Unknown(0))?;
        let kind = CommandKind::of(first).ok_or(DecodeError::Unknown(first))?;
        let mut fields = Fields::new(kind, rest);
        let command = match kind {
            CommandKind::Ssrm => {
                if fields.take(READY_MESSAGE.len())? != READY_MESSAGE {
                    return Err(DecodeError::Field("SSRMMSG"));
                }
                fields.carriage_return("SSRMCR")?;
                Self::Ready
            }
            CommandKind::Ssid => Self::StartSession(StartSession::decode(&mut fields)?),
            CommandKind::Sfid => Self::StartFile(Box::new(StartFile::decode(&mut fields)?)),
            CommandKind::Sfpa => Self::StartFilePositive { restart: fields.number(17, "SFPAACNT")? },
            CommandKind::Sfna => Self::StartFileNegative(StartFileNegative::decode(&mut fields)?),
            CommandKind::Data => return Ok(Self::Data(rest.to_vec())),
            CommandKind::Cdt => {
                fields.take(2)?;
                Self::SetCredit
            }
            CommandKind::Efid => Self::EndFile(EndFile::decode(&mut fields)?),
            CommandKind::Efpa => Self::EndFilePositive { change_direction: fields.yes("EFPACD")? },
            CommandKind::Efna => Self::EndFileNegative(EndFileNegative::decode(&mut fields)?),
            CommandKind::Esid => Self::EndSession(EndSession::decode(&mut fields)?),
            CommandKind::Cd => Self::ChangeDirection,
            CommandKind::Eerp => Self::EndResponse(Box::new(EndResponse::decode(&mut fields)?)),
            CommandKind::Nerp => {
                Self::NegativeEndResponse(Box::new(NegativeEndResponse::decode(&mut fields)?))
            }
            CommandKind::Rtr => Self::ReadyToReceive,
            CommandKind::Secd | CommandKind::Auch | CommandKind::Aurp => {
                return Err(DecodeError::NotSupported(kind));
            }
        };
        fields.finish(command)
    }

    /// Appends the command as an exchange buffer, without a stream transmission header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind().octet());
        match self {
            Self::Ready => {
                out.extend_from_slice(READY_MESSAGE);
                out.push(b'\r');
            }
            Self::StartSession(command) => command.encode(out),
            Self::StartFile(command) => command.encode(out),
            Self::StartFilePositive { restart } => put_number(out, *restart, 17),
            Self::StartFileNegative(command) => command.encode(out),
            Self::Data(subrecords) => out.extend_from_slice(subrecords),
            Self::SetCredit => out.extend_from_slice(b"  "),
            Self::EndFile(command) => command.encode(out),
            Self::EndFilePositive { change_direction } => put_yes(out, *change_direction),
            Self::EndFileNegative(command) => command.encode(out),
            Self::EndSession(command) => command.encode(out),
            Self::EndResponse(command) => command.encode(out),
            Self::NegativeEndResponse(command) => command.encode(out),
            Self::ChangeDirection | Self::ReadyToReceive => {}
        }
    }

    /// Which command it is.
    #[must_use]
    pub fn kind(&self) -> CommandKind {
        match self {
            Self::Ready => CommandKind::Ssrm,
            Self::StartSession(_) => CommandKind::Ssid,
            Self::StartFile(_) => CommandKind::Sfid,
            Self::StartFilePositive { .. } => CommandKind::Sfpa,
            Self::StartFileNegative(_) => CommandKind::Sfna,
            Self::Data(_) => CommandKind::Data,
            Self::SetCredit => CommandKind::Cdt,
            Self::EndFile(_) => CommandKind::Efid,
            Self::EndFilePositive { .. } => CommandKind::Efpa,
            Self::EndFileNegative(_) => CommandKind::Efna,
            Self::EndSession(_) => CommandKind::Esid,
            Self::ChangeDirection => CommandKind::Cd,
            Self::EndResponse(_) => CommandKind::Eerp,
            Self::NegativeEndResponse(_) => CommandKind::Nerp,
            Self::ReadyToReceive => CommandKind::Rtr,
        }
    }
}

/// First octet, command and mnemonic of every command.
const KINDS: [(u8, CommandKind, &str); 18] = [
    (b'I', CommandKind::Ssrm, "SSRM"),
    (b'X', CommandKind::Ssid, "SSID"),
    (b'H', CommandKind::Sfid, "SFID"),
    (b'2', CommandKind::Sfpa, "SFPA"),
    (b'3', CommandKind::Sfna, "SFNA"),
    (b'D', CommandKind::Data, "DATA"),
    (b'C', CommandKind::Cdt, "CDT"),
    (b'T', CommandKind::Efid, "EFID"),
    (b'4', CommandKind::Efpa, "EFPA"),
    (b'5', CommandKind::Efna, "EFNA"),
    (b'F', CommandKind::Esid, "ESID"),
    (b'R', CommandKind::Cd, "CD"),
    (b'E', CommandKind::Eerp, "EERP"),
    (b'N', CommandKind::Nerp, "NERP"),
    (b'P', CommandKind::Rtr, "RTR"),
    (b'J', CommandKind::Secd, "SECD"),
    (b'A', CommandKind::Auch, "AUCH"),
    (b'S', CommandKind::Aurp, "AURP"),
];

impl CommandKind {
    /// The command that begins with this octet.
    #[must_use]
    pub fn of(octet: u8) -> Option<Self> {
        KINDS.iter().find(|(first, ..)| *first == octet).map(|(_, kind, _)| *kind)
    }

    /// The octet the command begins with.
    #[must_use]
    pub fn octet(self) -> u8 {
        self.row().0
    }

    fn row(self) -> &'static (u8, Self, &'static str) {
        // The table is in the order of the enum; the test of the octets walks all of it.
        &KINDS[self as usize]
    }
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

impl DecodeError {
    /// The reason code (5.3.11) that tells the other station about it.
    #[must_use]
    pub fn end_reason(self) -> EndReason {
        match self {
            Self::Unknown(_) => EndReason::COMMAND_NOT_RECOGNISED,
            Self::Length(_) => EndReason::BUFFER_SIZE_ERROR,
            Self::Field(_) => EndReason::INVALID_DATA,
            Self::NotSupported(_) => EndReason::PROTOCOL_VIOLATION,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(octet) => write!(f, "no command begins with octet {octet:#04x}"),
            Self::Length(kind) => write!(f, "the length of {kind} is wrong"),
            Self::Field(name) => write!(f, "field {name} holds invalid data"),
            Self::NotSupported(kind) => {
                write!(f, "{kind} belongs to secure authentication, which was not agreed")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_and_kinds_match() {
        for (octet, kind, mnemonic) in KINDS {
            assert_eq!(CommandKind::of(octet), Some(kind));
            assert_eq!(kind.octet(), octet);
            assert_eq!(kind.to_string(), mnemonic);
        }
    }
}
