//! The external ports: open only while a client is attached.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::address::ListenAddress;
use relay::accept::accept_tuned;
use relay::call_event::Ender;
use relay::{Beginning, Caller, socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info};
use wire::Name;
use wire::limits::{CLIENT_HELLO_BYTES, EARLY_BYTES_MAX, WAITING_CALLS_MAX};

use crate::options::{External, Payload};
use crate::partner::Partner;
use crate::switchboard::{Event, Switchboard, Times};

/// Connections that the kernel holds for us until they are accepted.
pub(crate) const BACKLOG: u32 = 4_096;
/// The pause before a port that could not be bound is tried again.
const REBIND_PAUSE: Duration = Duration::from_secs(5);

/// Callers at one listener that have to begin with TLS and have not done so yet.
const BEGINNERS_MAX: usize = WAITING_CALLS_MAX;

/// The external ports.
#[derive(Default)]
pub(crate) struct OuterDoor {
    open: Vec<Door>,
    /// Of doors that were closed: ends when the port really is.
    closing: Vec<watch::Receiver<()>>,
}

struct Door {
    external: External,
    task: AbortHandle,
    /// Ends with the task.
    gone: watch::Receiver<()>,
}

impl OuterDoor {
    /// Opens these listeners and closes all others; one that is open already is not touched. Each has a task of its
    /// own: one whose port is taken is tried again and again and holds up no other.
    pub(crate) fn open(
        &mut self,
        externals: &[External],
        board: &Switchboard,
        times: &watch::Receiver<Arc<Times>>,
    ) {
        self.close_unless(|external| externals.contains(external));
        for external in externals {
            if self.open.iter().any(|door| door.external == *external) {
                continue;
            }
            let (going, gone) = watch::channel(());
            let former = self.closing.clone();
            let (own, board, times) = (external.clone(), board.clone(), times.clone());
            let serving = async move {
                // Dropped last, when the task is aborted.
                let _going = going;
                // An address may be in the old list and in the new. What is waited for is the end, an error.
                for mut gone in former {
                    let _ = gone.changed().await;
                }
                serve(own, board, times).await;
            };
            let task = tokio::spawn(serving).abort_handle();
            self.open.push(Door { external: external.clone(), task, gone });
        }
    }

    /// Closes all listeners.
    pub(crate) fn close(&mut self) {
        self.close_unless(|_| false);
    }

    fn close_unless(&mut self, stays: impl Fn(&External) -> bool) {
        self.closing.retain(|gone| gone.has_changed().is_ok());
        for door in self.open.extract_if(.., |door| !stays(&door.external)) {
            door.task.abort();
            self.closing.push(door.gone);
        }
    }
}

async fn serve(external: External, board: Switchboard, times: watch::Receiver<Arc<Times>>) {
    // In this order: the port is closed before the log says so.
    let (_open, listener) = bind(&external).await;
    let beginners = Arc::new(Semaphore::new(BEGINNERS_MAX));
    let take = |socket: TcpStream, address: SocketAddr| {
        let Some(place) = board.take_place() else {
            return board.crowded_out(socket, address);
        };
        let partner = Partner {
            caller: Caller::new(socket),
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            listener: external.name,
            arrived: Instant::now(),
            target: Arc::from("-"),
            _place: place,
        };
        match external.payload {
            Payload::Any => arrive(&board, partner),
            Payload::Tls => match beginners.clone().try_acquire_owned() {
                Ok(place) => {
                    let step = times.borrow().step;
                    tokio::spawn(arrive_with_tls(board.clone(), partner, step, place));
                }
                Err(_) => board.deny(partner, "too many callers have not begun with TLS yet", Ender::Tunnel),
            },
        }
    };
    // A partner may not take the end of this process for an orderly end, not even one that still waits.
    socket::reset_on_close(&listener, true);
    accept_tuned(&listener, times.clone(), |times| times.step, take).await;
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
        board.deny(partner, "too many calls arrive at once", Ender::Tunnel);
    }
}

/// Lets a partner in only if it begins with a TLS handshake, within `-T`. What was read travels with the call.
async fn arrive_with_tls(
    board: Switchboard,
    mut partner: Partner,
    step: Duration,
    place: OwnedSemaphorePermit,
) {
    let begun = timeout(step, begins_with_tls(&mut partner)).await;
    drop(place);
    match begun {
        Ok(true) => board.tell(Event::Arrived(partner)).await,
        Ok(false) => board.deny(partner, "the caller does not begin with a TLS ClientHello", Ender::Partner),
        Err(_) => {
            board.deny(partner, "the caller did not begin with a TLS ClientHello in time", Ender::Partner);
        }
    }
}

async fn begins_with_tls(partner: &mut Partner) -> bool {
    let caller = &mut partner.caller;
    while caller.early.len() < CLIENT_HELLO_BYTES {
        match caller.read_early(EARLY_BYTES_MAX - caller.early.len()).await {
            Ok((_, 1..)) => {}
            Ok((_, 0)) | Err(_) => return false,
        }
    }
    let mut beginning = Beginning::default();
    beginning.note(&caller.early);
    beginning.is_client_hello()
}
