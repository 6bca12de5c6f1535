//! What a link can be made of: a sealed connection, or in tests whatever else carries bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use seal::{SealedReader, SealedStream, SealedWriter};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::transfer::{poll_read, poll_write};

/// A stream between the daemons.
pub trait Stream {
    /// What is read from.
    type Reader: Source;
    /// What is written to.
    type Writer: Sink;

    /// Takes the two directions apart.
    fn split(self) -> (Self::Reader, Self::Writer);
}

/// Where a link reads.
pub trait Source: AsyncRead + Send + Unpin {
    /// The connection below the seal, where the link can do without the seal.
    fn bare(&self) -> Option<&TcpStream> {
        None
    }

    /// The connection on which something has to come before anything can be read. None where there may be something already,
    /// or none is known.
    fn waits_for(&self) -> Option<&TcpStream> {
        None
    }

    /// What has arrived behind the peer's goodbye, once reading has ended.
    fn take_rest(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// Where a link writes. It may keep what it is given until the next flush.
pub trait Sink: AsyncWrite + Send + Unpin {
    /// The connection below the seal, where the link can do without the seal.
    fn bare(&self) -> Option<&TcpStream> {
        None
    }

    /// Ends the seal of this direction and flushes; the connection stays open.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn bare(&self) -> Option<&TcpStream> {
        (**self).bare()
    }

    fn waits_for(&self) -> Option<&TcpStream> {
        (**self).waits_for()
    }

    fn take_rest(&mut self) -> Vec<u8> {
        (**self).take_rest()
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn bare(&self) -> Option<&TcpStream> {
        (**self).bare()
    }

    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_goodbye(cx)
    }
}

impl Stream for SealedStream<TcpStream> {
    type Reader = SealedReader<Inlet>;
    type Writer = SealedWriter<Outlet>;

    fn split(self) -> (Self::Reader, Self::Writer) {
        self.split(apart)
    }
}

impl Source for SealedReader<Inlet> {
    fn bare(&self) -> Option<&TcpStream> {
        Some(self.io().0.as_ref())
    }

    fn waits_for(&self) -> Option<&TcpStream> {
        self.is_drained().then(|| self.io().0.as_ref())
    }

    fn take_rest(&mut self) -> Vec<u8> {
        self.take_rest()
    }
}

impl Sink for SealedWriter<Outlet> {
    fn bare(&self) -> Option<&TcpStream> {
        self.io().0.as_ref().map(AsRef::as_ref)
    }

    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_goodbye(cx)
    }
}

impl Stream for TcpStream {
    type Reader = Inlet;
    type Writer = Outlet;

    fn split(self) -> (Self::Reader, Self::Writer) {
        apart(self)
    }
}

impl Source for Inlet {
    fn waits_for(&self) -> Option<&TcpStream> {
        Some(self.0.as_ref())
    }
}

impl Sink for Outlet {}

impl Stream for DuplexStream {
    type Reader = ReadHalf<Self>;
    type Writer = WriteHalf<Self>;

    fn split(self) -> (Self::Reader, Self::Writer) {
        tokio::io::split(self)
    }
}

impl<S: AsyncRead + Send> Source for ReadHalf<S> {}

impl<S: AsyncWrite + Send> Sink for WriteHalf<S> {}

/// The half of a connection from which one reads.
#[derive(Debug)]
pub struct Inlet(OwnedReadHalf);

impl AsyncRead for Inlet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(poll_read(cx, self.0.as_ref(), room.initialize_unfilled()))?;
        room.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// The half of a connection into which one writes. Unlike the library's it does not say FIN when it is dropped: a link
/// that is given up must not end as if in order.
#[derive(Debug)]
pub struct Outlet(Option<OwnedWriteHalf>);

fn apart(connection: TcpStream) -> (Inlet, Outlet) {
    let (reader, writer) = connection.into_split();
    (Inlet(reader), Outlet(Some(writer)))
}

impl Outlet {
    fn half(&mut self) -> &mut OwnedWriteHalf {
        self.0.as_mut().expect("it is taken by drop alone")
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if let Some(half) = self.0.take() {
            half.forget();
        }
    }
}

impl AsyncWrite for Outlet {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_write(cx, (*self.half()).as_ref(), bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.half()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.half()).poll_shutdown(cx)
    }
}
