//! The end of a link at which a call begins: the partner's at the proxy, the station's at the client.
//!
//! The plain socket is here already. The call is put to the other end, which reaches for the rest of the way, and
//! what the caller says meanwhile travels along, within bounds, so that it waits for nothing.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use seal::Buffer;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::limits::{EARLY_BYTES_MAX, FRAME_HEADER_BYTES, OFFER_SIGN_MS};
use wire::{Frame, Kind, LinkState, Violation};

use crate::alarm::or_silence;
use crate::join::poll_read_socket;
use crate::link::{Incoming, Link, LinkError, LinkWriter};
use crate::race::{Either, at_once, race};
use crate::stream::{Sink, Stream};

/// The plain socket from which a call is set up, until the call is joined.
#[derive(Debug)]
pub struct Caller {
    /// The socket.
    pub socket: TcpStream,
    /// What was read from it already. It is sent along with an offer, and kept for the next one until a call is
    /// accepted.
    pub early: Vec<u8>,
}

/// What the other end answers to an offer, or what else ends the wait for it.
#[derive(Debug)]
pub enum Answer {
    /// It takes the call, in the words of this frame.
    Accepted(Frame),
    /// It does not, in the words of this frame.
    Refused(Frame),
    /// The caller closed its connection by a reset.
    CallerLeft,
    /// The deadline has passed.
    TimedOut,
    /// The link has ended, or gives no sign ([`LinkError::is_silence`]).
    LinkDead(LinkError),
}

impl Caller {
    /// A socket that has said nothing yet.
    pub fn new(socket: TcpStream) -> Self {
        Self { socket, early: Vec::new() }
    }

    /// Reads early payload, `room` bytes at most. A count of 0 is the end of the caller's stream.
    ///
    /// # Errors
    /// The connection has failed.
    pub async fn read_early(&mut self, room: usize) -> io::Result<(Buffer, usize)> {
        let (buffer, count) = poll_fn(|cx| poll_read_socket(&self.socket, cx, room)).await?;
        self.early.extend_from_slice(&buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + count]);
        Ok((buffer, count))
    }

    /// Returns when the connection has been reset or has failed. Its orderly end is none of this: a caller may have
    /// said all it has to say.
    pub async fn failed(&self) {
        // An error here is the failure that is waited for.
        let _ = self.socket.ready(Interest::ERROR).await;
    }

    /// Puts a call to the other end of a link by `opening` and waits for the answer until `deadline`. What the caller
    /// says meanwhile is sent along, within bounds. Without any sign for [`OFFER_SIGN_MS`] the link is dead. Nothing is put
    /// to it for a caller that has left already.
    pub async fn offer<S: Stream>(
        &mut self,
        link: &mut Link<S>,
        state: &mut LinkState,
        opening: &Frame,
        deadline: Instant,
    ) -> Answer {
        // What has come with the connection needs no segment of its own. Its end is still there for whoever reads next.
        if self.early.is_empty() && matches!(at_once(self.read_early(EARLY_BYTES_MAX)).await, Some(Err(_))) {
            return Answer::CallerLeft;
        }
        let first_sign_by = Instant::now() + Duration::from_millis(OFFER_SIGN_MS);
        let Link { reader, writer, alarm } = link;
        let opened = alarm.within(first_sign_by, self.open(writer, state, opening)).await;
        if let Err(error) = or_silence(opened) {
            return Answer::LinkDead(error);
        }
        let mut sign_by = Some(first_sign_by);
        let mut caller_ended = false;
        loop {
            let room = if caller_ended { 0 } else { state.payload_allowance() };
            let until = sign_by.map_or(deadline, |sign_by| sign_by.min(deadline));
            let from_caller = race(self.says(room), alarm.wait(until));
            match race(reader.next(), from_caller).await {
                Either::Left(Ok(Incoming::Frame(frame))) => match on_answer(state, frame) {
                    Ok(Heard::Answer(answer)) => return answer,
                    Ok(Heard::Ringing) => sign_by = None,
                    Ok(Heard::Heartbeat) => {}
                    Err(violation) => return Answer::LinkDead(violation.into()),
                },
                Either::Left(Ok(Incoming::Payload(bytes))) => {
                    let violation = state.on_payload_received(bytes.len());
                    return Answer::LinkDead(violation.err().map_or(LinkError::Closed, LinkError::from));
                }
                Either::Left(Err(error)) => return Answer::LinkDead(error),
                Either::Right(Either::Left(Said::Bytes(buffer, count))) => {
                    state.on_payload_sent(count);
                    writer.queue_payload(buffer, count);
                    if let Err(error) = or_silence(alarm.within(until, writer.flush()).await) {
                        return Answer::LinkDead(error);
                    }
                }
                Either::Right(Either::Left(Said::End)) => caller_ended = true,
                Either::Right(Either::Left(Said::Failed)) => return Answer::CallerLeft,
                Either::Right(Either::Right(())) if until < deadline => {
                    return Answer::LinkDead(LinkError::silence());
                }
                Either::Right(Either::Right(())) => return Answer::TimedOut,
            }
        }
    }

    /// Sends `opening`, and with it what the caller has said already.
    async fn open<W: Sink>(
        &self,
        writer: &mut LinkWriter<W>,
        state: &mut LinkState,
        opening: &Frame,
    ) -> Result<(), LinkError> {
        state.on_sent(opening.kind());
        writer.queue(opening);
        if !self.early.is_empty() {
            let mut buffer = Buffer::take();
            let count = self.early.len();
            buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + count].copy_from_slice(&self.early);
            state.on_payload_sent(count);
            writer.queue_payload(buffer, count);
        }
        writer.flush().await
    }

    /// Waits for the caller, reading `room` bytes at most; without room only for its failure.
    async fn says(&mut self, room: usize) -> Said {
        if room == 0 {
            self.failed().await;
            return Said::Failed;
        }
        match self.read_early(room).await {
            Ok((_, 0)) => Said::End,
            Ok((buffer, count)) => Said::Bytes(buffer, count),
            Err(_) => Said::Failed,
        }
    }
}

/// What a caller does while its call is offered.
enum Said {
    Bytes(Buffer, usize),
    End,
    Failed,
}

/// What the other end says after an offer.
enum Heard {
    /// Its answer.
    Answer(Answer),
    /// A sign that it knows of the call.
    Ringing,
    /// The answer to a heartbeat that the offer has overtaken, and no sign that the offer has arrived.
    Heartbeat,
}

fn on_answer(state: &mut LinkState, frame: Frame) -> Result<Heard, Violation> {
    state.on_received(frame.kind())?;
    Ok(match frame.kind() {
        Kind::Accept | Kind::Connected => Heard::Answer(Answer::Accepted(frame)),
        Kind::Refuse | Kind::Failed => Heard::Answer(Answer::Refused(frame)),
        Kind::Heartbeat => Heard::Heartbeat,
        _ => Heard::Ringing,
    })
}
