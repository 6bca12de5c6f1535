//! The two directions of one call and what ends both, side by side in one task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;
use tracing::debug;
use wire::limits::{DATA_BYTES_MAX, FRAME_HEADER_BYTES, UNSEAL_AFTER_BYTES};
use wire::{AbortReason, Frame, LinkState};

use super::shared::Shared;
use super::{End, EndedBy, JoinLimits, read_socket};
use crate::alarm::Alarm;
use crate::link::{Incoming, Link, LinkError, LinkReader, LinkWriter};
use crate::pump::Pump;
use crate::race::{Either, both, race};
use crate::stream::{Sink, Source, Stream};

/// What is due before more of the socket is read.
enum Due {
    /// The inside permits to leave the seal.
    Permission,
    /// This direction leaves it.
    Unsealing,
}

/// One call.
pub(super) struct Call {
    /// Never locked across a wait: a call may move from thread to thread.
    shared: Mutex<Shared>,
    limits: JoinLimits,
}

/// What a call that has left the seal holds of each direction.
#[derive(Default)]
pub(super) struct Pumps {
    outward: Pump,
    inward: Pump,
}

impl Call {
    pub(super) fn new(state: LinkState, limits: JoinLimits, begun: &[u8]) -> Self {
        Self { shared: Mutex::new(Shared::new(state, begun)), limits }
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the call until it ends, or until both directions have left the seal: `None`.
    pub(super) async fn run<S: Stream>(
        &self,
        socket: &mut TcpStream,
        link: &mut Link<S>,
        pumps: &mut Pumps,
        stop: impl Future<Output = ()>,
    ) -> Option<End> {
        let Link { reader, writer, alarm } = link;
        let (mut from_socket, mut to_socket) = socket.split();
        let outward = self.socket_to_link(&mut from_socket, writer, &mut pumps.outward);
        let inward = self.link_to_socket(reader, &mut to_socket, &mut pumps.inward);
        let all_bare = poll_fn(|_| match *self.shared() {
            Shared { is_pumped_outward: true, is_pumped_inward: true, .. } => Poll::Ready(()),
            _ => Poll::Pending,
        });
        match race(self.to_its_end(outward, inward, alarm, stop), all_bare).await {
            Either::Left(ended) => Some(end_of(&ended)),
            Either::Right(()) => None,
        }
    }

    /// Runs a call on of which both directions have left the seal.
    pub(super) async fn run_bare<S: Stream>(
        &self,
        socket: &mut TcpStream,
        link: &mut Link<S>,
        pumps: &mut Pumps,
        stop: impl Future<Output = ()>,
    ) -> End {
        let Some(bare) = link.reader.bare() else { return End::LinkBroken };
        let (from_socket, mut to_socket) = socket.split();
        let outward = self.socket_to_bare(&from_socket, bare, &mut pumps.outward);
        let inward = self.bare_to_socket(bare, &mut to_socket, &mut pumps.inward);
        end_of(&self.to_its_end(outward, inward, &mut link.alarm, stop).await)
    }

    /// Both directions, and what else may end the call.
    fn to_its_end(
        &self,
        outward: impl Future<Output = Result<(), End>>,
        inward: impl Future<Output = Result<(), End>>,
        alarm: &mut Alarm,
        stop: impl Future<Output = ()>,
    ) -> impl Future<Output = Ended> {
        race(both(outward, inward), race(self.silence(alarm), stop))
    }

    async fn socket_to_link<W: Sink>(
        &self,
        socket: &mut ReadHalf<'_>,
        link: &mut LinkWriter<W>,
        pump: &mut Pump,
    ) -> Result<(), End> {
        if self.shared().state.may_send() {
            self.flush(link, socket).await?;
            loop {
                let read = match race(self.due(link), read_socket(socket, DATA_BYTES_MAX)).await {
                    Either::Left(Due::Permission) => {
                        self.shared().state.on_sent(wire::Kind::MayUnseal);
                        link.queue(&Frame::MayUnseal);
                        self.flush(link, socket).await?;
                        continue;
                    }
                    Either::Left(Due::Unsealing) => return self.unseal(socket, link, pump).await,
                    Either::Right(read) => read,
                };
                let (buffer, count) = read.map_err(|_| self.socket_failure())?;
                if count == 0 {
                    break;
                }
                self.note_payload_sent(&buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + count]);
                link.queue_payload(buffer, count);
                self.flush(link, socket).await?;
            }
            self.note_end(EndedBy::Socket);
            self.shared().state.on_sent(wire::Kind::End);
            link.queue(&Frame::End);
            self.flush(link, socket).await?;
        }
        self.watch_socket(socket).await
    }

    /// Flushes the link. While it takes nothing the socket is not read, so that its reset has to be watched for.
    async fn flush<W: Sink>(&self, link: &mut LinkWriter<W>, socket: &ReadHalf<'_>) -> Result<(), End> {
        self.written(link, socket, LinkWriter::poll_flush).await
    }

    /// Waits until `poll` has written what it has to.
    pub(super) async fn written<W: Sink>(
        &self,
        link: &mut LinkWriter<W>,
        socket: &ReadHalf<'_>,
        poll: impl Fn(&mut LinkWriter<W>, &mut Context<'_>) -> Poll<Result<(), LinkError>>,
    ) -> Result<(), End> {
        let mut failed = pin!(None);
        poll_fn(|cx| {
            let before = link.bytes_written();
            let written = poll(link, cx);
            if link.bytes_written() != before {
                self.shared().has_moved = true;
            }
            if let Poll::Ready(outcome) = written {
                return Poll::Ready(outcome.map_err(|error| self.link_failed(&error)));
            }
            if failed.is_none() {
                failed.set(Some(socket.ready(Interest::ERROR)));
            }
            let failed = failed.as_mut().as_pin_mut().expect("it has just been made");
            failed.poll(cx).map(|_| Err(self.socket_failure()))
        })
        .await
    }

    /// What this end has to say before it reads on. Needs no waker: what makes it due runs in the same task.
    fn due<W: Sink>(&self, link: &LinkWriter<W>) -> impl Future<Output = Due> {
        let may = self.limits.unseal && link.bare().is_some();
        poll_fn(move |_| {
            if !may {
                return Poll::Pending;
            }
            let Shared { state, beginning, from_socket, to_socket, .. } = *self.shared();
            if !(state.may_permit() || state.may_unseal()) || !beginning.is_client_hello() {
                return Poll::Pending;
            }
            if state.may_unseal() {
                return Poll::Ready(Due::Unsealing);
            }
            match from_socket + to_socket >= UNSEAL_AFTER_BYTES {
                true => Poll::Ready(Due::Permission),
                false => Poll::Pending,
            }
        })
    }

    /// The socket has ended its direction; until the other has ended as well, a reset still has to be noticed.
    pub(super) async fn watch_socket(&self, socket: &ReadHalf<'_>) -> Result<(), End> {
        // Needs no waker: what ends the other direction runs in the same task, before this is polled again.
        let other_direction = poll_fn(|_| match self.shared().state.is_receiving() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        });
        match race(other_direction, socket.ready(Interest::ERROR)).await {
            Either::Left(()) => Ok(()),
            Either::Right(_) => Err(self.socket_failure()),
        }
    }

    async fn link_to_socket<R: Source>(
        &self,
        link: &mut LinkReader<R>,
        socket: &mut WriteHalf<'_>,
        pump: &mut Pump,
    ) -> Result<(), End> {
        while self.shared().state.may_receive() {
            match link.next().await.map_err(|error| self.link_failed(&error))? {
                Incoming::Payload(bytes) => {
                    self.note_payload_received(bytes)?;
                    self.write(socket, bytes).await?;
                }
                Incoming::Frame(frame) => {
                    self.try_update(|state| state.on_received(frame.kind()))?;
                    if let Frame::Abort(reason) = frame {
                        self.shared().aborted_by_peer = true;
                        return Err(End::Aborted(reason));
                    }
                }
            }
        }
        if self.shared().state.is_bare_inward() {
            return self.go_on_bare(link, socket, pump).await;
        }
        self.pass_on_end(socket).await?;
        self.watch_link(link).await
    }

    /// The peer has ended its direction, and so the socket is told.
    pub(super) async fn pass_on_end(&self, socket: &mut WriteHalf<'_>) -> Result<(), End> {
        self.note_end(EndedBy::Peer);
        // Where this was the last direction, closing says FIN as well.
        if self.shared().state.is_sending() {
            socket.shutdown().await.map_err(|_| self.socket_failure())?;
        }
        // A socket that has been reset lets itself be shut down as if nothing were.
        match socket.as_ref().take_error() {
            Ok(None) => Ok(()),
            _ => Err(self.socket_failure()),
        }
    }

    /// Writes to the socket. Every byte counts as life, not only the last of a piece.
    pub(super) async fn write(&self, socket: &mut WriteHalf<'_>, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let count = socket.write(bytes).await.map_err(|_| self.socket_failure())?;
            self.note_written(count);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// The peer has ended its direction. Until this end has ended its own nothing may come, but a link that breaks
    /// still has to be noticed: a peer that has said `End` has no other way to abort.
    async fn watch_link<R: Source>(&self, link: &mut LinkReader<R>) -> Result<(), End> {
        // Asked before the link is read: once this end has said `End`, what comes belongs to the next call.
        match race(self.this_direction(), link.next()).await {
            Either::Left(()) => Ok(()),
            Either::Right(Err(error)) => Err(link_failure(&error)),
            Either::Right(Ok(Incoming::Payload(bytes))) => {
                self.try_update(|state| state.on_payload_received(bytes.len()))
            }
            Either::Right(Ok(Incoming::Frame(frame))) => {
                self.try_update(|state| state.on_received(frame.kind()))
            }
        }
    }

    /// Returns when this end's direction has ended. Needs no waker: what ends it runs in the same task.
    pub(super) fn this_direction(&self) -> impl Future<Output = ()> {
        poll_fn(|_| match self.shared().state.is_sending() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
    }

    /// Returns when no byte has moved for as long as the limits allow. A byte touches neither the timer nor the clock: that
    /// something has moved is noticed at the end of the turn in which it did.
    async fn silence(&self, alarm: &mut Alarm) {
        let limits = self.limits;
        poll_fn(|cx| {
            let mut shared = self.shared();
            if std::mem::take(&mut shared.has_moved) {
                shared.last_byte = Instant::now();
            }
            let bound = if shared.first_end.is_some() { Some(limits.reap) } else { limits.idle };
            // A bound beyond what the clock can tell is none.
            let until = bound.and_then(|bound| shared.last_byte.checked_add(bound));
            drop(shared);
            until.map_or(Poll::Pending, |until| alarm.poll(cx, until))
        })
        .await;
    }

    /// The socket has said more.
    fn note_payload_sent(&self, bytes: &[u8]) {
        let mut shared = self.shared();
        shared.state.on_payload_sent(bytes.len());
        if shared.state.is_caller() {
            shared.beginning.note(bytes);
        }
        shared.note_read(bytes.len());
    }

    /// The peer has said more.
    fn note_payload_received(&self, bytes: &[u8]) -> Result<(), End> {
        let mut shared = self.shared();
        shared.state.on_payload_received(bytes.len()).map_err(|violation| link_failure(&violation.into()))?;
        if !shared.state.is_caller() {
            shared.beginning.note(bytes);
        }
        shared.has_moved = true;
        Ok(())
    }

    /// Bytes were handed to the socket.
    pub(super) fn note_written(&self, count: usize) {
        let mut shared = self.shared();
        shared.to_socket += count as u64;
        shared.has_moved = true;
    }

    pub(super) fn note_end(&self, by: EndedBy) {
        let mut shared = self.shared();
        shared.first_end.get_or_insert(by);
        shared.has_moved = true;
    }

    fn try_update(
        &self,
        change: impl FnOnce(&mut LinkState) -> Result<(), wire::Violation>,
    ) -> Result<(), End> {
        change(&mut self.shared().state).map_err(|violation| link_failure(&violation.into()))
    }

    pub(super) fn socket_failure(&self) -> End {
        self.shared().socket_failed = true;
        End::Aborted(AbortReason::Reset)
    }
}

/// By its directions, by silence, or by a wish.
type Ended = Either<Result<(), End>, Either<(), ()>>;

fn end_of(ended: &Ended) -> End {
    match ended {
        Either::Left(Ok(())) => End::Orderly,
        Either::Left(Err(end)) => *end,
        Either::Right(Either::Left(())) => End::Aborted(AbortReason::Idle),
        Either::Right(Either::Right(())) => End::Aborted(AbortReason::Drain),
    }
}

pub(super) fn link_failure(error: &LinkError) -> End {
    debug!("the link of a call is given up: {error}");
    End::LinkBroken
}
