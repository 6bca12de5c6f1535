//! `os4x_proxyclient`, the inner daemon: it dials the proxy in the DMZ, and takes its calls to the station.
//!
//! For each proxy there is one `session`, which keeps the control link and returns to the proxy for ever, and
//! any number of `call_link`s, which carry call after call.
//!
//! A station that calls out comes in at one of the `local_doors`. Its `outbound_call` learns from the `front` whom it
//! wants, borrows an `outward_link` of a session, and has the proxy dial on it.
#![forbid(unsafe_code)]

mod call_link;
mod client;
mod control;
pub mod front;
mod inbound_call;
mod local_doors;
pub mod options;
mod outbound_call;
mod outward_link;
mod session;
mod surroundings;

pub use client::Client;
pub use options::Options;
