//! One link of a client, which carries call after call.

use std::sync::Arc;
use std::time::Duration;

use relay::call_event::{CallEvent, CallResult, Direction, Ender, Side, verdict};
use relay::join::{abort, settle};
use relay::{Either, Incoming, Joined, Link, LinkError, join, race};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;
use wire::limits::{FRAME_HEADER_BYTES, OFFER_SIGN_MS};
use wire::proxy_side::Returned;
use wire::{AbortReason, CallId, Frame, Kind, LinkId, LinkState, RefuseReason, Role, Violation};

use crate::partner::Partner;
use crate::switchboard::{Event, LinkOrder, Switchboard, Times};

/// What all links need.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Who decides.
    pub(crate) board: Switchboard,
    /// The times in force.
    pub(crate) times: watch::Receiver<Arc<Times>>,
    /// Becomes true when the time to drain is over.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Surroundings {
    /// Returns when running calls have to end.
    async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // Without a sender the daemon itself has ended.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Serves a link that the switchboard has admitted, until one of the two sides ends it.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(
    link: Link<S>,
    id: LinkId,
    mut orders: mpsc::Receiver<LinkOrder>,
    around: Surroundings,
) {
    let mut carrier = Carrier { link, state: LinkState::standby(Role::Proxy), around };
    let reason = carrier.serve(id, &mut orders).await;
    debug!(link = %id, reason = %reason, "link ends");
    // An order may have crossed the end of the link: its partner goes back.
    orders.close();
    while let Ok(order) = orders.try_recv() {
        if let LinkOrder::Offer { call, partner, .. } = order {
            carrier.around.board.tell(Event::Returned(call, partner, Returned::LinkDead)).await;
        }
    }
    carrier.around.board.tell(Event::LinkLost(id)).await;
    let step = carrier.around.times.borrow().step;
    // A goodbye for a client that is still there.
    let _ = timeout(step, carrier.link.writer.close()).await;
}

struct Carrier<S> {
    link: Link<S>,
    state: LinkState,
    around: Surroundings,
}

/// What a client answers to an offer, or what else ends the wait for it.
enum Answer {
    Accepted,
    Refused(RefuseReason),
    PartnerLeft,
    TimedOut,
    LinkDead(LinkError),
}

impl<S: AsyncRead + AsyncWrite> Carrier<S> {
    /// Carries calls until the link is of no more use.
    async fn serve(&mut self, id: LinkId, orders: &mut mpsc::Receiver<LinkOrder>) -> LinkError {
        loop {
            let order = match race(orders.recv(), self.link.receive()).await {
                Either::Left(Some(order)) => order,
                Either::Left(None) => return LinkError::Closed,
                Either::Right(Ok(frame)) => return self.out_of_turn(frame.kind()).into(),
                Either::Right(Err(error)) => return error,
            };
            let outcome = match order {
                LinkOrder::Gone(call) => self.say_gone(call).await,
                LinkOrder::Offer { call, partner, deadline } => {
                    let outcome = self.carry(call, partner, deadline).await;
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

    fn out_of_turn(&mut self, kind: Kind) -> Violation {
        let state = wire::permit::State::ProxyStandby;
        self.state.on_received(kind).err().unwrap_or(Violation { state, kind })
    }

    async fn say_gone(&mut self, call: CallId) -> Result<(), LinkError> {
        self.state.on_sent(Kind::Gone);
        self.link.send(&Frame::Gone(call)).await
    }

    /// Offers a call and carries it to its end. `Ok` means that the link is on standby again.
    async fn carry(
        &mut self,
        call: CallId,
        mut partner: Partner,
        deadline: Instant,
    ) -> Result<(), LinkError> {
        let board = self.around.board.clone();
        match self.offer(call, &mut partner, deadline).await {
            Answer::Accepted => {
                board.tell(Event::Accepted(call)).await;
                self.join(call, partner).await;
                board.tell(Event::Ended(call)).await;
            }
            Answer::Refused(reason) => {
                board.tell(Event::Returned(call, partner, Returned::Refused(reason))).await;
                self.give_up(AbortReason::Answer);
            }
            Answer::PartnerLeft => {
                let reason = "the partner left before the call was taken";
                partner.turn_away(call, CallResult::Aborted, Ender::Partner, reason);
                board.tell(Event::Ended(call)).await;
                self.give_up(AbortReason::GivenUp);
            }
            Answer::TimedOut => {
                let reason = "the target was not reached in time";
                partner.turn_away(call, CallResult::Timeout, Ender::Target, reason);
                board.tell(Event::Ended(call)).await;
                self.give_up(AbortReason::GivenUp);
            }
            Answer::LinkDead(error) => {
                board.tell(Event::Returned(call, partner, Returned::LinkDead)).await;
                return Err(error);
            }
        }
        settle(&mut self.link, &mut self.state).await
    }

    fn give_up(&mut self, reason: AbortReason) {
        if self.state.may_send() {
            abort(&mut self.link, &mut self.state, reason);
        }
    }

    async fn join(&mut self, call: CallId, partner: Partner) {
        let setup = partner.arrived.elapsed();
        let limits = self.around.times.borrow().join;
        let early_bytes = partner.early.len() as u64;
        let stop = self.around.stopped();
        let joined = join(partner.socket, &mut self.link, &mut self.state, limits, stop).await;
        let Joined { from_socket, to_socket, .. } = joined;
        let (result, ended_by, reason) = verdict(&joined, Side::Partner);
        let event = CallEvent {
            call,
            direction: Direction::In,
            listener: partner.listener,
            partner: partner.address,
            target: &partner.target,
            result,
            ended_by,
            bytes_in: early_bytes + from_socket,
            bytes_out: to_socket,
            setup: Some(setup),
            duration: partner.arrived.elapsed(),
            reason: &reason,
        };
        event.log();
    }

    /// Offers a call and waits for the answer. What the partner says meanwhile is sent along, within bounds.
    async fn offer(&mut self, call: CallId, partner: &mut Partner, deadline: Instant) -> Answer {
        let first_sign_by = Instant::now() + Duration::from_millis(OFFER_SIGN_MS);
        if let Err(error) = within(first_sign_by, self.send_offer(call, partner)).await {
            return Answer::LinkDead(error);
        }
        let mut sign_by = Some(first_sign_by);
        let mut partner_ended = false;
        loop {
            let room = if partner_ended { 0 } else { self.state.payload_allowance() };
            let until = sign_by.map_or(deadline, |sign_by| sign_by.min(deadline));
            let from_client = self.link.reader.next();
            let from_partner = race(partner_says(partner, room), sleep_until(until));
            match race(from_client, from_partner).await {
                Either::Left(Ok(Incoming::Frame(frame))) => match self.on_answer(&frame) {
                    Ok(Some(answer)) => return answer,
                    Ok(None) => sign_by = None,
                    Err(violation) => return Answer::LinkDead(violation.into()),
                },
                Either::Left(Ok(Incoming::Payload(bytes))) => {
                    let violation = self.state.on_payload_received(bytes.len());
                    return Answer::LinkDead(violation.err().map_or(LinkError::Closed, LinkError::from));
                }
                Either::Left(Err(error)) => return Answer::LinkDead(error),
                Either::Right(Either::Left(Said::Bytes(buffer, count))) => {
                    self.state.on_payload_sent(count);
                    self.link.writer.queue_payload(buffer, count);
                    if let Err(error) = within(until, self.link.writer.flush()).await {
                        return Answer::LinkDead(error);
                    }
                }
                Either::Right(Either::Left(Said::End)) => partner_ended = true,
                Either::Right(Either::Left(Said::Failed)) => return Answer::PartnerLeft,
                Either::Right(Either::Right(())) if until < deadline => {
                    return Answer::LinkDead(too_late());
                }
                Either::Right(Either::Right(())) => return Answer::TimedOut,
            }
        }
    }

    async fn send_offer(&mut self, call: CallId, partner: &Partner) -> Result<(), LinkError> {
        self.state.on_sent(Kind::Offer);
        let (listener, address) = (partner.listener, partner.address);
        self.link.send(&Frame::Offer { call, listener, partner: address }).await?;
        if !partner.early.is_empty() {
            let mut buffer = relay::buffer::Buffer::take();
            let count = partner.early.len();
            buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + count].copy_from_slice(&partner.early);
            self.state.on_payload_sent(count);
            self.link.writer.queue_payload(buffer, count);
            self.link.writer.flush().await?;
        }
        Ok(())
    }

    /// `None` is a sign of life without an answer.
    fn on_answer(&mut self, frame: &Frame) -> Result<Option<Answer>, Violation> {
        self.state.on_received(frame.kind())?;
        Ok(match frame {
            Frame::Accept(_) => Some(Answer::Accepted),
            Frame::Refuse(_, reason) => Some(Answer::Refused(*reason)),
            _ => None,
        })
    }
}

/// A link that takes nothing for so long is dead.
async fn within(
    until: Instant,
    sending: impl Future<Output = Result<(), LinkError>>,
) -> Result<(), LinkError> {
    timeout_at(until, sending).await.unwrap_or_else(|_| Err(too_late()))
}

fn too_late() -> LinkError {
    LinkError::Broken(std::io::ErrorKind::TimedOut.into())
}

/// What a partner does while its call is offered.
enum Said {
    Bytes(relay::buffer::Buffer, usize),
    End,
    Failed,
}

/// Waits for the partner, reading `room` bytes at most; without room only for its failure.
async fn partner_says(partner: &mut Partner, room: usize) -> Said {
    if room == 0 {
        partner.failed().await;
        return Said::Failed;
    }
    match partner.read_early(room).await {
        Ok((_, 0)) => Said::End,
        Ok((buffer, count)) => Said::Bytes(buffer, count),
        Err(_) => Said::Failed,
    }
}
