//! One connection: stream transmission buffers in and out, with a limit to every wait.

use std::io;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::buffer::{frame_bytes, put_command};
use crate::command::Command;
use crate::error::{LinkFault, OftpError, PeerFault};
use crate::limits::{HEADER_BYTES, INPUT_BYTES_MAX, INPUT_BYTES_START};

pub(super) struct Link<S> {
    stream: S,
    /// What was read; `filled` of it not yet taken.
    input: Vec<u8>,
    filled: Range<usize>,
    output: Vec<u8>,
    answer_wait: Duration,
    close_wait: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(stream: S, answer_wait: Duration, close_wait: Duration) -> Self {
        let input = vec![0; INPUT_BYTES_START];
        Self { stream, input, filled: 0..0, output: Vec::new(), answer_wait, close_wait }
    }

    /// The next exchange buffer, without its header. It stays where it is until the next call.
    pub(super) async fn exchange_buffer(
        &mut self,
        awaiting: &'static str,
    ) -> Result<Range<usize>, OftpError> {
        // One deadline for the whole buffer, so that a peer that drips octets does not live for ever.
        let mut deadline = None;
        loop {
            let start = self.filled.start;
            if let Some(length) = frame_bytes(&self.input[self.filled.clone()]).map_err(PeerFault::Buffer)?
                && length <= self.filled.len()
            {
                self.filled.start += length;
                return Ok(start + HEADER_BYTES..start + length);
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.answer_wait);
            self.fill(deadline, awaiting).await?;
        }
    }

    /// The octets of an exchange buffer.
    pub(super) fn octets(&self, exchange_buffer: Range<usize>) -> &[u8] {
        &self.input[exchange_buffer]
    }

    /// Sends one command, now.
    pub(super) async fn send(&mut self, command: &Command, awaiting: &'static str) -> Result<(), OftpError> {
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        put_command(&mut output, command);
        let sent = self.write(&output, awaiting).await;
        self.output = output;
        sent?;
        self.flush(awaiting).await
    }

    /// Writes ready stream transmission buffers. [`Self::flush`] has to follow before anything is waited for.
    pub(super) async fn write(&mut self, mut bytes: &[u8], awaiting: &'static str) -> Result<(), OftpError> {
        while !bytes.is_empty() {
            // The wait is for progress, not for the whole, which may take long on a slow line.
            match timeout(self.answer_wait, self.stream.write(bytes)).await {
                Ok(Ok(0)) => return Err(LinkFault::Io(io::ErrorKind::WriteZero.into()).into()),
                Ok(Ok(written)) => bytes = &bytes[written..],
                Ok(Err(error)) => return Err(LinkFault::Io(error).into()),
                Err(_) => {
                    return Err(LinkFault::TimedOut { awaiting, after: self.answer_wait }.into());
                }
            }
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self, awaiting: &'static str) -> Result<(), OftpError> {
        match timeout(self.answer_wait, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LinkFault::Io(error).into()),
            Err(_) => Err(LinkFault::TimedOut { awaiting, after: self.answer_wait }.into()),
        }
    }

    /// After an ESID of ours (WF_NDISC): what still comes is of no interest, only the disconnect is (9.10.1, S).
    pub(super) async fn await_disconnect(&mut self) {
        let deadline = Instant::now() + self.close_wait;
        self.drain(deadline).await;
        let _ = timeout_at(deadline, self.stream.shutdown()).await;
    }

    /// After an ESID of theirs: disconnects (N_DISC_RQ), and sees the other side do so too, so that a FIN is
    /// answered by a FIN and nothing on the way is cut by a reset.
    pub(super) async fn disconnect(&mut self) {
        let deadline = Instant::now() + self.close_wait;
        let _ = timeout_at(deadline, self.stream.shutdown()).await;
        self.drain(deadline).await;
    }

    /// What the other side may have said before the connection broke: the command that explains it, if there is one.
    pub(super) async fn last_words(&mut self) -> Option<Command> {
        let wait = self.close_wait;
        let search = async {
            loop {
                let range = self.exchange_buffer("the reason of the disconnect").await.ok()?;
                if let Ok(command @ Command::EndSession(_)) = Command::decode(self.octets(range)) {
                    return Some(command);
                }
            }
        };
        timeout(wait, search).await.ok().flatten()
    }

    async fn drain(&mut self, deadline: Instant) {
        self.filled = 0..0;
        while let Ok(Ok(1..)) = timeout_at(deadline, self.stream.read(&mut self.input)).await {}
    }

    async fn fill(&mut self, deadline: Instant, awaiting: &'static str) -> Result<(), OftpError> {
        self.input.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        // An idle call keeps its small buffer; a busy one soon has a large one.
        if self.filled.end > self.input.len() / 2 && self.input.len() < INPUT_BYTES_MAX {
            let larger = (self.input.len() * 4).min(INPUT_BYTES_MAX);
            self.input.resize(larger, 0);
        }
        match timeout_at(deadline, self.stream.read(&mut self.input[self.filled.end..])).await {
            Ok(Ok(0)) => Err(LinkFault::Closed { awaiting }.into()),
            Ok(Ok(read)) => {
                self.filled.end += read;
                Ok(())
            }
            // TLS without its closing message.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(LinkFault::Closed { awaiting }.into())
            }
            Ok(Err(error)) => Err(LinkFault::Io(error).into()),
            Err(_) => Err(LinkFault::TimedOut { awaiting, after: self.answer_wait }.into()),
        }
    }
}
