//! The two directions of one call and what ends both, side by side in one task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep};
use tracing::debug;
use wire::limits::{DATA_BYTES_MAX, FRAME_HEADER_BYTES, UNSEAL_AFTER_BYTES};
use wire::{AbortReason, Frame, LinkState};

use super::{End, EndedBy, JoinLimits, read_socket};
use crate::beginning::Beginning;
use crate::link::{Incoming, Link, LinkError, LinkReader, LinkWriter};
use crate::race::{Either, both, race};
use crate::stream::{Sink, Source, Stream};

/// What is due before more of the socket is read.
enum Due {
    /// The inside permits to leave the seal.
    Permission,
    /// This direction leaves it.
    Unsealing,
}

/// What the two directions of one call share while they run side by side in one task.
pub(super) struct Call {
    pub(super) state: Slot<LinkState>,
    pub(super) from_socket: Slot<u64>,
    pub(super) to_socket: Slot<u64>,
    last_byte: Slot<Instant>,
    pub(super) first_end: Slot<Option<EndedBy>>,
    pub(super) socket_failed: Slot<bool>,
    pub(super) aborted_by_peer: Slot<bool>,
    limits: JoinLimits,
    /// What the caller has said first.
    beginning: Slot<Beginning>,
}

impl Call {
    pub(super) fn new(state: LinkState, limits: JoinLimits, begun: &[u8]) -> Self {
        let mut beginning = Beginning::default();
        beginning.note(begun);
        Self {
            state: Slot::new(state),
            from_socket: Slot::new(0),
            to_socket: Slot::new(0),
            last_byte: Slot::new(Instant::now()),
            // The peer may have ended its direction before the call was joined.
            first_end: Slot::new((!state.may_receive()).then_some(EndedBy::Peer)),
            socket_failed: Slot::new(false),
            aborted_by_peer: Slot::new(false),
            limits,
            beginning: Slot::new(beginning),
        }
    }

    pub(super) async fn run<S: Stream>(
        &self,
        socket: &mut TcpStream,
        link: &mut Link<S>,
        stop: impl Future<Output = ()>,
    ) -> End {
        let (mut from_socket, mut to_socket) = socket.split();
        let outward = self.socket_to_link(&mut from_socket, &mut link.writer);
        let inward = self.link_to_socket(&mut link.reader, &mut to_socket);
        let ended = both(outward, inward);
        let given_up = async {
            match race(self.silence(), stop).await {
                Either::Left(()) => End::Aborted(AbortReason::Idle),
                Either::Right(()) => End::Aborted(AbortReason::Drain),
            }
        };
        match race(ended, given_up).await {
            Either::Left(Ok(())) => End::Orderly,
            Either::Left(Err(end)) | Either::Right(end) => end,
        }
    }

    async fn socket_to_link<W: Sink>(
        &self,
        socket: &mut ReadHalf<'_>,
        link: &mut LinkWriter<W>,
    ) -> Result<(), End> {
        if self.state.get().may_send() {
            self.flush(link, socket).await?;
            loop {
                let read = match race(self.due(link), read_socket(socket, DATA_BYTES_MAX)).await {
                    Either::Left(Due::Permission) => {
                        self.update(|state| state.on_sent(wire::Kind::MayUnseal));
                        link.queue(&Frame::MayUnseal);
                        self.flush(link, socket).await?;
                        continue;
                    }
                    Either::Left(Due::Unsealing) => return self.socket_to_bare(socket, link).await,
                    Either::Right(read) => read,
                };
                let (buffer, count) = read.map_err(|_| self.socket_failure())?;
                if count == 0 {
                    break;
                }
                self.note_bytes(&self.from_socket, count);
                if self.state.get().is_caller() {
                    self.note_beginning(&buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + count]);
                }
                self.update(|state| state.on_payload_sent(count));
                link.queue_payload(buffer, count);
                self.flush(link, socket).await?;
            }
            self.note_end(EndedBy::Socket);
            self.update(|state| state.on_sent(wire::Kind::End));
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
                self.last_byte.set(Instant::now());
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
            let state = self.state.get();
            if !may || !(state.may_permit() || state.may_unseal()) || !self.beginning.get().is_client_hello()
            {
                return Poll::Pending;
            }
            if state.may_unseal() {
                return Poll::Ready(Due::Unsealing);
            }
            match self.from_socket.get() + self.to_socket.get() >= UNSEAL_AFTER_BYTES {
                true => Poll::Ready(Due::Permission),
                false => Poll::Pending,
            }
        })
    }

    /// The socket has ended its direction; until the other has ended as well, a reset still has to be noticed.
    pub(super) async fn watch_socket(&self, socket: &ReadHalf<'_>) -> Result<(), End> {
        // Needs no waker: what ends the other direction runs in the same task, before this is polled again.
        let other_direction = poll_fn(|_| match self.state.get().is_receiving() {
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
    ) -> Result<(), End> {
        while self.state.get().may_receive() {
            match link.next().await.map_err(|error| self.link_failed(&error))? {
                Incoming::Payload(bytes) => {
                    self.try_update(|state| state.on_payload_received(bytes.len()))?;
                    self.last_byte.set(Instant::now());
                    if !self.state.get().is_caller() {
                        self.note_beginning(bytes);
                    }
                    self.write(socket, bytes).await?;
                }
                Incoming::Frame(frame) => {
                    self.try_update(|state| state.on_received(frame.kind()))?;
                    if let Frame::Abort(reason) = frame {
                        self.aborted_by_peer.set(true);
                        return Err(End::Aborted(reason));
                    }
                }
            }
        }
        if self.state.get().is_receiving() {
            self.bare_to_socket(link, socket).await?;
        }
        self.note_end(EndedBy::Peer);
        // Where this was the last direction, closing says FIN as well.
        if self.state.get().is_sending() {
            socket.shutdown().await.map_err(|_| self.socket_failure())?;
        }
        // A socket that has been reset lets itself be shut down as if nothing were.
        if !matches!(socket.as_ref().take_error(), Ok(None)) {
            return Err(self.socket_failure());
        }
        self.watch_link(link).await
    }

    /// Writes to the socket. Every byte counts as life, not only the last of a piece.
    pub(super) async fn write(&self, socket: &mut WriteHalf<'_>, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            let count = socket.write(bytes).await.map_err(|_| self.socket_failure())?;
            self.note_bytes(&self.to_socket, count);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// The peer has ended its direction. Until this end has ended its own nothing may come, but a link that breaks
    /// still has to be noticed: a peer that has said `End` has no other way to abort.
    async fn watch_link<R: Source>(&self, link: &mut LinkReader<R>) -> Result<(), End> {
        // Asked before the link is read: once this end has said `End`, what comes belongs to the next call.
        let this_direction = poll_fn(|_| match self.state.get().is_sending() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        });
        if self.state.get().is_bare_inward() {
            let bare = link.bare().ok_or(End::LinkBroken)?;
            return self.watch_bare(this_direction, bare).await;
        }
        match race(this_direction, link.next()).await {
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

    /// Returns when no byte has moved for as long as the limits allow. A byte does not touch the timer: it is set
    /// again when it fires, or when one direction has ended and less is allowed from then on.
    async fn silence(&self) {
        let limits = self.limits;
        let mut timer = pin!(sleep(limits.reap));
        let mut is_set = false;
        poll_fn(|cx| {
            let bound = if self.first_end.get().is_some() { Some(limits.reap) } else { limits.idle };
            let Some(bound) = bound else { return Poll::Pending };
            loop {
                // A bound beyond what the clock can tell is none.
                let Some(until) = self.last_byte.get().checked_add(bound) else {
                    return Poll::Pending;
                };
                if !is_set || until < timer.deadline() {
                    timer.as_mut().reset(until);
                    is_set = true;
                }
                ready!(timer.as_mut().poll(cx));
                if until <= Instant::now() {
                    return Poll::Ready(());
                }
                is_set = false;
            }
        })
        .await;
    }

    pub(super) fn note_bytes(&self, counter: &Slot<u64>, count: usize) {
        counter.set(counter.get() + count as u64);
        self.last_byte.set(Instant::now());
    }

    fn note_beginning(&self, bytes: &[u8]) {
        let mut beginning = self.beginning.get();
        beginning.note(bytes);
        self.beginning.set(beginning);
    }

    pub(super) fn note_end(&self, by: EndedBy) {
        if self.first_end.get().is_none() {
            self.first_end.set(Some(by));
        }
        self.last_byte.set(Instant::now());
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut LinkState)) {
        let mut state = self.state.get();
        change(&mut state);
        self.state.set(state);
    }

    fn try_update(
        &self,
        change: impl FnOnce(&mut LinkState) -> Result<(), wire::Violation>,
    ) -> Result<(), End> {
        let mut state = self.state.get();
        change(&mut state).map_err(|violation| link_failure(&violation.into()))?;
        self.state.set(state);
        Ok(())
    }

    pub(super) fn socket_failure(&self) -> End {
        self.socket_failed.set(true);
        End::Aborted(AbortReason::Reset)
    }
}

pub(super) fn link_failure(error: &LinkError) -> End {
    debug!("the link of a call is given up: {error}");
    End::LinkBroken
}

/// A `Cell` for what shares a task that may move from thread to thread; nobody ever waits for it.
pub(super) struct Slot<T>(Mutex<T>);

impl<T: Copy> Slot<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn get(&self) -> T {
        *self.lock()
    }

    pub(super) fn set(&self, value: T) {
        *self.lock() = value;
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
