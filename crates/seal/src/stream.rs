//! A sealed connection as a byte stream, and its two halves.
//!
//! Neither half holds a buffer of its own while nothing moves. Records are read into the reader's buffer and opened
//! there, where they close up; what there is of a record that has not arrived in full is all that is kept. What is
//! written becomes records that are kept until the next flush, so that what is ready at the same time leaves in one
//! piece.
//!
//! Either direction of the seal can end before the connection does ([`SealedWriter::poll_goodbye`]). Nothing that comes
//! behind the goodbye is taken for a record: see [`SealedReader::take_rest`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::record::{OVERHEAD_BYTES, Opened, Opener, PLAIN_BYTES_MAX, RECORD_BYTES_MAX, Sealer, length};
use crate::tls::SESSION_BUFFER_BYTES_MAX;

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
        let outgoing = Outgoing { sealer: Some(sealer), records: VecDeque::new(), written: 0, bytes: 0 };
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
    /// Records that the connection has not taken yet.
    records: VecDeque<Vec<u8>>,
    /// Bytes of the first of them that it has.
    written: usize,
    /// Bytes of all of them.
    bytes: usize,
}

impl Outgoing {
    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.bytes + OVERHEAD_BYTES >= SESSION_BUFFER_BYTES_MAX {
            ready!(self.poll_write_out(io, cx))?;
        }
        let Some(sealer) = &mut self.sealer else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let mut taken = 0;
        for plain in bytes.chunks(PLAIN_BYTES_MAX) {
            if taken > 0 && self.bytes + plain.len() + OVERHEAD_BYTES > SESSION_BUFFER_BYTES_MAX {
                break;
            }
            let (records, total) = (&mut self.records, &mut self.bytes);
            sealer.seal(plain, |record| put(records, total, record)).map_err(io::Error::other)?;
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
        let (records, total) = (&mut self.records, &mut self.bytes);
        sealer.goodbye(|record| put(records, total, record)).map_err(io::Error::other)
    }

    /// Writes everything, several records at a time.
    fn poll_write_out<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(first) = self.records.front() {
            let first = &first[self.written..];
            let written = match self.records.len() {
                // The kernel takes one piece by a shorter way.
                1 => Pin::new(&mut *io).poll_write(cx, first),
                _ => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    slices[0] = IoSlice::new(first);
                    let more = slices[1..].iter_mut().zip(self.records.iter().skip(1));
                    let more = more.map(|(slot, record)| *slot = IoSlice::new(record)).count();
                    Pin::new(&mut *io).poll_write_vectored(cx, &slices[..=more])
                }
            };
            let mut count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes -= count;
            while let Some(first) = self.records.front() {
                let left = first.len() - self.written;
                if count < left {
                    self.written += count;
                    break;
                }
                count -= left;
                self.written = 0;
                self.records.pop_front();
            }
        }
        // An idle connection holds no memory for what is not there, but for the few words of a short queue.
        if self.records.capacity() > RECORDS_KEPT {
            self.records = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }
}

fn put(records: &mut VecDeque<Vec<u8>>, total: &mut usize, record: Vec<u8>) {
    *total += record.len();
    records.push_back(record);
}

/// What a reader has to have room for to have records opened in its own buffer: what is kept of one is shorter.
const ROOM_BYTES_MIN: usize = RECORD_BYTES_MAX;
/// Places in the queue of records that a connection keeps: what the library makes room for at first.
const RECORDS_KEPT: usize = 4;
/// Records of one write at most: those of the largest frame, and some short ones.
const SLICES_MAX: usize = 8;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
