//! A sealed connection as a byte stream, and its two halves.
//!
//! Neither half holds a buffer of its own while nothing moves. Records are read into the reader's buffer and opened
//! there, where they close up; what there is of a record that has not arrived in full is all that is kept. What is
//! written is sealed into a buffer that is held until the next flush, so that what is ready at the same time leaves in
//! one piece.
//!
//! Either direction of the seal can end before the connection does ([`SealedWriter::poll_goodbye`]). Nothing that comes
//! behind the goodbye is taken for a record: see [`SealedReader::take_rest`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::{BUFFER_BYTES, Buffer};
use crate::record::{
    OVERHEAD_BYTES, OWN_BYTES_MAX, Opened, Opener, PLAIN_BYTES_MAX, RECORD_BYTES_MAX, Sealer, length,
};

/// A sealed connection.
///
/// Reading returns 0 only after the peer's `close_notify`; a connection that just stops is an error of kind
/// `UnexpectedEof`. Shut the stream down to say the end.
#[derive(Debug)]
pub struct SealedStream<IO> {
    io: IO,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl<IO> SealedStream<IO> {
    pub(crate) fn new(io: IO, opener: Opener, sealer: Sealer, received: Vec<u8>) -> Self {
        let incoming = Incoming {
            opener: Some(opener),
            kept: received,
            unread: true,
            plain: Vec::new(),
            plain_at: 0,
            failed: None,
        };
        let outgoing = Outgoing { sealer: Some(sealer), records: None, start: 0, end: 0 };
        Self { io, incoming, outgoing }
    }

    /// The connection below.
    pub fn io(&self) -> &IO {
        &self.io
    }

    /// Takes the two directions apart, as `split` does with the connection below.
    pub fn split<R, W>(self, split: impl FnOnce(IO) -> (R, W)) -> (SealedReader<R>, SealedWriter<W>) {
        let (reader, writer) = split(self.io);
        (
            SealedReader { io: reader, incoming: self.incoming },
            SealedWriter { io: writer, outgoing: self.outgoing },
        )
    }
}

/// The half from which one reads.
#[derive(Debug)]
pub struct SealedReader<R> {
    io: R,
    incoming: Incoming,
}

impl<R> SealedReader<R> {
    /// The connection below.
    pub fn io(&self) -> &R {
        &self.io
    }

    /// Whether something has to come on the connection before anything can be read.
    pub fn is_drained(&self) -> bool {
        let Incoming { opener, unread, plain, failed, .. } = &self.incoming;
        opener.is_some() && !unread && plain.is_empty() && failed.is_none()
    }

    /// What has arrived behind the peer's goodbye, and was not sealed. The rest of it comes from the connection below.
    /// Call it once reading has returned 0.
    pub fn take_rest(&mut self) -> Vec<u8> {
        assert!(self.incoming.opener.is_none(), "the seal has not ended");
        std::mem::take(&mut self.incoming.kept)
    }
}

/// The half into which one writes.
#[derive(Debug)]
pub struct SealedWriter<W> {
    io: W,
    outgoing: Outgoing,
}

impl<W> SealedWriter<W> {
    /// The connection below.
    pub fn io(&self) -> &W {
        &self.io
    }
}

impl<W: AsyncWrite + Unpin> SealedWriter<W> {
    /// Says that nothing more is sealed in this direction (`close_notify`), and flushes. The connection itself stays
    /// open: the next byte on it is not a seal's.
    pub fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.say_goodbye()?;
        self.outgoing.poll_flush(&mut self.io, cx)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for SealedReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.incoming.poll_read(&mut this.io, cx, out)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SealedWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.outgoing.poll_write(&mut this.io, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outgoing.poll_flush(&mut this.io, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outgoing.poll_shutdown(&mut this.io, cx)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for SealedStream<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.incoming.poll_read(&mut this.io, cx, out)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for SealedStream<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.outgoing.poll_write(&mut this.io, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outgoing.poll_flush(&mut this.io, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outgoing.poll_shutdown(&mut this.io, cx)
    }
}

/// What comes in.
#[derive(Debug)]
struct Incoming {
    /// Until the peer has said goodbye: keys go when they are of no more use.
    opener: Option<Opener>,
    /// Bytes from the connection that are not opened: the beginning of a record, or what is behind the goodbye.
    kept: Vec<u8>,
    /// Whether `kept` was not looked at yet: it may hold whole records.
    unread: bool,
    /// Plaintext for a reader that had no room for a record.
    plain: Vec<u8>,
    plain_at: usize,
    /// Why nothing more can be opened.
    failed: Option<Error>,
}

impl Incoming {
    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.plain.is_empty() && self.opener.is_some() && out.remaining() < ROOM_BYTES_MIN {
            let mut plain = vec![0; ROOM_BYTES_MIN];
            let mut room = ReadBuf::new(&mut plain);
            ready!(self.poll_open(io, cx, &mut room))?;
            let count = room.filled().len();
            plain.truncate(count);
            self.plain = plain;
        }
        if self.plain.is_empty() {
            return self.poll_open(io, cx, out);
        }
        let count = out.remaining().min(self.plain.len() - self.plain_at);
        out.put_slice(&self.plain[self.plain_at..self.plain_at + count]);
        self.plain_at += count;
        if self.plain_at == self.plain.len() {
            (self.plain, self.plain_at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads records into `out`, which has room for at least one, and opens them there.
    fn poll_open<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.opener.is_some() {
            if let Some(error) = &self.failed {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())));
            }
            let room = out.initialize_unfilled();
            let kept = self.kept.len();
            // Where the handshake has left more than there is room for, the first records come first.
            let from_kept = kept.min(room.len());
            room[..from_kept].copy_from_slice(&self.kept[..from_kept]);
            let mut filled = from_kept;
            if !std::mem::take(&mut self.unread) {
                let mut rest = ReadBuf::new(&mut room[from_kept..]);
                ready!(Pin::new(&mut *io).poll_read(cx, &mut rest))?;
                let count = rest.filled().len();
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                filled += count;
            }
            let (opened, plain) = self.open_all(&mut room[..filled]);
            self.keep(&room[opened..filled], from_kept);
            if plain > 0 {
                out.advance(plain);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Opens all whole records, up to the goodbye, and closes them up: how many bytes they were, and how many bytes of
    /// plaintext are at the beginning now.
    fn open_all(&mut self, bytes: &mut [u8]) -> (usize, usize) {
        let (mut at, mut plain) = (0, 0);
        while self.failed.is_none()
            && let Some(opener) = &mut self.opener
        {
            let opened = match length(&bytes[at..]) {
                Ok(Some(length)) if at + length <= bytes.len() => {
                    at += length;
                    opener.open(&mut bytes[at - length..at]).map(|opened| (opened, at - length))
                }
                Ok(_) => break,
                Err(error) => Err(error),
            };
            match opened {
                Ok((Opened::Plain(range), start)) => {
                    bytes.copy_within(start + range.start..start + range.end, plain);
                    plain += range.len();
                }
                Ok((Opened::Nothing, _)) => {}
                Ok((Opened::Goodbye, _)) => self.opener = None,
                // What came before it in order is handed out first.
                Err(error) => self.failed = Some(error),
            }
        }
        (at, plain)
    }

    /// Keeps what was not opened; `taken` bytes of what was kept so far are in it or done with.
    fn keep(&mut self, rest: &[u8], taken: usize) {
        if taken < self.kept.len() {
            self.kept.splice(..taken, rest.iter().copied());
            self.unread = true;
            return;
        }
        self.kept.clear();
        if rest.is_empty() {
            // An idle connection holds no memory for what is not there.
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(rest);
        }
    }
}

/// What goes out.
#[derive(Debug)]
struct Outgoing {
    /// Until this end has said goodbye.
    sealer: Option<Sealer>,
    /// Holds records that the connection has not taken yet. Given back once it has.
    records: Option<Buffer>,
    /// Where in the buffer they begin.
    start: usize,
    /// Where they end.
    end: usize,
}

impl Outgoing {
    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        for plain in bytes.chunks(PLAIN_BYTES_MAX) {
            if self.end + plain.len() + OVERHEAD_BYTES + OWN_BYTES_MAX > BUFFER_BYTES {
                if taken > 0 {
                    break;
                }
                ready!(self.poll_write_out(io, cx))?;
            }
            let sealer = self.sealer.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            let records = self.records.get_or_insert_with(Buffer::take);
            self.end += sealer.seal(plain, &mut records[self.end..]).map_err(io::Error::other)?;
            taken += plain.len();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.say_goodbye()?;
        ready!(self.poll_write_out(io, cx))?;
        Pin::new(io).poll_shutdown(cx)
    }

    fn say_goodbye(&mut self) -> io::Result<()> {
        let Some(mut sealer) = self.sealer.take() else { return Ok(()) };
        let records = self.records.get_or_insert_with(Buffer::take);
        self.end += sealer.goodbye(&mut records[self.end..]).map_err(io::Error::other)?;
        Ok(())
    }

    /// Writes everything.
    fn poll_write_out<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(records) = &self.records else { return Poll::Ready(Ok(())) };
        while self.start < self.end {
            let count = ready!(Pin::new(&mut *io).poll_write(cx, &records[self.start..self.end]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += count;
        }
        (self.records, self.start, self.end) = (None, 0, 0);
        Poll::Ready(Ok(()))
    }
}

/// What a reader has to have room for to have records opened in its own buffer: what is kept of one is shorter.
const ROOM_BYTES_MIN: usize = RECORD_BYTES_MAX;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
