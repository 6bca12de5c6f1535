//! The other side's turn: files and responses come in, until the turn comes or the session ends.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::drive::Drive;
use super::sink::{Kept, Sink};
use crate::buffer::take_data;
use crate::command::{
    CommandKind, DatasetName, EndFile, EndFileNegative, EndResponse, FileReason, Stamp, StartFile,
    StartFileNegative,
};
use crate::error::{OftpError, PeerFault};
use crate::limits::{CHUNK_BYTES, FILES_PER_SESSION_MAX, PROGRESS_BYTES};
use crate::report::{Event, ReceivedFile, Response};
use crate::session::Indication;

/// Why a file is not taken.
struct Refusal {
    reason: FileReason,
    retry: bool,
    text: String,
}

/// What came in of a file, and what the speaker says came in.
struct DataReceived {
    bytes: u64,
    records: u64,
    end: EndFile,
}

impl<S, F> Drive<'_, S, F>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: FnMut(Event) + Send,
{
    pub(super) async fn hear(&mut self) -> Result<(), OftpError> {
        match self.next().await? {
            Indication::FileOffered(file) => self.receive_file(&file).await,
            Indication::Response(response) => {
                let (name, stamp) = (response.name, response.stamp);
                self.take_response(name, stamp, (*response).into()).await
            }
            Indication::NegativeResponse(response) => {
                let (name, stamp) = (response.name, response.stamp);
                self.take_response(name, stamp, (*response).into()).await
            }
            Indication::Turn => Ok(()),
            Indication::Ended { .. } => {
                self.link.disconnect().await;
                Ok(())
            }
            other => unreachable!("a speaker cannot say {other:?}"),
        }
    }

    async fn take_response(
        &mut self,
        name: DatasetName,
        stamp: Stamp,
        response: Response,
    ) -> Result<(), OftpError> {
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.name == name && sent.stamp == stamp) {
            sent.response = Some(response.clone());
        }
        (self.on_event)(Event::ResponseReceived { name, response });
        let command = self.session.ready_to_receive();
        self.send(&command).await
    }

    async fn receive_file(&mut self, file: &StartFile) -> Result<(), OftpError> {
        let begun = Instant::now();
        if let Some(refusal) = self.refusal(file) {
            return self.refuse(file, refusal).await;
        }
        let sink = match Sink::create(&self.settings.inbox).await? {
            Ok(sink) => sink,
            Err(error) => {
                let text = format!("the inbox cannot be written: {}", error.kind());
                let reason = FileReason::ACCESS_METHOD_FAILURE;
                return self.refuse(file, Refusal { reason, retry: true, text }).await;
            }
        };
        let command = self.session.accept_file();
        (self.on_event)(Event::Receiving { name: file.name, size_kib: file.size_kib });
        self.send(&command).await?;

        let (sink, data) = self.receive_data(sink).await?;
        match self.keep(file, sink, &data).await? {
            Ok(kept) => self.confirm(file, kept, begun).await,
            Err(refusal) => self.reject(file, refusal).await,
        }
    }

    /// What speaks against a file before any of it has come.
    fn refusal(&self, file: &StartFile) -> Option<Refusal> {
        // The last block may be full or hold one octet.
        let announced_min = file.size_kib.saturating_sub(1).saturating_mul(1024);
        let (reason, retry) =
            if self.settings.file_bytes_max.is_some_and(|bytes_max| announced_min >= bytes_max.max(1)) {
                (FileReason::TOO_BIG, false)
            } else if self.received.len() >= FILES_PER_SESSION_MAX {
                (FileReason::UNSPECIFIED, true)
            } else if file.security & 1 != 0 {
                (FileReason::ENCRYPTED_NOT_ALLOWED, false)
            } else if file.security & 2 != 0 {
                (FileReason::SIGNED_NOT_ALLOWED, false)
            } else if file.compression != 0 {
                (FileReason::COMPRESSION_NOT_ALLOWED, false)
            } else {
                return None;
            };
        Some(Refusal { reason, retry, text: reason.text().to_owned() })
    }

    /// All data up to EFID.
    async fn receive_data(&mut self, mut sink: Sink) -> Result<(Sink, DataReceived), OftpError> {
        let (mut bytes, mut records, mut told) = (0, 0, 0);
        let mut chunk = Vec::new();
        let end = loop {
            let range = self.link.exchange_buffer(self.session.state().awaiting()).await?;
            let buffer = self.link.octets(range.clone());
            let Some((&first, subrecords)) = buffer.split_first() else {
                continue;
            };
            if first != CommandKind::Data.octet() {
                match self.understand(range).await? {
                    Indication::FileEnded(end) => break end,
                    other => unreachable!("only data or EFID can follow SFPA, not {other:?}"),
                }
            }
            let credit = self.session.on_data(buffer.len())?;
            records += take_data(subrecords, &mut chunk).map_err(PeerFault::Buffer)?;
            if chunk.len() >= CHUNK_BYTES {
                bytes += chunk.len() as u64;
                chunk = self.write(&mut sink, chunk, bytes).await?;
            }
            if let Some(credit) = credit {
                self.send(&credit).await?;
                self.session.on_credit_sent();
            }
            if bytes - told >= PROGRESS_BYTES {
                told = bytes;
                (self.on_event)(Event::Progress { bytes });
            }
        };
        bytes += chunk.len() as u64;
        if !chunk.is_empty() {
            self.write(&mut sink, chunk, bytes).await?;
        }
        Ok((sink, DataReceived { bytes, records, end }))
    }

    /// A chunk goes to disk, unless the file is already too large to be kept.
    async fn write(&self, sink: &mut Sink, mut chunk: Vec<u8>, bytes: u64) -> Result<Vec<u8>, OftpError> {
        if self.is_too_large(bytes) {
            chunk.clear();
            return Ok(chunk);
        }
        Ok(sink.write(chunk).await?)
    }

    fn is_too_large(&self, bytes: u64) -> bool {
        self.settings.file_bytes_max.is_some_and(|bytes_max| bytes > bytes_max)
    }

    /// Compares what came with what the speaker says it sent, and puts the file in its place.
    async fn keep(
        &self,
        file: &StartFile,
        sink: Sink,
        data: &DataReceived,
    ) -> Result<Result<Kept, Refusal>, OftpError> {
        let refused = |reason, text| Ok(Err(Refusal { reason, retry: false, text }));
        if let Some((reason, text)) = self.fault(file, data) {
            // Before the speaker is told: it may look.
            sink.discard().await?;
            return refused(reason, text);
        }
        match sink.keep(file).await? {
            Ok(kept) => Ok(Ok(kept)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                refused(FileReason::DUPLICATE_FILE, "too many files of this name".to_owned())
            }
            Err(error) => refused(
                FileReason::ACCESS_METHOD_FAILURE,
                format!("the file cannot be written: {}", error.kind()),
            ),
        }
    }

    /// What is wrong with a file that has come to its end.
    fn fault(&self, file: &StartFile, data: &DataReceived) -> Option<(FileReason, String)> {
        if self.is_too_large(data.bytes) {
            return Some((FileReason::TOO_BIG, format!("{} octets", data.bytes)));
        }
        if data.bytes != data.end.bytes {
            let text = format!("{} octets came, {} were sent", data.bytes, data.end.bytes);
            return Some((FileReason::INVALID_BYTE_COUNT, text));
        }
        if file.format.has_records() && data.records != data.end.records {
            let text = format!("{} records came, {} were sent", data.records, data.end.records);
            return Some((FileReason::INVALID_RECORD_COUNT, text));
        }
        None
    }

    async fn confirm(&mut self, file: &StartFile, kept: Kept, begun: Instant) -> Result<(), OftpError> {
        let Kept { path, bytes, sha256 } = kept;
        let (name, stamp, originator) = (file.name, file.stamp, file.originator);
        let received =
            ReceivedFile { name, stamp, originator, path, bytes, sha256, duration: begun.elapsed() };
        self.received.push(received.clone());
        if self.settings.responds {
            self.responses.push_back(EndResponse::to(file));
        }
        (self.on_event)(Event::Received(received));
        let command = self.session.confirm_file();
        self.send(&command).await
    }

    async fn refuse(&mut self, file: &StartFile, refusal: Refusal) -> Result<(), OftpError> {
        let Refusal { reason, retry, text } = refusal;
        let command = self.session.refuse_file(StartFileNegative { reason, retry, text: text.clone() });
        (self.on_event)(Event::ReceiveRefused { name: file.name, reason, text });
        self.send(&command).await
    }

    async fn reject(&mut self, file: &StartFile, refusal: Refusal) -> Result<(), OftpError> {
        let Refusal { reason, text, .. } = refusal;
        let command = self.session.reject_file(EndFileNegative { reason, text: text.clone() });
        (self.on_event)(Event::ReceiveRefused { name: file.name, reason, text });
        self.send(&command).await
    }
}
