//! Calls of stations: each is lent an outward link, on which it dials by itself.

use super::{Action, Attachment, ClientSide, Purpose};
use crate::call::{CallId, LinkId, Millis, SessionId};
use crate::limits::{OUTWARD_OPENING_MAX, WAITING_CALLS_MAX};

impl ClientSide {
    /// A station calls and needs a link. The answer is an action, at once or later: `Lend` or `NoLink`.
    pub fn on_link_wanted(&mut self, now: Millis, call: CallId) {
        let Attachment::Attached { session, .. } = self.state else {
            return self.actions.push_back(Action::NoLink(call));
        };
        if let Some(link) = self.outward.take() {
            self.actions.push_back(Action::Lend(link, call));
            return self.refill(now, session);
        }
        if self.wanting.len() >= WAITING_CALLS_MAX {
            return self.actions.push_back(Action::NoLink(call));
        }
        self.wanting.push_back(call);
        self.outward.note_dry();
        self.open_for_wanting(session);
    }

    /// A link is open and has said `Outward`.
    pub fn on_link_outward(&mut self, now: Millis, link: LinkId) {
        match self.outward.on_open(now, link) {
            true => self.serve_wanting(),
            false => self.actions.push_back(Action::CloseLink(link)),
        }
    }

    /// Calls of stations that wait for a link.
    pub fn wanting_count(&self) -> usize {
        self.wanting.len()
    }

    /// Outward links without a call.
    pub fn outward_count(&self) -> usize {
        self.outward.idle_count()
    }

    pub(super) fn serve_wanting(&mut self) {
        if !self.wanting.is_empty()
            && let Some(link) = self.outward.take()
            && let Some(call) = self.wanting.pop_front()
        {
            self.actions.push_back(Action::Lend(link, call));
        }
        if let Attachment::Attached { session, .. } = self.state {
            self.open_for_wanting(session);
        }
    }

    /// A link for calls outward could not be opened: whoever has waited longest learns it.
    pub(super) fn on_outward_failed(&mut self) {
        self.actions.extend(self.wanting.pop_front().map(Action::NoLink));
        if let Attachment::Attached { session, .. } = self.state {
            self.open_for_wanting(session);
        }
    }

    pub(super) fn open_outward(&mut self, session: SessionId) {
        let link = self.fresh_link();
        self.outward.open(link);
        self.actions.push_back(Action::OpenLink(link, Purpose::Outward(session)));
    }

    /// One link for each call that waits, within bounds.
    pub(super) fn open_for_wanting(&mut self, session: SessionId) {
        while self.outward.opening_count() < self.wanting.len().min(OUTWARD_OPENING_MAX) {
            self.open_outward(session);
        }
    }
}
