//! What ends a command that would run for ever.

use daemon::failure::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM, and SIGHUP for a terminal that is closed.
pub(crate) struct Ending {
    signals: [Signal; 3],
}

impl Ending {
    /// From now on these signals no longer end the process by themselves.
    pub(crate) fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(Failure::operator);
        let signals = [on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?];
        Ok(Self { signals })
    }

    /// Returns when one of them comes. May be dropped and called again.
    pub(crate) async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
