//! The end of a link at which a call is answered: the client's for a call inward, the proxy's for one outward.
//!
//! The call has come by the link, and this end reaches for the rest of the way: the station's port, or the partner's.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::limits::RINGING_AFTER_MS;
use wire::{AbortReason, CallId, Frame, Kind, LinkState};

use crate::join::{End, EndedBy, JoinLimits, Joined, Path, abort, join};
use crate::link::{Incoming, Link, LinkError};
use crate::race::{Either, race};
use crate::socket;
use crate::stream::Stream;

/// What ended the wait for the far end of a call.
#[derive(Debug)]
pub enum Outcome<T, E> {
    /// It was reached.
    Reached(T),
    /// It was not.
    Unreached(E),
    /// The caller has given the call up.
    GivenUp,
    /// The link has ended.
    LinkDead(LinkError),
}

/// Waits until the far end of a call is reached, and listens to the link meanwhile: the caller may already be speaking,
/// which is kept in `early`, or leave. When it takes long, `Ringing` is said once.
pub async fn wait_for<S: Stream, T, E>(
    far_end: impl Future<Output = Result<T, E>>,
    link: &mut Link<S>,
    state: &mut LinkState,
    (call, arrived): (CallId, Instant),
    early: &mut Vec<u8>,
) -> Outcome<T, E> {
    let mut far_end = std::pin::pin!(far_end);
    let mut ringing_at = Some(arrived + Duration::from_millis(RINGING_AFTER_MS));
    loop {
        let Link { reader, alarm, .. } = &mut *link;
        let ringing = async {
            match ringing_at {
                Some(at) => alarm.wait(at).await,
                None => std::future::pending().await,
            }
        };
        match race(race(far_end.as_mut(), ringing), reader.next()).await {
            Either::Left(Either::Left(Ok(reached))) => return Outcome::Reached(reached),
            Either::Left(Either::Left(Err(unreached))) => return Outcome::Unreached(unreached),
            Either::Left(Either::Right(())) => {
                ringing_at = None;
                state.on_sent(Kind::Ringing);
                if let Err(error) = link.send(&Frame::Ringing(call)).await {
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

/// Hands the early payload to the far end within `step` (`-T`), and carries the accepted call to its end: see [`join()`].
/// The count of bytes to the socket includes the early ones.
pub async fn join_late<S: Stream>(
    mut socket: TcpStream,
    early: &[u8],
    link: &mut Link<S>,
    state: &mut LinkState,
    (step, limits): (Duration, JoinLimits),
    stop: impl Future<Output = ()> + Unpin,
) -> Joined {
    let handed_over = link.alarm.within(Instant::now() + step, socket.write_all(early)).await;
    let mut joined = match handed_over {
        Either::Left(Ok(())) => join(socket, early, link, state, limits, stop).await,
        // Some of it may have arrived, so that nothing can follow.
        Either::Left(Err(_)) | Either::Right(()) => {
            socket::reset(socket);
            abort(link, state, AbortReason::Reset);
            let end = End::Aborted(AbortReason::Reset);
            Joined { end, ended_by: EndedBy::Socket, from_socket: 0, to_socket: 0, path: Path::Sealed }
        }
    };
    joined.to_socket += early.len() as u64;
    joined
}
