//! Calls: who is asked, and what becomes of them.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

use super::{Action, Announced, ArrivalDenied, Call, CallFailure, ProxySide, Returned};
use crate::call::{CallId, Millis, Name, RefuseReason, SessionId};
use crate::frame::Frame;
use crate::limits;

impl ProxySide {
    /// A partner was accepted at a listener. The daemon parks it under the id returned and then carries out the
    /// actions, of which one takes it from there.
    pub fn on_arrival(
        &mut self,
        now: Millis,
        listener: Name,
        partner: SocketAddr,
    ) -> Result<CallId, ArrivalDenied> {
        if self.draining {
            return Err(ArrivalDenied::NoClient);
        }
        if self.waiting_count() >= limits::WAITING_CALLS_MAX {
            return Err(ArrivalDenied::RoomFull);
        }
        let session = self.choose(&listener, &[]).ok_or(ArrivalDenied::NoClient)?;
        let id = CallId(self.fresh_id());
        let call = Call {
            listener,
            partner,
            deadline: now.plus(self.settings.call_wait_ms),
            session,
            asked: Vec::new(),
            last_refusal: None,
            running: false,
        };
        self.calls.insert(id, call);
        self.waiting += 1;
        self.ask(now, id, session);
        Ok(id)
    }

    /// A parked partner closed or reset its connection.
    pub fn on_partner_left(&mut self, call: CallId) {
        if self.announced.contains_key(&call) {
            self.withdraw(call, CallFailure::PartnerLeft);
        }
    }

    /// The client accepted an offered call.
    pub fn on_accepted(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            assert!(!call.running, "call {id} was accepted twice");
            call.running = true;
            self.waiting -= 1;
        }
    }

    /// An offered call was not accepted, and its partner is parked again. The next client is asked.
    pub fn on_returned(&mut self, now: Millis, id: CallId, why: Returned) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        assert!(!call.running && !self.announced.contains_key(&id), "call {id} came back from nowhere");
        let mut failure = call.last_refusal.map_or(CallFailure::NoClient, CallFailure::Refused);
        match why {
            Returned::Refused(reason) => {
                call.asked.push(call.session);
                call.last_refusal = Some(reason);
                failure = CallFailure::Refused(reason);
            }
            Returned::LinkDead => {
                let session = call.session;
                self.doubt(session);
            }
        }
        self.release(id);
        self.place(now, id, failure);
    }

    /// A call that was offered or running is over.
    pub fn on_ended(&mut self, call: CallId) {
        self.release(call);
        self.remove_call(call);
    }

    pub(super) fn on_ringing(&mut self, session: SessionId, call: CallId) {
        if self.calls.get(&call).is_some_and(|call| call.session == session)
            && let Some(announced) = self.announced.get_mut(&call)
        {
            announced.sign_by = None;
        }
    }

    pub(super) fn on_announcement_refused(
        &mut self,
        now: Millis,
        session: SessionId,
        id: CallId,
        reason: RefuseReason,
    ) {
        let is_its = self.calls.get(&id).is_some_and(|call| call.session == session);
        if is_its && self.announced.remove(&id).is_some() {
            self.on_returned(now, id, Returned::Refused(reason));
        }
    }

    pub(super) fn tick_announced(&mut self, now: Millis) {
        let overdue: Vec<CallId> =
            self.announced.keys().copied().filter(|call| self.calls[call].deadline <= now).collect();
        for call in overdue {
            self.withdraw(call, CallFailure::TimedOut);
        }
        let unsigned: Vec<CallId> = self
            .announced
            .iter()
            .filter(|(_, announced)| announced.sign_by.is_some_and(|sign_by| sign_by <= now))
            .map(|(&call, _)| call)
            .collect();
        for id in unsigned {
            self.ask_another(now, id);
        }
    }

    /// The client has given no sign. Where another is attached it is asked; otherwise this one keeps the call
    /// until another attaches, which may be itself, come back.
    fn ask_another(&mut self, now: Millis, id: CallId) {
        let silent = self.calls[&id].session;
        self.doubt(silent);
        let call = &self.calls[&id];
        let mut asked = call.asked.clone();
        asked.push(silent);
        let Some(next) = self.choose(&call.listener, &asked) else {
            if let Some(announced) = self.announced.get_mut(&id) {
                announced.sign_by = Some(now.plus(limits::ANNOUNCE_SIGN_MS));
            }
            return;
        };
        self.announced.remove(&id);
        self.actions.push_back(Action::Send(silent, Frame::Withdraw(id)));
        self.release(id);
        if let Some(call) = self.calls.get_mut(&id) {
            call.asked = asked;
        }
        self.ask(now, id, next);
    }

    /// Finds the next client for a call that nobody has at the moment, or closes its partner.
    pub(super) fn place(&mut self, now: Millis, id: CallId, failure: CallFailure) {
        let call = &self.calls[&id];
        let next = if call.deadline <= now { None } else { self.choose(&call.listener, &call.asked) };
        match next {
            Some(session) => self.ask(now, id, session),
            None => {
                let timed_out = call.deadline <= now && !matches!(failure, CallFailure::Refused(_));
                let failure = if timed_out { CallFailure::TimedOut } else { failure };
                self.remove_call(id);
                self.actions.push_back(Action::ClosePartner(id, failure));
            }
        }
    }

    /// A client may be lost without its session knowing yet. Until it is heard from again others come first;
    /// otherwise, being the least busy, it would be asked for every call.
    fn doubt(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.doubtful = true;
        }
    }

    /// The client to ask: one that has the listener's target before one that has not, of those one that is not
    /// in doubt, the least busy of those, the one attached longest among equals.
    fn choose(&self, listener: &Name, asked: &[SessionId]) -> Option<SessionId> {
        self.sessions
            .iter()
            .filter(|(id, session)| !session.draining && !asked.contains(id))
            .max_by_key(|(id, session)| {
                let has_target = session.targets.iter().any(|target| target.name == *listener);
                (has_target, !session.doubtful, Reverse(session.calls), Reverse(**id))
            })
            .map(|(&id, _)| id)
    }

    /// Puts a call to a client: on a link that waits, or by an announcement.
    fn ask(&mut self, now: Millis, id: CallId, session_id: SessionId) {
        let (Some(call), Some(session)) = (self.calls.get_mut(&id), self.sessions.get_mut(&session_id))
        else {
            return;
        };
        call.session = session_id;
        session.calls += 1;
        let deadline = call.deadline;
        if let Some(link) = session.standby.pop() {
            self.actions.push_back(Action::Offer { link, call: id, deadline });
            return;
        }
        let token = (self.settings.make_token)();
        let announce = Frame::Announce { call: id, token, listener: call.listener, partner: call.partner };
        self.actions.push_back(Action::Send(session_id, announce));
        let sign_by = Some(now.plus(limits::ANNOUNCE_SIGN_MS));
        self.announced.insert(id, Announced { token, sign_by });
    }

    /// Ends an announced call before it was claimed.
    fn withdraw(&mut self, id: CallId, failure: CallFailure) {
        self.announced.remove(&id);
        self.release(id);
        if let Some(call) = self.remove_call(id) {
            self.actions.push_back(Action::Send(call.session, Frame::Withdraw(id)));
        }
        self.actions.push_back(Action::ClosePartner(id, failure));
    }

    /// The client of a call is no longer busy with it.
    fn release(&mut self, id: CallId) {
        let session = self.calls.get(&id).and_then(|call| self.sessions.get_mut(&call.session));
        if let Some(session) = session {
            session.calls -= 1;
        }
    }
}
