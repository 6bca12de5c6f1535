//! One link of a client, which carries call after call.

use std::pin::pin;
use std::sync::Arc;

use relay::call_event::{CallEvent, CallResult, Direction, Ender, Side, verdict};
use relay::join::{abort, settle};
use relay::{Answer, Either, Joined, Link, LinkError, Stop, Stream, heartbeat, join, race};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;
use wire::proxy_side::Returned;
use wire::{AbortReason, CallId, Frame, Kind, LinkId, LinkState, RefuseReason, Role};

use crate::options::Outgoing;
use crate::orders::Ordered;
use crate::switchboard::{Event, LinkOrder, Offer, Switchboard, Times};

/// What all links need.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Who decides.
    pub(crate) board: Switchboard,
    /// The times in force.
    pub(crate) times: watch::Receiver<Arc<Times>>,
    /// What may be called from the inside.
    pub(crate) outgoing: watch::Receiver<Arc<Outgoing>>,
    /// Becomes true when the time to drain is over.
    pub(crate) stop: Stop,
}

/// Serves a link that the switchboard has admitted, until one of the two sides ends it. What it needs is part of the
/// future itself: an argument of an `async` function is kept twice, and a link lives long.
pub(crate) fn serve<S: Stream>(
    link: Link<S>,
    id: LinkId,
    mut orders: Ordered<LinkOrder>,
    around: Surroundings,
) -> impl Future<Output = ()> {
    let mut carrier = Carrier { link, state: LinkState::standby(Role::Proxy), around };
    async move {
        let reason = carrier.serve(id, &mut orders).await;
        debug!(link = %id, reason = %reason, "link ends");
        // An order may have crossed the end of the link: its partner goes back.
        for order in orders.close() {
            if let LinkOrder::Offer(offer) = order {
                let Offer { call, partner, .. } = *offer;
                carrier.around.board.tell(Event::Returned(call, partner, Returned::LinkDead)).await;
            }
        }
        carrier.around.board.tell(Event::LinkLost(id)).await;
        let step = carrier.around.times.borrow().step;
        // A goodbye for a client that is still there.
        let _ = timeout(step, carrier.link.writer.close()).await;
    }
}

struct Carrier<S: Stream> {
    link: Link<S>,
    state: LinkState,
    around: Surroundings,
}

impl<S: Stream> Carrier<S> {
    /// Carries calls until the link is of no more use.
    async fn serve(&mut self, id: LinkId, orders: &mut Ordered<LinkOrder>) -> LinkError {
        loop {
            let order = match race(orders.next(), self.link.receive()).await {
                Either::Left(Some(order)) => order,
                Either::Left(None) => return LinkError::Closed,
                Either::Right(Ok(frame)) => match self.state.on_received(frame.kind()) {
                    // Nothing is permitted here but the answer to a heartbeat.
                    Ok(()) => continue,
                    Err(violation) => return violation.into(),
                },
                Either::Right(Err(error)) => return error,
            };
            let outcome = match order {
                LinkOrder::Gone(call) => self.say_gone(call).await,
                LinkOrder::Probe => heartbeat::probe(&mut self.link, &mut self.state).await,
                LinkOrder::Offer(offer) => {
                    let outcome = self.carry(offer).await;
                    if outcome.is_ok() {
                        self.around.board.tell(Event::LinkFree(id)).await;
                    }
                    outcome
                }
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    async fn say_gone(&mut self, call: CallId) -> Result<(), LinkError> {
        self.state.on_sent(Kind::Gone);
        self.link.send(&Frame::Gone(call)).await
    }

    /// Offers a call and carries it to its end. `Ok` means that the link is on standby again.
    async fn carry(&mut self, offer: Box<Offer>) -> Result<(), LinkError> {
        // In places of their own, so that a call that stands for hours does not keep the room for its beginning.
        if let Some(offer) = Box::pin(self.offer(offer)).await? {
            let call = offer.call;
            self.around.board.tell(Event::Accepted(call)).await;
            self.join(offer).await;
            self.around.board.tell(Event::Ended(call)).await;
        }
        settle(&mut self.link, &mut self.state).await
    }

    /// Offers a call, which is given back if the client accepts it.
    async fn offer(&mut self, mut offer: Box<Offer>) -> Result<Option<Box<Offer>>, LinkError> {
        let board = self.around.board.clone();
        let Offer { call, partner, deadline } = &mut *offer;
        let (call, deadline) = (*call, *deadline);
        let opening = Frame::Offer { call, listener: partner.listener, partner: partner.address };
        match partner.caller.offer(&mut self.link, &mut self.state, &opening, deadline).await {
            Answer::Accepted(_) => return Ok(Some(offer)),
            Answer::Refused(frame) => {
                let reason = refusal(&frame);
                board.tell(Event::Returned(call, offer.partner, Returned::Refused(reason))).await;
                self.give_up(AbortReason::Answer);
            }
            Answer::CallerLeft => {
                let reason = "the partner left before the call was taken";
                offer.partner.turn_away(call, CallResult::Aborted, Ender::Partner, reason);
                board.tell(Event::Ended(call)).await;
                self.give_up(AbortReason::GivenUp);
            }
            Answer::TimedOut => {
                let reason = "the target was not reached in time";
                offer.partner.turn_away(call, CallResult::Timeout, Ender::Target, reason);
                board.tell(Event::Ended(call)).await;
                self.give_up(AbortReason::GivenUp);
            }
            Answer::LinkDead(error) => {
                board.tell(Event::Returned(call, offer.partner, Returned::LinkDead)).await;
                return Err(error);
            }
        }
        Ok(None)
    }

    fn give_up(&mut self, reason: AbortReason) {
        if self.state.may_send() {
            abort(&mut self.link, &mut self.state, reason);
        }
    }

    async fn join(&mut self, offer: Box<Offer>) {
        let Offer { call, partner, .. } = *offer;
        let setup = partner.arrived.elapsed();
        let limits = self.around.times.borrow().join;
        let early_bytes = partner.caller.early.len() as u64;
        let stop = pin!(self.around.stop.wished());
        let joined =
            join(partner.caller.socket, &partner.caller.early, &mut self.link, &mut self.state, limits, stop)
                .await;
        let Joined { from_socket, to_socket, .. } = joined;
        let (result, ended_by, reason) = verdict(&joined, Side::Partner);
        let event = CallEvent {
            call,
            direction: Direction::In,
            listener: partner.listener,
            partner: Some(partner.address),
            target: &partner.target,
            destination: None,
            result,
            ended_by,
            bytes_in: early_bytes + from_socket,
            bytes_out: to_socket,
            path: Some(joined.path),
            setup: Some(setup),
            duration: partner.arrived.elapsed(),
            reason: &reason,
        };
        event.log();
    }
}

fn refusal(frame: &Frame) -> RefuseReason {
    match frame {
        Frame::Refuse(_, reason) => *reason,
        other => unreachable!("{:?} refuses no offer", other.kind()),
    }
}
