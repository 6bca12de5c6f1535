//! A stream between the daemons, cut into frames.
//!
//! Both halves are cancel-safe: a frame that was read in part or written in part is kept and continued at the
//! next call, so a task may wait for a frame and for something else at the same time.

mod error;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use seal::{BUFFER_BYTES, Buffer};
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wire::limits::{BODY_BYTES_MAX, DATA_BYTES_MAX, FRAME_HEADER_BYTES, RECORD_BYTES};
use wire::{Frame, Header, Kind, Malformed};

use crate::alarm::Alarm;
use crate::registered::Registered;
use crate::stream::{Sink, Source, Stream};

pub use error::LinkError;

const _: () = assert!(FRAME_HEADER_BYTES + BODY_BYTES_MAX <= BUFFER_BYTES, "a frame fits into a buffer");
const _: () = assert!(DATA_BYTES_MAX + FRAME_HEADER_BYTES == 4 * RECORD_BYTES);
const _: () = assert!(5 * RECORD_BYTES < BUFFER_BYTES, "and payload leaves a record to spare");

/// What came next on a link.
pub enum Incoming<'a> {
    /// A frame.
    Frame(Frame),
    /// A piece of payload, at least one byte.
    Payload(&'a [u8]),
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => frame.fmt(f),
            // Payload is nobody's business, least of all a log's.
            Self::Payload(bytes) => write!(f, "Payload({} bytes)", bytes.len()),
        }
    }
}

/// [`Incoming`], payload by its place in the buffer.
enum Next {
    Frame(Frame),
    Payload(Range<usize>),
}

/// A stream between the daemons.
pub struct Link<S: Stream> {
    /// Where frames come from.
    pub reader: LinkReader<S::Reader>,
    /// Where frames go.
    pub writer: LinkWriter<S::Writer>,
    /// For whatever is waited for on it.
    pub alarm: Alarm,
}

impl<S: Stream> fmt::Debug for Link<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("reader", &self.reader).field("writer", &self.writer).finish()
    }
}

impl<S: Stream> Link<S> {
    /// Takes a stream on which nothing was sent yet.
    pub fn new(stream: S) -> Self {
        let (reader, writer) = stream.split();
        Self {
            reader: LinkReader {
                source: reader,
                registered: Registered::default(),
                buffer: None,
                start: 0,
                end: 0,
                payload_left: 0,
            },
            writer: LinkWriter {
                sink: writer,
                ahead: Vec::new(),
                ahead_at: 0,
                payload: None,
                payload_at: 0,
                frames: Vec::new(),
                frames_at: 0,
                is_flushed: true,
                may_wait: false,
                is_cut: false,
                bytes_written: 0,
            },
            alarm: Alarm::default(),
        }
    }

    /// Sends one frame at once.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), LinkError> {
        self.writer.queue(frame);
        self.writer.flush().await
    }

    /// Waits for a frame where no payload can come: on a control link, or on a link without a call.
    pub async fn receive(&mut self) -> Result<Frame, LinkError> {
        match self.reader.next().await? {
            Incoming::Frame(frame) => Ok(frame),
            Incoming::Payload(_) => Err(LinkError::Malformed(Malformed::Kind)),
        }
    }
}

/// The half of a link from which frames come.
pub struct LinkReader<R> {
    source: R,
    registered: Registered,
    /// Held only while it has bytes.
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
    /// Bytes of the current `Data` frame that were not handed out yet.
    payload_left: usize,
}

impl<R: Source> LinkReader<R> {
    /// Waits for the next frame or the next piece of payload.
    pub async fn next(&mut self) -> Result<Incoming<'_>, LinkError> {
        let next = poll_fn(|cx| self.poll_next(cx)).await?;
        Ok(match next {
            Next::Frame(frame) => Incoming::Frame(frame),
            Next::Payload(range) => {
                Incoming::Payload(self.buffer.as_deref().map_or(&[], |bytes| &bytes[range]))
            }
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, LinkError>> {
        loop {
            if self.payload_left == 0
                && let Some(frame) = self.frame()?
            {
                return Poll::Ready(Ok(Next::Frame(frame)));
            }
            let piece = self.payload_left.min(self.end - self.start);
            if piece > 0 {
                let range = self.start..self.start + piece;
                self.start += piece;
                self.payload_left -= piece;
                return Poll::Ready(Ok(Next::Payload(range)));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// The connection below the seal.
    pub(crate) fn bare(&self) -> Option<&TcpStream> {
        self.source.bare()
    }

    /// The peer has said that it goes on without the seal: waits for the end of the seal and hands over what has arrived
    /// behind it.
    pub(crate) async fn unseal(&mut self) -> Result<Vec<u8>, LinkError> {
        match self.next().await {
            Ok(_) => return Err(LinkError::Malformed(Malformed::Kind)),
            Err(LinkError::Closed) => {}
            Err(error) => return Err(error),
        }
        Ok(self.source.take_rest())
    }

    /// Takes a whole frame out of the buffer if there is one. A `Data` header begins payload instead.
    fn frame(&mut self) -> Result<Option<Frame>, LinkError> {
        let bytes = self.buffer.as_deref().map_or(&[][..], |bytes| &bytes[self.start..self.end]);
        let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::decode(*header)?;
        if header.kind == Kind::Data {
            self.start += FRAME_HEADER_BYTES;
            self.payload_left = header.length;
            return Ok(None);
        }
        let Some(body) = rest.get(..header.length) else {
            return Ok(None);
        };
        let frame = Frame::decode(header.kind, body)?;
        self.start += FRAME_HEADER_BYTES + header.length;
        self.let_go_if_empty();
        Ok(Some(frame))
    }

    fn let_go_if_empty(&mut self) {
        if self.start == self.end {
            self.buffer = None;
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads at least one byte more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if let Some(connection) = self.source.waits_for()
            && self.registered.poll_readable(cx, connection)?.is_pending()
        {
            self.let_go_if_empty();
            return Poll::Pending;
        }
        let mut buffer = self.buffer.take().unwrap_or_else(Buffer::take);
        if self.start > 0 {
            buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // There is room: a frame that is there in part is shorter than the buffer, and payload is handed out first.
        debug_assert!(self.end < BUFFER_BYTES);
        let mut room = ReadBuf::new(&mut buffer[self.end..]);
        let outcome = Pin::new(&mut self.source).poll_read(cx, &mut room);
        let count = room.filled().len();
        if self.end + count > 0 {
            self.buffer = Some(buffer);
        }
        ready!(outcome)?;
        if count == 0 {
            let is_between_frames = self.end == 0 && self.payload_left == 0;
            let cut = || LinkError::Broken(io::ErrorKind::UnexpectedEof.into());
            return Poll::Ready(Err(if is_between_frames { LinkError::Closed } else { cut() }));
        }
        self.end += count;
        Poll::Ready(Ok(()))
    }
}

impl<R> fmt::Debug for LinkReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkReader")
            .field("holds_buffer", &self.buffer.is_some())
            .field("bytes", &(self.end - self.start))
            .field("payload_left", &self.payload_left)
            .finish_non_exhaustive()
    }
}

/// The half of a link into which frames go. What was queued goes out in order; payload is never overtaken.
pub struct LinkWriter<W> {
    sink: W,
    /// Frames that were queued before the payload.
    ahead: Vec<u8>,
    ahead_at: usize,
    payload: Option<(Buffer, usize)>,
    payload_at: usize,
    frames: Vec<u8>,
    frames_at: usize,
    /// Whether the stream has passed on everything that it was given: a seal keeps what the socket did not take.
    is_flushed: bool,
    /// Whether nothing is queued that could not wait for company.
    may_wait: bool,
    is_cut: bool,
    bytes_written: u64,
}

impl<W: Sink> LinkWriter<W> {
    /// Queues a frame behind whatever has not been written yet.
    pub fn queue(&mut self, frame: &Frame) {
        self.is_flushed = false;
        frame.encode(&mut self.frames);
    }

    /// Queues a frame for which nobody waits, as long as it does not wait long: payload that is to come soon may take it
    /// along.
    pub fn queue_to_wait(&mut self, frame: &Frame) {
        self.may_wait = self.is_flushed || self.may_wait;
        self.queue(frame);
    }

    /// Whether what is queued may wait a little.
    pub(crate) fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// Queues a `Data` frame whose payload is `payload_bytes` from [`FRAME_HEADER_BYTES`] on in `buffer`; the
    /// header is put before it. Payload queued before must have been flushed.
    pub fn queue_payload(&mut self, mut buffer: Buffer, payload_bytes: usize) {
        assert!(self.payload.is_none() && self.ahead.is_empty(), "payload is queued behind payload");
        assert!(payload_bytes <= DATA_BYTES_MAX);
        buffer[..FRAME_HEADER_BYTES].copy_from_slice(&Header::data(payload_bytes).encode());
        (self.ahead, self.ahead_at) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.frames_at));
        self.payload = Some((buffer, FRAME_HEADER_BYTES + payload_bytes));
        self.payload_at = 0;
        self.is_flushed = false;
    }

    /// Whether everything that was queued has been written, through the seal to the socket.
    pub fn is_flushed(&self) -> bool {
        self.is_flushed
    }

    /// Gives the link up: nothing of what was queued goes out any more, and every further flush fails.
    pub(crate) fn cut(&mut self) {
        self.payload = None;
        self.ahead.clear();
        self.frames.clear();
        (self.ahead_at, self.frames_at) = (0, 0);
        self.is_cut = true;
    }

    /// Bytes that the stream has taken in the life of the link.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Writes out everything that was queued, through the seal to the socket.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// The connection below the seal, where there is one.
    pub(crate) fn bare(&self) -> Option<&TcpStream> {
        self.sink.bare()
    }

    /// Ends the seal of this direction behind everything that was queued. What comes next is not a link's.
    pub(crate) fn poll_unseal(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_flush(cx))?;
        ready!(self.sink.poll_goodbye(cx))?;
        self.cut();
        Poll::Ready(Ok(()))
    }

    /// Says goodbye on the stream itself. Nothing can be sent afterwards.
    pub async fn close(&mut self) -> Result<(), LinkError> {
        self.flush().await?;
        poll_fn(|cx| Pin::new(&mut self.sink).poll_shutdown(cx)).await?;
        Ok(())
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.is_cut {
            return Poll::Ready(Err(LinkError::Broken(io::ErrorKind::ConnectionAborted.into())));
        }
        let written = &mut self.bytes_written;
        ready!(poll_write_all(&mut self.sink, cx, &self.ahead, &mut self.ahead_at, written))?;
        (self.ahead, self.ahead_at) = (Vec::new(), 0);
        if let Some((buffer, end)) = &self.payload {
            ready!(poll_write_all(&mut self.sink, cx, &buffer[..*end], &mut self.payload_at, written))?;
            self.payload = None;
        }
        ready!(poll_write_all(&mut self.sink, cx, &self.frames, &mut self.frames_at, written))?;
        self.frames.clear();
        self.frames_at = 0;
        ready!(Pin::new(&mut self.sink).poll_flush(cx))?;
        self.is_flushed = true;
        self.may_wait = false;
        Poll::Ready(Ok(()))
    }
}

impl<W> fmt::Debug for LinkWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkWriter")
            .field("holds_buffer", &self.payload.is_some())
            .field("is_flushed", &self.is_flushed)
            .field("is_cut", &self.is_cut)
            .field("bytes_written", &self.bytes_written)
            .finish_non_exhaustive()
    }
}

/// Writes `bytes` from `at` on, remembering in `at` how far it came and counting in `written`.
fn poll_write_all<W: AsyncWrite + Unpin>(
    sink: &mut W,
    cx: &mut Context<'_>,
    bytes: &[u8],
    at: &mut usize,
    written: &mut u64,
) -> Poll<io::Result<()>> {
    while *at < bytes.len() {
        let count = ready!(Pin::new(&mut *sink).poll_write(cx, &bytes[*at..]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *at += count;
        *written += count as u64;
    }
    Poll::Ready(Ok(()))
}
