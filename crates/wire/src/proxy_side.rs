//! The DMZ end: everything `os4x_proxy` decides about sessions, links and calls.
//!
//! One [`ProxySide`] stands for the whole proxy, because its decisions cross sessions: external ports are open
//! while any session stands, a call goes to the least busy client, and one that the first client refuses is put
//! to the next. The daemon calls `on_…` for what happened, with `now`, and after each carries out what
//! [`ProxySide::poll_action`] hands over until there is nothing left. [`ProxySide::next_deadline`] says when
//! [`ProxySide::on_tick`] is due.
//!
//! External ports are open while a client is attached that has a target at all.
//!
//! A call is *announced* (its partner is parked, a client was told on its control link), *offered* (its partner
//! is with a link whose client has not answered) or *running*. The daemon's part on a link reports each step.

mod calls;
mod outward;
mod sessions;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::call::{CallId, CallToken, LinkId, Millis, Name, PeerKey, RefuseReason, SessionId, Target};
use crate::frame::Frame;
use crate::limits;

/// What the proxy is told once.
pub struct ProxySettings {
    /// Names of the external listeners.
    pub listeners: Vec<Name>,
    /// How long a partner waits for its call to be taken, in milliseconds (`-T`).
    pub call_wait_ms: u64,
    /// Silence after which a client is lost, in milliseconds.
    pub silence_ms: u64,
    /// Where call and session ids begin; random, so that ids differ between two lives of the daemon.
    pub first_id: u64,
    /// Makes the secrets of announcements, from a cryptographic source.
    pub make_token: Box<dyn FnMut() -> CallToken + Send>,
}

/// What the daemon has to do.
#[derive(Debug)]
pub enum Action {
    /// The first client that takes calls is there: open the external ports.
    OpenListeners,
    /// The last client is gone: close the external ports.
    CloseListeners,
    /// Send a frame on the control link of a session.
    Send(SessionId, Frame),
    /// Close the control link of a session. It is forgotten already.
    EndSession(SessionId, SessionEnd),
    /// Hand the partner of a call to a link, which sends the offer and has it answered before the deadline.
    Offer {
        /// A link on standby, or one that has just claimed the call.
        link: LinkId,
        /// The call.
        call: CallId,
        /// When the partner's patience is over.
        deadline: Millis,
    },
    /// Tell a link that the call it claims is gone; it is on standby afterwards.
    Gone(LinkId, CallId),
    /// Send a heartbeat on a link on standby. One whose last heartbeat is still unanswered is dead, and ends.
    Probe(LinkId),
    /// Close a link on standby.
    CloseLink(LinkId),
    /// Close the connection of a parked partner. The call is forgotten already.
    ClosePartner(CallId, CallFailure),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Nothing was heard from the client for the agreed silence.
    Silent,
    /// The client's key is not in the list any more.
    Untrusted,
}

/// Why a call was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// No client is attached, or none that has not been asked.
    NoClient,
    /// Every client that was asked refused; this is the last one's reason.
    Refused(RefuseReason),
    /// No client took the call in time.
    TimedOut,
    /// The partner closed its connection first.
    PartnerLeft,
}

impl core::fmt::Display for CallFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoClient => f.write_str("no client is left that could take the call"),
            Self::Refused(reason) => reason.fmt(f),
            Self::TimedOut => f.write_str("no client took the call in time"),
            Self::PartnerLeft => f.write_str("the partner left before the call was taken"),
        }
    }
}

/// Why an arriving partner is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalDenied {
    /// No client is attached.
    NoClient,
    /// As many partners wait as may.
    RoomFull,
}

/// A link or a control link said something that nobody at its place may say; close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkDenied {
    /// The session does not stand, or is another client's.
    NoSession,
    /// The session has as many links as it may.
    TooMany,
}

/// Why the client of an offered call did not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It refused.
    Refused(RefuseReason),
    /// The link ended or gave no sign; the client may be well.
    LinkDead,
}

/// The DMZ end as a state machine.
pub struct ProxySide {
    settings: ProxySettings,
    next_id: u64,
    sessions: BTreeMap<SessionId, Session>,
    links: BTreeMap<LinkId, Link>,
    calls: BTreeMap<CallId, Call>,
    /// Calls that are announced and whose partners are parked: the waiting room.
    announced: BTreeMap<CallId, Announced>,
    /// Calls that are not running yet; counted, because running ones may be many.
    waiting: usize,
    /// Outward links with a call.
    dialled: usize,
    listeners_open: bool,
    draining: bool,
    actions: VecDeque<Action>,
}

struct Session {
    key: PeerKey,
    targets: Vec<Target>,
    draining: bool,
    /// It has let a call wait without a sign and has not been heard since: others are asked first.
    doubtful: bool,
    /// The most recently used link last: it is taken first, so that unused ones stay unused and are noticed.
    standby: Vec<LinkId>,
    links: usize,
    /// Calls announced to, offered to or running with this client, and those that it has dialled.
    calls: usize,
    lost_at: Millis,
    heartbeat_ms: u64,
    heartbeat_at: Millis,
    /// From when on the next heartbeat is sent on the links on standby as well.
    probe_at: Millis,
}

struct Link {
    session: SessionId,
    state: LinkUse,
}

/// What a link is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkUse {
    /// Calls of partners.
    Inward,
    /// Calls of stations; there is none at the moment.
    Outward,
    /// Calls of stations; there is one.
    Dialled,
    /// Calls of stations; the last one was turned down or is over, and the link is not free yet.
    Settling,
}

struct Call {
    listener: Name,
    partner: SocketAddr,
    deadline: Millis,
    /// Who has it now.
    session: SessionId,
    /// Clients that did not take it.
    asked: Vec<SessionId>,
    last_refusal: Option<RefuseReason>,
    running: bool,
}

struct Announced {
    token: CallToken,
    /// When another client is asked, if there is one then; `None` once this one has given a sign.
    sign_by: Option<Millis>,
}

impl ProxySide {
    /// A proxy to which nobody is attached.
    pub fn new(settings: ProxySettings) -> Self {
        assert!(settings.listeners.len() <= limits::NAMES_MAX);
        assert!((limits::SILENCE_MS_MIN..=limits::SILENCE_MS_MAX).contains(&settings.silence_ms));
        Self {
            next_id: settings.first_id,
            settings,
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            calls: BTreeMap::new(),
            announced: BTreeMap::new(),
            waiting: 0,
            dialled: 0,
            listeners_open: false,
            draining: false,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do. Call until it returns `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::on_tick`] is due; `None` while nothing is waited for.
    pub fn next_deadline(&self) -> Option<Millis> {
        let sessions = self.sessions.values().map(|session| session.lost_at.min(session.heartbeat_at));
        let calls = self.announced.iter().map(|(call, announced)| {
            let deadline = self.calls[call].deadline;
            announced.sign_by.map_or(deadline, |sign_by| sign_by.min(deadline))
        });
        sessions.chain(calls).min()
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Millis) {
        self.tick_sessions(now);
        self.tick_announced(now);
        self.tick_heartbeats(now);
    }

    /// The daemon is ending: no new sessions, no new calls. Running calls go on.
    pub fn on_drain(&mut self) {
        self.draining = true;
        for &session in self.sessions.keys() {
            self.actions.push_back(Action::Send(session, Frame::Drain));
        }
        self.update_listeners();
    }

    /// The configuration was read again and names other listeners, or times.
    pub fn on_settings(&mut self, listeners: Vec<Name>, call_wait_ms: u64) {
        assert!(listeners.len() <= limits::NAMES_MAX);
        for &session in self.sessions.keys() {
            self.actions.push_back(Action::Send(session, Frame::Listeners(listeners.clone())));
        }
        self.settings.listeners = listeners;
        self.settings.call_wait_ms = call_wait_ms;
    }

    /// Sessions that stand.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Links, on standby or with a call.
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Links on standby.
    pub fn standby_count(&self) -> usize {
        self.sessions.values().map(|session| session.standby.len()).sum()
    }

    /// Calls that are announced, offered or running, and those that clients have dialled.
    pub fn call_count(&self) -> usize {
        self.calls.len() + self.dialled
    }

    /// Calls that have been accepted from partners and that no client has taken yet.
    pub fn waiting_count(&self) -> usize {
        self.waiting
    }

    /// Where the client that is asked for a call takes it, `host:port`, as that client says.
    pub fn target_of(&self, call: CallId) -> Option<&Arc<str>> {
        let call = self.calls.get(&call)?;
        let targets = &self.sessions.get(&call.session)?.targets;
        targets.iter().find(|target| target.name == call.listener).map(Target::address)
    }

    /// Whether external ports are to be open.
    pub fn listeners_open(&self) -> bool {
        self.listeners_open
    }

    /// Forgets a call.
    fn remove_call(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.waiting -= usize::from(!call.running);
        Some(call)
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// Opens or closes the external ports if what is attached asks for it.
    fn update_listeners(&mut self) {
        // A client without targets only calls out, and takes nobody's call.
        let takes = |session: &Session| !session.draining && !session.targets.is_empty();
        let open = !self.draining && self.sessions.values().any(takes);
        if open != self.listeners_open {
            self.listeners_open = open;
            self.actions.push_back(if open { Action::OpenListeners } else { Action::CloseListeners });
        }
    }
}
