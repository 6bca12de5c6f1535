//! Session commands: SSID (5.3.2) and ESID (5.3.11).

use std::fmt;

use super::DecodeError;
use super::field::{Code, Fields, Password, UserData, put_number, put_utf8, put_yes};
use super::reason::EndReason;
use crate::limits::{BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, CREDIT_MAX};

/// SSIDLEV of revision 2.0, the only one this station speaks.
pub const LEVEL: u8 = 5;

/// SSIDSDEB: the largest data exchange buffer, 128 to 99,999 octets, command octet included, header not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BufferBytes(u32);

/// SSIDCRED: how many data exchange buffers may be sent before a credit must come, 1 to 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credit(u16);

/// A number outside of what the RFC allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Smallest value allowed.
    pub min: u32,
    /// Largest value allowed.
    pub max: u32,
}

/// SSIDSR: which way files may go, as seen by the sender of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `S`: can only send files.
    Send,
    /// `R`: can only receive files.
    Receive,
    /// `B`: both.
    Both,
}

/// SSID (5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartSession {
    /// SSIDLEV: protocol release level; 5 is revision 2.0.
    pub level: u8,
    /// SSIDCODE: who is speaking.
    pub code: Code,
    /// SSIDPSWD.
    pub password: Password,
    /// SSIDSDEB.
    pub buffer_bytes: BufferBytes,
    /// SSIDSR.
    pub capability: Capability,
    /// SSIDCMPR: buffer compression.
    pub compression: bool,
    /// SSIDREST: restart of a partly transmitted file.
    pub restart: bool,
    /// SSIDSPEC: special logic (X.25 only).
    pub special_logic: bool,
    /// SSIDCRED.
    pub credit: Credit,
    /// SSIDAUTH: secure authentication.
    pub authentication: bool,
    /// SSIDUSER.
    pub user_data: UserData,
}

impl StartSession {
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let level = fields.number(1, "SSIDLEV")? as u8;
        let code = fields.text("SSIDCODE")?;
        let password = Password::from_field(fields.text("SSIDPSWD")?);
        let buffer_bytes = BufferBytes::new(fields.number(5, "SSIDSDEB")? as usize)
            .map_err(|_| DecodeError::Field("SSIDSDEB"))?;
        let capability = match fields.take(1)? {
            b"S" => Capability::Send,
            b"R" => Capability::Receive,
            b"B" => Capability::Both,
            _ => return Err(DecodeError::Field("SSIDSR")),
        };
        let compression = fields.yes("SSIDCMPR")?;
        let restart = fields.yes("SSIDREST")?;
        let special_logic = fields.yes("SSIDSPEC")?;
        let credit = Credit::new(fields.number(3, "SSIDCRED")? as usize)
            .map_err(|_| DecodeError::Field("SSIDCRED"))?;
        let authentication = fields.yes("SSIDAUTH")?;
        fields.take(4)?;
        let user_data = fields.text("SSIDUSER")?;
        fields.carriage_return("SSIDCR")?;
        Ok(Self {
            level,
            code,
            password,
            buffer_bytes,
            capability,
            compression,
            restart,
            special_logic,
            credit,
            authentication,
            user_data,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.level), 1);
        out.extend_from_slice(self.code.as_bytes());
        out.extend_from_slice(self.password.as_bytes());
        put_number(out, u64::from(self.buffer_bytes.0), 5);
        out.push(match self.capability {
            Capability::Send => b'S',
            Capability::Receive => b'R',
            Capability::Both => b'B',
        });
        put_yes(out, self.compression);
        put_yes(out, self.restart);
        put_yes(out, self.special_logic);
        put_number(out, u64::from(self.credit.0), 3);
        put_yes(out, self.authentication);
        out.extend_from_slice(b"    ");
        out.extend_from_slice(self.user_data.as_bytes());
        out.push(b'\r');
    }
}

/// ESID (5.3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSession {
    /// ESIDREAS.
    pub reason: EndReason,
    /// ESIDREAST: the reason in plain text; may be empty.
    pub text: String,
}

impl EndSession {
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let reason = EndReason::new(fields.code("ESIDREAS")?);
        let text = fields.utf8("ESIDREAST")?;
        fields.carriage_return("ESIDCR")?;
        Ok(Self { reason, text })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.reason.code()), 2);
        put_utf8(out, &self.text);
        out.push(b'\r');
    }
}

impl BufferBytes {
    /// The largest buffer the RFC allows, which costs the fewest headers and credits.
    pub const MAX: Self = Self(BUFFER_BYTES_MAX as u32);

    /// A buffer size of 128 to 99,999 octets.
    pub fn new(bytes: usize) -> Result<Self, OutOfRange> {
        match u32::try_from(bytes) {
            Ok(value) if (BUFFER_BYTES_MIN..=BUFFER_BYTES_MAX).contains(&bytes) => Ok(Self(value)),
            _ => Err(OutOfRange { min: BUFFER_BYTES_MIN as u32, max: BUFFER_BYTES_MAX as u32 }),
        }
    }

    /// The size in octets.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl Credit {
    /// The largest credit the RFC allows, which costs the fewest round trips.
    pub const MAX: Self = Self(CREDIT_MAX);

    /// A credit of 1 to 999 buffers.
    pub fn new(buffers: usize) -> Result<Self, OutOfRange> {
        match u16::try_from(buffers) {
            Ok(value) if (1..=CREDIT_MAX).contains(&value) => Ok(Self(value)),
            _ => Err(OutOfRange { min: 1, max: u32::from(CREDIT_MAX) }),
        }
    }

    /// The credit in data exchange buffers.
    #[must_use]
    pub fn buffers(self) -> u16 {
        self.0
    }
}

impl Capability {
    /// Whether a station with this capability may send files.
    #[must_use]
    pub fn sends(self) -> bool {
        self != Self::Receive
    }

    /// Whether a station with this capability may receive files.
    #[must_use]
    pub fn receives(self) -> bool {
        self != Self::Send
    }

    /// What is left of this capability against another station's; `None` when no file could go either way.
    #[must_use]
    pub fn against(self, other: Self) -> Option<Self> {
        match (self.sends() && other.receives(), self.receives() && other.sends()) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Send),
            (false, true) => Some(Self::Receive),
            (false, false) => None,
        }
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {} to {}", self.min, self.max)
    }
}

impl std::error::Error for OutOfRange {}
