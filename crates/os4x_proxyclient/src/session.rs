//! One proxy: the only owner of its [`ClientSide`].

mod lending;

use std::collections::HashMap;
use std::time::Duration;

use daemon::address::HostPort;
use daemon::failure::supervise;
use relay::alarm::Alarm;
use relay::call_event::{CallResult, Ender};
use relay::{Either, race};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use wire::client_side::{Action, ClientSettings, ClientSide, Lost, Purpose};
use wire::{CallId, Frame, LinkId, Millis, Name, SessionId, Target, limits};

use crate::call_link::{self, Reached};
use crate::control;
use crate::inbound_call::{Call, Unreached, log_unjoined, reach};
use crate::outward_link::{Borrower, OutwardOrder};
use crate::surroundings::{Config, Surroundings};

/// Events that may wait for a session. Every call makes about three.
const EVENTS_MAX: usize = 4_096;
/// A reason for not being attached is said again after so long, although it is still the same.
const REMINDER: Duration = Duration::from_secs(600);

/// One attempt to attach. What a former one still has to say is of no interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt(u64);

/// What a session is told.
pub(crate) enum Event {
    /// The control link is open; frames go there.
    Dialled(Attempt, mpsc::Sender<Frame>),
    /// A frame came on the control link.
    Frame(Attempt, Frame),
    /// The control link could not be opened or has ended.
    Lost(Attempt, String),
    /// A link is open and on standby.
    LinkStandby(LinkId),
    /// A link is open; may it claim its call?
    Claiming(LinkId, CallId, oneshot::Sender<bool>),
    /// A link could not be opened; the call it was to claim.
    LinkFailed(LinkId, Option<Call>),
    /// A link for calls of stations is open.
    LinkOutward(LinkId),
    /// The call of a station needs a link.
    LinkWanted(CallId, Borrower),
    /// A call was offered on a link on standby.
    LinkBusy(LinkId),
    /// The call on a link is over in both directions.
    LinkFree(LinkId),
    /// A heartbeat of the proxy has come on a link on standby.
    LinkHeard(LinkId),
    /// A link has ended; the call that it had claimed without having been answered.
    LinkLost(LinkId, Option<Call>),
    /// The target of an announced call is not there, and its link is not open yet.
    Unreached(Call, Unreached),
    /// The configuration has changed.
    Reload,
    /// No new calls.
    Drain,
    /// Nothing more.
    End,
}

/// Where events of a session go.
#[derive(Clone)]
pub(crate) struct Session(mpsc::Sender<Event>);

impl Session {
    /// Tells an event, in order with others of the same teller.
    pub(crate) async fn tell(&self, event: Event) {
        // It only fails when the session has ended, and then nobody wants to know.
        let _ = self.0.send(event).await;
    }

    /// Starts the session with a proxy.
    pub(crate) fn start(around: Surroundings) -> (Self, JoinHandle<()>) {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let myself = Self(sender);
        let config = around.config();
        let settings = ClientSettings {
            targets: targets(&config),
            calls_out: !config.outgoing.doors.is_empty(),
            attach_ms: 2 * config.step.as_millis() as u64,
            silence_ms: limits::silence_ms(config.step.as_millis() as u64),
            jitter: Box::new(random_below),
        };
        let keeper = Keeper {
            machine: ClientSide::new(settings),
            epoch: Instant::now(),
            myself: myself.clone(),
            around,
            attempt: 0,
            control: None,
            outbox: None,
            links: HashMap::new(),
            outward: HashMap::new(),
            borrowers: HashMap::new(),
            announced: HashMap::new(),
            attached: None,
            complaint: None,
        };
        (myself, supervise(tokio::spawn(keeper.run(events))))
    }
}

/// The targets as the proxy is told them, for its log.
fn targets(config: &Config) -> Vec<Target> {
    let told = |(name, target): (&Name, &HostPort)| Target::new(*name, &target.to_string());
    config.targets.iter().filter_map(told).collect()
}

/// A random number below `bound`.
fn random_below(bound: u64) -> u64 {
    random() % bound.max(1)
}

/// A random number.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's source of random numbers works");
    u64::from_ne_bytes(bytes)
}

/// The session's own state.
struct Keeper {
    machine: ClientSide,
    epoch: Instant,
    myself: Session,
    around: Surroundings,
    attempt: u64,
    control: Option<(AbortHandle, JoinHandle<()>)>,
    outbox: Option<mpsc::Sender<Frame>>,
    /// Dropping one closes the link as soon as it is on standby.
    links: HashMap<LinkId, oneshot::Sender<()>>,
    /// Links for calls of stations; likewise.
    outward: HashMap<LinkId, mpsc::Sender<OutwardOrder>>,
    /// Calls of stations that wait for a link.
    borrowers: HashMap<CallId, Borrower>,
    /// Calls whose target is being reached and whose link has not been opened yet.
    announced: HashMap<CallId, (Call, Reached)>,
    attached: Option<SessionId>,
    complaint: Option<(String, Instant)>,
}

impl Keeper {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        self.machine.on_tick(self.now());
        self.carry_out();
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
                Either::Left(Some(Event::End) | None) => return self.end().await,
                Either::Left(Some(event)) => self.on_event(event),
                Either::Right(()) => self.machine.on_tick(self.now()),
            }
            self.carry_out();
        }
    }

    /// Closes the control link in order, so that the proxy's log has the right reason.
    async fn end(mut self) {
        self.outbox = None;
        self.links.clear();
        self.outward.clear();
        self.borrowers.clear();
        if let Some((abort, control)) = self.control.take() {
            if self.attached.is_none() {
                abort.abort();
            }
            // An aborted attempt ends with an error, which is what was wanted.
            let _ = control.await;
        }
    }

    fn now(&self) -> Millis {
        // Rounded up, so that a deadline for which the timer has fired has passed here as well.
        Millis(self.epoch.elapsed().as_micros().div_ceil(1_000) as u64)
    }

    fn is_current(&self, attempt: Attempt) -> bool {
        attempt.0 == self.attempt && self.control.is_some()
    }

    fn on_event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Dialled(attempt, outbox) if self.is_current(attempt) => {
                self.outbox = Some(outbox);
                self.machine.on_dialled();
            }
            Event::Frame(attempt, frame) if self.is_current(attempt) => {
                if let Err(violation) = self.machine.on_frame(now, frame) {
                    self.lose(&violation.to_string());
                    self.machine.on_lost(now);
                }
            }
            Event::Lost(attempt, reason) if self.is_current(attempt) => {
                self.lose(&reason);
                self.machine.on_lost(now);
            }
            Event::Dialled(..) | Event::Frame(..) | Event::Lost(..) | Event::End => {}
            Event::LinkStandby(link) => self.machine.on_link_standby(now, link),
            Event::Claiming(link, call, answer) => self.on_claiming(link, call, answer),
            Event::LinkFailed(link, call) => {
                self.links.remove(&link);
                self.outward.remove(&link);
                self.machine.on_link_failed(now, link, call.map(|call| call.id));
                if let Some(call) = call {
                    let reason = "no link to the proxy could be opened for the call";
                    log_unjoined(call, &self.around, CallResult::Refused, Ender::Tunnel, reason);
                }
            }
            Event::LinkOutward(link) => self.machine.on_link_outward(now, link),
            Event::LinkWanted(call, borrower) => {
                self.borrowers.insert(call, borrower);
                self.machine.on_link_wanted(now, call);
            }
            Event::LinkBusy(link) => self.machine.on_link_busy(now, link),
            Event::LinkFree(link) => self.machine.on_link_free(now, link),
            Event::LinkHeard(link) => self.machine.on_link_heard(now, link),
            Event::LinkLost(link, claimed) => {
                self.links.remove(&link);
                self.outward.remove(&link);
                self.machine.on_link_lost(now, link);
                if let Some(call) = claimed {
                    self.machine.on_claim_lost(call.id);
                    let reason = "the link ended before the proxy answered its claim";
                    log_unjoined(call, &self.around, CallResult::Aborted, Ender::Tunnel, reason);
                }
            }
            Event::Unreached(call, (reason, words)) => {
                if self.machine.on_unreached(call.id, reason) {
                    log_unjoined(call, &self.around, CallResult::Refused, Ender::Target, &words);
                }
            }
            Event::Reload => {
                let config = self.around.config();
                self.machine.on_targets(targets(&config));
                self.machine.on_calls_out(!config.outgoing.doors.is_empty());
            }
            Event::Drain => self.machine.on_drain(),
        }
    }

    fn on_claiming(&mut self, link: LinkId, call: CallId, answer: oneshot::Sender<bool>) {
        let may_claim = self.machine.on_claiming(link, call);
        if may_claim {
            self.machine.on_link_claims(link);
        }
        // A link that has gone meanwhile says so by an event of its own.
        let _ = answer.send(may_claim);
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Dial => self.dial(),
                Action::Send(frame) => self.send(frame),
                Action::Attached(session, listeners) => self.on_attached(session, &listeners),
                Action::HangUp(why) => self.lose(&lost_text(why)),
                Action::OpenLink(link, purpose) => self.open_link(link, purpose),
                // The link closes itself when nobody holds this any more.
                Action::CloseLink(link) => {
                    self.links.remove(&link);
                    self.outward.remove(&link);
                }
                Action::LinkSilent(link) => {
                    debug!(%link, "nothing was heard on a link on standby for too long");
                    self.links.remove(&link);
                }
                Action::Probe(link) => self.probe(link),
                Action::Lend(link, call) => self.lend(link, call),
                // Whoever waits learns it by this.
                Action::NoLink(call) => drop(self.borrowers.remove(&call)),
                Action::Reach { call, listener, partner } => {
                    self.reach(Call { id: call, listener, partner, arrived: Instant::now() });
                }
                Action::Forget(call) => drop(self.announced.remove(&call)),
                Action::Refused { call, listener, partner, reason } => {
                    let call = Call { id: call, listener, partner, arrived: Instant::now() };
                    let words = reason.to_string();
                    log_unjoined(call, &self.around, CallResult::Refused, Ender::Target, &words);
                }
                Action::Listeners(listeners) => self.compare(&listeners),
                Action::ProxyDraining => info!(proxy = %self.around.proxy, "the proxy is ending"),
            }
        }
    }

    fn dial(&mut self) {
        self.attempt += 1;
        let attempt = Attempt(self.attempt);
        debug!(proxy = %self.around.proxy, "dialling");
        let control = tokio::spawn(control::serve(attempt, self.myself.clone(), self.around.clone()));
        self.control = Some((control.abort_handle(), control));
    }

    fn send(&mut self, frame: Frame) {
        let sent = self.outbox.as_ref().map(|outbox| outbox.try_send(frame));
        // Where it is closed the control link has ended and has said why, by an event that is under way.
        if let Some(Err(TrySendError::Full(_))) = sent {
            self.lose("the proxy does not read its control link");
            self.machine.on_lost(self.now());
        }
    }

    fn on_attached(&mut self, session: SessionId, listeners: &[Name]) {
        self.attached = Some(session);
        self.complaint = None;
        info!(event = "attached", proxy = %self.around.proxy, session = %session);
        self.compare(listeners);
    }

    /// Warns of listeners whose calls would be refused.
    fn compare(&self, listeners: &[Name]) {
        let config = self.around.config();
        for listener in listeners.iter().filter(|listener| !config.targets.contains_key(listener)) {
            warn!(
                proxy = %self.around.proxy, %listener,
                "the proxy has a listener for which there is no --target here; its calls are refused"
            );
        }
    }

    /// The control link is of no more use.
    fn lose(&mut self, reason: &str) {
        self.outbox = None;
        if let Some((abort, _)) = self.control.take()
            && self.attached.is_none()
        {
            abort.abort();
        }
        if let Some(session) = self.attached.take() {
            warn!(event = "lost", proxy = %self.around.proxy, session = %session, reason);
        } else {
            self.complain(reason);
        }
    }

    /// Says why there is no attachment, and again only when the reason is another or has been there for long.
    fn complain(&mut self, reason: &str) {
        let is_known =
            self.complaint.as_ref().is_some_and(|(known, at)| known == reason && at.elapsed() < REMINDER);
        if is_known {
            debug!(proxy = %self.around.proxy, reason, "still not attached");
        } else {
            warn!(event = "not_attached", proxy = %self.around.proxy, reason);
            self.complaint = Some((reason.to_owned(), Instant::now()));
        }
    }

    fn open_link(&mut self, link: LinkId, purpose: Purpose) {
        let announced = match purpose {
            Purpose::Claim(_, call, _) => self.announced.remove(&call),
            Purpose::Standby(_) => None,
            Purpose::Outward(session_id) => return self.open_outward(link, session_id),
        };
        let (close, closed) = oneshot::channel();
        self.links.insert(link, close);
        let (session, around) = (self.myself.clone(), self.around.clone());
        tokio::spawn(call_link::serve(link, purpose, announced, session, around, closed));
    }

    /// Begins to reach the target of an announced call, for the link that will claim it.
    fn reach(&mut self, call: Call) {
        let (mut sender, receiver) = oneshot::channel();
        let around = self.around.clone();
        tokio::spawn(async move {
            if let Either::Left(reached) = race(reach(call.listener, around), sender.closed()).await {
                // Where nobody waits any more the call is over, and the connection is dropped.
                let _ = sender.send(reached);
            }
        });
        self.announced.insert(call.id, (call, receiver));
    }
}

fn lost_text(why: Lost) -> String {
    match why {
        Lost::AttachTimedOut => String::from("the proxy did not answer in time"),
        Lost::Silent => String::from("nothing was heard from the proxy for too long"),
        Lost::Rejected(reason) => format!("the proxy rejected the session: {reason}"),
        Lost::Version => String::from("the proxy speaks another version of the protocol"),
    }
}
