//! Sessions and their links.

use alloc::vec::Vec;

use super::{Action, CallFailure, Link, LinkDenied, LinkUse, ProxySide, Session, SessionEnd};
use crate::call::{CallId, CallToken, LinkId, Millis, PeerKey, RejectReason, SessionId};
use crate::frame::{Frame, Hello, Welcome};
use crate::limits;
use crate::link::Violation;
use crate::permit::{State, permitted};

impl ProxySide {
    /// A client whose seal proves `key` says hello. The daemon sends the answer.
    pub fn on_hello(&mut self, now: Millis, key: PeerKey, hello: Hello) -> Result<Welcome, RejectReason> {
        if hello.version != limits::VERSION {
            return Err(RejectReason::Version);
        }
        if self.draining {
            return Err(RejectReason::Draining);
        }
        if self.sessions.len() >= limits::SESSIONS_MAX {
            return Err(RejectReason::TooManySessions);
        }
        let id = SessionId(self.fresh_id());
        let silence_ms = u64::from(hello.silence_ms).clamp(limits::SILENCE_MS_MIN, limits::SILENCE_MS_MAX);
        let heartbeat_ms = silence_ms / limits::HEARTBEATS_PER_SILENCE;
        let session = Session {
            key,
            targets: hello.targets,
            draining: false,
            doubtful: false,
            standby: Vec::new(),
            links: 0,
            calls: 0,
            lost_at: now.plus(self.settings.silence_ms),
            heartbeat_ms,
            heartbeat_at: now.plus(heartbeat_ms),
            probe_at: now.plus(limits::probe_ms(heartbeat_ms)),
        };
        self.sessions.insert(id, session);
        self.update_listeners();
        Ok(Welcome {
            version: limits::VERSION,
            capabilities: 0,
            silence_ms: self.settings.silence_ms as u32,
            session: id,
            listeners: self.settings.listeners.clone(),
        })
    }

    /// A frame arrived on the control link of a session. An error ends the session: close its control link and
    /// report [`Self::on_session_lost`].
    pub fn on_frame(&mut self, now: Millis, id: SessionId, frame: Frame) -> Result<(), Violation> {
        let silence_ms = self.settings.silence_ms;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        session.lost_at = now.plus(silence_ms);
        session.doubtful = false;
        let kind = frame.kind();
        if !permitted(State::ProxySession, kind) {
            return Err(Violation { state: State::ProxySession, kind });
        }
        match frame {
            Frame::Ringing(call) => self.on_ringing(id, call),
            Frame::Refuse(call, reason) => self.on_announcement_refused(now, id, call, reason),
            Frame::Targets(targets) => {
                session.targets = targets;
                self.update_listeners();
            }
            Frame::Drain => {
                session.draining = true;
                self.update_listeners();
            }
            _ => {}
        }
        Ok(())
    }

    /// The control link of a session is gone. Its running calls go on, on their links.
    pub fn on_session_lost(&mut self, now: Millis, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        let idle_outward =
            self.links.iter().filter(|(_, link)| link.session == id && link.state == LinkUse::Outward);
        let idle: Vec<LinkId> = idle_outward.map(|(&link, _)| link).chain(session.standby).collect();
        for link in idle {
            self.links.remove(&link);
            self.actions.push_back(Action::CloseLink(link));
        }
        self.update_listeners();
        let announced: Vec<CallId> =
            self.announced.keys().copied().filter(|call| self.calls[call].session == id).collect();
        for call in announced {
            self.announced.remove(&call);
            self.place(now, call, CallFailure::NoClient);
        }
    }

    /// The list of trusted keys has changed: sessions whose key is not on it end.
    pub fn on_trust_changed(&mut self, now: Millis, trusts: impl Fn(&PeerKey) -> bool) {
        let untrusted: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| !trusts(&session.key)).map(|(&id, _)| id).collect();
        for id in untrusted {
            self.end_session(now, id, SessionEnd::Untrusted);
        }
    }

    /// A link says that it waits for calls of a session.
    pub fn on_standby(&mut self, link: LinkId, key: PeerKey, session: SessionId) -> Result<(), LinkDenied> {
        self.admit(link, key, session, LinkUse::Inward)?;
        self.on_link_free(link);
        Ok(())
    }

    /// A link says that it has come for an announced call. The answer is an action: `Offer` or `Gone`.
    pub fn on_claim(
        &mut self,
        link: LinkId,
        key: PeerKey,
        session: SessionId,
        call: CallId,
        token: CallToken,
    ) -> Result<(), LinkDenied> {
        self.admit(link, key, session, LinkUse::Inward)?;
        let is_right = self.calls.get(&call).is_some_and(|call| call.session == session)
            && self.announced.get(&call).is_some_and(|announced| announced.token.matches(&token));
        if is_right {
            self.announced.remove(&call);
            let deadline = self.calls[&call].deadline;
            self.actions.push_back(Action::Offer { link, call, deadline });
        } else {
            self.actions.push_back(Action::Gone(link, call));
            self.on_link_free(link);
        }
        Ok(())
    }

    /// The call on a link is over in both directions: the link is on standby again.
    pub fn on_link_free(&mut self, link: LinkId) {
        let Some(Link { session, state }) = self.links.get_mut(&link) else {
            return;
        };
        match self.sessions.get_mut(session) {
            Some(session) if *state == LinkUse::Inward => session.standby.push(link),
            Some(_) => *state = LinkUse::Outward,
            None => {
                self.links.remove(&link);
                self.actions.push_back(Action::CloseLink(link));
            }
        }
    }

    /// A link has ended. If a call was offered or running on it, that has been reported before.
    pub fn on_link_lost(&mut self, link: LinkId) {
        self.on_dial_ended(link);
        let Some(Link { session, .. }) = self.links.remove(&link) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&session) {
            session.links -= 1;
            session.standby.retain(|&other| other != link);
        }
    }

    pub(super) fn admit(
        &mut self,
        link: LinkId,
        key: PeerKey,
        id: SessionId,
        state: LinkUse,
    ) -> Result<(), LinkDenied> {
        let session = self.sessions.get_mut(&id).filter(|session| session.key == key);
        let session = session.ok_or(LinkDenied::NoSession)?;
        if session.links >= limits::LINKS_PER_SESSION_MAX {
            return Err(LinkDenied::TooMany);
        }
        session.links += 1;
        let previous = self.links.insert(link, Link { session: id, state });
        assert!(previous.is_none(), "link {link} was admitted twice");
        Ok(())
    }

    fn end_session(&mut self, now: Millis, id: SessionId, why: SessionEnd) {
        self.actions.push_back(Action::EndSession(id, why));
        self.on_session_lost(now, id);
    }

    pub(super) fn tick_sessions(&mut self, now: Millis) {
        let silent: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.lost_at <= now).map(|(&id, _)| id).collect();
        for id in silent {
            self.end_session(now, id, SessionEnd::Silent);
        }
    }

    /// After everything that may take a link from standby: one that is about to be used needs no heartbeat.
    pub(super) fn tick_heartbeats(&mut self, now: Millis) {
        for (&id, session) in &mut self.sessions {
            if session.heartbeat_at > now {
                continue;
            }
            session.heartbeat_at = now.plus(session.heartbeat_ms);
            self.actions.push_back(Action::Send(id, Frame::Heartbeat));
            if session.probe_at <= now {
                session.probe_at = now.plus(limits::probe_ms(session.heartbeat_ms));
                self.actions.extend(session.standby.iter().copied().map(Action::Probe));
            }
        }
    }
}
