//! One call of a station: hear whom it wants, have a proxy dial, join.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use daemon::address::Host;
use daemon::complaints::Complaints;
use policy::Asked;
use relay::call_event::{CallResult, Ender, OutwardCall, Side, verdict_on};
use relay::join::{abort, settle};
use relay::{Answer, Caller, Either, Stop, join, race, socket};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};
use wire::{AbortReason, CallId, Destination, Dial, FailReason, Frame};

use crate::front::{self, Failure, Front, NotAsked};
use crate::options::{LocalDoor, Way};
use crate::outward_link::Lease;
use crate::session::Session;
use crate::surroundings::{CallCount, Config};

/// Links of one proxy that are tried for a call before the next proxy is: each of them may have died in silence.
const LINKS_TRIED_MAX: usize = 8;

/// The ways out: what all calls of stations have in common.
#[derive(Clone)]
pub(crate) struct Exits {
    /// The proxies, whether attached or not.
    pub(crate) sessions: watch::Receiver<Arc<[Session]>>,
    /// The configuration in force.
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// Whether running calls have to end.
    pub(crate) stop: Stop,
    /// Calls that are being set up or are running, in either direction.
    pub(crate) calls: Arc<watch::Sender<usize>>,
    /// Gives every call its id, from a random number on.
    pub(crate) last_id: Arc<AtomicU64>,
    /// Which proxy comes first, in turn.
    pub(crate) turn: Arc<AtomicUsize>,
    /// Places for calls of stations: half of the descriptors, so that the other half is there for calls of partners.
    pub(crate) places: Arc<Semaphore>,
    /// What is said of stations that are turned away.
    pub(crate) complaints: Complaints,
}

impl Exits {
    fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// The proxies in the order in which they are asked.
    fn in_turn(&self) -> Vec<Session> {
        let mut sessions = self.sessions.borrow().to_vec();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % sessions.len().max(1);
        sessions.rotate_left(first);
        sessions
    }
}

/// Serves a connection that was accepted at `door`, and keeps its `place` until it has ended.
pub(crate) async fn serve(
    socket: TcpStream,
    station: SocketAddr,
    door: LocalDoor,
    exits: Exits,
    _place: OwnedSemaphorePermit,
) {
    let arrived = Instant::now();
    let config = exits.config();
    let mut caller = Caller::new(socket);
    let asked = Box::pin(timeout(config.step, hear(&mut caller, &door, &config))).await;
    let (front, destination) =
        match asked.unwrap_or(Err(NotHeard::TurnedAway("it did not say in time whom it calls"))) {
            Ok(asked) => asked,
            Err(NotHeard::TurnedAway(reason)) => return turn_away(&exits.complaints, station, &door, reason),
            Err(NotHeard::Left) => {
                return debug!(%station, listener = %door.name, "a station left without a request");
            }
        };
    let id = CallId(exits.last_id.fetch_add(1, Ordering::Relaxed));
    let dialled = destination.to_string();
    let record = OutwardCall { id, listener: door.name, station, destination: dialled, arrived };
    let count = CallCount::begin(&exits.calls);
    Call { record, caller, front, exits, _count: count }.run(destination, &config).await;
}

/// Says at a bounded rate that a station was turned away.
pub(crate) fn turn_away(
    complaints: &Complaints,
    station: SocketAddr,
    door: &LocalDoor,
    reason: &'static str,
) {
    if let Some(held_back) = complaints.may_say(reason) {
        warn!(event = "turned_away", address = %station, listener = %door.name, reason, "{held_back}");
    }
}

/// Why it is not known whom a station calls.
enum NotHeard {
    TurnedAway(&'static str),
    Left,
}

/// Finds out whom a station calls. Without a front nobody can be told why a call fails, and a reset is all there is.
async fn hear(
    caller: &mut Caller,
    door: &LocalDoor,
    config: &Config,
) -> Result<(Option<Front>, Destination), NotHeard> {
    let destination = match &door.way {
        Way::Asked => {
            return match front::ask(caller, &config.outgoing.users).await {
                Ok((front, destination)) => Ok((Some(front), destination)),
                Err(NotAsked::Rejected(rejection)) => Err(NotHeard::TurnedAway(rejection.text())),
                Err(NotAsked::Left) => Err(NotHeard::Left),
            };
        }
        Way::Fixed(to) => Destination::new(&to.host.to_string(), to.port),
        Way::Redirected => redirected_from(&caller.socket)
            .and_then(|was| Destination::new(&was.ip().to_string(), was.port())),
    };
    socket::reset_on_close(&caller.socket, true);
    let not_redirected =
        "it was not redirected here by the firewall, so that nobody knows where it was going";
    destination.map(|destination| (None, destination)).ok_or(NotHeard::TurnedAway(not_redirected))
}

/// Where a connection was going before REDIRECT (SO_ORIGINAL_DST of netfilter); `None` where it was going here.
fn redirected_from(socket: &TcpStream) -> Option<SocketAddr> {
    let here = socket.local_addr().ok()?;
    let options = SockRef::from(socket);
    let is_v4 = here.ip().to_canonical().is_ipv4();
    let was = if is_v4 { options.original_dst_v4() } else { options.original_dst_v6() };
    let was = was.ok()?.as_socket()?;
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    (canonical(was) != canonical(here)).then(|| canonical(was))
}

struct Call {
    record: OutwardCall,
    caller: Caller,
    front: Option<Front>,
    exits: Exits,
    _count: CallCount,
}

/// What became of an attempt to be connected.
enum Outcome {
    Connected(Box<Lease>, SocketAddr),
    Failed(Failure, Option<SocketAddr>, String),
    Left,
}

impl Outcome {
    /// What the proxy says.
    fn failed(reason: FailReason, partner: Option<SocketAddr>) -> Self {
        Self::Failed(Failure::Reason(reason), partner, reason.to_string())
    }
}

impl Call {
    async fn run(mut self, destination: Destination, config: &Config) {
        // In a place of its own, so that a call that stands for hours does not keep the room for its beginning.
        match Box::pin(self.connect(destination, config)).await {
            Outcome::Connected(lease, partner) => self.join(lease, partner, config).await,
            Outcome::Failed(failure, partner, words) => {
                let (result, ended_by) = match failure {
                    Failure::Reason(reason) => verdict_on(reason),
                    Failure::NoProxy => (CallResult::Refused, Ender::Tunnel),
                };
                self.record.log_unjoined(partner, result, ended_by, &words);
                match self.front {
                    Some(front) => front::say_goodbye(&mut self.caller.socket, &front.failed(failure)).await,
                    None => socket::reset(self.caller.socket),
                }
            }
            Outcome::Left => {
                let words = "the station left before it was connected";
                self.record.log_unjoined(None, CallResult::Aborted, Ender::Target, words);
                socket::reset(self.caller.socket);
            }
        }
    }

    /// Asks one proxy after the other. What a proxy says of the destination is final; only one that has no room for the
    /// call, or no link, leaves it to the next.
    async fn connect(&mut self, destination: Destination, config: &Config) -> Outcome {
        if config.draining {
            let words = String::from("this client is ending");
            return Outcome::Failed(Failure::Reason(FailReason::Draining), None, words);
        }
        if !permits(config, &destination) {
            let words = String::from("[outgoing] allow of this client has no rule for this destination");
            return Outcome::Failed(Failure::Reason(FailReason::NotAllowed), None, words);
        }
        let OutwardCall { id: call, listener, station, .. } = self.record;
        let dial = Frame::Dial(Dial { call, listener, station, destination });
        // Each of the two daemons may take its own `-T`; the proxy's answer, with the real reason, should come first.
        let deadline = self.record.arrived + 2 * config.step;
        let no_proxy = "no proxy is attached, or none has a link for the call";
        let mut outcome = Outcome::Failed(Failure::NoProxy, None, String::from(no_proxy));
        let sessions = self.exits.in_turn();
        // Once more round: a link that was being opened may just have been cut.
        for session in sessions.iter().chain(&sessions) {
            match self.connect_by(session, &dial, deadline).await {
                None => {}
                Some(Outcome::Failed(
                    failure @ Failure::Reason(FailReason::Draining | FailReason::NoResources),
                    partner,
                    words,
                )) => outcome = Outcome::Failed(failure, partner, words),
                Some(outcome) => return outcome,
            }
        }
        outcome
    }

    /// Asks one proxy, on one link after the other until one lives. `None`: there is none.
    async fn connect_by(&mut self, session: &Session, dial: &Frame, deadline: Instant) -> Option<Outcome> {
        for _ in 0..LINKS_TRIED_MAX {
            let lent = race(session.lend(self.record.id), race(self.caller.failed(), sleep_until(deadline)));
            let mut lease = match lent.await {
                Either::Left(lease) => Box::new(lease?),
                Either::Right(Either::Left(())) => return Some(Outcome::Left),
                Either::Right(Either::Right(())) => return Some(Outcome::failed(FailReason::TimedOut, None)),
            };
            let (outcome, farewell) =
                match self.caller.offer(&mut lease.link, &mut lease.state, dial, deadline).await {
                    Answer::Accepted(Frame::Connected { partner, .. }) => {
                        return Some(Outcome::Connected(lease, partner));
                    }
                    Answer::Refused(Frame::Failed { reason, partner, .. }) => {
                        (Outcome::failed(reason, partner), AbortReason::Answer)
                    }
                    Answer::CallerLeft => (Outcome::Left, AbortReason::GivenUp),
                    Answer::TimedOut => (Outcome::failed(FailReason::TimedOut, None), AbortReason::GivenUp),
                    Answer::LinkDead(error) => {
                        debug!(call = %self.record.id, %error, "an outward link was dead; the next is tried");
                        continue;
                    }
                    Answer::Accepted(other) | Answer::Refused(other) => {
                        unreachable!("{:?} answers no dial", other.kind())
                    }
                };
            if lease.state.may_send() {
                abort(&mut lease.link, &mut lease.state, farewell);
            }
            // The station need not wait for this.
            tokio::spawn(finish(lease));
            return Some(outcome);
        }
        None
    }

    async fn join(mut self, mut lease: Box<Lease>, partner: SocketAddr, config: &Config) {
        let setup = self.record.arrived.elapsed();
        let reply = self.front.as_ref().map(Front::connected).unwrap_or_default();
        let told = timeout(config.step, self.caller.socket.write_all(&reply)).await;
        if !matches!(told, Ok(Ok(()))) {
            abort(&mut lease.link, &mut lease.state, AbortReason::Reset);
            let words = "the station left before it heard that it was connected";
            self.record.log_unjoined(Some(partner), CallResult::Aborted, Ender::Target, words);
            socket::reset(self.caller.socket);
            return finish(lease).await;
        }
        let stop = pin!(self.exits.stop.wished());
        let socket = self.caller.socket;
        socket::reset_on_close(&socket, true);
        let mut joined =
            join(socket, &self.caller.early, &mut lease.link, &mut lease.state, config.join, stop).await;
        joined.from_socket += self.caller.early.len() as u64;
        self.record.log_joined(Side::Target, partner, setup, &joined);
        finish(lease).await;
    }
}

/// Waits until both ends have closed the call on a link, and gives it back.
async fn finish(mut lease: Box<Lease>) {
    match settle(&mut lease.link, &mut lease.state).await {
        Ok(()) => lease.give_back(),
        Err(error) => debug!(%error, "an outward link is given up"),
    }
}

/// Our own policy, where there is one. Names are looked up in the DMZ alone.
fn permits(config: &Config, destination: &Destination) -> bool {
    let Some(allow) = &config.outgoing.allow else { return true };
    match destination.host().parse::<Host>() {
        Ok(Host::Name(name)) => allow.permits_asked(Asked::Name(&name), destination.port()),
        Ok(Host::Ip(ip)) => allow.permits_asked(Asked::Ip(ip), destination.port()),
        Err(_) => false,
    }
}
