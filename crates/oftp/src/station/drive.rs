//! A session over a link: what the machine of [`crate::session`] says is done here, turn by turn.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};

use super::link::Link;
use crate::command::{Command, EndReason, EndResponse, EndSession, Stamp};
use crate::error::{LinkFault, LocalFault, OftpError, PeerFault};
use crate::report::{Event, ReceivedFile, SentFile, SessionReport};
use crate::session::{Indication, Session, Terms, Turn};
use crate::settings::{FileToSend, Settings};

pub(super) struct Drive<'a, S, F> {
    pub(super) link: Link<S>,
    pub(super) session: Session,
    pub(super) settings: &'a Settings,
    pub(super) on_event: F,
    /// Files still to be sent.
    pub(super) outgoing: std::slice::Iter<'a, FileToSend>,
    /// Responses still to be sent.
    pub(super) responses: VecDeque<EndResponse>,
    pub(super) sent: Vec<SentFile>,
    pub(super) received: Vec<ReceivedFile>,
    begun: Instant,
    /// The last stamp given, in ten-thousandths of a second since 1970.
    stamp_last: u64,
}

impl<'a, S, F> Drive<'a, S, F>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: FnMut(Event) + Send,
{
    pub(super) fn new(stream: S, settings: &'a Settings, outgoing: &'a [FileToSend], on_event: F) -> Self {
        Self {
            link: Link::new(stream, settings.answer_wait, settings.close_wait),
            session: Session::initiator(Terms::new(settings)),
            settings,
            on_event,
            outgoing: outgoing.iter(),
            responses: VecDeque::new(),
            sent: Vec::new(),
            received: Vec::new(),
            begun: Instant::now(),
            stamp_last: 0,
        }
    }

    /// The calling side.
    pub(super) async fn call(mut self) -> Result<SessionReport, OftpError> {
        let result = self.turns().await;
        self.close(result).await
    }

    /// The called side.
    pub(super) async fn answer(mut self) -> Result<SessionReport, OftpError> {
        let (session, ready) = Session::responder(Terms::new(self.settings));
        self.session = session;
        let result = match self.send(&ready).await {
            Ok(()) => self.turns().await,
            Err(error) => Err(error),
        };
        self.close(result).await
    }

    async fn turns(&mut self) -> Result<(), OftpError> {
        while self.session.agreed().is_none() {
            self.next().await?;
        }
        self.announce()?;
        loop {
            match self.session.turn() {
                Turn::Ours => self.speak().await?,
                Turn::Theirs => self.hear().await?,
                Turn::Over => return Ok(()),
            }
        }
    }

    fn announce(&mut self) -> Result<(), OftpError> {
        if self.outgoing.len() > 0 && !self.session.may_send_files() {
            return Err(PeerFault::Incompatible.into());
        }
        if let Some(agreed) = self.session.agreed() {
            let (buffer_bytes, credit) = (agreed.buffer_bytes.bytes(), agreed.credit.buffers());
            (self.on_event)(Event::Started { peer: agreed.peer, buffer_bytes, credit });
        }
        Ok(())
    }

    /// The next command of the other station. An end of the session that is none in order is an error.
    pub(super) async fn next(&mut self) -> Result<Indication, OftpError> {
        let range = self.link.exchange_buffer(self.session.state().awaiting()).await?;
        self.understand(range).await
    }

    /// What an exchange buffer means; what has to be sent at once goes out.
    pub(super) async fn understand(
        &mut self,
        exchange_buffer: Range<usize>,
    ) -> Result<Indication, OftpError> {
        let command = Command::decode(self.link.octets(exchange_buffer)).map_err(PeerFault::Malformed)?;
        let heard = self.session.on_command(command)?;
        if let Some(answer) = heard.answer {
            self.send(&answer).await?;
        }
        match heard.indication {
            Indication::Ended { end, idle } if !(idle && end.reason == EndReason::NORMAL) => {
                Err(PeerFault::EndedSession { reason: end.reason, text: end.text }.into())
            }
            indication => Ok(indication),
        }
    }

    pub(super) async fn send(&mut self, command: &Command) -> Result<(), OftpError> {
        self.link.send(command, "room in the connection").await
    }

    /// The stamp of now, never the same twice in a session: with the name it is the identity of a file.
    pub(super) fn stamp(&mut self) -> Stamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ticks = now.as_secs() * 10_000 + u64::from(now.subsec_micros() / 100);
        let mut ticks = ticks.max(self.stamp_last + 1);
        // The counter runs from 0001 to 9999 (5.3.3).
        if ticks.is_multiple_of(10_000) {
            ticks += 1;
        }
        self.stamp_last = ticks;
        Stamp::from_unix(ticks / 10_000, (ticks % 10_000) as u16)
    }

    /// The end of the session, in order or not: tells the other station why, and disconnects as the RFC has it.
    async fn close(mut self, result: Result<(), OftpError>) -> Result<SessionReport, OftpError> {
        let Err(error) = result else {
            return Ok(self.report());
        };
        let error = match error {
            // A write can fail because the other station has gone, and what it said last explains why.
            OftpError::Link(LinkFault::Io(_)) => match self.link.last_words().await {
                Some(Command::EndSession(end)) => {
                    PeerFault::EndedSession { reason: end.reason, text: end.text }.into()
                }
                _ => error,
            },
            _ => error,
        };
        match &error {
            OftpError::Peer(fault) => match fault.end_reason() {
                Some(reason) => self.abort(reason, reason.text()).await,
                None => self.link.disconnect().await,
            },
            OftpError::Local(LocalFault::ShuttingDown) => {
                self.abort(EndReason::EMERGENCY_CLOSE_DOWN, "").await;
            }
            OftpError::Local(_) => self.abort(EndReason::UNSPECIFIED, "local file error").await,
            // A time-out is answered by the disconnect alone (9.9.2, B).
            OftpError::Link(_) => {}
        }
        Err(error)
    }

    async fn abort(&mut self, reason: EndReason, text: &str) {
        let command = self.session.abort(EndSession { reason, text: text.to_owned() });
        if self.send(&command).await.is_ok() {
            self.link.await_disconnect().await;
        }
    }

    fn report(self) -> SessionReport {
        let agreed = self.session.agreed();
        let Some(agreed) = agreed else { unreachable!("a session without agreement does not end in order") };
        SessionReport {
            peer: agreed.peer,
            buffer_bytes: agreed.buffer_bytes.bytes(),
            credit: agreed.credit.buffers(),
            sent: self.sent,
            received: self.received,
            responses_owed: self.responses.len(),
            duration: self.begun.elapsed(),
        }
    }
}
