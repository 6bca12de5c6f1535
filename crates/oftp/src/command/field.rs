//! The field formats of section 5.3: `X(n)`, `9(n)`, `U(n)`, `T(n)`.

use std::fmt;

use super::{CommandKind, DecodeError};
use crate::limits::TEXT_BYTES_MAX;

/// A fixed string field `X(N)`: left justified, padded with spaces.
///
/// Section 5.3 names a small alphabet. As stations in the field use more of ISO 646 than that (lower case,
/// underscore), every printable character is taken; control characters and anything above 7 bits are not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize>([u8; N]);

/// An identification code such as SSIDCODE, SFIDDEST or SFIDORIG (section 5.4).
pub type Code = Text<25>;
/// A virtual file's dataset name, SFIDDSN (section 5.3.3).
pub type DatasetName = Text<26>;
/// User data such as SSIDUSER or SFIDUSER, by bilateral agreement.
pub type UserData = Text<8>;

/// Why a string does not fit a fixed field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// It is longer than the field.
    TooLong {
        /// Octets the field has.
        bytes_max: usize,
    },
    /// It holds something else than printable ISO 646 characters.
    NotPrintable,
}

impl<const N: usize> Text<N> {
    /// The empty field: nothing but padding.
    pub const BLANK: Self = Self([b' '; N]);

    /// A field holding `text`, padded.
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.len() > N {
            return Err(TextError::TooLong { bytes_max: N });
        }
        let mut bytes = [b' '; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self::from_bytes(bytes).ok_or(TextError::NotPrintable)
    }

    /// A field as near to `text` as the alphabet of section 5.3 allows: upper case, other characters as `-`, cut.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let mut bytes = [b' '; N];
        for (byte, character) in bytes.iter_mut().zip(text.chars()) {
            let upper = character.to_ascii_uppercase();
            *byte = match upper {
                'A'..='Z' | '0'..='9' | '/' | '-' | '.' | '&' | '(' | ')' => upper as u8,
                _ => b'-',
            };
        }
        Self(bytes)
    }

    /// The text without its padding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Printable ISO 646 by construction, so always UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default().trim_end_matches(' ')
    }

    /// The field as it is on the wire, padding included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    fn from_bytes(bytes: [u8; N]) -> Option<Self> {
        bytes.iter().all(|byte| (0x20..0x7f).contains(byte)).then_some(Self(bytes))
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes_max } => write!(f, "longer than {bytes_max} characters"),
            Self::NotPrintable => f.write_str("only printable ISO 646 (ASCII) characters are allowed"),
        }
    }
}

impl std::error::Error for TextError {}

/// SSIDPSWD (section 5.3.2). Never shown, compared without a hint of where it differs.
#[derive(Clone, Copy)]
pub struct Password(Text<8>);

impl Password {
    /// A password of up to eight characters.
    pub fn new(text: &str) -> Result<Self, TextError> {
        Text::new(text).map(Self)
    }

    /// The field as it is on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 8] {
        self.0.as_bytes()
    }

    pub(super) fn from_field(text: Text<8>) -> Self {
        Self(text)
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        let differences = self.as_bytes().iter().zip(other.as_bytes());
        std::hint::black_box(differences.fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Date and time stamp of a virtual file: CCYYMMDD and HHMMSScccc (sections 1.5.2 and 5.3.3).
///
/// With the dataset name and the two codes it is the identity of a file, which a response must repeat digit by
/// digit. So digits are all that is asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp([u8; 18]);

impl Stamp {
    /// The stamp of a moment in UTC: seconds since 1970 and the counter `cccc` (1 to 9999, cut to four digits).
    #[must_use]
    pub fn from_unix(seconds: u64, counter: u16) -> Self {
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Days to a civil date: years begin in March, so that the leap day is a year's last day. 719,468 days lie
        // between 0000-03-01 and 1970-01-01, 146,097 days make an era of 400 years.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);

        let mut fields = Vec::with_capacity(18);
        put_number(&mut fields, year, 4);
        put_number(&mut fields, month, 2);
        put_number(&mut fields, day, 2);
        put_number(&mut fields, second / 3_600, 2);
        put_number(&mut fields, second / 60 % 60, 2);
        put_number(&mut fields, second % 60, 2);
        put_number(&mut fields, u64::from(counter), 4);
        let mut digits = [b'0'; 18];
        digits.copy_from_slice(&fields);
        Self(digits)
    }

    /// CCYYMMDD.
    #[must_use]
    pub fn date(&self) -> &str {
        std::str::from_utf8(&self.0[..8]).unwrap_or_default()
    }

    /// HHMMSScccc.
    #[must_use]
    pub fn time(&self) -> &str {
        std::str::from_utf8(&self.0[8..]).unwrap_or_default()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.date(), self.time())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({self})")
    }
}

/// What is left to read of a command exchange buffer.
pub(super) struct Fields<'a> {
    kind: CommandKind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(kind: CommandKind, rest: &'a [u8]) -> Self {
        Self { kind, rest }
    }

    /// `U(n)` without a length of its own.
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (field, rest) = self.rest.split_at_checked(bytes).ok_or(DecodeError::Length(self.kind))?;
        self.rest = rest;
        Ok(field)
    }

    /// `X(N)`.
    pub(super) fn text<const N: usize>(&mut self, name: &'static str) -> Result<Text<N>, DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Text::from_bytes(bytes).ok_or(DecodeError::Field(name))
    }

    /// `9(n)`, at most 17 digits.
    pub(super) fn number(&mut self, digits: usize, name: &'static str) -> Result<u64, DecodeError> {
        let field = self.take(digits)?;
        field.iter().try_fold(0_u64, |number, byte| match byte {
            b'0'..=b'9' => Ok(number * 10 + u64::from(byte - b'0')),
            _ => Err(DecodeError::Field(name)),
        })
    }

    /// A two-digit code.
    pub(super) fn code(&mut self, name: &'static str) -> Result<u8, DecodeError> {
        u8::try_from(self.number(2, name)?).map_err(|_| DecodeError::Field(name))
    }

    /// `F X(1)` with the values Y and N.
    pub(super) fn yes(&mut self, name: &'static str) -> Result<bool, DecodeError> {
        match self.take(1)? {
            b"Y" => Ok(true),
            b"N" => Ok(false),
            _ => Err(DecodeError::Field(name)),
        }
    }

    /// The stamp: `9(8)` and `9(10)`.
    pub(super) fn stamp(&mut self, name: &'static str) -> Result<Stamp, DecodeError> {
        let mut digits = [0; 18];
        digits.copy_from_slice(self.take(18)?);
        digits.iter().all(u8::is_ascii_digit).then_some(Stamp(digits)).ok_or(DecodeError::Field(name))
    }

    /// A length `9(3)` and `T(n)`.
    pub(super) fn utf8(&mut self, name: &'static str) -> Result<String, DecodeError> {
        let bytes = self.number(3, name)? as usize;
        let field = self.take(bytes)?;
        std::str::from_utf8(field).map(str::to_owned).map_err(|_| DecodeError::Field(name))
    }

    /// A length `U(2)` and `U(n)`.
    pub(super) fn binary(&mut self) -> Result<Vec<u8>, DecodeError> {
        let length = self.take(2)?;
        let bytes = usize::from(u16::from_be_bytes([length[0], length[1]]));
        self.take(bytes).map(<[u8]>::to_vec)
    }

    /// A carriage return: 0D or 8D.
    pub(super) fn carriage_return(&mut self, name: &'static str) -> Result<(), DecodeError> {
        match self.take(1)? {
            [0x0d | 0x8d] => Ok(()),
            _ => Err(DecodeError::Field(name)),
        }
    }

    /// Nothing may follow the last field.
    pub(super) fn finish<T>(self, command: T) -> Result<T, DecodeError> {
        if self.rest.is_empty() { Ok(command) } else { Err(DecodeError::Length(self.kind)) }
    }
}

/// `9(n)`: right justified, zeros in front. A number too large for the field becomes its largest value.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64, digits: u32) {
    let mut left = number.min(10_u64.pow(digits) - 1);
    let start = out.len();
    for _ in 0..digits {
        out.push(b'0' + (left % 10) as u8);
        left /= 10;
    }
    out[start..].reverse();
}

/// `F X(1)` with the values Y and N.
pub(super) fn put_yes(out: &mut Vec<u8>, yes: bool) {
    out.push(if yes { b'Y' } else { b'N' });
}

/// A length `9(3)` and `T(n)`; what is beyond 999 octets is cut at a character.
pub(super) fn put_utf8(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    put_number(out, text.len() as u64, 3);
    out.extend_from_slice(text.as_bytes());
}

/// A length `U(2)` and `U(n)`; what is beyond 65,535 octets is cut.
pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}
