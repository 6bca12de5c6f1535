//! What the two daemons say to each other, and what each of them concludes from it.
//!
//! This crate is pure: no I/O, no clock, no randomness of its own, no dependencies. Bytes, events and
//! `now` come in as arguments; frames and actions come out as values. The daemons carry the actions out.
//!
//! * [`frame`]: the frames and their bytes.
//! * [`permit`]: what a peer may send in which state. What the table does not list ends the link.
//! * [`link`]: one link between the daemons, which carries call after call; the same type at both ends.
//! * [`proxy_side`]: everything `os4x_proxy` decides about sessions, links and calls.
//! * [`client_side`]: everything `os4x_proxyclient` decides about one proxy.
//!
//! PROTOCOL.md describes the same in prose.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod call;
pub mod client_side;
mod codec;
pub mod frame;
pub mod limits;
pub mod link;
pub mod permit;
pub mod proxy_side;

pub use call::{
    AbortReason, CallId, CallToken, Destination, FailReason, LinkId, Millis, Name, NameError, PeerKey,
    RefuseReason, RejectReason, SessionId, Target,
};
pub use frame::{Dial, Frame, Header, Hello, Kind, Malformed, Welcome};
pub use link::{LinkState, Role, Violation};
