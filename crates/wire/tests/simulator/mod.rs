//! A whole system in one thread: proxies, clients, partners, stations, the network between them and those who
//! mean harm, in virtual time. The daemons are models; what they obey and the bytes they exchange are real.

mod checks;
mod client;
mod client_link;
mod dial_out;
mod ends;
mod faults;
mod heartbeats;
mod hostile;
mod net;
mod outward;
mod proxy;
mod proxy_link;
mod rng;
mod scenario;
mod unsealing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use wire::{CallId, FailReason, Millis, RefuseReason};

use client::{Client, Reach, ReachId};
use ends::{Partner, PartnerId, Station, StationId};
use hostile::Hostile;
use net::{ClientEnd, Conn, ConnId, End, ProxyEnd};
use outward::OutCall;
use proxy::{Proxy, Token};
pub(crate) use rng::Rng;
pub(crate) use scenario::{Flaw, Scenario};

/// What every part of the model answers: nothing, or what must not be.
pub(crate) type Check = Result<(), String>;

/// What happens at a point of time.
#[derive(Debug)]
pub(crate) enum Event {
    Opened { conn: ConnId, well: bool },
    Deliver { conn: ConnId, to: End, bytes: Vec<u8> },
    Fin { conn: ConnId, to: End },
    Closed { conn: ConnId, to: End },
    Permits(ConnId),
    Unseals { conn: ConnId, at: End },
    ProxyTick(usize),
    ClientTick { client: usize, at: usize },
    DoorTimer { proxy: usize, conn: ConnId },
    ProxyLinkTimer { proxy: usize, link: wire::LinkId },
    ClientLinkTimer { client: usize, at: usize, conn: ConnId },
    Ringing { client: usize, at: usize, conn: ConnId, call: CallId },
    Reached(ReachId, Option<RefuseReason>),
    Arrival(usize),
    PartnerSpeaks(PartnerId),
    PartnerLeaves(PartnerId),
    StationSpeaks(StationId),
    StationCalls(usize),
    StationSays(CallId),
    OutwardTimer { client: usize, at: usize, conn: ConnId },
    FarEnd { proxy: usize, conn: ConnId, call: CallId, refusal: Option<FailReason> },
    FarEndSays { proxy: usize, conn: ConnId, call: CallId },
    DialRings { proxy: usize, conn: ConnId, call: CallId },
    DialTimer { proxy: usize, conn: ConnId },
    Fault,
    ClientRestarts { client: usize, life: u64 },
    ProxyRestarts { proxy: usize, life: u64 },
    TrustReturns(usize),
    HostileActs(usize),
    Nonsense(ConnId),
}

/// What has happened so far, to show that a run was worth it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Partners that were parked.
    pub(crate) arrived: u64,
    /// Partners that were joined.
    pub(crate) joined: u64,
    /// Calls that ended in both directions, and were said to.
    pub(crate) orderly: u64,
    /// Partners that were closed because nobody took them.
    pub(crate) failed: u64,
    /// Partners that are gone.
    pub(crate) ended: u64,
    /// Stations that were connected to their partners.
    pub(crate) out_joined: u64,
    /// Calls of stations that ended in both directions, and were said to.
    pub(crate) out_orderly: u64,
    /// Directions that have left the seal.
    pub(crate) unsealed: u64,
    /// Links without a call that were found to be dead.
    pub(crate) found_dead: u64,
    /// Sessions that began.
    pub(crate) attached: u64,
    /// Faults.
    pub(crate) faults: u64,
}

/// The system.
pub(crate) struct World {
    scenario: Scenario,
    rng: Rng,
    /// Virtual milliseconds.
    now: u64,
    /// Events handled.
    pub(crate) step: u64,
    queue: BTreeMap<(u64, u64), Event>,
    last_event: u64,
    conns: BTreeMap<ConnId, Conn>,
    last_conn: ConnId,
    proxies: Vec<Proxy>,
    clients: Vec<Client>,
    hostiles: Vec<Hostile>,
    partners: BTreeMap<PartnerId, Partner>,
    open_partners: BTreeSet<PartnerId>,
    last_partner: PartnerId,
    stations: BTreeMap<StationId, Station>,
    last_station: StationId,
    reaches: BTreeMap<ReachId, Reach>,
    last_reach: ReachId,
    /// The station with which a client has accepted a call on a connection.
    accepts: BTreeMap<(ConnId, CallId), StationId>,
    out_calls: BTreeMap<CallId, OutCall>,
    tokens: Vec<Token>,
    /// Since when links that wait for a call are dead.
    dead_since: BTreeMap<(ConnId, End), u64>,
    proxy_ticks: Vec<Option<u64>>,
    client_ticks: BTreeMap<(usize, usize), u64>,
    /// Nothing goes wrong any more, and nobody new arrives.
    healing: bool,
    /// Connections that were closed in this step by one of their ends.
    closed_now: Vec<ConnId>,
    hash: u64,
    /// What has happened so far.
    pub(crate) tally: Tally,
}

/// How long the system is given to heal: connections that died in silence are noticed within 20 s, a client
/// waits 30 s at most before it returns and 8 s for the answer, a call waits 30 s at most and settles in 10.
const HEALING_MS: u64 = 150_000;

impl World {
    /// A system that has just been started.
    pub(crate) fn new(scenario: Scenario, seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            now: 1_000,
            step: 0,
            queue: BTreeMap::new(),
            last_event: 0,
            conns: BTreeMap::new(),
            last_conn: 0,
            proxies: Vec::new(),
            clients: Vec::new(),
            hostiles: Vec::new(),
            partners: BTreeMap::new(),
            open_partners: BTreeSet::new(),
            last_partner: 0,
            stations: BTreeMap::new(),
            last_station: 0,
            reaches: BTreeMap::new(),
            last_reach: 0,
            accepts: BTreeMap::new(),
            out_calls: BTreeMap::new(),
            tokens: Vec::new(),
            dead_since: BTreeMap::new(),
            proxy_ticks: vec![None; scenario.proxies],
            client_ticks: BTreeMap::new(),
            healing: false,
            closed_now: Vec::new(),
            hash: 0xcbf2_9ce4_8422_2325,
            tally: Tally::default(),
            scenario,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for proxy in 0..self.scenario.proxies {
            let daemon = self.new_proxy(0);
            self.proxies.push(daemon);
            self.at(self.now + 200, Event::Arrival(proxy));
        }
        for client in 0..self.scenario.clients {
            let daemon = self.new_client(0);
            self.clients.push(daemon);
            (0..self.clients[client].attachments.len()).for_each(|at| self.schedule_client(client, at));
            self.at(self.now + 250, Event::StationCalls(client));
        }
        for index in 0..self.scenario.hostile_clients {
            self.hostiles.push(Hostile::default());
            self.at(self.now + 300, Event::HostileActs(index));
        }
        if self.scenario.fault_ms > 0 {
            self.at(self.now + 1_000, Event::Fault);
        }
    }

    /// Runs `steps` events, lets the system heal, and looks at what is left. Returns a digest of everything
    /// that happened.
    pub(crate) fn run(&mut self, steps: u64) -> Result<u64, String> {
        self.run_steps(steps).map_err(|what| format!("step {} at {} ms: {what}", self.step, self.now))
    }

    fn run_steps(&mut self, steps: u64) -> Result<u64, String> {
        while self.step < steps {
            self.next()?;
        }
        self.heal()?;
        let quiet = self.now + HEALING_MS;
        while self.now < quiet {
            self.next()?;
        }
        for _ in 0..100_000 {
            if self.is_quiet() {
                self.check_healed()?;
                return Ok(self.hash);
            }
            self.next()?;
        }
        Err("the system does not come to rest".into())
    }

    fn next(&mut self) -> Check {
        let ((at, _), event) = self.queue.pop_first().ok_or("nothing happens any more")?;
        self.now = at;
        self.step += 1;
        self.closed_now.clear();
        match &event {
            // Printing payload takes longer than all the rest.
            Event::Deliver { bytes, .. } if !self.scenario.shows => self.digest(bytes),
            event => self.note(event),
        }
        let from_hostile = self.hostile_source(&event);
        self.handle(event)?;
        self.check_hostile_harm(from_hostile)?;
        self.check()
    }

    fn handle(&mut self, event: Event) -> Check {
        match event {
            Event::Opened { conn, well } => self.on_opened(conn, well),
            Event::Deliver { conn, to, bytes } => self.on_delivered(conn, to, &bytes),
            Event::Fin { conn, to } => self.on_fin(conn, to),
            Event::Closed { conn, to } => self.on_closed(conn, to),
            Event::Permits(conn) => {
                self.permits(conn);
                Ok(())
            }
            Event::Unseals { conn, at } => {
                self.unseals(conn, at);
                Ok(())
            }
            Event::ProxyTick(proxy) => self.proxy_tick(proxy),
            Event::ClientTick { client, at } => self.client_tick(client, at),
            Event::DoorTimer { proxy, conn } => self.proxy_door_timer(proxy, conn),
            Event::ProxyLinkTimer { proxy, link } => self.proxy_link_timer(proxy, link),
            Event::ClientLinkTimer { client, at, conn } => self.client_link_timer(client, at, conn),
            Event::Ringing { client, at, conn, call } => self.client_rings(client, at, conn, call),
            Event::Reached(reach, refusal) => self.client_reached(reach, refusal),
            Event::Arrival(proxy) => self.partner_arrives(proxy),
            Event::PartnerSpeaks(partner) => self.partner_speaks(partner),
            Event::PartnerLeaves(partner) => self.partner_leaves(partner),
            Event::StationSpeaks(station) => self.station_speaks(station),
            Event::StationCalls(client) => self.station_calls(client),
            Event::StationSays(call) => self.station_says(call),
            Event::OutwardTimer { client, at, conn } => self.outward_timer(client, at, conn),
            Event::FarEnd { proxy, conn, call, refusal } => self.far_end(proxy, conn, call, refusal),
            Event::FarEndSays { proxy, conn, call } => self.far_end_says(proxy, conn, call),
            Event::DialRings { proxy, conn, call } => self.dial_rings(proxy, conn, call),
            Event::DialTimer { proxy, conn } => self.dial_timer(proxy, conn),
            Event::Fault => self.fault(),
            Event::ClientRestarts { client, life } => self.client_restarts(client, life),
            Event::ProxyRestarts { proxy, life } => self.proxy_restarts(proxy, life),
            Event::TrustReturns(proxy) => {
                self.proxies[proxy].distrusted.clear();
                Ok(())
            }
            Event::HostileActs(index) => self.hostile_acts(index),
            Event::Nonsense(conn) => self.nonsense_again(conn),
        }
    }

    fn on_delivered(&mut self, conn: ConnId, to: End, bytes: &[u8]) -> Check {
        if !self.arrive(conn, to, bytes) || self.more_arrives(conn, to) {
            return Ok(());
        }
        let held = &self.conns[&conn];
        match (to, held.proxy, held.client, held.purpose) {
            (End::Proxy, ProxyEnd::Honest(proxy), ..) => self.proxy_reads(proxy, conn),
            (End::Proxy, ProxyEnd::Hostile, ..) => Ok(()),
            (End::Client, _, ClientEnd::Honest { client, at }, purpose) => {
                self.client_reads(client, at, conn, purpose)
            }
            (End::Client, _, ClientEnd::Hostile(index), _) => self.hostile_reads(index, conn),
        }
    }

    fn on_closed(&mut self, conn: ConnId, to: End) -> Check {
        let Some(held) = self.conn(conn, to) else {
            return Ok(());
        };
        match (to, held.proxy, held.client, held.purpose) {
            (End::Proxy, ProxyEnd::Honest(proxy), ..) => self.proxy_drops(proxy, conn),
            (End::Client, _, ClientEnd::Honest { client, at }, purpose) if held.up => {
                self.client_drops(client, at, conn, purpose)
            }
            // A dial that is under way comes to its own end.
            (End::Client, _, ClientEnd::Honest { .. }, _) => Ok(()),
            _ => {
                self.close(conn, to);
                Ok(())
            }
        }
    }

    fn proxy_tick(&mut self, proxy: usize) -> Check {
        self.proxy_ticks[proxy] = None;
        let now = Millis(self.now);
        let side = &mut self.proxies[proxy].side;
        side.on_tick(now);
        if side.next_deadline().is_some_and(|at| at <= now) {
            return Err(format!("proxy {proxy} would tick again at once"));
        }
        self.proxy_acts(proxy)
    }

    fn client_tick(&mut self, client: usize, at: usize) -> Check {
        self.client_ticks.remove(&(client, at));
        let now = Millis(self.now);
        let side = &mut self.clients[client].attachments[at].side;
        side.on_tick(now);
        // After the loss of a steady session the next dial is due at once, and then no more.
        let again = side.next_deadline().is_some_and(|at| at <= now);
        if again && side.is_attached() {
            return Err(format!("client {client} would tick again at once"));
        }
        self.client_acts(client, at)
    }

    /// Has the tick of a proxy happen when it is due.
    fn schedule_proxy(&mut self, proxy: usize) {
        let Some(due) = self.proxies[proxy].side.next_deadline() else {
            return;
        };
        let due = due.0.max(self.now);
        if self.proxy_ticks[proxy].is_none_or(|at| at > due) {
            self.proxy_ticks[proxy] = Some(due);
            self.at(due, Event::ProxyTick(proxy));
        }
    }

    /// Has the tick of a client happen when it is due.
    fn schedule_client(&mut self, client: usize, at: usize) {
        let Some(due) = self.clients[client].attachments[at].side.next_deadline() else {
            return;
        };
        let due = due.0.max(self.now);
        if self.client_ticks.get(&(client, at)).is_none_or(|&at| at > due) {
            self.client_ticks.insert((client, at), due);
            self.at(due, Event::ClientTick { client, at });
        }
    }

    /// Something will happen at `time`.
    fn at(&mut self, time: u64, event: Event) {
        self.last_event += 1;
        self.queue.insert((time.max(self.now), self.last_event), event);
    }

    /// Something will happen in a while.
    fn after(&mut self, wait: u64, event: Event) {
        self.at(self.now + wait, event);
    }

    /// Takes what has happened into the digest (FNV-1a), and shows it if asked to.
    fn note(&mut self, what: &impl Debug) {
        let text = format!("{what:?}");
        self.digest(text.as_bytes());
        if self.scenario.shows {
            println!("{:>7} {:>8} {text}", self.step, self.now);
        }
    }

    fn digest(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
