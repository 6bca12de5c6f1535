//! What the state machine asks for.

use std::time::Duration;

use relay::call_event::{CallResult, Ender};
use tokio::sync::mpsc::error::TrySendError;
use tracing::debug;
use wire::proxy_side::{Action, CallFailure, Returned, SessionEnd};
use wire::{CallId, Frame, LinkId, Millis, SessionId};

use super::{Board, Event, LinkOrder, Offer};

impl Board {
    /// Carries out everything that the state machine has decided so far.
    pub(super) fn carry_out(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::OpenListeners => self.open_doors(),
                Action::CloseListeners => self.door.close(),
                Action::Send(session, frame) => self.send(session, frame),
                Action::EndSession(session, why) => self.end_session(session, end_text(why)),
                Action::Offer { link, call, deadline } => self.offer(link, call, deadline),
                Action::Gone(link, call) => self.say_gone(link, call),
                Action::Probe(link) => self.probe(link),
                // A link whose orders nobody can give any more closes itself.
                Action::CloseLink(link) => drop(self.links.remove(&link)),
                Action::ClosePartner(call, failure) => self.close_partner(call, failure),
            }
        }
    }

    pub(super) fn open_doors(&mut self) {
        self.door.open(&self.externals, &self.myself, &self.times.subscribe());
    }

    fn send(&mut self, session: SessionId, frame: Frame) {
        let Some(entry) = self.sessions.get(&session) else { return };
        // Where it is closed the control link has ended and has said why, by an event that is under way.
        if let Err(TrySendError::Full(_)) = entry.outbox.try_send(frame) {
            self.end_session(session, "the client does not read its control link");
            self.machine.on_session_lost(self.now(), session);
        }
    }

    /// Sends a partner to a link. Where one of them has gone meanwhile, the other is told as if it had heard so
    /// from a link.
    fn offer(&mut self, link: LinkId, call: CallId, deadline: Millis) {
        let target = self.machine.target_of(call).cloned();
        let deadline = self.epoch + Duration::from_millis(deadline.0);
        let board = self.myself.clone();
        let Some(orders) = self.links.get(&link).cloned() else {
            return self.machine.on_returned(self.now(), call, Returned::LinkDead);
        };
        let called_up = self.room.call_up(call, move |mut partner| {
            partner.target = target.unwrap_or(partner.target);
            let order = LinkOrder::Offer(Box::new(Offer { call, partner, deadline }));
            if let Err(LinkOrder::Offer(offer)) = orders.try_give(order) {
                debug!(%call, %link, "the link has gone");
                let returned = Event::Returned(call, offer.partner, Returned::LinkDead);
                tokio::spawn(async move { board.tell(returned).await });
            }
        });
        if !called_up {
            self.machine.on_ended(call);
            self.machine.on_link_free(link);
        }
    }

    fn say_gone(&mut self, link: LinkId, call: CallId) {
        if let Some(orders) = self.links.get(&link) {
            // Where this fails the link has gone, and says so by an event.
            let _ = orders.try_give(LinkOrder::Gone(call));
        }
    }

    fn probe(&mut self, link: LinkId) {
        // What waits already will show whether the link lives, and no order for a call may lose its place to
        // this one.
        if let Some(orders) = self.links.get(&link)
            && orders.is_empty()
        {
            // Where this fails the link has gone, and says so by an event.
            let _ = orders.try_give(LinkOrder::Probe);
        }
    }

    fn close_partner(&mut self, call: CallId, failure: CallFailure) {
        let (result, ended_by) = match failure {
            CallFailure::NoClient => (CallResult::Refused, Ender::Tunnel),
            CallFailure::Refused(_) => (CallResult::Refused, Ender::Target),
            CallFailure::TimedOut => (CallResult::Timeout, Ender::Tunnel),
            // The partner's own event has said so.
            CallFailure::PartnerLeft => return,
        };
        self.room.call_up(call, move |partner| {
            partner.turn_away(call, result, ended_by, &failure.to_string());
        });
    }
}

const fn end_text(why: SessionEnd) -> &'static str {
    match why {
        SessionEnd::Silent => "nothing was heard from the client for too long",
        SessionEnd::Untrusted => "the client's key is not in the authorized file any more",
    }
}
