//! A small OFTP2 station after RFC 5024, for commissioning, demonstration, tests and load.
//!
//! From the inside out:
//!
//! * [`command`] and [`buffer`] turn bytes into commands and data and back (sections 5, 7 and 8). No I/O.
//! * [`session`] is the protocol machine (section 9): commands in, indications and answers out. No I/O, no clock.
//! * [`station`] drives a session over any byte stream: [`station::serve_call`] for the called side,
//!   [`station::send_files`] for the calling side, [`station::listen`] for a listener with many calls.
//! * [`tls`] wraps a stream for port 6619.
//!
//! What it does: level 5 (revision 2.0), unstructured files out, all four formats in, end to end responses.
//! What it does not: restart, special logic, sending with buffer compression, secure authentication, and the
//! file services of section 6 (a signed, encrypted or compressed file is refused with the reason the RFC has for it).

pub mod buffer;
pub mod command;
pub mod error;
pub mod limits;
pub mod report;
pub mod session;
pub mod settings;
pub mod station;
pub mod tls;

pub use error::{LinkFault, LocalFault, OftpError, PeerFault};
pub use report::{Event, ReceivedFile, Response, SendOutcome, SentFile, SessionReport, Sha256};
pub use settings::{Content, FileToSend, Inbox, Partner, Settings};
pub use station::{ListenEvent, listen, probe, send_files, serve_call};
