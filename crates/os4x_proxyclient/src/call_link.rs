//! One link to the proxy, which carries call after call.

use std::pin::Pin;
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
pub(crate) fn serve(
    id: LinkId,
    purpose: Purpose,
    announced: Option<(Call, Reached)>,
    session: Session,
    around: Surroundings,
    mut closed: oneshot::Receiver<()>,
) -> impl Future<Output = ()> {
    // In a place of its own, so that the link does not carry the room for its handshake along for its life.
    let opening = Box::pin(Carrier::open(id, purpose, announced, session, around));
    async move {
        let Some(mut carrier) = opening.await else { return };
        let reason = carrier.serve(&mut closed).await;
        debug!(link = %id, %reason, "link ends");
        let claimed = carrier.claimed.take().map(|(call, _)| call);
        carrier.session.tell(Event::LinkLost(id, claimed)).await;
        let step = carrier.around.config().step;
        // A goodbye for a proxy that is still there.
        let _ = timeout(step, carrier.link.writer.close()).await;
    }
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

/// A target that is being reached, in a place of its own: what is handed to a future stays in it, used up or not.
type Target = Pin<Box<dyn Future<Output = Result<TcpStream, Unreached>> + Send>>;

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

/// What comes on a link that waits.
enum Heard {
    Offer(Call),
    Gone,
    Heartbeat,
}

/// A link that is open.
struct Carrier {
    id: LinkId,
    link: ProxyLink,
    state: LinkState,
    session: Session,
    around: Surroundings,
    claimed: Option<(Call, Reached)>,
}

impl Carrier {
    async fn open(
        id: LinkId,
        purpose: Purpose,
        announced: Option<(Call, Reached)>,
        session: Session,
        around: Surroundings,
    ) -> Option<Box<Self>> {
        let (link, state, claimed) = open(id, purpose, announced, &session, &around).await?;
        Some(Box::new(Self { id, link, state, session, around, claimed }))
    }

    /// Carries calls until the link is of no more use.
    async fn serve(&mut self, closed: &mut oneshot::Receiver<()>) -> LinkError {
        loop {
            let frame = match race(self.receive(), &mut *closed).await {
                Either::Left(Ok(frame)) => frame,
                Either::Left(Err(error)) => return error,
                Either::Right(_) => return LinkError::Closed,
            };
            // A frame has room for the largest of its kind, and is of no more use here.
            let call = match self.understand(frame) {
                Ok(Heard::Offer(call)) => Some(call),
                Ok(Heard::Gone) => None,
                Ok(Heard::Heartbeat) => match heartbeat::answer(&mut self.link, &mut self.state).await {
                    Ok(()) => {
                        self.session.tell(Event::LinkHeard(self.id)).await;
                        continue;
                    }
                    Err(error) => return error,
                },
                Err(violation) => return violation.into(),
            };
            if let Some(mut call) = call
                && let Err(error) = self.take(&mut call).await
            {
                return error;
            }
            self.session.tell(Event::LinkFree(self.id)).await;
        }
    }

    fn understand(&mut self, frame: Frame) -> Result<Heard, Violation> {
        self.state.on_received(frame.kind())?;
        match frame {
            Frame::Offer { call, listener, partner } => {
                Ok(Heard::Offer(Call { id: call, listener, partner, arrived: Instant::now() }))
            }
            Frame::Gone(_) => {
                self.claimed = None;
                Ok(Heard::Gone)
            }
            Frame::Heartbeat => Ok(Heard::Heartbeat),
            other => Err(Violation { state: State::ClientStandby, kind: other.kind() }),
        }
    }

    /// Waits for the next frame; for the answer to a claim not for ever.
    async fn receive(&mut self) -> Result<Frame, LinkError> {
        if self.claimed.is_none() {
            return self.link.receive().await;
        }
        let answer = timeout(Duration::from_millis(CLAIM_ANSWER_MS), self.link.receive()).await;
        answer.unwrap_or_else(|_| Err(LinkError::silence()))
    }

    /// Carries a call that was offered.
    async fn take(&mut self, call: &mut Call) -> Result<(), LinkError> {
        let target = self.target_of(call).await;
        carry(&mut self.link, &mut self.state, call, target, &self.around).await
    }

    /// The target of a call, which is reached already if the call was announced: then it is that call.
    async fn target_of(&mut self, call: &mut Call) -> Target {
        match self.claimed.take() {
            Some((announced, reached)) if announced.id == call.id => {
                let lost = || (wire::RefuseReason::Draining, String::from("the call was stopped"));
                *call = announced;
                Box::pin(async move { reached.await.unwrap_or_else(|_| Err(lost())) })
            }
            _ => {
                self.session.tell(Event::LinkBusy(self.id)).await;
                Box::pin(reach(call.listener, self.around.clone()))
            }
        }
    }
}
