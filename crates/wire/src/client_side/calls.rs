//! Announced calls. A call that is offered on a link on standby is settled on that link alone.

use core::net::SocketAddr;

use super::{Action, Attachment, ClientSide, Purpose};
use crate::call::{CallId, CallToken, LinkId, Name, RefuseReason};
use crate::frame::{Frame, Kind};
use crate::limits;
use crate::link::Violation;
use crate::permit::State;

impl ClientSide {
    pub(super) fn on_announce(
        &mut self,
        call: CallId,
        token: CallToken,
        listener: Name,
        partner: SocketAddr,
    ) -> Result<(), Violation> {
        let Attachment::Attached { session, .. } = self.state else {
            return Ok(());
        };
        if self.announced.len() >= limits::WAITING_CALLS_MAX || self.announced.contains_key(&call) {
            return Err(Violation { state: State::ClientSession, kind: Kind::Announce });
        }
        if let Err(reason) = self.admits(&listener) {
            self.actions.push_back(Action::Send(Frame::Refuse(call, reason)));
            self.actions.push_back(Action::Refused { call, listener, partner, reason });
            return Ok(());
        }
        self.actions.push_back(Action::Send(Frame::Ringing(call)));
        self.actions.push_back(Action::Reach { call, listener, partner });
        let link = self.fresh_link();
        self.standby.open(link);
        self.standby.note_dry();
        self.announced.insert(call, link);
        self.actions.push_back(Action::OpenLink(link, Purpose::Claim(session, call, token)));
        Ok(())
    }

    /// Whether a call at `listener` is taken at all.
    pub fn admits(&self, listener: &Name) -> Result<(), RefuseReason> {
        if self.draining {
            return Err(RefuseReason::Draining);
        }
        if !self.settings.targets.iter().any(|target| target.name == *listener) {
            return Err(RefuseReason::NoTarget);
        }
        Ok(())
    }

    pub(super) fn on_withdraw(&mut self, call: CallId) {
        if self.announced.remove(&call).is_some() {
            self.actions.push_back(Action::Forget(call));
        }
    }

    /// The target of an announced call cannot be reached. Returns whether the call was still unclaimed and has
    /// been refused; otherwise its link has to refuse it.
    pub fn on_unreached(&mut self, call: CallId, reason: RefuseReason) -> bool {
        let unclaimed = self.announced.remove(&call).is_some();
        if unclaimed {
            self.actions.push_back(Action::Send(Frame::Refuse(call, reason)));
        }
        unclaimed
    }

    /// The link that claimed a call has ended before it was answered. The proxy may not have seen the claim, and
    /// then still waits for it; one that has seen it ignores the refusal.
    pub fn on_claim_lost(&mut self, call: CallId) {
        if self.is_attached() {
            self.actions.push_back(Action::Send(Frame::Refuse(call, RefuseReason::NoLink)));
        }
    }

    /// The link of an announced call is open and is about to claim it. Returns false if the call is over; the
    /// link then opens as one on standby.
    pub fn on_claiming(&mut self, link: LinkId, call: CallId) -> bool {
        let is_its = self.announced.get(&call) == Some(&link);
        if is_its {
            self.announced.remove(&call);
        }
        is_its
    }
}
