//! Links of one kind, by what they do.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::call::{LinkId, Millis};
use crate::limits::{REFILL_PAUSE_MS, SHRINK_MS, STANDBY_GROWN_MAX, STANDBY_LINKS_MAX};

/// The links of one session that serve calls of partners, or those that serve calls of stations.
#[derive(Default)]
pub(super) struct Pool {
    /// The most recently used last.
    idle: Vec<Idle>,
    opening: BTreeSet<LinkId>,
    busy: BTreeSet<LinkId>,
    /// The fewest links that were idle at once since the last look.
    idle_low: usize,
    /// How many links are kept idle beyond the least: doubled whenever there was none left.
    grown: usize,
    /// Whether there was none left since the last look.
    ran_dry: bool,
    shrink_at: Option<Millis>,
    refill_at: Option<Millis>,
    /// After how much silence an idle link is dead, where the peer has to say that it lives.
    silence_ms: Option<u64>,
}

/// A link without a call.
#[derive(Clone, Copy)]
struct Idle {
    link: LinkId,
    /// When something was last heard on it.
    heard_at: Millis,
}

impl Pool {
    pub(super) fn idle_count(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn idle_links(&self) -> impl Iterator<Item = LinkId> {
        self.idle.iter().map(|idle| idle.link)
    }

    pub(super) fn opening_count(&self) -> usize {
        self.opening.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let first_heard = self.idle.iter().map(|idle| idle.heard_at).min();
        let silent_at = self.silence_ms.and_then(|silence_ms| first_heard.map(|at| at.plus(silence_ms)));
        self.shrink_at.into_iter().chain(self.refill_at).chain(silent_at).min()
    }

    /// A session begins. Idle links on which nothing is heard for `silence_ms` are dead; `None`: whoever owns
    /// them finds out.
    pub(super) fn begin(&mut self, now: Millis, silence_ms: Option<u64>) {
        self.silence_ms = silence_ms;
        self.shrink_at = Some(now.plus(SHRINK_MS));
        self.refill_at = None;
        self.idle_low = 0;
        self.grown = 0;
        self.ran_dry = false;
    }

    /// A session has ended: forgets every link, and returns those that are idle, which are to be closed.
    pub(super) fn clear(&mut self) -> Vec<LinkId> {
        self.opening.clear();
        self.busy.clear();
        self.shrink_at = None;
        self.refill_at = None;
        self.idle.drain(..).map(|idle| idle.link).collect()
    }

    pub(super) fn open(&mut self, link: LinkId) {
        self.opening.insert(link);
    }

    /// How many links are kept idle: `min`, or more where calls have come faster than links could be opened.
    pub(super) fn target(&self, min: usize) -> usize {
        if min == 0 { 0 } else { min.max(self.grown) }
    }

    /// A call has come and found no link, or has taken the last one.
    pub(super) fn note_dry(&mut self) {
        self.ran_dry = true;
        self.grown = (2 * self.grown.max(1)).min(STANDBY_GROWN_MAX);
    }

    /// A link is open and idle. Returns false if it is one too many.
    pub(super) fn on_open(&mut self, now: Millis, link: LinkId) -> bool {
        self.opening.remove(&link) && self.keep(now, link)
    }

    /// A link is open and busy at once.
    pub(super) fn on_open_busy(&mut self, link: LinkId) {
        if self.opening.remove(&link) {
            self.busy.insert(link);
        }
    }

    /// A link could not be opened. Returns false if it is of a session that is over, and says nothing about this one.
    pub(super) fn on_open_failed(&mut self, now: Millis, link: LinkId) -> bool {
        let is_ours = self.opening.remove(&link);
        if is_ours {
            self.pause(now);
        }
        is_ours
    }

    /// Takes the link that was used last: unused ones stay unused and are noticed.
    pub(super) fn take(&mut self) -> Option<LinkId> {
        let link = self.idle.pop()?.link;
        self.note_use(link);
        Some(link)
    }

    /// A link has become busy by itself. Returns whether it was idle.
    pub(super) fn on_busy(&mut self, link: LinkId) -> bool {
        let index = self.idle.iter().rposition(|idle| idle.link == link);
        if let Some(index) = index {
            self.idle.remove(index);
            self.note_use(link);
        }
        index.is_some()
    }

    /// A busy link is idle again. Returns false if it is one too many.
    pub(super) fn on_free(&mut self, now: Millis, link: LinkId) -> bool {
        self.busy.remove(&link) && self.keep(now, link)
    }

    /// Something was heard on an idle link.
    pub(super) fn on_heard(&mut self, now: Millis, link: LinkId) {
        self.idle.iter_mut().filter(|idle| idle.link == link).for_each(|idle| idle.heard_at = now);
    }

    /// The idle links on which nothing was heard for too long. They are lost.
    pub(super) fn take_silent(&mut self, now: Millis) -> Vec<LinkId> {
        let Some(silence_ms) = self.silence_ms else { return Vec::new() };
        let is_silent = |idle: &&Idle| idle.heard_at.plus(silence_ms) <= now;
        let silent: Vec<LinkId> = self.idle.iter().filter(is_silent).map(|idle| idle.link).collect();
        silent.iter().for_each(|&link| self.on_lost(now, link));
        silent
    }

    /// A link has ended. One that was idle is replaced after a pause, lest a proxy that closes them makes this end dial
    /// without rest.
    pub(super) fn on_lost(&mut self, now: Millis, link: LinkId) {
        if self.idle_links().any(|other| other == link) {
            self.pause(now);
        }
        self.opening.remove(&link);
        self.busy.remove(&link);
        self.idle.retain(|idle| idle.link != link);
        self.idle_low = self.idle_low.min(self.idle.len());
    }

    /// Whether links may be opened for no particular call.
    pub(super) fn may_refill(&mut self, now: Millis) -> bool {
        let may = self.refill_at.is_none_or(|at| now >= at);
        if may {
            self.refill_at = None;
        }
        may
    }

    /// Half of the links above `min` that were never needed since the last look: they are to be closed.
    pub(super) fn shrink(&mut self, now: Millis, min: usize) -> Vec<LinkId> {
        if self.shrink_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.shrink_at = Some(now.plus(SHRINK_MS));
        if !core::mem::take(&mut self.ran_dry) {
            self.grown /= 2;
        }
        let surplus = self.idle_low.saturating_sub(self.target(min)).div_ceil(2);
        // The most recently used is taken first, so the oldest are at the front.
        let unneeded = self.idle.drain(..surplus).map(|idle| idle.link).collect();
        self.idle_low = self.idle.len();
        unneeded
    }

    fn keep(&mut self, now: Millis, link: LinkId) -> bool {
        let has_room = self.idle.len() < STANDBY_LINKS_MAX;
        if has_room {
            self.idle.push(Idle { link, heard_at: now });
        }
        has_room
    }

    fn note_use(&mut self, link: LinkId) {
        self.busy.insert(link);
        self.idle_low = self.idle_low.min(self.idle.len());
        if self.idle.is_empty() {
            self.note_dry();
        }
    }

    fn pause(&mut self, now: Millis) {
        self.refill_at = Some(now.plus(REFILL_PAUSE_MS));
    }
}
