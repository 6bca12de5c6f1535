//! Links of a session: how many are kept on standby.
//!
//! A call that finds a link on standby pays no handshake. The client keeps at least [`STANDBY_LINKS_MIN`], keeps
//! those whose calls have ended up to [`STANDBY_LINKS_MAX`], and every [`SHRINK_MS`] closes half of what was not
//! needed in that time: the supply follows the busiest recent moment.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Action, Attachment, ClientSide, Purpose};
use crate::call::{CallId, LinkId, Millis, SessionId};
use crate::limits::{REFILL_PAUSE_MS, SHRINK_MS, STANDBY_LINKS_MAX, STANDBY_LINKS_MIN, STANDBY_OPENING_MAX};

/// The links of one session, by what they do.
#[derive(Default)]
pub(super) struct Standby {
    last_id: u64,
    idle: Vec<LinkId>,
    opening: BTreeSet<LinkId>,
    busy: BTreeSet<LinkId>,
    /// The fewest links that were idle at once since the last look.
    idle_low: usize,
    shrink_at: Option<Millis>,
    refill_at: Option<Millis>,
}

impl Standby {
    pub(super) fn idle_count(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.shrink_at.into_iter().chain(self.refill_at).min()
    }

    pub(super) fn begin(&mut self, now: Millis) {
        self.shrink_at = Some(now.plus(SHRINK_MS));
        self.refill_at = None;
        self.idle_low = 0;
    }

    /// A link that is opened to claim a call.
    pub(super) fn open_for_call(&mut self) -> LinkId {
        let link = self.fresh();
        self.opening.insert(link);
        link
    }

    /// Forgets every link; returns those on standby, which are to be closed.
    pub(super) fn clear(&mut self) -> Vec<LinkId> {
        self.opening.clear();
        self.busy.clear();
        self.shrink_at = None;
        self.refill_at = None;
        core::mem::take(&mut self.idle)
    }

    fn fresh(&mut self) -> LinkId {
        self.last_id += 1;
        LinkId(self.last_id)
    }

    fn forget(&mut self, link: LinkId) {
        self.opening.remove(&link);
        self.busy.remove(&link);
        self.idle.retain(|&other| other != link);
        self.idle_low = self.idle_low.min(self.idle.len());
    }
}

impl ClientSide {
    /// A link is open and has said `Standby`.
    pub fn on_link_standby(&mut self, link: LinkId) {
        // One that was opened for a call which is over meanwhile may be one too many.
        if self.standby.opening.remove(&link) && self.standby.idle.len() < STANDBY_LINKS_MAX {
            self.standby.idle.push(link);
        } else {
            self.actions.push_back(Action::CloseLink(link));
        }
    }

    /// A link is open and has said `Claim`.
    pub fn on_link_claims(&mut self, link: LinkId) {
        if self.standby.opening.remove(&link) {
            self.standby.busy.insert(link);
        }
    }

    /// A link could not be opened. `call` is the one it was to claim, which is refused.
    pub fn on_link_failed(&mut self, now: Millis, link: LinkId, call: Option<CallId>) {
        // A link of a session that is over says nothing about this one.
        if self.standby.opening.remove(&link) {
            self.standby.refill_at = Some(now.plus(REFILL_PAUSE_MS));
        }
        if let Some(call) = call
            && self.on_unreached(call, crate::call::RefuseReason::NoLink)
        {
            self.actions.push_back(Action::Forget(call));
        }
    }

    /// A call was offered on a link on standby.
    pub fn on_link_busy(&mut self, now: Millis, link: LinkId) {
        let standby = &mut self.standby;
        if let Some(index) = standby.idle.iter().rposition(|&other| other == link) {
            standby.idle.remove(index);
            standby.busy.insert(link);
            standby.idle_low = standby.idle_low.min(standby.idle.len());
            if let Attachment::Attached { session, .. } = self.state {
                self.refill(now, session);
            }
        }
    }

    /// The call on a link is over in both directions. The link stays on standby unless there are enough.
    pub fn on_link_free(&mut self, link: LinkId) {
        if self.standby.busy.remove(&link) && self.standby.idle.len() < STANDBY_LINKS_MAX {
            self.standby.idle.push(link);
        } else {
            self.actions.push_back(Action::CloseLink(link));
        }
    }

    /// A link has ended. One that was on standby is replaced after a pause, lest a proxy that closes them makes
    /// this end dial without rest.
    pub fn on_link_lost(&mut self, now: Millis, link: LinkId) {
        if self.standby.idle.contains(&link) {
            self.standby.refill_at = Some(now.plus(REFILL_PAUSE_MS));
        }
        self.standby.forget(link);
        if let Attachment::Attached { session, .. } = self.state {
            self.refill(now, session);
        }
    }

    /// Opens links until enough are on standby or on their way there.
    pub(super) fn refill(&mut self, now: Millis, session: SessionId) {
        if self.standby.refill_at.is_some_and(|at| now < at) {
            return;
        }
        self.standby.refill_at = None;
        if self.draining {
            return;
        }
        let standby = &mut self.standby;
        while standby.idle.len() + standby.opening.len() < STANDBY_LINKS_MIN
            && standby.opening.len() < STANDBY_OPENING_MAX
        {
            let link = standby.open_for_call();
            self.actions.push_back(Action::OpenLink(link, Purpose::Standby(session)));
        }
    }

    /// Closes half of the links that were never needed since the last look.
    pub(super) fn shrink(&mut self, now: Millis) {
        let standby = &mut self.standby;
        if standby.shrink_at.is_none_or(|at| now < at) {
            return;
        }
        standby.shrink_at = Some(now.plus(SHRINK_MS));
        let surplus = standby.idle_low.saturating_sub(STANDBY_LINKS_MIN).div_ceil(2);
        // The proxy takes the most recently used first, so the oldest are at the front.
        for link in standby.idle.drain(..surplus) {
            self.actions.push_back(Action::CloseLink(link));
        }
        standby.idle_low = standby.idle.len();
    }
}
