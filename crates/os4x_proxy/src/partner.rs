//! A partner's connection until its call is joined.

use std::net::SocketAddr;
use std::sync::Arc;

use relay::Caller;
use relay::call_event::{CallEvent, CallResult, Direction, Ender};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wire::{CallId, Name};

/// A partner that has been accepted.
#[derive(Debug)]
pub(crate) struct Partner {
    /// Its connection, and what it has said already.
    pub(crate) caller: Caller,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Where it came in.
    pub(crate) listener: Name,
    /// When.
    pub(crate) arrived: Instant,
    /// Where the client that was asked last takes the call, for the log.
    pub(crate) target: Arc<str>,
    /// Its share of the descriptors, which is free again when the call is over.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Partner {
    /// Closes the connection by a reset and logs the call, which was never joined.
    pub(crate) fn turn_away(self, call: CallId, result: CallResult, ended_by: Ender, reason: &str) {
        let event = CallEvent {
            call,
            direction: Direction::In,
            listener: self.listener,
            partner: Some(self.address),
            target: &self.target,
            destination: None,
            result,
            ended_by,
            bytes_in: self.caller.early.len() as u64,
            bytes_out: 0,
            path: None,
            setup: None,
            duration: self.arrived.elapsed(),
            reason,
        };
        relay::socket::reset(self.caller.socket);
        event.log();
    }
}
