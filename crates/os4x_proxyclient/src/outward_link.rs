//! One link for calls of stations: it waits, is lent to one call after another, and comes back.

use relay::{Either, LinkError, heartbeat, race};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;
use wire::{Frame, LinkId, LinkState, Role, SessionId};

use crate::session::{Event, Session};
use crate::surroundings::{ProxyLink, Surroundings};

/// Where a link goes that is lent to a call.
pub(crate) type Borrower = oneshot::Sender<Lease>;

/// What a link is told.
pub(crate) enum OutwardOrder {
    /// Go to a call.
    Lend(Borrower),
    /// Say that this end lives, and expect the same.
    Probe,
}

/// Orders that may wait for a link: a heartbeat, and a call.
pub(crate) const ORDERS_MAX: usize = 2;

/// A link that is lent to a call. One that is not given back is given up.
pub(crate) struct Lease {
    /// The link.
    pub(crate) link: ProxyLink,
    /// Where it stands.
    pub(crate) state: LinkState,
    back: oneshot::Sender<(ProxyLink, LinkState)>,
}

impl Lease {
    /// Gives the link back, whose call is over in both directions.
    pub(crate) fn give_back(self) {
        // Where nobody takes it any more the daemon is ending.
        let _ = self.back.send((self.link, self.state));
    }
}

/// Opens a link and keeps it until one of the two sides ends it. When `orders` ends it is closed as soon as
/// it is back.
pub(crate) async fn serve(
    id: LinkId,
    session_id: SessionId,
    session: Session,
    around: Surroundings,
    mut orders: mpsc::Receiver<OutwardOrder>,
) {
    let opened = async {
        let mut link = around.dial().await.map_err(|error| around.explain(&error))?;
        link.send(&Frame::Outward(session_id)).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(link)
    };
    // In a place of its own, so that the link does not carry the room for its handshake along for its life.
    let link = match Box::pin(opened).await {
        Ok(link) => link,
        Err(reason) => {
            debug!(link = %id, "{reason}");
            return session.tell(Event::LinkFailed(id, None)).await;
        }
    };
    session.tell(Event::LinkOutward(id)).await;
    let (reason, link) = keep(id, link, &session, &mut orders).await;
    debug!(link = %id, reason, "outward link ends");
    session.tell(Event::LinkLost(id, None)).await;
    if let Some(mut link) = link {
        // A goodbye for a proxy that is still there.
        let _ = timeout(around.config().step, link.writer.close()).await;
    }
}

/// Lends the link until it is of no more use, or not wanted any more. Returns the reason, and the link if it is here.
async fn keep(
    id: LinkId,
    link: ProxyLink,
    session: &Session,
    orders: &mut mpsc::Receiver<OutwardOrder>,
) -> (String, Option<ProxyLink>) {
    let (mut link, mut state) = (link, LinkState::outward(Role::Client));
    loop {
        let borrower = match race(orders.recv(), link.receive()).await {
            Either::Left(Some(OutwardOrder::Lend(borrower))) => borrower,
            Either::Left(Some(OutwardOrder::Probe)) => match heartbeat::probe(&mut link, &mut state).await {
                Ok(()) => continue,
                Err(error) => return (error.to_string(), Some(link)),
            },
            Either::Left(None) => return (LinkError::Closed.to_string(), Some(link)),
            // Nothing is permitted here but the answer to a heartbeat.
            Either::Right(Ok(frame)) => match state.on_received(frame.kind()) {
                Ok(()) => continue,
                Err(violation) => return (violation.to_string(), Some(link)),
            },
            Either::Right(Err(error)) => return (error.to_string(), Some(link)),
        };
        let (back, returned) = oneshot::channel();
        (link, state) = match borrower.send(Lease { link, state, back }) {
            Ok(()) => match returned.await {
                Ok(returned) => returned,
                Err(_) => return (String::from("its call has ended it"), None),
            },
            // The station has left meanwhile.
            Err(Lease { link, state, .. }) => (link, state),
        };
        session.tell(Event::LinkFree(id)).await;
    }
}
