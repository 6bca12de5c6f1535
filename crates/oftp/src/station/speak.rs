//! This side's turn: responses first, then files, then the turn goes back or the session ends.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::drive::Drive;
use super::source::{Batch, Source};
use crate::buffer::DataLayout;
use crate::command::{EndFile, FileFormat, Stamp, StartFile};
use crate::error::OftpError;
use crate::limits::PROGRESS_BYTES;
use crate::report::{Event, SendOutcome, SentFile, Sha256};
use crate::session::{Agreed, Indication};
use crate::settings::FileToSend;

/// What is out of the current file.
struct DataSent {
    bytes: u64,
    sha256: Sha256,
}

impl<S, F> Drive<'_, S, F>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: FnMut(Event) + Send,
{
    pub(super) async fn speak(&mut self) -> Result<(), OftpError> {
        if self.responses.front().is_some() {
            return self.send_response().await;
        }
        if let Some(file) = self.outgoing.next() {
            return self.send_file(file).await;
        }
        if self.session.may_release() {
            let command = self.session.release();
            self.send(&command).await?;
            self.link.await_disconnect().await;
            return Ok(());
        }
        let command = self.session.change_direction();
        self.send(&command).await
    }

    /// EERP, and RTR has to follow (section 4.3.8).
    async fn send_response(&mut self) -> Result<(), OftpError> {
        let Some(response) = self.responses.front().cloned() else {
            return Ok(());
        };
        let name = response.name;
        let command = self.session.respond(response);
        self.send(&command).await?;
        match self.next().await? {
            Indication::ReadyToReceive => {}
            other => unreachable!("only RTR can follow EERP, not {other:?}"),
        }
        self.responses.pop_front();
        (self.on_event)(Event::ResponseSent { name });
        Ok(())
    }

    async fn send_file(&mut self, file: &FileToSend) -> Result<(), OftpError> {
        let begun = Instant::now();
        let Some(agreed) = self.session.agreed() else { unreachable!("nobody has a turn before that") };
        let layout = DataLayout::new(agreed.buffer_bytes);
        let (source, size) = Source::open(&file.content, layout).await?;
        let stamp = self.stamp();
        let command = self.session.start_file(self.start_file(file, stamp, size, &agreed));
        (self.on_event)(Event::Sending { name: file.name, bytes: size });
        self.send(&command).await?;

        let (data, outcome) = match self.next().await? {
            Indication::FileAccepted => {
                let data = self.send_data(source, layout).await?;
                let end = self.session.end_file(EndFile { records: 0, bytes: data.bytes });
                self.send(&end).await?;
                (data, self.end_outcome().await?)
            }
            Indication::FileRefused { reason, retry, text } => {
                let nothing = DataSent { bytes: 0, sha256: Sha256::OF_NOTHING };
                (nothing, SendOutcome::RefusedAtStart { reason, retry, text })
            }
            other => unreachable!("only SFPA or SFNA can follow SFID, not {other:?}"),
        };
        let DataSent { bytes, sha256 } = data;
        let duration = begun.elapsed();
        let sent = SentFile { name: file.name, stamp, bytes, sha256, duration, outcome, response: None };
        self.sent.push(sent.clone());
        (self.on_event)(Event::Sent(sent));
        Ok(())
    }

    async fn end_outcome(&mut self) -> Result<SendOutcome, OftpError> {
        match self.next().await? {
            Indication::FileConfirmed => Ok(SendOutcome::Accepted),
            Indication::FileRejected { reason, text } => Ok(SendOutcome::RefusedAtEnd { reason, text }),
            other => unreachable!("only EFPA or EFNA can follow EFID, not {other:?}"),
        }
    }

    /// All data of a file, within the credit. Ends with credit in hand, as EFID needs it (9.11.3, note 1).
    async fn send_data(&mut self, mut source: Source, layout: DataLayout) -> Result<DataSent, OftpError> {
        let (mut out, mut told) = (0, 0);
        loop {
            let batch = source.next().await?;
            self.send_batch(&batch, layout).await?;
            out += batch.bytes;
            if out - told >= PROGRESS_BYTES {
                told = out;
                (self.on_event)(Event::Progress { bytes: out });
            }
            if batch.last {
                break;
            }
            source.recycle(batch);
        }
        if self.session.credit() == 0 {
            self.await_credit().await?;
        }
        let (bytes, sha256) = source.finish();
        Ok(DataSent { bytes, sha256 })
    }

    async fn send_batch(&mut self, batch: &Batch, layout: DataLayout) -> Result<(), OftpError> {
        let mut wire = batch.wire.as_slice();
        let mut buffers = batch.buffers;
        while buffers > 0 {
            if self.session.credit() == 0 {
                self.await_credit().await?;
            }
            // At most 999, so it fits.
            let now = buffers.min(usize::from(self.session.credit()));
            let (out, rest) = wire.split_at(wire.len().min(now * layout.frame_bytes()));
            self.link.write(out, "room in the connection").await?;
            self.session.on_data_sent(now as u16);
            (wire, buffers) = (rest, buffers - now);
        }
        Ok(())
    }

    async fn await_credit(&mut self) -> Result<(), OftpError> {
        // What TLS still holds back would be waited for by the other side.
        self.link.flush("room in the connection").await?;
        match self.next().await? {
            Indication::Credit => Ok(()),
            other => unreachable!("only CDT can follow used up credit, not {other:?}"),
        }
    }

    fn start_file(&self, file: &FileToSend, stamp: Stamp, bytes: u64, agreed: &Agreed) -> StartFile {
        let size_kib = bytes.div_ceil(1024);
        StartFile {
            name: file.name,
            stamp,
            user_data: file.user_data,
            destination: file.destination.unwrap_or(agreed.peer),
            originator: self.settings.code,
            format: FileFormat::Unstructured,
            record_bytes_max: 0,
            size_kib,
            original_kib: size_kib,
            restart: 0,
            security: 0,
            cipher: 0,
            compression: 0,
            envelope: 0,
            signed_response: false,
            description: file.description.clone(),
        }
    }
}
