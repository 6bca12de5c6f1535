//! The external ports: open only while a client is attached.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::address::ListenAddress;
use relay::accept::accept_loop;
use relay::call_event::{CallResult, Ender};
use relay::socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};
use wire::limits::EARLY_BYTES_MAX;
use wire::{CallId, Name};

use crate::options::{External, Payload};
use crate::partner::Partner;
use crate::switchboard::{Event, Switchboard, Times};

/// Connections that the kernel holds for us until they are accepted.
pub(crate) const BACKLOG: u32 = 4_096;
/// The pause before a port that could not be bound is tried again.
const REBIND_PAUSE: Duration = Duration::from_secs(5);

/// The external ports that are open. They close when it is dropped.
#[derive(Default)]
pub(crate) struct OuterDoor {
    doors: Vec<AbortHandle>,
}

impl OuterDoor {
    /// Opens every listener, each in a task of its own: one whose port is taken is tried again and again and holds
    /// up no other.
    pub(crate) fn open(
        externals: &[External],
        board: &Switchboard,
        times: &watch::Receiver<Arc<Times>>,
    ) -> Self {
        let open = |external: &External| {
            tokio::spawn(serve(external.clone(), board.clone(), times.clone())).abort_handle()
        };
        Self { doors: externals.iter().map(open).collect() }
    }
}

impl Drop for OuterDoor {
    fn drop(&mut self) {
        self.doors.iter().for_each(AbortHandle::abort);
    }
}

async fn serve(external: External, board: Switchboard, times: watch::Receiver<Arc<Times>>) {
    // In this order: the port is closed before the log says so.
    let (_open, listener) = bind(&external).await;
    let take = |socket: TcpStream, address: SocketAddr| {
        let partner = Partner {
            socket,
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            listener: external.name,
            arrived: Instant::now(),
            target: Arc::from("-"),
            early: Vec::new(),
        };
        // A partner that has gone already is noticed by whoever reads from it.
        let step = times.borrow().step;
        let _ = socket::tune(&partner.socket, step);
        // Nor may a partner that still waits take the end of this process for an orderly one.
        socket::reset_on_close(&partner.socket, true);
        match external.payload {
            Payload::Any => arrive(&board, partner),
            Payload::Tls => {
                tokio::spawn(arrive_with_tls(board.clone(), partner, step));
            }
        }
    };
    match accept_loop(&listener, take).await {}
}

/// Binds a listener, for as long as it takes. The first part says in the log when it is closed.
async fn bind(external: &External) -> (OpenListener, TcpListener) {
    let mut complained = false;
    loop {
        match listen(&external.listen) {
            Ok((listener, address)) => {
                info!(event = "listening", listener = %external.name, address);
                return (OpenListener { name: external.name, address }, listener);
            }
            Err(reason) if !complained => {
                error!(listener = %external.name, "{reason}; trying again every {} s", REBIND_PAUSE.as_secs());
                complained = true;
            }
            Err(_) => {}
        }
        sleep(REBIND_PAUSE).await;
    }
}

fn listen(address: &ListenAddress) -> Result<(TcpListener, String), String> {
    let bound = address.bind(BACKLOG).map_err(|error| error.to_string())?;
    let shown = bound.local_addr().map_err(|error| error.to_string())?.to_string();
    let listener = TcpListener::from_std(bound).map_err(|error| error.to_string())?;
    Ok((listener, shown))
}

/// An external port that is open; says so when it no longer is.
struct OpenListener {
    name: Name,
    address: String,
}

impl Drop for OpenListener {
    fn drop(&mut self) {
        info!(event = "closed", listener = %self.name, address = self.address);
    }
}

/// Hands a partner to the switchboard; where that is overrun the partner is reset at once.
fn arrive(board: &Switchboard, partner: Partner) {
    if let Some(partner) = board.try_arrive(partner) {
        turn_away(partner, "too many calls arrive at once", Ender::Tunnel);
    }
}

/// Turns a partner away that never got as far as being a call.
pub(crate) fn turn_away(partner: Partner, reason: &str, ended_by: Ender) {
    partner.turn_away(CallId(0), CallResult::Denied, ended_by, reason);
}

/// Lets a partner in only if it begins with a TLS handshake, within `-T`. What was read travels with the call.
async fn arrive_with_tls(board: Switchboard, mut partner: Partner, step: Duration) {
    match timeout(step, begins_with_tls(&mut partner)).await {
        Ok(true) => board.tell(Event::Arrived(partner)).await,
        Ok(false) => turn_away(partner, "the caller does not begin with a TLS ClientHello", Ender::Partner),
        Err(_) => {
            turn_away(partner, "the caller did not begin with a TLS ClientHello in time", Ender::Partner);
        }
    }
}

async fn begins_with_tls(partner: &mut Partner) -> bool {
    while partner.early.len() < CLIENT_HELLO_BYTES {
        match partner.read_early(EARLY_BYTES_MAX - partner.early.len()).await {
            Ok((_, 1..)) => {}
            Ok((_, 0)) | Err(_) => return false,
        }
    }
    is_client_hello(&partner.early)
}

/// A record of type handshake (22) and version 3.x (RFC 8446, section 5.1) whose message is a ClientHello
/// (1; section 4).
fn is_client_hello(start: &[u8]) -> bool {
    matches!(start, [22, 3, _, _, _, 1, ..])
}

/// As many bytes as [`is_client_hello`] looks at.
const CLIENT_HELLO_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_hello_is_one() {
        assert!(is_client_hello(&[22, 3, 1, 2, 0, 1, 0]));
        assert!(!is_client_hello(&[22, 3, 1, 2, 0, 2, 0]), "a ServerHello");
        assert!(!is_client_hello(b"SSH-2.0"));
        assert!(!is_client_hello(&[22, 3, 1, 2, 0]), "too short to tell");
        assert!(!is_client_hello(&[0x10, 0, 0, 0x17, b'I', b'O']), "plain OFTP");
    }
}
