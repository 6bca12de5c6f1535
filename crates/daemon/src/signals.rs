//! What the operator or the service manager asks of a running daemon.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use tokio::signal::unix::{self, SignalKind};

/// A wish, told by a Unix signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// First SIGTERM or SIGINT: no new calls, let the running ones end.
    Drain,
    /// Any further SIGTERM or SIGINT: end at once.
    EndNow,
    /// SIGHUP: read configuration, keys and license again, and reopen the log file.
    Reload,
}

/// The signals of this process. SIGPIPE needs no care: the Rust runtime ignores it from the start.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    draining: bool,
}

impl Signals {
    /// Takes over the signals; from here on none of them ends the process by itself. Needs a Tokio runtime.
    ///
    /// # Errors
    /// What the system said.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hang_up: unix::signal(SignalKind::hangup())?,
            draining: false,
        })
    }

    /// Waits for the next wish. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        let ends = [&mut self.terminate, &mut self.interrupt];
        if ends.into_iter().any(|signal| signal.poll_recv(context).is_ready()) {
            let again = std::mem::replace(&mut self.draining, true);
            return Poll::Ready(if again { Signal::EndNow } else { Signal::Drain });
        }
        self.hang_up.poll_recv(context).map(|_| Signal::Reload)
    }
}
