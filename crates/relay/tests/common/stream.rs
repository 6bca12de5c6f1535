//! Streams that behave badly within their rights, and numbers that look random.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use relay::stream::{Sink, Source};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Whatever a link can be made of.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl<T: Io + 'static> From<T> for Stream {
    fn from(io: T) -> Self {
        let (reader, writer) = tokio::io::split(io);
        Self { reader: Box::new(reader), writer: Box::new(writer) }
    }
}

impl Stream {
    /// One of which the kind still shows: a sealed one, which can be unsealed.
    pub(crate) fn of(stream: impl relay::Stream<Reader: 'static, Writer: 'static>) -> Self {
        let (reader, writer) = stream.split();
        Self { reader: Box::new(reader), writer: Box::new(writer) }
    }
}

impl relay::Stream for Stream {
    type Reader = Box<dyn Source>;
    type Writer = Box<dyn Sink>;

    fn split(self) -> (Self::Reader, Self::Writer) {
        (self.reader, self.writer)
    }
}

/// The stream under a link.
pub(crate) struct Stream {
    reader: Box<dyn Source>,
    writer: Box<dyn Sink>,
}

/// SplitMix64: small, seeded, good enough.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A stream that moves 1 to `most` bytes at a time and every so often says that it is not ready.
pub(crate) fn chopped(inner: DuplexStream, seed: u64, most: usize) -> Stream {
    let random = Random(seed);
    Chopped { inner, random, most }.into()
}

struct Chopped {
    inner: DuplexStream,
    random: Random,
    most: usize,
}

impl Chopped {
    fn hesitate(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.random.below(4) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Chopped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.hesitate(cx));
        let most = self.most;
        let count = 1 + self.random.below(most.min(buffer.remaining()));
        let mut piece = vec![0; count];
        let mut room = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut room))?;
        buffer.put_slice(room.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Chopped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.hesitate(cx));
        let most = self.most;
        let count = 1 + self.random.below(most.min(bytes.len()));
        Pin::new(&mut self.inner).poll_write(cx, &bytes[..count])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.hesitate(cx));
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
