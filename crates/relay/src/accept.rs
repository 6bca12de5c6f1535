//! An accept loop that survives running out of descriptors.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SocketFlags;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::warn;

use crate::race::{Either, race};
use crate::socket;

/// The pause after an `accept` that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);
/// At most one line in the log about failing accepts in this time.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Accepts for ever; drop the future to stop. `on_connection` must not block: whatever a connection asks for is
/// the business of a task of its own.
///
/// One descriptor is kept in reserve. When there are no others the reserve is spent on accepting the waiting
/// connection and closing it by a reset, so that its peer learns at once that there is no place, and the loop
/// neither ends nor spins.
pub async fn accept_loop(
    listener: &TcpListener,
    mut on_connection: impl FnMut(TcpStream, SocketAddr),
) -> Infallible {
    let mut reserve = take_reserve(listener);
    let mut complaint = Complaint::default();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                on_connection(stream, address);
                reserve = reserve.or_else(|| take_reserve(listener));
            }
            Err(error) if is_exhaustion(&error) => {
                drop(reserve.take());
                let turned_away = turn_away_one(listener);
                reserve = take_reserve(listener);
                complaint.note(listener, &error);
                if turned_away.is_none() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // The connection ended between its arrival and the accept (accept(2), "Error handling").
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                complaint.note(listener, &error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Accepts as [`accept_loop`] does, and has every connection [tuned](socket::tune) by the listener, from which it
/// inherits: once, and again when `-T`, which `step` finds in `settings`, may have changed. Returns when nobody can
/// change the settings any more, because the daemon is ending.
pub async fn accept_tuned<T>(
    listener: &TcpListener,
    mut settings: watch::Receiver<T>,
    step: impl Fn(&T) -> Duration,
    mut on_connection: impl FnMut(TcpStream, SocketAddr),
) {
    loop {
        let step = step(&settings.borrow_and_update());
        if let Err(error) = socket::tune(listener, step) {
            warn!("the options of a listening socket cannot be set: {error}");
        }
        match race(accept_loop(listener, &mut on_connection), settings.changed()).await {
            Either::Right(Ok(())) => {}
            Either::Right(Err(_)) => return,
        }
    }
}

/// A descriptor to be given up when there are no others. A second one of the listener costs nothing else and opens
/// no file, which a daemon that is locked down could not.
fn take_reserve(listener: &TcpListener) -> Option<OwnedFd> {
    listener.as_fd().try_clone_to_owned().ok()
}

fn is_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Accepts one connection with the descriptor that was held in reserve, and closes it by a reset.
fn turn_away_one(listener: &TcpListener) -> Option<()> {
    let accepted = rustix::net::accept_with(listener, SocketFlags::CLOEXEC).ok()?;
    let socket = socket2::Socket::from(accepted);
    socket.set_linger(Some(Duration::ZERO)).ok()
}

/// Says at a bounded rate that connections cannot be accepted.
#[derive(Default)]
struct Complaint {
    count: u64,
    last: Option<Instant>,
}

impl Complaint {
    fn note(&mut self, listener: &TcpListener, error: &io::Error) {
        self.count += 1;
        if self.last.is_some_and(|last| last.elapsed() < COMPLAINT_INTERVAL) {
            return;
        }
        self.last = Some(Instant::now());
        let address = listener.local_addr().map_or_else(|_| String::from("?"), |address| address.to_string());
        warn!(
            address,
            failures = self.count,
            "connections cannot be accepted: {error}; if descriptors are short, raise the limit (ulimit -n, LimitNOFILE=)"
        );
    }
}
