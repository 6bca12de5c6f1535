//! One link to the proxy, which carries call after call.

use std::time::Duration;

use relay::{Either, LinkError, heartbeat, race};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::debug;
use wire::client_side::Purpose;
use wire::limits::CLAIM_ANSWER_MS;
use wire::permit::State;
use wire::{CallId, CallToken, Frame, LinkId, LinkState, Role, SessionId, Violation};

use crate::inbound_call::{Call, Unreached, carry, reach};
use crate::session::{Event, Session};
use crate::surroundings::{ProxyLink, Surroundings};

/// A target that is being reached while its link is being opened.
pub(crate) type Reached = oneshot::Receiver<Result<TcpStream, Unreached>>;

/// Opens a link and serves it until one of the two sides ends it. `closed` is ready when it is to be closed as
/// soon as it is on standby.
pub(crate) async fn serve(
    id: LinkId,
    purpose: Purpose,
    announced: Option<(Call, Reached)>,
    session: Session,
    around: Surroundings,
    mut closed: oneshot::Receiver<()>,
) {
    // In a place of its own, so that the link does not carry the room for its handshake along for its life.
    let opened = Box::pin(open(id, purpose, announced, &session, &around)).await;
    let Some((mut link, mut state, claimed)) = opened else { return };
    let mut carrier = Carrier { id, session, around, claimed };
    let reason = carrier.serve(&mut link, &mut state, &mut closed).await;
    debug!(link = %id, %reason, "link ends");
    let claimed = carrier.claimed.take().map(|(call, _)| call);
    carrier.session.tell(Event::LinkLost(id, claimed)).await;
    let step = carrier.around.config().step;
    // A goodbye for a proxy that is still there.
    let _ = timeout(step, link.writer.close()).await;
}

async fn open(
    id: LinkId,
    purpose: Purpose,
    announced: Option<(Call, Reached)>,
    session: &Session,
    around: &Surroundings,
) -> Opened {
    match (purpose, announced) {
        (Purpose::Claim(session_id, call, token), Some((announced, reached))) => {
            open_to_claim(id, (session_id, call, token), announced, reached, session, around).await
        }
        (Purpose::Outward(_), _) => unreachable!("a link for calls of stations has a task of its own"),
        (Purpose::Standby(session_id) | Purpose::Claim(session_id, ..), _) => match around.dial().await {
            Ok(link) => stand_by(id, link, session_id, session).await,
            Err(error) => {
                debug!(link = %id, "{}", around.explain(&error));
                session.tell(Event::LinkFailed(id, None)).await;
                None
            }
        },
    }
}

/// A link that is open, where it stands, and what it has claimed.
type Opened = Option<(ProxyLink, LinkState, Option<(Call, Reached)>)>;

/// Says that a new link waits for calls.
async fn stand_by(id: LinkId, mut link: ProxyLink, session_id: SessionId, session: &Session) -> Opened {
    if let Err(error) = link.send(&Frame::Standby(session_id)).await {
        debug!(link = %id, %error, "link failed");
        session.tell(Event::LinkFailed(id, None)).await;
        return None;
    }
    session.tell(Event::LinkStandby(id)).await;
    Some((link, LinkState::standby(Role::Client), None))
}

/// Opens a link for an announced call while its target is being reached, and claims the call. A call that is over
/// by then leaves a link on standby.
async fn open_to_claim(
    id: LinkId,
    (session_id, call, token): (SessionId, CallId, CallToken),
    announced: Call,
    mut reached: Reached,
    session: &Session,
    around: &Surroundings,
) -> Opened {
    let mut target = None;
    let dialled = {
        let mut dialling = std::pin::pin!(around.dial());
        loop {
            match target {
                None => match race(dialling.as_mut(), &mut reached).await {
                    Either::Left(dialled) => break dialled,
                    Either::Right(Ok(Ok(socket))) => target = Some(Ok(socket)),
                    Either::Right(Ok(Err(unreached))) => {
                        session.tell(Event::Unreached(announced, unreached)).await;
                        target = Some(Err(()));
                    }
                    // Whoever was to reach the target was stopped: the call is over.
                    Either::Right(Err(_)) => target = Some(Err(())),
                },
                Some(_) => break dialling.as_mut().await,
            }
        }
    };
    let mut link = match dialled {
        Ok(link) => link,
        Err(error) => {
            debug!(link = %id, "{}", around.explain(&error));
            session.tell(Event::LinkFailed(id, Some(announced))).await;
            return None;
        }
    };
    let (answer, answered) = oneshot::channel();
    session.tell(Event::Claiming(id, call, answer)).await;
    if !answered.await.unwrap_or(false) {
        return stand_by(id, link, session_id, session).await;
    }
    if let Err(error) = link.send(&Frame::Claim { session: session_id, call, token }).await {
        debug!(link = %id, %error, "link failed");
        session.tell(Event::LinkLost(id, Some(announced))).await;
        return None;
    }
    if let Some(Ok(socket)) = target {
        let (sender, receiver) = oneshot::channel();
        // The receiver is here, so that it cannot be gone.
        let _ = sender.send(Ok(socket));
        reached = receiver;
    }
    Some((link, LinkState::claiming(), Some((announced, reached))))
}

struct Carrier {
    id: LinkId,
    session: Session,
    around: Surroundings,
    claimed: Option<(Call, Reached)>,
}

impl Carrier {
    /// Carries calls until the link is of no more use.
    async fn serve(
        &mut self,
        link: &mut ProxyLink,
        state: &mut LinkState,
        closed: &mut oneshot::Receiver<()>,
    ) -> LinkError {
        loop {
            let frame = match race(self.receive(link), &mut *closed).await {
                Either::Left(Ok(frame)) => frame,
                Either::Left(Err(error)) => return error,
                Either::Right(_) => return LinkError::Closed,
            };
            if let Err(violation) = state.on_received(frame.kind()) {
                return violation.into();
            }
            let outcome = match frame {
                Frame::Offer { call, listener, partner } => {
                    let call = Call { id: call, listener, partner, arrived: Instant::now() };
                    self.take(link, state, call).await
                }
                Frame::Gone(_) => {
                    self.claimed = None;
                    Ok(())
                }
                Frame::Heartbeat => match heartbeat::answer(link, state).await {
                    Ok(()) => {
                        self.session.tell(Event::LinkHeard(self.id)).await;
                        continue;
                    }
                    Err(error) => return error,
                },
                other => {
                    return Violation { state: State::ClientStandby, kind: other.kind() }.into();
                }
            };
            if let Err(error) = outcome {
                return error;
            }
            self.session.tell(Event::LinkFree(self.id)).await;
        }
    }

    /// Waits for the next frame; for the answer to a claim not for ever.
    async fn receive(&self, link: &mut ProxyLink) -> Result<Frame, LinkError> {
        if self.claimed.is_none() {
            return link.receive().await;
        }
        let answer = timeout(Duration::from_millis(CLAIM_ANSWER_MS), link.receive()).await;
        answer.unwrap_or_else(|_| Err(LinkError::Broken(std::io::ErrorKind::TimedOut.into())))
    }

    async fn take(
        &mut self,
        link: &mut ProxyLink,
        state: &mut LinkState,
        call: Call,
    ) -> Result<(), LinkError> {
        match self.claimed.take() {
            Some((announced, reached)) if announced.id == call.id => {
                let lost = || (wire::RefuseReason::Draining, String::from("the call was stopped"));
                let target = Box::pin(async { reached.await.unwrap_or_else(|_| Err(lost())) });
                carry(link, state, announced, target, &self.around).await
            }
            _ => {
                self.session.tell(Event::LinkBusy(self.id)).await;
                // Both are boxed: what is handed to a future stays in it, used up or not.
                let target = Box::pin(reach(call.listener, self.around.clone()));
                carry(link, state, call, target, &self.around).await
            }
        }
    }
}
