//! The heart: a plain socket, of a partner or a station, and a link become one call.
//!
//! Each direction ends on its own. Bytes, then the end of the socket's stream become payload, then `End`; payload,
//! then `End` become bytes, then FIN. An abort on either side becomes an abort on the other: a reset of the
//! socket becomes `Abort`; `Abort`, or a link that stops without a word, becomes a reset. A call in which no
//! byte moves is ended after `idle`, or after `reap` once one direction has ended.

mod bare;
mod call;
mod shared;

use std::fmt;
use std::future::Future;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use seal::Buffer;
use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::limits::{DATA_BYTES_MAX, FRAME_HEADER_BYTES, SETTLE_MS};
use wire::{AbortReason, Frame, LinkState};

use crate::alarm::or_silence;
use crate::link::{Incoming, Link, LinkError};
use crate::race::both;
use crate::socket::{reset, reset_on_close};
use crate::stream::Stream;
use crate::transfer::poll_read;
use call::{Call, Pumps};
use shared::Shared;

/// How long a call may be silent.
#[derive(Clone, Copy, Debug)]
pub struct JoinLimits {
    /// A call in which no byte has moved for so long is ended; `None`: never.
    pub idle: Option<Duration>,
    /// The same once one direction has ended (`-T`).
    pub reap: Duration,
    /// Whether a call may leave the seal when its payload is TLS already. The client's word; the proxy follows it.
    pub unseal: bool,
}

/// How the payload of a call travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Under the seal, from the first byte to the last.
    Sealed,
    /// From some byte on without, moved by the kernel.
    Kernel,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed => "sealed",
            Self::Kernel => "kernel",
        })
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both directions ended in order.
    Orderly,
    /// It was aborted.
    Aborted(AbortReason),
    /// The link stopped without a word.
    LinkBroken,
}

/// Which side a call was ended by, as seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The plain socket: the partner at the proxy, the station at the client.
    Socket,
    /// What is beyond the link.
    Peer,
    /// This daemon: the call was idle or the time to drain was over; or the link broke.
    Ourselves,
}

/// What a call was.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// How it ended.
    pub end: End,
    /// Who ended it: for an orderly end, who ended its direction first.
    pub ended_by: EndedBy,
    /// Payload bytes that came from the socket.
    pub from_socket: u64,
    /// Payload bytes that were handed to the socket.
    pub to_socket: u64,
    /// How they travelled.
    pub path: Path,
}

/// Carries an accepted call to its end. The socket is closed afterwards, by FIN or by reset as the call ended. The
/// link's direction of this end is closed as well, though perhaps not flushed: see [`settle`], which also says
/// whether the link is of any more use. It is not where it broke, where the peer did what is not permitted, or where
/// the call had to be aborted after this end had said `End`: nothing but the end of the link tells the peer then.
///
/// The socket is one that [is reset on close](reset_on_close): a daemon that dies in the middle of a call must not let its
/// peer take that for the end of one. `begun` is what the caller has said before the call was joined. `stop` ends the
/// call by an abort when it becomes ready: the time to drain is over.
pub async fn join<S: Stream>(
    socket: TcpStream,
    begun: &[u8],
    link: &mut Link<S>,
    state: &mut LinkState,
    limits: JoinLimits,
    mut stop: impl Future<Output = ()> + Unpin,
) -> Joined {
    debug_assert!(state.is_accepted(), "{state:?}");
    let call = Call::new(*state, limits, begun);
    let mut pumps = Pumps::default();
    let mut last_byte = Instant::now();
    // Each in a place of its own: what a call needs under the seal goes away with it.
    let end = Box::pin(call.run(&socket, link, &mut pumps, &mut last_byte, &mut stop)).await;
    let end = match end {
        Some(end) => end,
        None => Box::pin(call.run_bare(&socket, link, &mut pumps, &mut last_byte, stop)).await,
    };
    let Shared { socket_failed, aborted_by_peer, .. } = *call.shared();
    let (from_socket, to_socket) = call.tally.bytes();
    *state = call.shared().state;
    let ended_by = match end {
        End::Orderly => call.tally.first_end().unwrap_or(EndedBy::Ourselves),
        End::Aborted(AbortReason::Reset) if socket_failed => EndedBy::Socket,
        End::Aborted(_) if aborted_by_peer => EndedBy::Peer,
        End::Aborted(_) | End::LinkBroken => EndedBy::Ourselves,
    };
    if end == End::Orderly {
        reset_on_close(&socket, false);
        drop(socket);
    } else {
        reset(socket);
    }
    let cannot_say = !state.may_send() && state.may_receive();
    if end != End::Orderly && state.is_unsealed() {
        // Nothing can be said any more but this.
        if let Some(bare) = link.writer.bare() {
            reset_on_close(bare, true);
        }
        link.writer.cut();
    }
    if end == End::LinkBroken || (end != End::Orderly && cannot_say) {
        link.writer.cut();
    }
    if state.may_send() {
        let reason = match end {
            End::Aborted(reason) if !aborted_by_peer => reason,
            _ => AbortReason::Answer,
        };
        abort(link, state, reason);
    }
    let path = if state.is_unsealed() { Path::Kernel } else { Path::Sealed };
    Joined { end, ended_by, from_socket, to_socket, path }
}

/// Queues `Abort` for this end's direction of a call.
pub fn abort<S: Stream>(link: &mut Link<S>, state: &mut LinkState, reason: AbortReason) {
    link.writer.queue(&Frame::Abort(reason));
    state.on_sent(wire::Kind::Abort);
}

/// After this end has closed its direction of a call: flushes, and discards what still comes until the peer has
/// closed its own. The link is on standby afterwards. A call that has left the seal has used its link up. An error, or
/// more than [`SETTLE_MS`], makes it unusable: drop it, so that the peer learns.
pub async fn settle<S: Stream>(link: &mut Link<S>, state: &mut LinkState) -> Result<(), LinkError> {
    let Link { reader, writer, alarm } = link;
    if state.is_unsealed() {
        return Err(LinkError::Closed);
    }
    let discard = async {
        while !state.is_standby() {
            match reader.next().await? {
                Incoming::Payload(bytes) => state.on_payload_received(bytes.len())?,
                Incoming::Frame(frame) => state.on_received(frame.kind())?,
            }
        }
        Ok(())
    };
    let settled = both(discard, writer.flush());
    let until = Instant::now() + Duration::from_millis(SETTLE_MS);
    or_silence(alarm.within(until, settled).await)
}

/// Reads from a socket into a buffer that is held only while there is something to read. The payload begins at
/// [`FRAME_HEADER_BYTES`], so that a frame's header fits before it, and fits into one frame. A count of 0 is the end of
/// the stream.
pub(crate) fn poll_read_socket(
    socket: &TcpStream,
    cx: &mut Context<'_>,
    payload_bytes_max: usize,
) -> Poll<io::Result<(Buffer, usize)>> {
    let end = FRAME_HEADER_BYTES + payload_bytes_max.min(DATA_BYTES_MAX);
    let mut buffer = Buffer::take();
    let count = ready!(poll_read(cx, socket, &mut buffer[FRAME_HEADER_BYTES..end]))?;
    Poll::Ready(Ok((buffer, count)))
}
