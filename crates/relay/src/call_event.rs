//! What is said of a call in the log when it ends: one line, with the same fields in both daemons.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tracing::info;
use wire::{AbortReason, CallId, Name};

use crate::join::{End, EndedBy, Joined};

/// Which way a call was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A partner called.
    In,
}

/// Which end of the call this daemon's socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The partner on the Internet: the proxy's.
    Partner,
    /// The station inside: the client's.
    Target,
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It ended in order.
    Ok,
    /// The target was not to be had.
    Refused,
    /// It was not allowed.
    Denied,
    /// It was not set up in time.
    Timeout,
    /// It ended by an abort.
    Aborted,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ender {
    /// The partner.
    Partner,
    /// The target.
    Target,
    /// Nobody: it was silent for too long.
    Idle,
    /// A daemon that was ending.
    Drain,
    /// The link between the daemons, or one of them.
    Tunnel,
}

/// One call, as it is logged.
#[derive(Clone, Debug)]
pub struct CallEvent<'a> {
    /// The call.
    pub call: CallId,
    /// Which way it was set up.
    pub direction: Direction,
    /// The external listener at which it came in.
    pub listener: Name,
    /// The partner's address.
    pub partner: SocketAddr,
    /// The target, `host:port`.
    pub target: &'a str,
    /// How it went.
    pub result: CallResult,
    /// Who ended it.
    pub ended_by: Ender,
    /// Payload bytes from the partner.
    pub bytes_in: u64,
    /// Payload bytes to the partner.
    pub bytes_out: u64,
    /// From the arrival until the target was reached; `None` if it never was.
    pub setup: Option<Duration>,
    /// From the arrival to the end.
    pub duration: Duration,
    /// The same in words.
    pub reason: &'a str,
}

impl CallEvent<'_> {
    /// Writes the line.
    pub fn log(&self) {
        let setup = self.setup.unwrap_or(self.duration);
        info!(
            event = "call",
            call = %self.call,
            direction = %self.direction,
            listener = %self.listener,
            partner = %self.partner,
            target = %self.target,
            result = %self.result,
            ended_by = %self.ended_by,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            setup_ms = setup.as_millis() as u64,
            duration_ms = self.duration.as_millis() as u64,
            reason = self.reason,
        );
    }
}

/// How a joined call went, in the terms of the log.
pub fn verdict(joined: &Joined, side: Side) -> (CallResult, Ender, String) {
    let (here, there) = match side {
        Side::Partner => (Ender::Partner, Ender::Target),
        Side::Target => (Ender::Target, Ender::Partner),
    };
    let by_side = match joined.ended_by {
        EndedBy::Socket => here,
        EndedBy::Peer => there,
        EndedBy::Ourselves => Ender::Tunnel,
    };
    match joined.end {
        End::Orderly => (CallResult::Ok, by_side, format!("ended in order by the {by_side}")),
        End::LinkBroken => {
            (CallResult::Aborted, Ender::Tunnel, String::from("the link between the daemons broke"))
        }
        End::Aborted(reason) => {
            let ender = match reason {
                AbortReason::Reset => by_side,
                AbortReason::Idle => Ender::Idle,
                AbortReason::Drain => Ender::Drain,
                AbortReason::GivenUp => there,
                AbortReason::Answer => Ender::Tunnel,
            };
            (CallResult::Aborted, ender, reason.to_string())
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
        })
    }
}

impl fmt::Display for CallResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
        })
    }
}

impl fmt::Display for Ender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Partner => "partner",
            Self::Target => "target",
            Self::Idle => "idle",
            Self::Drain => "drain",
            Self::Tunnel => "tunnel",
        })
    }
}
