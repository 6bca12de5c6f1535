//! One call from a partner: reach the target, answer the offer, join.

use std::net::SocketAddr;
use std::pin::pin;

use relay::call_event::{CallEvent, CallResult, Direction, Ender, Side, verdict};
use relay::callee::{Outcome, join_late, wait_for};
use relay::join::{abort, settle};
use relay::{Joined, Link, LinkError, Stream, connect, socket};
use tokio::net::TcpStream;
use tokio::time::Instant;
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

/// Carries a call that was offered on `link` to its end. `Ok` means that the link is on standby again.
pub(crate) async fn carry<S: Stream>(
    link: &mut Link<S>,
    state: &mut LinkState,
    call: &Call,
    target: impl Future<Output = Result<TcpStream, Unreached>>,
    around: &Surroundings,
) -> Result<(), LinkError> {
    let _count = around.count_call();
    let set_up = around.set_ups.begin();
    let mut early = Vec::new();
    // In a place of its own, so that a call that stands for hours does not keep the room for its beginning.
    match Box::pin(wait_for(target, link, state, (call.id, call.arrived), &mut early)).await {
        Outcome::Reached(socket) => {
            let accept = Frame::Accept(call.id);
            // One call alone is told at once. Among others what the target says first may take it along, which spares
            // both ends work when they have most.
            if set_up.is_alone() {
                link.writer.queue(&accept);
            } else {
                link.writer.queue_to_wait(&accept);
            }
            drop(set_up);
            state.on_sent(Kind::Accept);
            run(link, state, call, socket, &early, around).await;
        }
        Outcome::Unreached((reason, words)) => {
            link.writer.queue(&Frame::Refuse(call.id, reason));
            state.on_sent(Kind::Refuse);
            log_unjoined(*call, around, CallResult::Refused, Ender::Target, &words);
        }
        Outcome::GivenUp => {
            abort(link, state, AbortReason::Answer);
            let words = "the partner left, or its patience was over, before the target was reached";
            log_unjoined(*call, around, CallResult::Aborted, Ender::Partner, words);
        }
        Outcome::LinkDead(error) => {
            let words = format!("the link ended before the target was reached: {error}");
            log_unjoined(*call, around, CallResult::Aborted, Ender::Tunnel, &words);
            return Err(error);
        }
    }
    settle(link, state).await
}

async fn run<S: Stream>(
    link: &mut Link<S>,
    state: &mut LinkState,
    call: &Call,
    socket: TcpStream,
    early: &[u8],
    around: &Surroundings,
) {
    let setup = call.arrived.elapsed();
    let config = around.config();
    let times = (config.step, config.join);
    let stop = pin!(around.stop.wished());
    let joined = join_late(socket, early, link, state, times, stop).await;
    let Joined { from_socket, to_socket, .. } = joined;
    let (result, ended_by, reason) = verdict(&joined, Side::Target);
    let target = target_text(call.listener, around);
    let event = CallEvent {
        call: call.id,
        direction: Direction::In,
        listener: call.listener,
        partner: Some(call.partner),
        target: &target,
        destination: None,
        result,
        ended_by,
        bytes_in: to_socket,
        bytes_out: from_socket,
        path: Some(joined.path),
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
        partner: Some(call.partner),
        target: &target_text(call.listener, around),
        destination: None,
        result,
        ended_by,
        bytes_in: 0,
        bytes_out: 0,
        path: None,
        setup: None,
        duration: call.arrived.elapsed(),
        reason,
    };
    event.log();
}

fn target_text(listener: Name, around: &Surroundings) -> String {
    around.config().targets.get(&listener).map_or_else(|| String::from("-"), ToString::to_string)
}
