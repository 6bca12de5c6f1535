//! The proxy as a whole: started, reloaded, drained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::failure::Failure;
use relay::{Either, Stop, race};
use seal::{Acceptor, Authorized, IdentityKey};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::call_link::Surroundings;
use crate::inner_door::{self, Lock};
use crate::license_watch::{LicenseWatch, Licensed};
use crate::options::{Options, Outgoing};
use crate::outer_door::BACKLOG;
use crate::switchboard::{self, Event, Switchboard};

/// After running calls were told to end: the time they get for saying so on their links.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running proxy.
pub struct Proxy {
    internal: SocketAddr,
    options: Options,
    board: Switchboard,
    lock: watch::Sender<Arc<Lock>>,
    outgoing: watch::Sender<Arc<Outgoing>>,
    calls: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    inner_door: AbortHandle,
    license: LicenseWatch,
}

impl Proxy {
    /// Reads key and list, binds the internal port and serves it. Needs a Tokio runtime, and a license.
    ///
    /// # Errors
    /// What the operator has to mend.
    pub fn start(options: Options, licensed: Licensed) -> Result<Self, Failure> {
        let (lock, authorized) = read_lock(&options)?;
        let listener = options.internal.bind(BACKLOG).map_err(Failure::operator)?;
        let internal = listener.local_addr().map_err(Failure::operator)?;
        let listener = TcpListener::from_std(listener).map_err(Failure::operator)?;
        info!(event = "listening", door = "internal", address = %internal);
        if authorized.is_empty() {
            warn!(
                "no client is trusted yet: add the public key of each, one per line, to {}; os4x_proxyclient -K prints it",
                options.authorized.display()
            );
        }
        let started = switchboard::start(&options, authorized);
        let (lock, lock_seen) = watch::channel(Arc::new(lock));
        let (outgoing, outgoing_seen) = watch::channel(options.outgoing.clone());
        let (stop, stop_seen) = Stop::new();
        let around = Surroundings {
            board: started.board.clone(),
            times: started.times,
            outgoing: outgoing_seen,
            stop: stop_seen,
        };
        let inner_door = tokio::spawn(inner_door::serve(listener, lock_seen, around)).abort_handle();
        let license = LicenseWatch::start(licensed);
        Ok(Self {
            internal,
            options,
            board: started.board,
            lock,
            outgoing,
            calls: started.calls,
            stop,
            inner_door,
            license,
        })
    }

    /// Where clients connect to.
    pub fn internal_address(&self) -> SocketAddr {
        self.internal
    }

    /// How things stand with the license.
    pub fn license_status(&self) -> license::Status {
        self.license.status()
    }

    /// Takes over what has changed in the configuration. Running calls are not touched.
    ///
    /// # Errors
    /// What is wrong with the key or the list; everything old stays in force. A license that is wrong is no error here:
    /// it is logged, the old one stays in force, and a key that was struck off the list is out nevertheless.
    pub async fn reload(&mut self, options: Options) -> Result<(), Failure> {
        let (lock, authorized) = read_lock(&options)?;
        if options.internal != self.options.internal {
            warn!(
                "the internal address stays {}: {} takes effect at the next start",
                self.options.internal, options.internal
            );
        }
        self.lock.send_replace(Arc::new(lock));
        self.outgoing.send_replace(options.outgoing.clone());
        self.license.reload(&options).await?;
        self.board.tell(Event::Reload(Box::new(options.clone()), authorized)).await;
        self.options = options;
        Ok(())
    }

    /// Ends: no new calls; running ones go on up to the configured time, or until `hurry` is ready.
    pub async fn drain(mut self, hurry: impl Future<Output = ()>) {
        // The internal port stays open: a call that was announced may still be claimed.
        self.board.tell(Event::Drain).await;
        let running = *self.calls.borrow();
        let limit = self.options.drain;
        info!(event = "drain", calls = running, "ending; calls may go on for {} s", limit.as_secs());
        if let Either::Right(_) = race(quiet(&mut self.calls), race(sleep(limit), hurry)).await {
            let left = *self.calls.borrow();
            warn!(event = "drain", calls = left, "the time is over; the calls that are left are aborted");
            self.stop.send_replace(true);
            let _ = timeout(FAREWELL, quiet(&mut self.calls)).await;
        }
        self.inner_door.abort();
    }
}

/// Returns when no call is being set up or running.
async fn quiet(calls: &mut watch::Receiver<usize>) {
    // Without a sender there is nobody left who could carry one.
    let _ = calls.wait_for(|calls| *calls == 0).await;
}

fn read_lock(options: &Options) -> Result<(Lock, Arc<Authorized>), Failure> {
    let key = IdentityKey::load_or_create(&options.key).map_err(Failure::operator)?;
    let authorized = Arc::new(Authorized::load(&options.authorized).map_err(Failure::operator)?);
    let acceptor = Acceptor::new(&key, authorized.clone()).map_err(Failure::operator)?;
    Ok((Lock { acceptor, authorized_path: options.authorized.clone() }, authorized))
}
