//! Every limit of this crate, in one place.

use std::time::Duration;

/// Octets of the stream transmission header (section 8.2).
pub const HEADER_BYTES: usize = 4;
/// Smallest stream transmission buffer, header included (section 8.2): a header and a one-octet command.
pub const FRAME_BYTES_MIN: usize = 5;
/// Largest stream transmission buffer, header included (section 8.2): 99,999 octets and the header.
pub const FRAME_BYTES_MAX: usize = 100_003;
/// Smallest data exchange buffer that may be negotiated (section 5.3.2).
pub const BUFFER_BYTES_MIN: usize = 128;
/// Largest data exchange buffer that may be negotiated (section 5.3.2).
pub const BUFFER_BYTES_MAX: usize = 99_999;
/// Largest credit that may be negotiated (section 5.3.2).
pub const CREDIT_MAX: u16 = 999;
/// Octets of the file one subrecord can hold: six bits of count (section 7.2).
pub const SUBRECORD_BYTES_MAX: usize = 63;
/// Octets of a text field in UTF-8 (sections 5.3.3, 5.3.5, 5.3.10, 5.3.11 and 5.3.14).
pub const TEXT_BYTES_MAX: usize = 999;

/// How much of a file goes through one read, one hash and one write. Large enough that the hand-over to the
/// blocking pool (some 20 µs) is small against the work (some 500 µs).
pub const CHUNK_BYTES: usize = 512 * 1024;
/// Where the input buffer of a link starts; an idle call shall not cost more.
pub const INPUT_BYTES_START: usize = 8 * 1024;
/// Where the input buffer of a link stops growing.
pub const INPUT_BYTES_MAX: usize = 512 * 1024;
/// Between two progress events of one file.
pub const PROGRESS_BYTES: u64 = 64 * 1024 * 1024;

/// How many files one session takes, and so how many responses it can owe and how long its report can get.
/// Files beyond it are refused with "retry later".
pub const FILES_PER_SESSION_MAX: usize = 100_000;
/// How many names are tried for an incoming file before it is refused as a duplicate.
pub const NAME_TRIES_MAX: u32 = 1_000;
/// How many calls a listener serves at once; further callers are closed at once.
pub const CALLS_MAX: usize = 4_096;
/// How long a listener pauses after `accept` failed, so that a lack of descriptors does not become a busy loop.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for the other station by default.
pub const ANSWER_WAIT: Duration = Duration::from_secs(90);
/// How long to wait for the other station to disconnect after the end of a session by default.
pub const CLOSE_WAIT: Duration = Duration::from_secs(10);

// A whole stream transmission buffer must fit the input, with room for a large read behind a partial one.
const _: () = assert!(INPUT_BYTES_MAX >= 2 * FRAME_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX == BUFFER_BYTES_MAX + HEADER_BYTES);
const _: () = assert!(INPUT_BYTES_START >= FRAME_BYTES_MIN);
