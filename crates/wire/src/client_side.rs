//! The inner end: everything `os4x_proxyclient` decides about one proxy.
//!
//! One [`ClientSide`] stands for one proxy for the daemon's whole life: it says when to dial, greets, answers
//! announcements, keeps links on standby, and when the proxy is lost returns to it for ever. As with its mirror
//! [`crate::proxy_side::ProxySide`], the daemon calls `on_…` with `now` and carries out what
//! [`ClientSide::poll_action`] hands over.

mod calls;
mod outward;
mod pool;
mod standby;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::call::{CallId, CallToken, LinkId, Millis, Name, RefuseReason, RejectReason, SessionId, Target};
use crate::frame::{Frame, Hello, Welcome};
use crate::limits;
use crate::link::Violation;
use crate::permit::{State, permitted};
use pool::Pool;

/// What the client is told once about a proxy.
pub struct ClientSettings {
    /// Where the calls of each listener go. Without any, nobody is let in for this client.
    pub targets: Vec<Target>,
    /// Whether stations may call out, so that outward links are kept ready.
    pub calls_out: bool,
    /// How long connecting, sealing and greeting may take together, in milliseconds.
    pub attach_ms: u64,
    /// Silence after which the proxy is lost, in milliseconds.
    pub silence_ms: u64,
    /// Spreads attempts to attach: a number below the one given.
    pub jitter: Box<dyn FnMut(u64) -> u64 + Send>,
}

/// What the daemon has to do.
#[derive(Debug)]
pub enum Action {
    /// Open the control link to the proxy; report `on_dialled` or `on_lost`.
    Dial,
    /// Send a frame on the control link.
    Send(Frame),
    /// The session stands.
    Attached(SessionId, Vec<Name>),
    /// Close the control link; it is forgotten already.
    HangUp(Lost),
    /// Open a link; report `on_link_open` or `on_link_failed`.
    OpenLink(LinkId, Purpose),
    /// Close a link on standby, or an outward one without a call.
    CloseLink(LinkId),
    /// Close a link on standby on which nothing was heard for too long.
    LinkSilent(LinkId),
    /// Send a heartbeat on an outward link without a call. One whose last heartbeat is still unanswered is
    /// dead, and ends.
    Probe(LinkId),
    /// Give an outward link to the call of a station that waits for one; report `on_link_free` or `on_link_lost`.
    Lend(LinkId, CallId),
    /// There is no link for the call of a station.
    NoLink(CallId),
    /// Begin to reach the target of an announced call, for which a link is being opened as well.
    Reach {
        /// The call.
        call: CallId,
        /// Its external listener, which names the target.
        listener: Name,
        /// The partner.
        partner: SocketAddr,
    },
    /// Give up an announced call that was not claimed yet.
    Forget(CallId),
    /// A call was refused before anything was tried. For the log.
    Refused {
        /// The call.
        call: CallId,
        /// Its external listener.
        listener: Name,
        /// The partner.
        partner: SocketAddr,
        /// Why.
        reason: RefuseReason,
    },
    /// The proxy has told the names of its listeners. For the log.
    Listeners(Vec<Name>),
    /// The proxy is ending and announces no more calls. For the log.
    ProxyDraining,
}

/// What a link is opened for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// To wait for calls.
    Standby(SessionId),
    /// To claim an announced call.
    Claim(SessionId, CallId, CallToken),
    /// For calls of stations.
    Outward(SessionId),
}

/// Why a control link is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Dialling and greeting took longer than they may.
    AttachTimedOut,
    /// Nothing was heard from the proxy for the agreed silence.
    Silent,
    /// The proxy does not accept the session.
    Rejected(RejectReason),
    /// The proxy speaks another version although it accepted ours.
    Version,
}

/// One proxy, seen from the inside.
pub struct ClientSide {
    settings: ClientSettings,
    state: Attachment,
    failures: u32,
    last_link: u64,
    /// Links for calls of partners.
    standby: Pool,
    /// Links for calls of stations.
    outward: Pool,
    /// Calls of stations that wait for a link.
    wanting: VecDeque<CallId>,
    /// Announced calls whose link has not claimed them yet.
    announced: BTreeMap<CallId, LinkId>,
    draining: bool,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug)]
enum Attachment {
    Down { dial_at: Millis },
    Dialling { until: Millis },
    Greeting { until: Millis },
    Attached { session: SessionId, since: Millis, lost_at: Millis, pulse: Pulse },
}

/// When the next heartbeats are due.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    heartbeat_ms: u64,
    heartbeat_at: Millis,
    /// From when on the next heartbeat is sent on the outward links without a call as well.
    probe_at: Millis,
}

impl ClientSide {
    /// A proxy that has not been dialled yet; the first [`Self::on_tick`] asks for it.
    pub fn new(settings: ClientSettings) -> Self {
        assert!(settings.targets.len() <= limits::NAMES_MAX);
        assert!((limits::SILENCE_MS_MIN..=limits::SILENCE_MS_MAX).contains(&settings.silence_ms));
        Self {
            settings,
            state: Attachment::Down { dial_at: Millis(0) },
            failures: 0,
            last_link: 0,
            standby: Pool::default(),
            outward: Pool::default(),
            wanting: VecDeque::new(),
            announced: BTreeMap::new(),
            draining: false,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do. Call until it returns `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::on_tick`] is due.
    pub fn next_deadline(&self) -> Option<Millis> {
        match self.state {
            Attachment::Down { .. } if self.draining => None,
            Attachment::Down { dial_at } => Some(dial_at),
            Attachment::Dialling { until } | Attachment::Greeting { until } => Some(until),
            Attachment::Attached { lost_at, pulse, .. } => {
                let soonest = lost_at.min(pulse.heartbeat_at);
                let pools = [&self.standby, &self.outward].into_iter().filter_map(Pool::next_deadline);
                Some(pools.fold(soonest, Millis::min))
            }
        }
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Millis) {
        match self.state {
            Attachment::Down { dial_at } if dial_at <= now && !self.draining => {
                self.state = Attachment::Dialling { until: now.plus(self.settings.attach_ms) };
                self.actions.push_back(Action::Dial);
            }
            Attachment::Dialling { until } | Attachment::Greeting { until } if until <= now => {
                self.hang_up(now, Lost::AttachTimedOut);
            }
            Attachment::Attached { lost_at, .. } if lost_at <= now => self.hang_up(now, Lost::Silent),
            Attachment::Attached { session, .. } => {
                self.give_up_silent(now);
                self.refill(now, session);
                self.shrink(now);
                self.beat(now);
            }
            _ => {}
        }
    }

    /// The control link is open and sealed. Says hello.
    pub fn on_dialled(&mut self) {
        let Attachment::Dialling { until } = self.state else {
            return;
        };
        self.state = Attachment::Greeting { until };
        self.actions.push_back(Action::Send(Frame::Hello(Hello {
            version: limits::VERSION,
            capabilities: 0,
            silence_ms: self.settings.silence_ms as u32,
            targets: self.settings.targets.clone(),
        })));
    }

    /// The control link could not be opened, or has ended. Schedules the next attempt.
    pub fn on_lost(&mut self, now: Millis) {
        let was_steady = match self.state {
            Attachment::Down { .. } => return,
            Attachment::Attached { since, .. } => now.since(since) >= limits::STEADY_MS,
            _ => false,
        };
        if was_steady {
            self.failures = 0;
        }
        let dial_at = if was_steady { now } else { now.plus(self.pause()) };
        self.state = Attachment::Down { dial_at };
        self.forget_session();
    }

    /// A frame arrived on the control link. An error ends it: close it and report [`Self::on_lost`].
    pub fn on_frame(&mut self, now: Millis, frame: Frame) -> Result<(), Violation> {
        let state = match &mut self.state {
            Attachment::Greeting { .. } => State::ClientGreeting,
            Attachment::Attached { lost_at, .. } => {
                *lost_at = now.plus(self.settings.silence_ms);
                State::ClientSession
            }
            _ => return Ok(()),
        };
        let kind = frame.kind();
        if !permitted(state, kind) {
            return Err(Violation { state, kind });
        }
        match frame {
            Frame::Welcome(welcome) => self.on_welcome(now, welcome),
            Frame::Reject(reason) => self.hang_up(now, Lost::Rejected(reason)),
            Frame::Announce { call, token, listener, partner } => {
                return self.on_announce(call, token, listener, partner);
            }
            Frame::Withdraw(call) => self.on_withdraw(call),
            Frame::Listeners(names) => self.actions.push_back(Action::Listeners(names)),
            Frame::Drain => self.actions.push_back(Action::ProxyDraining),
            _ => {}
        }
        Ok(())
    }

    /// The daemon is ending: no new calls. Running calls go on.
    pub fn on_drain(&mut self) {
        self.draining = true;
        if self.is_attached() {
            self.actions.push_back(Action::Send(Frame::Drain));
        }
    }

    /// The configuration was read again and has other targets.
    pub fn on_targets(&mut self, targets: Vec<Target>) {
        assert!(targets.len() <= limits::NAMES_MAX);
        if self.is_attached() {
            self.actions.push_back(Action::Send(Frame::Targets(targets.clone())));
        }
        self.settings.targets = targets;
    }

    /// The configuration was read again, and says whether stations may call out.
    pub fn on_calls_out(&mut self, calls_out: bool) {
        self.settings.calls_out = calls_out;
    }

    /// Whether a session stands.
    pub fn is_attached(&self) -> bool {
        matches!(self.state, Attachment::Attached { .. })
    }

    /// Links on standby.
    pub fn standby_count(&self) -> usize {
        self.standby.idle_count()
    }

    /// Announced calls that no link has claimed yet.
    pub fn announced_count(&self) -> usize {
        self.announced.len()
    }

    fn on_welcome(&mut self, now: Millis, welcome: Welcome) {
        if welcome.version != limits::VERSION {
            return self.hang_up(now, Lost::Version);
        }
        let silence_ms = u64::from(welcome.silence_ms).clamp(limits::SILENCE_MS_MIN, limits::SILENCE_MS_MAX);
        let heartbeat_ms = silence_ms / limits::HEARTBEATS_PER_SILENCE;
        let session = welcome.session;
        let (heartbeat_at, probe_at) = (now.plus(heartbeat_ms), now.plus(limits::probe_ms(heartbeat_ms)));
        self.state = Attachment::Attached {
            session,
            since: now,
            lost_at: now.plus(self.settings.silence_ms),
            pulse: Pulse { heartbeat_ms, heartbeat_at, probe_at },
        };
        self.actions.push_back(Action::Attached(session, welcome.listeners));
        if self.draining {
            self.actions.push_back(Action::Send(Frame::Drain));
        }
        let theirs_ms = limits::probe_ms(self.settings.silence_ms / limits::HEARTBEATS_PER_SILENCE);
        self.standby.begin(now, Some(limits::PROBES_MISSED_MAX * theirs_ms));
        self.outward.begin(now, None);
        self.refill(now, session);
    }

    /// Sends heartbeats, if they are due. After everything that may take a link away: that one needs none.
    fn beat(&mut self, now: Millis) {
        let Attachment::Attached { pulse, .. } = &mut self.state else { return };
        if pulse.heartbeat_at > now {
            return;
        }
        pulse.heartbeat_at = now.plus(pulse.heartbeat_ms);
        self.actions.push_back(Action::Send(Frame::Heartbeat));
        if pulse.probe_at <= now {
            pulse.probe_at = now.plus(limits::probe_ms(pulse.heartbeat_ms));
            self.actions.extend(self.outward.idle_links().map(Action::Probe));
        }
    }

    fn hang_up(&mut self, now: Millis, why: Lost) {
        self.actions.push_back(Action::HangUp(why));
        self.on_lost(now);
    }

    /// The pause before the next attempt: doubling from attempt to attempt up to the bound, each spread over its upper half so
    /// that clients that lost the same proxy do not return in step.
    fn pause(&mut self) -> u64 {
        let exponent = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let full = (limits::RECONNECT_MS_FIRST << exponent).min(limits::RECONNECT_MS_MAX);
        full / 2 + (self.settings.jitter)(full / 2 + 1)
    }

    fn forget_session(&mut self) {
        for link in self.standby.clear().into_iter().chain(self.outward.clear()) {
            self.actions.push_back(Action::CloseLink(link));
        }
        self.actions.extend(self.wanting.drain(..).map(Action::NoLink));
        for call in core::mem::take(&mut self.announced).into_keys() {
            self.actions.push_back(Action::Forget(call));
        }
    }
}
