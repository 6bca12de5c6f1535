//! `os4x_proxyclient`, the inner daemon: it dials the proxy in the DMZ, and takes its calls to the station.
//!
//! For each proxy there is one `session`, which keeps the control link and returns to the proxy for ever, and
//! any number of `call_link`s, which carry call after call.
#![forbid(unsafe_code)]

mod call_link;
mod client;
mod control;
mod inbound_call;
pub mod options;
mod session;
mod surroundings;

pub use client::Client;
pub use options::Options;
