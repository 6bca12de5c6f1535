//! The client as a whole: started, reloaded, drained.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use daemon::address::HostPort;
use daemon::complaints::Complaints;
use daemon::failure::Failure;
use relay::{Either, JoinLimits, Stop, race};
use seal::{Authorized, Connector, IdentityKey};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::local_doors::LocalDoors;
use crate::options::Options;
use crate::outbound_call::Exits;
use crate::session::{Event, Session, random};
use crate::surroundings::{Config, SetUps, Surroundings};

/// After running calls were told to end: the time they and the sessions get for saying so.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running client.
pub struct Client {
    options: Options,
    config: watch::Sender<Arc<Config>>,
    stop: watch::Sender<bool>,
    stop_seen: Stop,
    calls: Arc<watch::Sender<usize>>,
    sessions: HashMap<HostPort, (Session, JoinHandle<()>)>,
    /// The sessions, for calls of stations.
    ways_out: watch::Sender<Arc<[Session]>>,
    exits: Exits,
    doors: LocalDoors,
}

impl Client {
    /// Reads key and list, opens the local ports and begins to attach. Needs a Tokio runtime.
    ///
    /// # Errors
    /// What the operator has to mend.
    pub fn start(options: Options) -> Result<Self, Failure> {
        let config = read_config(&options)?;
        for what in &options.not_carried {
            warn!("this build does not serve it yet, and nothing is opened for it: {what}");
        }
        let config = watch::Sender::new(Arc::new(config));
        let (stop, stop_seen) = Stop::new();
        let calls = Arc::new(watch::Sender::new(0));
        let ways_out = watch::Sender::new(Arc::from([]));
        let exits = Exits {
            sessions: ways_out.subscribe(),
            config: config.subscribe(),
            stop: stop_seen.clone(),
            calls: calls.clone(),
            last_id: Arc::new(AtomicU64::new(random())),
            turn: Arc::new(AtomicUsize::new(0)),
            places: Arc::new(Semaphore::new(places(daemon::limits::open_files()))),
            complaints: Complaints::default(),
        };
        let (sessions, doors) = (HashMap::new(), LocalDoors::default());
        let mut client = Self { options, config, stop, stop_seen, calls, sessions, ways_out, exits, doors };
        client.doors.open(&client.options.outgoing.doors, &client.exits)?;
        client.warn_of_options();
        client.attach_to_all();
        Ok(client)
    }

    /// Takes over what has changed in the configuration. Running calls are not touched.
    ///
    /// # Errors
    /// What is wrong with the key or the list; everything old stays in force.
    pub async fn reload(&mut self, options: Options) -> Result<(), Failure> {
        let config = read_config(&options)?;
        self.doors.open(&options.outgoing.doors, &self.exits)?;
        self.config.send_replace(Arc::new(config));
        self.options = options;
        self.warn_of_options();
        let proxies = &self.options.proxies;
        for (_, (session, _)) in self.sessions.extract_if(|proxy, _| !proxies.contains(proxy)) {
            session.tell(Event::Drain).await;
            session.tell(Event::End).await;
        }
        for (session, _) in self.sessions.values() {
            session.tell(Event::Reload).await;
        }
        self.attach_to_all();
        Ok(())
    }

    /// Ends: no new calls; running ones go on up to the configured time, or until `hurry` is ready.
    pub async fn drain(mut self, hurry: impl Future<Output = ()>) {
        let draining = Config { draining: true, ..Config::clone(&self.config.borrow()) };
        self.config.send_replace(Arc::new(draining));
        self.doors.close();
        for (session, _) in self.sessions.values() {
            session.tell(Event::Drain).await;
        }
        let limit = self.options.drain;
        let running = *self.calls.borrow();
        info!(event = "drain", calls = running, "ending; calls may go on for {} s", limit.as_secs());
        if let Either::Right(_) = race(quiet(&self.calls), race(sleep(limit), hurry)).await {
            let left = *self.calls.borrow();
            warn!(event = "drain", calls = left, "the time is over; the calls that are left are aborted");
            self.stop.send_replace(true);
            let _ = timeout(FAREWELL, quiet(&self.calls)).await;
        }
        let end = async {
            for (session, _) in self.sessions.values() {
                session.tell(Event::End).await;
            }
            for (_, task) in self.sessions.into_values() {
                // A session that failed has nothing left to say.
                let _ = task.await;
            }
        };
        let _ = timeout(FAREWELL, end).await;
    }

    fn attach_to_all(&mut self) {
        for proxy in &self.options.proxies {
            self.sessions.entry(proxy.clone()).or_insert_with(|| {
                Session::start(Surroundings {
                    proxy: proxy.clone(),
                    config: self.config.subscribe(),
                    stop: self.stop_seen.clone(),
                    calls: self.calls.clone(),
                    set_ups: SetUps::default(),
                })
            });
        }
        self.ways_out.send_replace(self.sessions.values().map(|(session, _)| session.clone()).collect());
    }

    /// What an operator should think about once more.
    fn warn_of_options(&self) {
        let outgoing = &self.options.outgoing;
        for door in outgoing.doors.iter().filter(|door| !door.is_local() && outgoing.from.is_none()) {
            warn!(
                listener = %door.name, address = %door.listen.shown(),
                "[outgoing] from does not say who may call out here; every private address may"
            );
        }
        for caution in &self.options.cautions {
            warn!("{caution}");
        }
    }
}

/// Calls of stations that may be there at once: a call takes two descriptors, and half of all are for them.
fn places(open_files: u64) -> usize {
    usize::try_from(open_files / 4)
        .map_or(Semaphore::MAX_PERMITS, |places| places.min(Semaphore::MAX_PERMITS))
}

/// Returns when no call is being set up or running.
async fn quiet(calls: &watch::Sender<usize>) {
    // The sender is here, so that this does not fail.
    let _ = calls.subscribe().wait_for(|calls| *calls == 0).await;
}

fn read_config(options: &Options) -> Result<Config, Failure> {
    let key = IdentityKey::load_or_create(&options.key).map_err(Failure::operator)?;
    let authorized = Authorized::load(&options.authorized).map_err(Failure::operator)?;
    if authorized.is_empty() {
        warn!(
            "no proxy is trusted yet: add the public key of each, one per line, to {}; os4x_proxy -K prints it",
            options.authorized.display()
        );
    }
    Ok(Config {
        connector: Connector::new(&key, Arc::new(authorized)).map_err(Failure::operator)?,
        own_key: key.public_key(),
        authorized_path: options.authorized.clone(),
        targets: options.targets.iter().cloned().collect(),
        outgoing: options.outgoing.clone(),
        step: options.step,
        join: JoinLimits { idle: options.idle, reap: options.step, unseal: options.unseal },
        draining: false,
    })
}
