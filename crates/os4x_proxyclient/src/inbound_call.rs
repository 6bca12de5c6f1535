//! One call from a partner: reach the target, answer the offer, join.

use std::net::SocketAddr;
use std::time::Duration;

use relay::call_event::{CallEvent, CallResult, Direction, Ender, Side, verdict};
use relay::join::{abort, settle};
use relay::{Either, End, EndedBy, Incoming, Joined, Link, LinkError, connect, join, race, socket};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use wire::limits::RINGING_AFTER_MS;
use wire::{AbortReason, CallId, Frame, Kind, LinkState, Name, RefuseReason};

use crate::surroundings::{Surroundings, refusal};

/// A call, as it was offered or announced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The call.
    pub(crate) id: CallId,
    /// Its external listener.
    pub(crate) listener: Name,
    /// The partner.
    pub(crate) partner: SocketAddr,
    /// When we heard of it.
    pub(crate) arrived: Instant,
}

/// Why a target is not there: for the proxy, and in words for our own log.
pub(crate) type Unreached = (RefuseReason, String);

/// Connects to the target of a call.
pub(crate) async fn reach(listener: Name, around: Surroundings) -> Result<TcpStream, Unreached> {
    let config = around.config();
    if config.draining {
        return Err((RefuseReason::Draining, RefuseReason::Draining.to_string()));
    }
    let Some(target) = config.targets.get(&listener) else {
        let reason = format!("no --target is named {listener}, so that calls at this listener are refused");
        return Err((RefuseReason::NoTarget, reason));
    };
    let socket = connect(&target.host.to_string(), target.port, config.step)
        .await
        .map_err(|error| refusal(target, &error))?;
    // A target that has gone already is noticed by whoever reads from it.
    let _ = socket::tune(&socket, config.step);
    // A call that is over before it is joined, or a daemon that dies, is no orderly end for the station either.
    socket::reset_on_close(&socket, true);
    Ok(socket)
}

/// What ended the wait for the target.
enum Outcome {
    Reached(TcpStream),
    Unreached(Unreached),
    GivenUp,
    LinkDead(LinkError),
}

/// Carries a call that was offered on `link` to its end. `Ok` means that the link is on standby again.
pub(crate) async fn carry<S: AsyncRead + AsyncWrite>(
    link: &mut Link<S>,
    state: &mut LinkState,
    call: Call,
    target: impl Future<Output = Result<TcpStream, Unreached>>,
    around: &Surroundings,
) -> Result<(), LinkError> {
    let _count = around.count_call();
    let mut early = Vec::new();
    match wait_for_target(link, state, call, target, &mut early).await {
        Outcome::Reached(socket) => {
            link.writer.queue(&Frame::Accept(call.id));
            state.on_sent(Kind::Accept);
            run(link, state, call, socket, &early, around).await;
        }
        Outcome::Unreached((reason, words)) => {
            link.writer.queue(&Frame::Refuse(call.id, reason));
            state.on_sent(Kind::Refuse);
            log_unjoined(call, around, CallResult::Refused, Ender::Target, &words);
        }
        Outcome::GivenUp => {
            abort(link, state, AbortReason::Answer);
            let words = "the partner left, or its patience was over, before the target was reached";
            log_unjoined(call, around, CallResult::Aborted, Ender::Partner, words);
        }
        Outcome::LinkDead(error) => {
            let words = format!("the link ended before the target was reached: {error}");
            log_unjoined(call, around, CallResult::Aborted, Ender::Tunnel, &words);
            return Err(error);
        }
    }
    settle(link, state).await
}

/// Waits for the target and listens to the proxy meanwhile: the partner may already be speaking, or leave.
async fn wait_for_target<S: AsyncRead + AsyncWrite>(
    link: &mut Link<S>,
    state: &mut LinkState,
    call: Call,
    target: impl Future<Output = Result<TcpStream, Unreached>>,
    early: &mut Vec<u8>,
) -> Outcome {
    let mut target = std::pin::pin!(target);
    let mut ringing_at = Some(call.arrived + Duration::from_millis(RINGING_AFTER_MS));
    loop {
        let ringing = async {
            match ringing_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        match race(race(target.as_mut(), ringing), link.reader.next()).await {
            Either::Left(Either::Left(Ok(socket))) => return Outcome::Reached(socket),
            Either::Left(Either::Left(Err(unreached))) => return Outcome::Unreached(unreached),
            Either::Left(Either::Right(())) => {
                ringing_at = None;
                state.on_sent(Kind::Ringing);
                if let Err(error) = link.send(&Frame::Ringing(call.id)).await {
                    return Outcome::LinkDead(error);
                }
            }
            Either::Right(Ok(Incoming::Payload(bytes))) => match state.on_payload_received(bytes.len()) {
                Ok(()) => early.extend_from_slice(bytes),
                Err(violation) => return Outcome::LinkDead(violation.into()),
            },
            Either::Right(Ok(Incoming::Frame(frame))) => match state.on_received(frame.kind()) {
                Ok(()) if frame.kind() == Kind::Abort => return Outcome::GivenUp,
                Ok(()) => {}
                Err(violation) => return Outcome::LinkDead(violation.into()),
            },
            Either::Right(Err(error)) => return Outcome::LinkDead(error),
        }
    }
}

async fn run<S: AsyncRead + AsyncWrite>(
    link: &mut Link<S>,
    state: &mut LinkState,
    call: Call,
    mut socket: TcpStream,
    early: &[u8],
    around: &Surroundings,
) {
    let setup = call.arrived.elapsed();
    let config = around.config();
    let joined = match timeout(config.step, socket.write_all(early)).await {
        Ok(Ok(())) => join(socket, link, state, config.join, around.stopped()).await,
        // Some of it may have arrived, so that nothing can follow.
        Ok(Err(_)) | Err(_) => {
            socket::reset(socket);
            abort(link, state, AbortReason::Reset);
            let end = End::Aborted(AbortReason::Reset);
            Joined { end, ended_by: EndedBy::Socket, from_socket: 0, to_socket: 0 }
        }
    };
    let Joined { from_socket, to_socket, .. } = joined;
    let (result, ended_by, reason) = verdict(&joined, Side::Target);
    let target = target_text(call.listener, around);
    let event = CallEvent {
        call: call.id,
        direction: Direction::In,
        listener: call.listener,
        partner: call.partner,
        target: &target,
        result,
        ended_by,
        bytes_in: early.len() as u64 + to_socket,
        bytes_out: from_socket,
        setup: Some(setup),
        duration: call.arrived.elapsed(),
        reason: &reason,
    };
    event.log();
}

/// Logs a call that was never joined.
pub(crate) fn log_unjoined(
    call: Call,
    around: &Surroundings,
    result: CallResult,
    ended_by: Ender,
    reason: &str,
) {
    let event = CallEvent {
        call: call.id,
        direction: Direction::In,
        listener: call.listener,
        partner: call.partner,
        target: &target_text(call.listener, around),
        result,
        ended_by,
        bytes_in: 0,
        bytes_out: 0,
        setup: None,
        duration: call.arrived.elapsed(),
        reason,
    };
    event.log();
}

fn target_text(listener: Name, around: &Surroundings) -> String {
    around.config().targets.get(&listener).map_or_else(|| String::from("-"), ToString::to_string)
}
