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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Standby,
    Claiming,
    Offered,
    Accepted,
}

impl LinkState {
    /// A link that has been opened with `Standby`.
    pub const fn standby(role: Role) -> Self {
        let (way, phase) = (Way::Inward, Phase::Standby);
        Self { role, way, phase, send_open: false, receive_open: false, early_bytes: 0, given_up: false }
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
    fn is_caller(&self) -> bool {
        (self.role == Role::Proxy) == (self.way == Way::Inward)
    }

    /// Whether the link waits for a call.
    pub fn is_standby(&self) -> bool {
        self.phase == Phase::Standby
    }

    /// Whether the call on the link has been accepted.
    pub fn is_accepted(&self) -> bool {
        self.phase == Phase::Accepted
    }

    /// Whether this end may still send payload, `End` or `Abort`.
    pub fn may_send(&self) -> bool {
        self.send_open
    }

    /// Whether the peer may still send payload, `End` or `Abort`.
    pub fn may_receive(&self) -> bool {
        self.receive_open
    }

    /// Payload bytes that may be sent now: bounded before the call is accepted, unbounded afterwards.
    pub fn payload_allowance(&self) -> usize {
        match (self.send_open, self.phase) {
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
            Kind::Ringing => assert!(answers, "ringing in {self:?}"),
            Kind::Accept | Kind::Connected => {
                assert!(answers, "{kind:?} in {self:?}");
                self.accept();
            }
            Kind::Refuse | Kind::Failed => {
                assert!(answers, "{kind:?} in {self:?}");
                self.close_send();
            }
            Kind::End => {
                assert!(self.send_open && !answers, "end in {self:?}");
                self.close_send();
            }
            Kind::Abort => {
                assert!(self.send_open && (!answers || self.given_up), "abort in {self:?}");
                self.given_up = self.phase == Phase::Offered;
                self.close_send();
            }
            other => unreachable!("{other:?} has no place in the life of a link"),
        }
    }

    /// The peer sent a frame other than `Data`.
    pub fn on_received(&mut self, kind: Kind) -> Result<(), Violation> {
        self.check(kind)?;
        match kind {
            Kind::Offer | Kind::Dial => self.open(Phase::Offered),
            Kind::Gone => self.phase = Phase::Standby,
            Kind::Accept | Kind::Connected => self.accept(),
            Kind::Abort => {
                self.given_up |= !self.is_caller() && self.phase == Phase::Offered;
                self.close_receive();
            }
            Kind::Refuse | Kind::Failed | Kind::End => self.close_receive(),
            _ => {}
        }
        Ok(())
    }

    fn check(&self, kind: Kind) -> Result<(), Violation> {
        let state = self.state();
        if permitted(state, kind) { Ok(()) } else { Err(Violation { state, kind }) }
    }

    fn state(&self) -> State {
        let has_call = matches!(self.phase, Phase::Offered | Phase::Accepted);
        if has_call && !self.receive_open {
            return State::PeerClosed;
        }
        match (self.way, self.role, self.phase) {
            (Way::Inward, Role::Proxy, Phase::Standby | Phase::Claiming) => State::ProxyStandby,
            (Way::Inward, Role::Proxy, Phase::Offered) if self.given_up => State::ProxyGivenUp,
            (Way::Inward, Role::Proxy, Phase::Offered) => State::ProxyOffered,
            (Way::Inward, Role::Proxy, Phase::Accepted) => State::ProxyAccepted,
            (Way::Inward, Role::Client, Phase::Standby) => State::ClientStandby,
            (Way::Inward, Role::Client, Phase::Claiming) => State::ClientClaiming,
            (Way::Inward, Role::Client, Phase::Offered | Phase::Accepted) => State::ClientOffered,
            (Way::Outward, Role::Proxy, Phase::Standby | Phase::Claiming) => State::ProxyOutward,
            (Way::Outward, Role::Proxy, Phase::Offered | Phase::Accepted) => State::ProxyDialled,
            (Way::Outward, Role::Client, Phase::Standby | Phase::Claiming) => State::ClientOutward,
            (Way::Outward, Role::Client, Phase::Offered) if self.given_up => State::ClientGivenUp,
            (Way::Outward, Role::Client, Phase::Offered) => State::ClientDialled,
            (Way::Outward, Role::Client, Phase::Accepted) => State::ClientConnected,
        }
    }

    fn open(&mut self, phase: Phase) {
        self.phase = phase;
        self.send_open = true;
        self.receive_open = true;
        self.early_bytes = 0;
        self.given_up = false;
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
            self.phase = Phase::Standby;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves one frame from one end to the other.
    fn pass(from: &mut LinkState, to: &mut LinkState, kind: Kind) {
        from.on_sent(kind);
        to.on_received(kind).unwrap();
    }

    fn pair() -> (LinkState, LinkState) {
        (LinkState::standby(Role::Proxy), LinkState::standby(Role::Client))
    }

    #[test]
    fn a_link_carries_call_after_call() {
        let (mut proxy, mut client) = pair();
        for _ in 0..3 {
            pass(&mut proxy, &mut client, Kind::Offer);
            pass(&mut client, &mut proxy, Kind::Accept);
            pass(&mut proxy, &mut client, Kind::End);
            assert!(client.may_send() && !client.may_receive());
            client.on_payload_sent(1 << 30);
            proxy.on_payload_received(100).unwrap();
            pass(&mut client, &mut proxy, Kind::End);
            assert!(proxy.is_standby() && client.is_standby());
        }
    }

    #[test]
    fn a_refused_call_leaves_a_link_on_standby() {
        let (mut proxy, mut client) = pair();
        pass(&mut proxy, &mut client, Kind::Offer);
        pass(&mut client, &mut proxy, Kind::Ringing);
        pass(&mut client, &mut proxy, Kind::Refuse);
        assert!(!proxy.is_standby() && proxy.may_send());
        pass(&mut proxy, &mut client, Kind::Abort);
        assert!(proxy.is_standby() && client.is_standby());
    }

    #[test]
    fn aborts_that_cross_settle() {
        let (mut proxy, mut client) = pair();
        pass(&mut proxy, &mut client, Kind::Offer);
        client.on_sent(Kind::Accept);
        client.on_sent(Kind::Abort);
        proxy.on_sent(Kind::Abort);
        proxy.on_received(Kind::Accept).unwrap();
        proxy.on_received(Kind::Abort).unwrap();
        client.on_received(Kind::Abort).unwrap();
        assert!(proxy.is_standby() && client.is_standby());
    }

    #[test]
    fn before_it_accepts_a_client_only_aborts_in_answer() {
        let (mut proxy, mut client) = pair();
        pass(&mut proxy, &mut client, Kind::Offer);
        assert!({ proxy }.on_received(Kind::Abort).is_err());
        let mut ended = proxy;
        ended.on_sent(Kind::End);
        assert!(ended.on_received(Kind::Abort).is_err(), "an early end makes no difference");
        pass(&mut proxy, &mut client, Kind::Abort);
        pass(&mut client, &mut proxy, Kind::Abort);
        assert!(proxy.is_standby() && client.is_standby());
        pass(&mut proxy, &mut client, Kind::Offer);
        assert!(proxy.on_received(Kind::Abort).is_err(), "the next call begins anew");
    }

    #[test]
    fn an_outward_link_is_the_mirror() {
        let (mut proxy, mut client) = (LinkState::outward(Role::Proxy), LinkState::outward(Role::Client));
        for _ in 0..2 {
            pass(&mut client, &mut proxy, Kind::Dial);
            assert_eq!((client.payload_allowance(), proxy.payload_allowance()), (EARLY_BYTES_MAX, 0));
            pass(&mut proxy, &mut client, Kind::Ringing);
            pass(&mut proxy, &mut client, Kind::Connected);
            pass(&mut client, &mut proxy, Kind::End);
            pass(&mut proxy, &mut client, Kind::End);
            assert!(proxy.is_standby() && client.is_standby());
            pass(&mut client, &mut proxy, Kind::Dial);
            pass(&mut proxy, &mut client, Kind::Failed);
            pass(&mut client, &mut proxy, Kind::Abort);
            assert!(proxy.is_standby() && client.is_standby());
        }
        pass(&mut client, &mut proxy, Kind::Dial);
        client.on_sent(Kind::Abort);
        pass(&mut proxy, &mut client, Kind::Connected);
        proxy.on_received(Kind::Abort).unwrap();
        pass(&mut proxy, &mut client, Kind::Abort);
        assert!(proxy.is_standby() && client.is_standby(), "answer and abort have crossed");
        for kind in Kind::ALL {
            assert!({ client }.on_received(kind).is_err(), "{kind:?} to a client's idle outward link");
            assert_eq!({ proxy }.on_received(kind).is_err(), kind != Kind::Dial, "{kind:?} to the proxy");
        }
    }

    #[test]
    fn early_payload_is_bounded_at_both_ends() {
        let (mut proxy, mut client) = pair();
        pass(&mut proxy, &mut client, Kind::Offer);
        proxy.on_payload_sent(EARLY_BYTES_MAX);
        assert_eq!(proxy.payload_allowance(), 0);
        client.on_payload_received(EARLY_BYTES_MAX).unwrap();
        assert!(client.on_payload_received(1).is_err());
        assert_eq!(client.payload_allowance(), 0, "the client sends nothing before it accepts");
    }

    #[test]
    fn what_comes_out_of_turn_is_a_violation() {
        let (mut proxy, mut client) = pair();
        for kind in Kind::ALL {
            assert!(proxy.on_received(kind).is_err(), "{kind:?} to a proxy's link on standby");
            assert_eq!(client.on_received(kind).is_err(), kind != Kind::Offer, "{kind:?} on standby");
            client = LinkState::standby(Role::Client);
        }
        proxy.on_sent(Kind::Offer);
        assert!(proxy.on_payload_received(1).is_err(), "payload before accept");
        proxy.on_received(Kind::Accept).unwrap();
        assert!(proxy.on_received(Kind::Refuse).is_err(), "refusal after accept");
        proxy.on_received(Kind::End).unwrap();
        assert!(proxy.on_payload_received(1).is_err(), "payload after the end");
        assert!(proxy.on_received(Kind::Abort).is_err(), "a second end");
    }
}
