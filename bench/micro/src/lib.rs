//! What the micro-benchmarks are made of: pairs of connected streams, and a standing call between them.
//!
//! Everything of one benchmark runs on one thread, so that the time measured is the processor's time for all ends
//! together, the benchmark's own included, whatever else the machine has to do on its other cores.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to measure")]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use relay::{JoinLimits, Link, Stream, join};
use seal::{Acceptor, Authorized, Connector, IdentityKey, SealedStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use wire::{CallId, Frame, LinkState, Role};

/// One thread for everything.
///
/// # Panics
/// When there is none to be had.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Both ends of a loopback connection, with the options that the daemons set.
///
/// # Panics
/// When loopback is down.
pub async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (near, far) = (near.unwrap(), far.unwrap().0);
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// Two ends that trust each other, to make sealed connections with.
pub struct Pair {
    acceptor: Acceptor,
    connector: Connector,
}

impl Pair {
    /// Two fresh keys.
    ///
    /// # Panics
    /// When the library refuses its settings.
    #[allow(clippy::new_without_default, reason = "keys are not made by default")]
    pub fn new() -> Self {
        let [proxy, client] = [(); 2].map(|()| IdentityKey::generate().unwrap());
        let trusting = |key: &IdentityKey| Arc::new(Authorized::of_keys([key.public_key()]));
        Self {
            acceptor: Acceptor::new(&proxy, trusting(&client)).unwrap(),
            connector: Connector::new(&client, trusting(&proxy)).unwrap(),
        }
    }

    /// One full handshake over a fresh loopback connection: the proxy's end and the client's.
    ///
    /// # Panics
    /// When it fails.
    pub async fn sealed(&self) -> (SealedStream<TcpStream>, SealedStream<TcpStream>) {
        let (near, far) = connected().await;
        let accepted = self.acceptor.accept(far);
        let (client, proxy) = tokio::join!(self.connector.connect(near, "127.0.0.1"), accepted);
        (proxy.unwrap().stream, client.unwrap().stream)
    }
}

/// A standing call: what the partner holds and what the station holds. The daemons' ends run as tasks.
pub struct Call {
    partner: TcpStream,
    station: TcpStream,
}

impl Call {
    /// Offers and accepts a call on a link between two streams, and joins it at both ends.
    ///
    /// # Panics
    /// When that fails.
    pub async fn over<S>(proxy: S, client: S) -> Self
    where
        S: Stream + 'static,
    {
        let mut proxy = (Link::new(proxy), LinkState::standby(Role::Proxy));
        let mut client = (Link::new(client), LinkState::standby(Role::Client));
        pass(&mut proxy, &mut client, &offer()).await;
        pass(&mut client, &mut proxy, &Frame::Accept(CallId(7))).await;
        let (partner, at_proxy) = connected().await;
        let (station, at_client) = connected().await;
        for (socket, (mut link, mut state)) in [(at_proxy, proxy), (at_client, client)] {
            tokio::spawn(async move { join(socket, &[], &mut link, &mut state, UNBOUNDED, pending()).await });
        }
        Self { partner, station }
    }

    /// Moves so many bytes from the partner to the station.
    ///
    /// # Panics
    /// When the call breaks.
    pub async fn push(&mut self, bytes: usize) {
        let Self { partner, station } = self;
        let (written, read) = tokio::join!(write(partner, bytes), read(station, bytes));
        written.unwrap();
        read.unwrap();
    }

    /// A hundred bytes to the station and back.
    ///
    /// # Panics
    /// When the call breaks.
    pub async fn ping(&mut self) {
        let mut bytes = [7; 100];
        self.partner.write_all(&bytes).await.unwrap();
        self.station.read_exact(&mut bytes).await.unwrap();
        self.station.write_all(&bytes).await.unwrap();
        self.partner.read_exact(&mut bytes).await.unwrap();
    }
}

/// The frame that begins a call, as it commonly is.
///
/// # Panics
/// Never: what it is made of is valid.
pub fn offer() -> Frame {
    let (listener, partner) = ("default".parse().unwrap(), "192.0.2.1:3305".parse().unwrap());
    Frame::Offer { call: CallId(7), listener, partner }
}

async fn pass<S: Stream>(from: &mut (Link<S>, LinkState), to: &mut (Link<S>, LinkState), frame: &Frame) {
    from.1.on_sent(frame.kind());
    let (sent, received) = tokio::join!(from.0.send(frame), to.0.receive());
    sent.unwrap();
    to.1.on_received(received.unwrap().kind()).unwrap();
}

/// Writes so many bytes in pieces of 64 KiB, and through whatever the stream keeps back.
///
/// # Errors
/// Those of the stream.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), mut bytes: usize) -> std::io::Result<()> {
    static PIECE: [u8; PIECE_BYTES] = [7; PIECE_BYTES];
    while bytes > 0 {
        bytes -= stream.write(&PIECE[..bytes.min(PIECE_BYTES)]).await?;
    }
    stream.flush().await
}

/// Reads so many bytes, at most 64 KiB at a time.
///
/// # Errors
/// Those of the stream, and its end.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), mut bytes: usize) -> std::io::Result<()> {
    let mut room = vec![0; PIECE_BYTES];
    while bytes > 0 {
        let most = bytes.min(PIECE_BYTES);
        match stream.read(&mut room[..most]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes -= count,
        }
    }
    Ok(())
}

const PIECE_BYTES: usize = 64 * 1024;
const UNBOUNDED: JoinLimits = JoinLimits { idle: None, reap: Duration::from_secs(3600), unseal: true };
