//! Stream transmission buffers (section 8) and data exchange buffers (section 7). No I/O.

use std::fmt;

use crate::command::{BufferBytes, Command, CommandKind};
use crate::limits::{FRAME_BYTES_MAX, FRAME_BYTES_MIN, HEADER_BYTES, SUBRECORD_BYTES_MAX};

/// Why bytes are not a stream transmission buffer, or not a data exchange buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferError {
    /// The header's version is not 1 (section 8.2). ESID reason 01.
    Version(u8),
    /// The header's length is not 5 to 100,003 (section 8.2). ESID reason 07.
    Length(usize),
    /// A subrecord reaches beyond the end of its buffer (section 7.3). ESID reason 07.
    Subrecord,
}

/// The length of the stream transmission buffer that `bytes` begins with, header included; `None` when the header
/// is not there yet. The four flag bits are reserved and not looked at.
pub fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>, BufferError> {
    let Some(&[first, high, middle, low]) = bytes.first_chunk::<HEADER_BYTES>() else {
        // A wrong version is known by the first octet; a caller that speaks another protocol need not be waited for.
        return match bytes.first() {
            Some(first) if first >> 4 != 1 => Err(BufferError::Version(first >> 4)),
            _ => Ok(None),
        };
    };
    if first >> 4 != 1 {
        return Err(BufferError::Version(first >> 4));
    }
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&length) {
        return Err(BufferError::Length(length));
    }
    Ok(Some(length))
}

/// Appends a command as a stream transmission buffer.
///
/// # Panics
///
/// When the command is longer than 99,999 octets, which only a response with a hash and a signature of our own
/// making could be.
pub fn put_command(out: &mut Vec<u8>, command: &Command) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    command.encode(out);
    let header = header(out.len() - start);
    out[start..start + HEADER_BYTES].copy_from_slice(&header);
}

/// How a file's data is cut into data exchange buffers of the negotiated size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataLayout {
    /// Octets of the file that a full buffer holds.
    payload_bytes: usize,
    /// A full stream transmission buffer: header, command octet, subrecords.
    frame_bytes: usize,
}

impl DataLayout {
    /// The layout for a negotiated buffer size.
    #[must_use]
    pub fn new(buffer: BufferBytes) -> Self {
        // Behind the command octet stand full subrecords of 1 + 63 octets. What is left holds a shorter one, if
        // there is room for its header and one octet.
        let room = buffer.bytes() - 1;
        let (full, rest) = (room / (SUBRECORD_BYTES_MAX + 1), room % (SUBRECORD_BYTES_MAX + 1));
        let payload_bytes = full * SUBRECORD_BYTES_MAX + rest.saturating_sub(1);
        Self { payload_bytes, frame_bytes: data_frame_bytes(payload_bytes) }
    }

    /// Octets of the file that a full buffer holds.
    #[must_use]
    pub fn payload_bytes(self) -> usize {
        self.payload_bytes
    }

    /// Octets of a full stream transmission buffer. Only the last of a file may be shorter.
    #[must_use]
    pub fn frame_bytes(self) -> usize {
        self.frame_bytes
    }

    /// Appends `data` as stream transmission buffers and says how many. `data` is a multiple of
    /// [`Self::payload_bytes`], unless it is the `last` of the file: then the last subrecord carries the end of
    /// record flag, and a file of no octets is one empty subrecord with that flag (sections 7.2 and 7.3).
    pub fn put_data(self, out: &mut Vec<u8>, data: &[u8], last: bool) -> usize {
        assert!(last || data.len().is_multiple_of(self.payload_bytes), "only the last buffer may be short");
        let buffers = if last {
            data.len().div_ceil(self.payload_bytes).max(1)
        } else {
            data.len() / self.payload_bytes
        };
        let mut rest = data;
        for _ in 0..buffers {
            let (payload, behind) = rest.split_at(rest.len().min(self.payload_bytes));
            put_data_frame(out, payload, last && behind.is_empty());
            rest = behind;
        }
        buffers
    }
}

/// One data exchange buffer with its header.
fn put_data_frame(out: &mut Vec<u8>, payload: &[u8], end_of_record: bool) {
    let start = out.len();
    let length = data_frame_bytes(payload.len());
    out.resize(start + length, 0);
    let frame = &mut out[start..];
    frame[..HEADER_BYTES].copy_from_slice(&header(length));
    frame[HEADER_BYTES] = CommandKind::Data.octet();

    let subrecords = &mut frame[HEADER_BYTES + 1..];
    let (full, short) = payload.as_chunks::<SUBRECORD_BYTES_MAX>();
    let (slots, short_slot) = subrecords.as_chunks_mut::<{ SUBRECORD_BYTES_MAX + 1 }>();
    for (slot, subrecord) in slots.iter_mut().zip(full) {
        slot[0] = SUBRECORD_BYTES_MAX as u8;
        slot[1..].copy_from_slice(subrecord);
    }
    // A short last subrecord is at most 62 octets, so with its header it is never a whole slot.
    if !short_slot.is_empty() {
        short_slot[0] = short.len() as u8;
        short_slot[1..].copy_from_slice(short);
    }
    if end_of_record {
        let last_header =
            if short_slot.is_empty() { length - SUBRECORD_BYTES_MAX - 1 } else { length - short.len() - 1 };
        out[start + last_header] |= END_OF_RECORD;
    }
}

/// Header, command octet and the subrecords for so many octets; no octets are still one empty subrecord.
fn data_frame_bytes(payload_bytes: usize) -> usize {
    HEADER_BYTES + 1 + payload_bytes + payload_bytes.div_ceil(SUBRECORD_BYTES_MAX).max(1)
}

/// The header of section 8.2: version 1, no flags, the length with the header.
fn header(length: usize) -> [u8; HEADER_BYTES] {
    assert!(
        (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&length),
        "a stream transmission buffer of {length} octets"
    );
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    [VERSION_1, high, middle, low]
}

/// Appends the octets of the file that the subrecords stand for, and says how many records ended in them.
///
/// A compressed subrecord is expanded, although compression is never agreed to: 63 octets for two, so a buffer of
/// 99,999 octets is worth at most 3.2 MB.
pub fn take_data(subrecords: &[u8], out: &mut Vec<u8>) -> Result<u64, BufferError> {
    let mut rest = subrecords;
    let mut records = 0;
    while let Some((&header, behind)) = rest.split_first() {
        let count = usize::from(header & COUNT);
        let on_wire = if header & COMPRESSED == 0 { count } else { 1 };
        let (subrecord, behind) = behind.split_at_checked(on_wire).ok_or(BufferError::Subrecord)?;
        if header & COMPRESSED == 0 {
            out.extend_from_slice(subrecord);
        } else {
            out.resize(out.len() + count, subrecord[0]);
        }
        records += u64::from(header & END_OF_RECORD != 0);
        rest = behind;
    }
    Ok(records)
}

impl fmt::Display for BufferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(
                    f,
                    "no stream transmission header: version {version} instead of 1; is this an OFTP station?"
                )
            }
            Self::Length(length) => write!(f, "a stream transmission buffer of {length} octets"),
            Self::Subrecord => f.write_str("a subrecord reaches beyond its data exchange buffer"),
        }
    }
}

impl std::error::Error for BufferError {}

/// Version 1 in the upper half, no flags in the lower (section 8.2).
const VERSION_1: u8 = 0x10;
/// Subrecord header, bit 0: the last subrecord of its record (section 7.2).
const END_OF_RECORD: u8 = 0x80;
/// Subrecord header, bit 1: one octet that stands for many (section 7.2).
const COMPRESSED: u8 = 0x40;
/// Subrecord header, bits 2 to 7: how many octets of the file (section 7.2).
const COUNT: u8 = 0x3f;
