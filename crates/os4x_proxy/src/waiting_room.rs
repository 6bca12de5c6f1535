//! Partners waiting for their call to be taken.
//!
//! How many may wait and for how long is decided by [`wire::proxy_side::ProxySide`]; this is only where they sit.

use std::collections::HashMap;
use std::sync::Arc;

use relay::{Either, race};
use tokio::sync::oneshot;
use wire::CallId;

use crate::partner::Partner;
use crate::switchboard::{Event, Switchboard};

/// What becomes of a partner that is called up.
type Next = Box<dyn FnOnce(Partner) + Send>;

enum Seat {
    /// It has just come and is about to be sent on.
    New(Partner),
    /// It sits with a task that notices when it leaves.
    Watched(oneshot::Sender<Next>),
}

/// The partners that are parked, by their calls.
#[derive(Default)]
pub(crate) struct WaitingRoom {
    seats: HashMap<CallId, Seat>,
}

impl WaitingRoom {
    /// Parks a partner for as long as it takes to decide where it goes.
    pub(crate) fn seat(&mut self, call: CallId, partner: Partner) {
        self.seats.insert(call, Seat::New(partner));
    }

    /// The partner has to wait: from now on somebody watches whether it leaves. `target` is where it is hoped to go.
    pub(crate) fn watch(&mut self, call: CallId, target: Option<Arc<str>>, board: &Switchboard) {
        let Some(seat) = self.seats.remove(&call) else { return };
        let seat = match seat {
            Seat::New(mut partner) => {
                partner.target = target.unwrap_or(partner.target);
                let (sender, receiver) = oneshot::channel();
                tokio::spawn(watch(call, partner, receiver, board.clone()));
                Seat::Watched(sender)
            }
            watched @ Seat::Watched(_) => watched,
        };
        self.seats.insert(call, seat);
    }

    /// Calls a partner up and hands it to `next`. Returns false if it is not there any more.
    pub(crate) fn call_up(&mut self, call: CallId, next: impl FnOnce(Partner) + Send + 'static) -> bool {
        match self.seats.remove(&call) {
            Some(Seat::New(partner)) => {
                next(partner);
                true
            }
            Some(Seat::Watched(sender)) => sender.send(Box::new(next)).is_ok(),
            None => false,
        }
    }

    /// The partner has left.
    pub(crate) fn forget(&mut self, call: CallId) {
        self.seats.remove(&call);
    }
}

async fn watch(call: CallId, partner: Partner, mut called_up: oneshot::Receiver<Next>, board: Switchboard) {
    let next = match race(&mut called_up, partner.caller.failed()).await {
        Either::Left(next) => next.ok(),
        Either::Right(()) => {
            called_up.close();
            called_up.try_recv().ok()
        }
    };
    match next {
        // Where it has left as well, whoever gets it will notice.
        Some(next) => next(partner),
        None => board.tell(Event::PartnerLeft(call, partner)).await,
    }
}
