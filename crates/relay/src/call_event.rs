//! What is said of a call in the log when it ends: one line, with the same fields in both daemons.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;
use wire::{AbortReason, CallId, FailReason, Name};

use crate::join::{End, EndedBy, Joined, Path};

/// Which way a call was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A partner called.
    In,
    /// The station called.
    Out,
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
    /// Where it came in: the external listener, or the client's local port for a call outward.
    pub listener: Name,
    /// The partner's address: the remote side on the Internet in both directions. `None` where a call outward got as
    /// far as no address.
    pub partner: Option<SocketAddr>,
    /// The station's end: the target, `host:port`, or the address from which the station called.
    pub target: &'a str,
    /// What the station asked for, `host:port`; of a call outward alone.
    pub destination: Option<&'a str>,
    /// How it went.
    pub result: CallResult,
    /// Who ended it.
    pub ended_by: Ender,
    /// Payload bytes from the partner.
    pub bytes_in: u64,
    /// Payload bytes to the partner.
    pub bytes_out: u64,
    /// How it travelled; `None` if it never did.
    pub path: Option<Path>,
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
        let partner = self.partner.map_or_else(|| String::from("-"), |partner| partner.to_string());
        info!(
            event = "call",
            call = %self.call,
            direction = %self.direction,
            listener = %self.listener,
            partner = %partner,
            target = %self.target,
            destination = self.destination.map(tracing::field::display),
            result = %self.result,
            ended_by = %self.ended_by,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            setup_ms = setup.as_millis() as u64,
            duration_ms = self.duration.as_millis() as u64,
            reason = self.reason,
            path = self.path.map(tracing::field::display),
        );
    }
}

/// A call outward, as both daemons know it.
#[derive(Clone, Debug)]
pub struct OutwardCall {
    /// The call.
    pub id: CallId,
    /// The client's local port at which it came in.
    pub listener: Name,
    /// The station.
    pub station: SocketAddr,
    /// What it asked for, `host:port`.
    pub destination: String,
    /// When this daemon heard of it.
    pub arrived: Instant,
}

impl OutwardCall {
    /// Logs the call, which was never joined. `partner` is the address that was tried last.
    pub fn log_unjoined(
        &self,
        partner: Option<SocketAddr>,
        result: CallResult,
        ended_by: Ender,
        reason: &str,
    ) {
        let target = self.station.to_string();
        self.event(&target, partner, result, ended_by, reason).log();
    }

    /// Logs the call, which was joined `setup` after its arrival. `side` is this daemon's.
    pub fn log_joined(&self, side: Side, partner: SocketAddr, setup: Duration, joined: &Joined) {
        let (result, ended_by, reason) = verdict(joined, side);
        let (bytes_in, bytes_out) = match side {
            Side::Partner => (joined.from_socket, joined.to_socket),
            Side::Target => (joined.to_socket, joined.from_socket),
        };
        let target = self.station.to_string();
        let event = self.event(&target, Some(partner), result, ended_by, &reason);
        CallEvent { setup: Some(setup), bytes_in, bytes_out, path: Some(joined.path), ..event }.log();
    }

    fn event<'a>(
        &'a self,
        target: &'a str,
        partner: Option<SocketAddr>,
        result: CallResult,
        ended_by: Ender,
        reason: &'a str,
    ) -> CallEvent<'a> {
        CallEvent {
            call: self.id,
            direction: Direction::Out,
            listener: self.listener,
            partner,
            target,
            destination: Some(&self.destination),
            result,
            ended_by,
            bytes_in: 0,
            bytes_out: 0,
            path: None,
            setup: None,
            duration: self.arrived.elapsed(),
            reason,
        }
    }
}

/// How a call outward that was not connected went, in the terms of the log.
pub fn verdict_on(reason: FailReason) -> (CallResult, Ender) {
    match reason {
        FailReason::NotAllowed => (CallResult::Denied, Ender::Tunnel),
        FailReason::TimedOut => (CallResult::Timeout, Ender::Partner),
        FailReason::Draining | FailReason::NoResources => (CallResult::Refused, Ender::Tunnel),
        FailReason::UnknownName
        | FailReason::NetworkUnreachable
        | FailReason::HostUnreachable
        | FailReason::Refused => (CallResult::Refused, Ender::Partner),
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
            Self::Out => "out",
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
