//! The two directions of one call and what ends both, side by side in one task.

use std::future::{Future, poll_fn};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::Instant;
use tracing::debug;
use wire::limits::{ANSWER_WAITS_MS, DATA_BYTES_MAX, FRAME_HEADER_BYTES, UNSEAL_AFTER_BYTES};
use wire::{AbortReason, Frame, LinkState};

use super::shared::{Shared, Tally};
use super::{End, EndedBy, JoinLimits, poll_read_socket};
use crate::alarm::Alarm;
use crate::link::{Incoming, Link, LinkError, LinkReader, LinkWriter};
use crate::pump::Pump;
use crate::race::{Either, both, race};
use crate::registered::Registered;
use crate::stream::{Sink, Source, Stream};
use crate::transfer::poll_write;

/// What is due before more of the socket is read.
enum Due {
    /// What is queued has waited long enough for payload to take it along.
    Flush,
    /// The inside permits to leave the seal.
    Permission,
    /// This direction leaves it.
    Unsealing,
}

/// One call.
pub(super) struct Call {
    /// Never locked across a wait: a call may move from thread to thread.
    shared: Mutex<Shared>,
    pub(super) tally: Tally,
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
        let tally = Tally::default();
        // The peer may have ended its direction before the call was joined.
        if !state.may_receive() {
            tally.note_end(EndedBy::Peer);
        }
        Self { shared: Mutex::new(Shared::new(state, begun)), tally, limits }
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the call until it ends, or until both directions have left the seal: `None`.
    pub(super) async fn run<S: Stream>(
        &self,
        socket: &TcpStream,
        link: &mut Link<S>,
        pumps: &mut Pumps,
        last_byte: &mut Instant,
        stop: impl Future<Output = ()>,
    ) -> Option<End> {
        let Link { reader, writer, alarm } = link;
        self.tally.set_waiting(writer.may_wait());
        let outward = self.socket_to_link(socket, writer, &mut pumps.outward);
        let inward = self.link_to_socket(reader, socket, &mut pumps.inward);
        let mut silence = self.silence(alarm, last_byte);
        let turn_over = poll_fn(|cx| match self.tally.is_pumped() {
            true => Poll::Ready(Over::Bare),
            false => silence(cx).map(|()| Over::Silent),
        });
        match race(both(outward, inward), race(turn_over, stop)).await {
            Either::Left(ended) => Some(end_of(ended)),
            Either::Right(Either::Left(Over::Bare)) => None,
            Either::Right(Either::Left(Over::Silent)) => Some(SILENT),
            Either::Right(Either::Right(())) => Some(STOPPED),
        }
    }

    /// Runs a call on of which both directions have left the seal.
    pub(super) async fn run_bare<S: Stream>(
        &self,
        socket: &TcpStream,
        link: &mut Link<S>,
        pumps: &mut Pumps,
        last_byte: &mut Instant,
        stop: impl Future<Output = ()>,
    ) -> End {
        let Some(bare) = link.reader.bare() else { return End::LinkBroken };
        let outward = self.socket_to_bare(socket, bare, &mut pumps.outward);
        let inward = self.bare_to_socket(bare, socket, &mut pumps.inward);
        let silence = poll_fn(self.silence(&mut link.alarm, last_byte));
        match race(both(outward, inward), race(silence, stop)).await {
            Either::Left(ended) => end_of(ended),
            Either::Right(Either::Left(())) => SILENT,
            Either::Right(Either::Right(())) => STOPPED,
        }
    }

    async fn socket_to_link<W: Sink>(
        &self,
        socket: &TcpStream,
        link: &mut LinkWriter<W>,
        pump: &mut Pump,
    ) -> Result<(), End> {
        if self.shared().state.may_send() {
            if !link.may_wait() {
                self.flush(link, socket).await?;
            }
            let mut begins = self.shared().state.is_caller();
            let mut registered = Registered::default();
            loop {
                let reading = poll_fn(|cx| {
                    ready!(registered.poll_readable(cx, socket))?;
                    poll_read_socket(socket, cx, DATA_BYTES_MAX)
                });
                let read = match race(self.due(link), reading).await {
                    Either::Left(Due::Flush) => {
                        self.flush(link, socket).await?;
                        continue;
                    }
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
                if begins {
                    begins = self.note_beginning(&buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + count]);
                }
                self.tally.note_read(count);
                link.queue_payload(buffer, count);
                self.flush(link, socket).await?;
                if self.tally.take_turn() {
                    yield_now().await;
                }
            }
            self.tally.note_end(EndedBy::Socket);
            self.shared().state.on_sent(wire::Kind::End);
            link.queue(&Frame::End);
            self.flush(link, socket).await?;
        }
        self.watch_socket(socket).await
    }

    /// Flushes the link. While it takes nothing the socket is not read, so that its reset has to be watched for.
    async fn flush<W: Sink>(&self, link: &mut LinkWriter<W>, socket: &TcpStream) -> Result<(), End> {
        self.written(link, socket, LinkWriter::poll_flush).await
    }

    /// Waits until `poll` has written what it has to.
    pub(super) async fn written<W: Sink>(
        &self,
        link: &mut LinkWriter<W>,
        socket: &TcpStream,
        poll: impl Fn(&mut LinkWriter<W>, &mut Context<'_>) -> Poll<Result<(), LinkError>>,
    ) -> Result<(), End> {
        let mut failed = pin!(None);
        poll_fn(|cx| {
            let before = link.bytes_written();
            let written = poll(link, cx);
            if link.bytes_written() != before {
                self.tally.note_life();
            }
            if let Poll::Ready(outcome) = written {
                self.tally.set_waiting(false);
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
        let may_wait = link.may_wait();
        poll_fn(move |_| {
            if may_wait && !self.tally.is_waiting() {
                return Poll::Ready(Due::Flush);
            }
            if !may {
                return Poll::Pending;
            }
            let (from_socket, to_socket) = self.tally.bytes();
            let is_worth_it = from_socket + to_socket >= UNSEAL_AFTER_BYTES;
            // Of a call that has said little, and nothing but payload, it is clear without a lock.
            if !is_worth_it && !self.tally.has_heard_frame() {
                return Poll::Pending;
            }
            let Shared { state, beginning, .. } = *self.shared();
            match beginning.is_client_hello() {
                true if state.may_unseal() => Poll::Ready(Due::Unsealing),
                true if state.may_permit() && is_worth_it => Poll::Ready(Due::Permission),
                _ => Poll::Pending,
            }
        })
    }

    /// The socket has ended its direction; until the other has ended as well, a reset still has to be noticed.
    pub(super) async fn watch_socket(&self, socket: &TcpStream) -> Result<(), End> {
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
        socket: &TcpStream,
        pump: &mut Pump,
    ) -> Result<(), End> {
        let mut begins = !self.shared().state.is_caller();
        // No payload changes it, and none is out of turn while it is so: the call has been accepted.
        let mut is_open = self.shared().state.may_receive();
        while is_open {
            match link.next().await.map_err(|error| self.link_failed(&error))? {
                Incoming::Payload(bytes) => {
                    if begins {
                        begins = self.note_beginning(bytes);
                    }
                    self.tally.note_life();
                    // Who goes on speaking is to know that somebody listens.
                    self.tally.set_waiting(false);
                    self.write(socket, bytes).await?;
                }
                Incoming::Frame(frame) => {
                    self.try_update(|state| state.on_received(frame.kind()))?;
                    self.tally.note_frame();
                    if let Frame::Abort(reason) = frame {
                        self.shared().aborted_by_peer = true;
                        return Err(End::Aborted(reason));
                    }
                    is_open = self.shared().state.may_receive();
                }
            }
            if self.tally.take_turn() {
                yield_now().await;
            }
        }
        if self.shared().state.is_bare_inward() {
            return self.go_on_bare(link, socket, pump).await;
        }
        self.pass_on_end(socket)?;
        self.watch_link(link).await
    }

    /// The peer has ended its direction, and so the socket is told.
    pub(super) fn pass_on_end(&self, socket: &TcpStream) -> Result<(), End> {
        self.tally.note_end(EndedBy::Peer);
        // Where this was the last direction, closing says FIN as well.
        if self.shared().state.is_sending() {
            SockRef::from(socket).shutdown(Shutdown::Write).map_err(|_| self.socket_failure())?;
        }
        // A socket that has been reset lets itself be shut down as if nothing were.
        match socket.take_error() {
            Ok(None) => Ok(()),
            _ => Err(self.socket_failure()),
        }
    }

    /// Writes to the socket. Every byte counts as life, not only the last of a piece.
    pub(super) async fn write(&self, socket: &TcpStream, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| poll_write(cx, socket, bytes)).await;
            let count = written.map_err(|_| self.socket_failure())?;
            self.tally.note_written(count);
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

    /// Ready when no byte has moved for as long as the limits allow. A byte touches neither the timer nor the clock: that
    /// something has moved is noticed at the end of the turn in which it did.
    fn silence(
        &self,
        alarm: &mut Alarm,
        last_byte: &mut Instant,
    ) -> impl FnMut(&mut Context<'_>) -> Poll<()> {
        let limits = self.limits;
        let mut waits_until = None;
        move |cx| {
            if self.tally.is_waiting() {
                let wait = Duration::from_millis(ANSWER_WAITS_MS);
                let until = *waits_until.get_or_insert_with(|| *last_byte + wait);
                ready!(alarm.poll(cx, until));
                self.tally.set_waiting(false);
                // It is what is queued that is due now, and asked first.
                cx.waker().wake_by_ref();
            }
            if self.tally.take_life() {
                *last_byte = Instant::now();
            }
            let bound = if self.tally.first_end().is_some() { Some(limits.reap) } else { limits.idle };
            // A bound beyond what the clock can tell is none.
            let until = bound.and_then(|bound| last_byte.checked_add(bound));
            until.map_or(Poll::Pending, |until| alarm.poll(cx, until))
        }
    }

    /// The caller has said more: whether what it says next is of interest as well.
    fn note_beginning(&self, bytes: &[u8]) -> bool {
        let mut shared = self.shared();
        shared.beginning.note(bytes);
        !shared.beginning.is_complete()
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

/// Why a call that is under the seal goes on no longer like this.
enum Over {
    /// No byte has moved for too long.
    Silent,
    /// Both directions have left the seal.
    Bare,
}

const SILENT: End = End::Aborted(AbortReason::Idle);
const STOPPED: End = End::Aborted(AbortReason::Drain);

fn end_of(directions: Result<(), End>) -> End {
    directions.err().unwrap_or(End::Orderly)
}

pub(super) fn link_failure(error: &LinkError) -> End {
    debug!("the link of a call is given up: {error}");
    End::LinkBroken
}
