//! The internal port: a handshake, the first frame, and then a session or a link.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use relay::accept::accept_tuned;
use relay::{Either, Link, LinkError, race};
use seal::{Acceptor, HandshakeError, Sealed, SealedStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tracing::warn;
use wire::permit::{State, permitted};
use wire::{Frame, PeerKey, SessionId, Violation, limits};

use crate::call_link::{self, Surroundings};
use crate::handshakes::Handshakes;
use crate::orders::orders;
use crate::switchboard::{Event, Opening};
use crate::{dial_out, session};
use daemon::complaints::Complaints;

/// What the door needs to know of the configuration, and what changes with it.
pub(crate) struct Lock {
    /// Answers handshakes with the key and the list in force.
    pub(crate) acceptor: Acceptor,
    /// The file in which trusted clients are listed, for what the log says.
    pub(crate) authorized_path: PathBuf,
}

/// Serves the internal port; drop the future to close it.
pub(crate) async fn serve(listener: TcpListener, lock: watch::Receiver<Arc<Lock>>, around: Surroundings) {
    let handshakes = Handshakes::default();
    let complaints = Complaints::default();
    let take = |stream: TcpStream, address: SocketAddr| {
        let place = handshakes.enter(address.ip());
        let visitor = Visitor {
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            lock: lock.borrow().clone(),
            around: around.clone(),
            complaints: complaints.clone(),
        };
        tokio::spawn(async move {
            let step = visitor.around.times.borrow().step;
            let bound = step.min(Duration::from_millis(limits::HANDSHAKE_MS_MAX));
            let entered = timeout(bound, race(visitor.enter(stream), place.taken_away())).await;
            drop(place);
            match entered {
                Ok(Either::Left(Some((link, key, frame)))) => visitor.admit(link, key, frame, step),
                Ok(Either::Left(None)) => {}
                Ok(Either::Right(())) => visitor.complain("overrun", "gave way to a newer handshake"),
                Err(_) => visitor.complain("slow", "did not finish the handshake in time"),
            }
        });
    };
    accept_tuned(&listener, around.times.clone(), |times| times.step, take).await;
}

/// A sealed connection from a client.
type ClientLink = Link<SealedStream<TcpStream>>;

/// A connection at the internal port before it is known what it is.
struct Visitor {
    address: SocketAddr,
    lock: Arc<Lock>,
    around: Surroundings,
    complaints: Complaints,
}

impl Visitor {
    /// The handshake and the first frame.
    async fn enter(&self, stream: TcpStream) -> Option<(ClientLink, PeerKey, Frame)> {
        let Sealed { stream, peer, .. } = match self.lock.acceptor.accept(stream).await {
            Ok(sealed) => sealed,
            Err(HandshakeError::UnknownKey(key)) => {
                self.complain("unknown", &seal::unknown_client(&key, &self.lock.authorized_path));
                return None;
            }
            Err(error) => {
                self.complain("handshake", &error.to_string());
                return None;
            }
        };
        let mut link = Link::new(stream);
        match link.receive().await {
            Ok(frame) => Some((link, PeerKey(*peer.as_bytes()), frame)),
            // It came, proved who it is, and left: a client that was ended, or a check.
            Err(LinkError::Closed) => None,
            Err(error) => {
                self.complain("first frame", &error.to_string());
                None
            }
        }
    }

    /// Each goes on in a task of its own, which has no room for a handshake to carry along for its life.
    fn admit(self, link: ClientLink, key: PeerKey, first: Frame, step: Duration) {
        let kind = first.kind();
        if !permitted(State::DoorOpened, kind) {
            let violation = Violation { state: State::DoorOpened, kind };
            return self.complain("first frame", &violation.to_string());
        }
        match first {
            Frame::Hello(hello) => {
                tokio::spawn(session::serve(link, key, self.address, hello, self.around.board, step));
            }
            Frame::Standby(session) => {
                tokio::spawn(self.admit_link(link, key, session, Opening::Standby));
            }
            Frame::Claim { session, call, token } => {
                tokio::spawn(self.admit_link(link, key, session, Opening::Claim(call, token)));
            }
            Frame::Outward(session) => {
                tokio::spawn(self.admit_link(link, key, session, Opening::Outward));
            }
            _ => {}
        }
    }

    async fn admit_link(self, link: ClientLink, key: PeerKey, session: SessionId, opening: Opening) {
        let (orders, ordered) = orders();
        let (answer, answered) = oneshot::channel();
        self.around.board.tell(Event::Link { key, session, opening, orders, answer }).await;
        match answered.await {
            Ok(Ok(id)) if opening.is_outward() => {
                tokio::spawn(dial_out::serve(link, id, ordered, self.around));
            }
            Ok(Ok(id)) => {
                tokio::spawn(call_link::serve(link, id, ordered, self.around));
            }
            // It may be late: a session that has just ended. The client notices by the end of the link.
            Ok(Err(denied)) => {
                tracing::debug!(address = %self.address, %session, ?denied, "link not admitted");
            }
            Err(_) => {}
        }
    }

    /// Says in the log, at a bounded rate, what is wrong with a visitor.
    fn complain(&self, kind: &'static str, what: &str) {
        if let Some(held_back) = self.complaints.may_say(kind) {
            warn!(event = "turned_away", address = %self.address, reason = what, "{held_back}");
        }
    }
}
