//! One link between the daemons. It carries one call at a time and many in its life.
//!
//! A call on a link begins with `Offer` and has two directions. The proxy's is open from the offer on, the
//! client's from `Accept` on. A direction is closed by `End` (half-close) or `Abort`, the client's also by
//! `Refuse`. When both are closed the call is over and the link is on standby again. Before it has accepted, the
//! client sends `Abort` only to answer one: a client that does not want the call says why, by `Refuse`.
//!
//! An outward link is the mirror of that: the client begins the call with `Dial`, and the proxy answers with
//! `Connected` or `Failed`. The end at which a call begins is the *caller* here, the other the *callee*.
//!
//! A call whose payload is TLS already may leave the seal. The client permits it by `MayUnseal`; the proxy answers by
//! `Unseal`, behind which its direction is bare bytes, and the client by its own `Unseal`. A bare direction is ended by
//! FIN, a call by a reset, and with the call the link is over ([`LinkState::is_spent`]).
//!
//! While there is no call the caller sends a `Heartbeat` now and then, and the callee answers each by one.
//! The caller waits for the answer to one before it sends the next; meanwhile it may begin a call, which the
//! answer then crosses.
//!
//! Both ends keep this state and move it by [`LinkState::on_sent`] and [`LinkState::on_received`]. What a peer
//! sends out of turn is a [`Violation`]; what this end sends out of turn is a bug of our own and an assert.

use core::fmt;

use crate::frame::Kind;
use crate::limits::EARLY_BYTES_MAX;
use crate::permit::{State, permitted};

/// Which end of the link this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The DMZ end.
    Proxy,
    /// The inner end.
    Client,
}

/// At which end the calls of a link begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// At the proxy: partners call.
    Inward,
    /// At the client: stations call.
    Outward,
}

/// A peer sent what its state does not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where the receiver stood.
    pub state: State,
    /// What it got.
    pub kind: Kind,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {:?} is not permitted in state {:?}", self.kind, self.state)
    }
}

/// Where one end of a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    role: Role,
    way: Way,
    phase: Phase,
    send_open: bool,
    receive_open: bool,
    early_bytes: usize,
    /// Whether the caller has aborted the call before it was accepted.
    given_up: bool,
    /// Whether the client has permitted to unseal the call.
    may_unseal: bool,
    send_unsealed: bool,
    receive_unsealed: bool,
    /// Whether the caller's last heartbeat is not answered.
    unanswered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Standby,
    Claiming,
    Offered,
    Accepted,
    /// Its call has left the seal and is over.
    Spent,
}

impl LinkState {
    /// A link that has been opened with `Standby`.
    pub const fn standby(role: Role) -> Self {
        let (way, phase) = (Way::Inward, Phase::Standby);
        Self {
            role,
            way,
            phase,
            send_open: false,
            receive_open: false,
            early_bytes: 0,
            given_up: false,
            may_unseal: false,
            send_unsealed: false,
            receive_unsealed: false,
            unanswered: false,
        }
    }

    /// A link that has been opened with `Outward`.
    pub const fn outward(role: Role) -> Self {
        Self { way: Way::Outward, ..Self::standby(role) }
    }

    /// A client's link that has been opened with `Claim`.
    pub const fn claiming() -> Self {
        Self { phase: Phase::Claiming, ..Self::standby(Role::Client) }
    }

    /// Whether calls on this link begin at this end.
    pub fn is_caller(&self) -> bool {
        (self.role == Role::Proxy) == (self.way == Way::Inward)
    }

    /// Whether the link waits for a call.
    pub fn is_standby(&self) -> bool {
        self.phase == Phase::Standby
    }

    /// Whether a heartbeat was sent, by the end at which calls begin, and is not answered.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Whether the call on the link has been accepted.
    pub fn is_accepted(&self) -> bool {
        self.phase == Phase::Accepted
    }

    /// Whether this end may still send payload, `End` or `Abort`.
    pub fn may_send(&self) -> bool {
        self.send_open && !self.send_unsealed
    }

    /// Whether the peer may still send payload, `End` or `Abort`.
    pub fn may_receive(&self) -> bool {
        self.receive_open && !self.receive_unsealed
    }

    /// Whether this end's direction of a call is open, sealed or not.
    pub fn is_sending(&self) -> bool {
        self.send_open
    }

    /// Whether the peer's direction of a call is open, sealed or not.
    pub fn is_receiving(&self) -> bool {
        self.receive_open
    }

    /// Whether a direction of the link has left the seal. Nothing but the end of the call, and of the link, is to come.
    pub fn is_unsealed(&self) -> bool {
        self.send_unsealed || self.receive_unsealed
    }

    /// Whether the peer's direction of the call has left the seal.
    pub fn is_bare_inward(&self) -> bool {
        self.receive_unsealed
    }

    /// Whether the link has ended with its call.
    pub fn is_spent(&self) -> bool {
        self.phase == Phase::Spent
    }

    /// Whether this end may send `MayUnseal`: the inside alone decides.
    pub fn may_permit(&self) -> bool {
        self.role == Role::Client
            && self.is_accepted()
            && self.may_send()
            && self.may_receive()
            && !self.may_unseal
    }

    /// Whether this end may send `Unseal`: the proxy first, in answer to `MayUnseal`.
    pub fn may_unseal(&self) -> bool {
        let agreed = match self.role {
            Role::Proxy => self.may_unseal,
            Role::Client => self.receive_unsealed,
        };
        agreed && self.is_accepted() && self.may_send()
    }

    /// This end has ended its unsealed direction by FIN.
    pub fn on_fin_sent(&mut self) {
        assert!(self.send_open && self.send_unsealed, "FIN in {self:?}");
        self.close_send();
    }

    /// The peer has ended its unsealed direction by FIN.
    pub fn on_fin_received(&mut self) {
        assert!(self.receive_open && self.receive_unsealed, "FIN to {self:?}");
        self.close_receive();
    }

    /// Payload bytes that may be sent now: bounded before the call is accepted, unbounded afterwards.
    pub fn payload_allowance(&self) -> usize {
        match (self.may_send(), self.phase) {
            (true, Phase::Accepted) => usize::MAX,
            (true, Phase::Offered) if self.is_caller() => EARLY_BYTES_MAX - self.early_bytes,
            _ => 0,
        }
    }

    /// This end sends `bytes` of payload.
    pub fn on_payload_sent(&mut self, bytes: usize) {
        assert!(bytes <= self.payload_allowance(), "{bytes} bytes of payload in {self:?}");
        if self.phase == Phase::Offered {
            self.early_bytes += bytes;
        }
    }

    /// The peer sent a header of `Data` with `bytes` of payload.
    pub fn on_payload_received(&mut self, bytes: usize) -> Result<(), Violation> {
        self.check(Kind::Data)?;
        if !self.is_caller() && self.phase == Phase::Offered {
            self.early_bytes += bytes;
            if self.early_bytes > EARLY_BYTES_MAX {
                return Err(Violation { state: self.state(), kind: Kind::Data });
            }
        }
        Ok(())
    }

    /// This end sends a frame other than `Data`.
    pub fn on_sent(&mut self, kind: Kind) {
        let answers = !self.is_caller() && self.send_open && self.phase == Phase::Offered;
        let is_of_this_way = match kind {
            Kind::Offer | Kind::Gone | Kind::Accept | Kind::Refuse => self.way == Way::Inward,
            Kind::Dial | Kind::Connected | Kind::Failed => self.way == Way::Outward,
            _ => true,
        };
        assert!(is_of_this_way, "{kind:?} in {self:?}");
        match kind {
            Kind::Offer | Kind::Dial => {
                assert!(self.is_caller() && self.is_standby(), "{kind:?} in {self:?}");
                self.open(Phase::Offered);
            }
            Kind::Gone => assert!(self.is_caller() && self.is_standby(), "gone in {self:?}"),
            Kind::Heartbeat => {
                assert!(self.is_standby() && self.unanswered != self.is_caller(), "heartbeat in {self:?}");
                self.unanswered = self.is_caller();
            }
            Kind::Ringing => assert!(answers, "ringing in {self:?}"),
            Kind::Accept | Kind::Connected => {
                assert!(answers, "{kind:?} in {self:?}");
                self.accept();
            }
            Kind::Refuse | Kind::Failed => {
                assert!(answers, "{kind:?} in {self:?}");
                self.close_send();
            }
            Kind::MayUnseal => {
                assert!(self.may_permit(), "permission in {self:?}");
                self.may_unseal = true;
            }
            Kind::Unseal => {
                assert!(self.may_unseal(), "unseal in {self:?}");
                self.send_unsealed = true;
            }
            Kind::End => {
                assert!(self.may_send() && !answers, "end in {self:?}");
                self.close_send();
            }
            Kind::Abort => {
                assert!(self.may_send() && (!answers || self.given_up), "abort in {self:?}");
                self.given_up = self.phase == Phase::Offered;
                self.close_send();
            }
            other => unreachable!("{other:?} has no place in the life of a link"),
        }
    }

    /// The peer sent a frame other than `Data`.
    pub fn on_received(&mut self, kind: Kind) -> Result<(), Violation> {
        self.check(kind)?;
        // To the caller whatever comes is an answer.
        self.unanswered = !self.is_caller() && kind == Kind::Heartbeat;
        match kind {
            Kind::Offer | Kind::Dial => self.open(Phase::Offered),
            Kind::Gone => self.phase = Phase::Standby,
            Kind::Accept | Kind::Connected => self.accept(),
            Kind::Abort => {
                self.given_up |= !self.is_caller() && self.phase == Phase::Offered;
                self.close_receive();
            }
            Kind::Refuse | Kind::Failed | Kind::End => self.close_receive(),
            Kind::MayUnseal => self.may_unseal = true,
            Kind::Unseal => self.receive_unsealed = true,
            _ => {}
        }
        Ok(())
    }

    fn check(&self, kind: Kind) -> Result<(), Violation> {
        let state = self.state();
        // A peer that nobody asked whether it lives does not say so: it could do so for ever.
        let unasked = kind == Kind::Heartbeat && self.is_caller() && !self.unanswered;
        if permitted(state, kind) && !unasked { Ok(()) } else { Err(Violation { state, kind }) }
    }

    fn state(&self) -> State {
        let has_call = matches!(self.phase, Phase::Offered | Phase::Accepted);
        if self.is_spent() || self.receive_unsealed {
            return State::PeerUnsealed;
        }
        if has_call && !self.receive_open {
            return State::PeerClosed;
        }
        if has_call && self.send_unsealed && self.role == Role::Proxy {
            return State::ProxyUnsealed;
        }
        if has_call && self.may_unseal && self.role == Role::Client {
            return State::ClientPermitted;
        }
        match (self.way, self.role, self.phase) {
            (Way::Inward, Role::Proxy, Phase::Standby | Phase::Claiming) => State::ProxyStandby,
            (Way::Inward, Role::Proxy, Phase::Offered) if self.given_up => State::ProxyGivenUp,
            (Way::Inward, Role::Proxy, Phase::Offered) => State::ProxyOffered,
            (Way::Inward, Role::Proxy, Phase::Accepted | Phase::Spent) => State::ProxyAccepted,
            (Way::Inward, Role::Client, Phase::Standby) => State::ClientStandby,
            (Way::Inward, Role::Client, Phase::Claiming) => State::ClientClaiming,
            (Way::Inward, Role::Client, Phase::Offered | Phase::Accepted | Phase::Spent) => {
                State::ClientOffered
            }
            (Way::Outward, Role::Proxy, Phase::Standby | Phase::Claiming) => State::ProxyOutward,
            (Way::Outward, Role::Proxy, Phase::Offered) => State::ProxyDialled,
            (Way::Outward, Role::Proxy, Phase::Accepted | Phase::Spent) => State::ProxyConnected,
            (Way::Outward, Role::Client, Phase::Standby | Phase::Claiming) => State::ClientOutward,
            (Way::Outward, Role::Client, Phase::Offered) if self.given_up => State::ClientGivenUp,
            (Way::Outward, Role::Client, Phase::Offered) => State::ClientDialled,
            (Way::Outward, Role::Client, Phase::Accepted | Phase::Spent) => State::ClientConnected,
        }
    }

    fn open(&mut self, phase: Phase) {
        self.phase = phase;
        self.send_open = true;
        self.receive_open = true;
        self.early_bytes = 0;
        self.given_up = false;
        self.may_unseal = false;
    }

    fn accept(&mut self) {
        self.phase = Phase::Accepted;
    }

    fn close_send(&mut self) {
        self.send_open = false;
        self.settle();
    }

    fn close_receive(&mut self) {
        self.receive_open = false;
        self.settle();
    }

    fn settle(&mut self) {
        if !self.send_open && !self.receive_open {
            self.phase = if self.is_unsealed() { Phase::Spent } else { Phase::Standby };
        }
    }
}

#[cfg(test)]
mod tests;
