//! How many links are kept ready, for calls of partners and for calls of stations.
//!
//! A call that finds a link ready pays no handshake. The client keeps at least [`STANDBY_LINKS_MIN`] on standby and
//! [`OUTWARD_LINKS_MIN`] for calls outward, each where there can be such calls at all, keeps those whose calls have
//! ended up to [`STANDBY_LINKS_MAX`](crate::limits::STANDBY_LINKS_MAX), and every
//! [`SHRINK_MS`](crate::limits::SHRINK_MS) closes half of what was not needed in that time: the supply follows the
//! busiest recent moment. Calls that keep their links for hours give none back: where one has taken the last link, or has
//! found none, twice as many are kept from then on, up to [`STANDBY_GROWN_MAX`](crate::limits::STANDBY_GROWN_MAX), and half
//! as many after every look at which that was not so: the supply follows the rate of arrivals as well.

use super::{Action, Attachment, ClientSide, Purpose};
use crate::call::{CallId, LinkId, Millis, SessionId};
use crate::limits::{OUTWARD_LINKS_MIN, STANDBY_LINKS_MIN, STANDBY_OPENING_MAX};

impl ClientSide {
    /// A link is open and has said `Standby`.
    pub fn on_link_standby(&mut self, now: Millis, link: LinkId) {
        // One that was opened for a call which is over meanwhile may be one too many.
        if !self.standby.on_open(now, link) {
            self.actions.push_back(Action::CloseLink(link));
        }
    }

    /// A link is open and has said `Claim`.
    pub fn on_link_claims(&mut self, link: LinkId) {
        self.standby.on_open_busy(link);
    }

    /// A link could not be opened. `call` is the one it was to claim, which is refused.
    pub fn on_link_failed(&mut self, now: Millis, link: LinkId, call: Option<CallId>) {
        self.standby.on_open_failed(now, link);
        if self.outward.on_open_failed(now, link) {
            self.on_outward_failed();
        }
        if let Some(call) = call
            && self.on_unreached(call, crate::call::RefuseReason::NoLink)
        {
            self.actions.push_back(Action::Forget(call));
        }
    }

    /// A call was offered on a link on standby.
    pub fn on_link_busy(&mut self, now: Millis, link: LinkId) {
        if self.standby.on_busy(link)
            && let Attachment::Attached { session, .. } = self.state
        {
            self.refill(now, session);
        }
    }

    /// The call on a link is over in both directions. The link is kept unless there are enough.
    pub fn on_link_free(&mut self, now: Millis, link: LinkId) {
        if self.standby.on_free(now, link) {
            return;
        }
        match self.outward.on_free(now, link) {
            true => self.serve_wanting(),
            false => self.actions.push_back(Action::CloseLink(link)),
        }
    }

    /// A heartbeat of the proxy has come on a link on standby, and was answered.
    pub fn on_link_heard(&mut self, now: Millis, link: LinkId) {
        self.standby.on_heard(now, link);
    }

    /// A link has ended.
    pub fn on_link_lost(&mut self, now: Millis, link: LinkId) {
        self.standby.on_lost(now, link);
        self.outward.on_lost(now, link);
        if let Attachment::Attached { session, .. } = self.state {
            self.refill(now, session);
            self.open_for_wanting(session);
        }
    }

    /// Opens links until enough are ready or on their way there.
    pub(super) fn refill(&mut self, now: Millis, session: SessionId) {
        // A pause that is over must not be due for ever, whatever becomes of the rest.
        let (may_standby, may_outward) = (self.standby.may_refill(now), self.outward.may_refill(now));
        if self.draining {
            return;
        }
        while may_standby
            && self.standby.idle_count() + self.standby.opening_count()
                < self.standby.target(self.standby_min())
            && self.standby.opening_count() < STANDBY_OPENING_MAX
        {
            let link = self.fresh_link();
            self.standby.open(link);
            self.actions.push_back(Action::OpenLink(link, Purpose::Standby(session)));
        }
        while may_outward
            && self.outward.idle_count() + self.outward.opening_count()
                < self.outward.target(self.outward_min())
            && self.outward.opening_count() < STANDBY_OPENING_MAX
        {
            self.open_outward(session);
        }
    }

    /// Gives up the links on standby on which the proxy has not said for too long that it lives. Of a link
    /// that it has found dead itself the proxy has no way to tell this end.
    pub(super) fn give_up_silent(&mut self, now: Millis) {
        let silent = self.standby.take_silent(now);
        self.actions.extend(silent.into_iter().map(Action::LinkSilent));
    }

    /// Closes half of the links that were never needed since the last look.
    pub(super) fn shrink(&mut self, now: Millis) {
        let (standby_min, outward_min) = (self.standby_min(), self.outward_min());
        let unneeded = self.standby.shrink(now, standby_min);
        let unneeded = unneeded.into_iter().chain(self.outward.shrink(now, outward_min));
        self.actions.extend(unneeded.map(Action::CloseLink));
    }

    pub(super) fn fresh_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }

    fn standby_min(&self) -> usize {
        if self.settings.targets.is_empty() { 0 } else { STANDBY_LINKS_MIN }
    }

    fn outward_min(&self) -> usize {
        if self.settings.calls_out { OUTWARD_LINKS_MIN } else { 0 }
    }
}
