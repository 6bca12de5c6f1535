//! The only owner of [`ProxySide`]: whatever happens is told here, and what has to be done starts from here.
//!
//! It never waits for anybody. Links and sessions get their orders over bounded queues; one that lets its queue
//! fill up is dropped.

mod carry_out;
mod event;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::failure::supervise;
use relay::alarm::Alarm;
use relay::call_event::{CallResult, Ender};
use relay::{Either, JoinLimits, race};
use seal::Authorized;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use wire::proxy_side::{ArrivalDenied, LinkDenied, ProxySettings, ProxySide};
use wire::{
    CallId, CallToken, Frame, Hello, LinkId, Millis, Name, PeerKey, RejectReason, SessionId, Welcome, limits,
};

use crate::options::{External, Options};
use crate::outer_door::OuterDoor;
use crate::partner::Partner;
use crate::waiting_room::WaitingRoom;
pub(crate) use event::{Event, LinkOrder, LinkOrders, Offer, Opening, Switchboard};

/// Events that may wait for the switchboard. Every call makes about five.
const EVENTS_MAX: usize = 4_096;
/// Frames that may wait for a client to read its control link: every waiting call announced and withdrawn, and
/// what else there is.
pub(crate) const OUTBOX_FRAMES_MAX: usize = 2 * limits::WAITING_CALLS_MAX + 64;

/// Descriptors that are not for calls: a handshake's each, a session's each, links on standby, and a few of our own.
const FILES_KEPT_MAX: u64 = 512;
const _: () = assert!(
    limits::HANDSHAKES_MAX + limits::SESSIONS_MAX + limits::STANDBY_LINKS_MAX + 64 <= FILES_KEPT_MAX as usize
);

/// The times that calls go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// `-T`.
    pub(crate) step: Duration,
    /// What a joined call may do.
    pub(crate) join: JoinLimits,
}

impl Times {
    pub(crate) fn of(options: &Options) -> Self {
        Self { step: options.step, join: JoinLimits { idle: options.idle, reap: options.step, unseal: true } }
    }
}

/// The switchboard's own state.
struct Board {
    machine: ProxySide,
    epoch: Instant,
    myself: Switchboard,
    externals: Vec<External>,
    times: watch::Sender<Arc<Times>>,
    authorized: Arc<Authorized>,
    sessions: HashMap<SessionId, SessionEntry>,
    links: HashMap<LinkId, LinkOrders>,
    last_link: u64,
    room: WaitingRoom,
    door: OuterDoor,
    calls: watch::Sender<usize>,
}

struct SessionEntry {
    outbox: mpsc::Sender<Frame>,
    client: String,
}

/// What the rest of the daemon keeps of the switchboard.
pub(crate) struct Started {
    /// Where events go.
    pub(crate) board: Switchboard,
    /// The times in force.
    pub(crate) times: watch::Receiver<Arc<Times>>,
    /// Calls that are being set up or are running.
    pub(crate) calls: watch::Receiver<usize>,
}

/// Starts the switchboard.
pub(crate) fn start(options: &Options, authorized: Arc<Authorized>) -> Started {
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let myself = Switchboard::new(sender, calls_max(daemon::limits::open_files()));
    let (times, times_seen) = watch::channel(Arc::new(Times::of(options)));
    let (calls, calls_seen) = watch::channel(0);
    let settings = ProxySettings {
        listeners: names(&options.externals),
        call_wait_ms: options.step.as_millis() as u64,
        silence_ms: limits::silence_ms(options.step.as_millis() as u64),
        first_id: random_u64(),
        make_token: Box::new(|| CallToken(random_bytes())),
    };
    let board = Board {
        machine: ProxySide::new(settings),
        epoch: Instant::now(),
        myself: myself.clone(),
        externals: options.externals.clone(),
        times,
        authorized,
        sessions: HashMap::new(),
        links: HashMap::new(),
        last_link: 0,
        room: WaitingRoom::default(),
        door: OuterDoor::default(),
        calls,
    };
    supervise(tokio::spawn(board.run(events)));
    Started { board: myself, times: times_seen, calls: calls_seen }
}

/// Calls that the proxy takes at once. Each needs two descriptors, the partner's and its link's; the rest is kept for
/// handshakes, sessions, listeners and links on standby, so that no crowd of partners can keep the links out that
/// would serve it.
fn calls_max(open_files: u64) -> usize {
    let kept = (open_files / 3).min(FILES_KEPT_MAX);
    usize::try_from((open_files - kept) / 2).unwrap_or(usize::MAX)
}

/// The listeners' names, each once.
fn names(externals: &[External]) -> Vec<Name> {
    let mut names: Vec<Name> = externals.iter().map(|external| external.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's source of random numbers works");
    bytes
}

fn random_u64() -> u64 {
    u64::from_ne_bytes(random_bytes())
}

impl Board {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut alarm = Alarm::default();
        loop {
            let deadline = self.machine.next_deadline().map(|at| self.epoch + Duration::from_millis(at.0));
            let tick = async {
                match deadline {
                    Some(at) => alarm.wait(at).await,
                    None => std::future::pending().await,
                }
            };
            match race(events.recv(), tick).await {
                Either::Left(Some(event)) => self.on_event(event),
                // The board holds a sender itself, so that the queue never ends before the runtime does.
                Either::Left(None) => return,
                Either::Right(()) => self.machine.on_tick(self.now()),
            }
            self.carry_out();
            self.note_calls();
        }
    }

    fn now(&self) -> Millis {
        // Rounded up, so that a deadline for which the timer has fired has passed here as well.
        Millis(self.epoch.elapsed().as_micros().div_ceil(1_000) as u64)
    }

    fn note_calls(&self) {
        let count = self.machine.call_count();
        self.calls.send_if_modified(|shown| std::mem::replace(shown, count) != count);
    }

    fn on_event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Hello { key, hello, outbox, answer } => self.on_hello(key, hello, outbox, answer),
            Event::Frame(session, frame) => {
                if let Err(violation) = self.machine.on_frame(now, session, frame) {
                    self.end_session(session, &violation.to_string());
                    self.machine.on_session_lost(now, session);
                }
            }
            Event::SessionLost(session, reason) => {
                self.end_session(session, &reason);
                self.machine.on_session_lost(now, session);
            }
            Event::Link { key, session, opening, orders, answer } => {
                self.on_link(key, session, opening, orders, answer);
            }
            Event::Arrived(partner) => self.on_arrived(partner),
            Event::PartnerLeft(call, partner) => {
                self.room.forget(call);
                self.machine.on_partner_left(call);
                let reason = "the partner left before the call was taken";
                partner.turn_away(call, CallResult::Aborted, Ender::Partner, reason);
            }
            Event::Accepted(call) => self.machine.on_accepted(call),
            Event::Returned(call, partner, why) => {
                self.room.seat(call, partner);
                self.machine.on_returned(now, call, why);
                self.settle(call);
            }
            Event::Ended(call) => self.machine.on_ended(call),
            // Where nobody waits for the answer the call has ended, which is told next.
            Event::Dialled(link, answer) => drop(answer.send(self.machine.on_dial(link))),
            Event::DialEnded(link) => self.machine.on_dial_ended(link),
            Event::LinkFree(link) => self.machine.on_link_free(link),
            Event::LinkLost(link) => {
                self.links.remove(&link);
                self.machine.on_link_lost(link);
            }
            Event::Reload(options, authorized) => self.on_reload(*options, authorized),
            Event::Drain => self.machine.on_drain(),
        }
    }

    fn on_hello(
        &mut self,
        key: PeerKey,
        hello: Hello,
        outbox: mpsc::Sender<Frame>,
        answer: oneshot::Sender<Result<Welcome, RejectReason>>,
    ) {
        let welcome = self.machine.on_hello(self.now(), key, hello);
        if let Ok(welcome) = &welcome {
            let client = self.client_name(&key);
            info!(event = "attached", client, session = %welcome.session);
            self.sessions.insert(welcome.session, SessionEntry { outbox, client });
        }
        // Where nobody waits for the answer the control link has ended, which is told by an event of its own only
        // after a welcome was heard: so the session ends here.
        if let Err(Ok(welcome)) = answer.send(welcome) {
            self.end_session(welcome.session, "the client left before it was welcomed");
            self.machine.on_session_lost(self.now(), welcome.session);
        }
    }

    /// The name that the list of trusted keys gives a client, or its key.
    fn client_name(&self, key: &PeerKey) -> String {
        match seal::PublicKey::from_bytes(key.0) {
            Ok(key) => self.authorized.name_of(&key).map_or_else(|| key.to_string(), str::to_owned),
            Err(_) => String::from("?"),
        }
    }

    fn end_session(&mut self, session: SessionId, reason: &str) {
        if let Some(entry) = self.sessions.remove(&session) {
            warn!(event = "lost", client = entry.client, session = %session, reason);
        }
    }

    fn on_link(
        &mut self,
        key: PeerKey,
        session: SessionId,
        opening: Opening,
        orders: LinkOrders,
        answer: oneshot::Sender<Result<LinkId, LinkDenied>>,
    ) {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        let admitted = match opening {
            Opening::Standby => self.machine.on_standby(link, key, session),
            Opening::Claim(call, token) => self.machine.on_claim(link, key, session, call, token),
            Opening::Outward => self.machine.on_outward(link, key, session),
        };
        if admitted.is_ok() {
            debug!(%link, %session, outward = opening.is_outward(), "link stands");
            self.links.insert(link, orders);
        }
        // A link that has gone meanwhile drops its end of the orders, which is noticed when one is given.
        let _ = answer.send(admitted.map(|()| link));
    }

    fn on_arrived(&mut self, partner: Partner) {
        match self.machine.on_arrival(self.now(), partner.listener, partner.address) {
            Ok(call) => {
                self.room.seat(call, partner);
                self.settle(call);
            }
            Err(denied) => {
                let reason = match denied {
                    ArrivalDenied::NoClient => "no client is attached",
                    ArrivalDenied::RoomFull => "too many calls wait to be taken",
                };
                self.myself.deny(partner, reason, Ender::Tunnel);
            }
        }
    }

    /// Sends a partner that was just seated to where it goes, or has it watched while it waits.
    fn settle(&mut self, call: CallId) {
        self.carry_out();
        let target = self.machine.target_of(call).cloned();
        self.room.watch(call, target, &self.myself);
    }

    fn on_reload(&mut self, options: Options, authorized: Arc<Authorized>) {
        let names = names(&options.externals);
        self.times.send_replace(Arc::new(Times::of(&options)));
        self.externals = options.externals;
        self.authorized = authorized;
        self.machine.on_settings(names, options.step.as_millis() as u64);
        if self.machine.listeners_open() {
            self.open_doors();
        }
        let trusted = self.authorized.clone();
        self.machine.on_trust_changed(self.now(), |key| {
            seal::PublicKey::from_bytes(key.0).is_ok_and(|key| trusted.trusts(&key, None))
        });
    }
}
