//! Links for calls of stations: borrowed from a session, and opened by it.

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use wire::{CallId, LinkId, SessionId};

use super::{Event, Keeper, Session};
use crate::outward_link::{self, Lease, ORDERS_MAX, OutwardOrder};

impl Session {
    /// Borrows a link for the call of a station; `None` where the proxy is not attached, or no link to it can be had.
    pub(crate) async fn lend(&self, call: CallId) -> Option<Lease> {
        let (borrower, lent) = oneshot::channel();
        self.tell(Event::LinkWanted(call, borrower)).await;
        lent.await.ok()
    }
}

impl Keeper {
    pub(super) fn lend(&mut self, link: LinkId, call: CallId) {
        let Some(borrower) = self.borrowers.remove(&call) else { return };
        let order = OutwardOrder::Lend(borrower);
        let lent = match self.outward.get(&link) {
            Some(orders) => orders.try_send(order).map_err(TrySendError::into_inner),
            None => Err(order),
        };
        // A link that has gone says so by an event that is under way.
        if let Err(OutwardOrder::Lend(borrower)) = lent {
            self.borrowers.insert(call, borrower);
            self.machine.on_link_wanted(self.now(), call);
        }
    }

    pub(super) fn probe(&mut self, link: LinkId) {
        // The other place is for a call.
        if let Some(orders) = self.outward.get(&link)
            && orders.capacity() == ORDERS_MAX
        {
            // Where this fails the link has gone, and says so by an event.
            let _ = orders.try_send(OutwardOrder::Probe);
        }
    }

    pub(super) fn open_outward(&mut self, link: LinkId, session_id: SessionId) {
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        self.outward.insert(link, orders);
        let (session, around) = (self.myself.clone(), self.around.clone());
        tokio::spawn(outward_link::serve(link, session_id, session, around, ordered));
    }
}
