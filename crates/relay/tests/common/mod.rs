//! Two joins back to back: partner ⇄ join ⇄ link ⇄ join ⇄ station, with plain sockets at both ends.
#![allow(dead_code, reason = "every test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod stream;

use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use relay::join::settle;
use relay::{End, JoinLimits, Joined, Link, LinkError, Path, join};
use seal::{Acceptor, Authorized, Connector, IdentityKey, SealedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use wire::limits::UNSEAL_AFTER_BYTES;
use wire::{AbortReason, CallId, Frame, LinkState, Role};

pub(crate) use stream::{Random, Stream, chopped};

/// Far beyond any load.
const FAR: Duration = Duration::from_secs(120);

/// No bound at all.
pub(crate) const UNBOUNDED: JoinLimits =
    JoinLimits { idle: None, reap: Duration::from_secs(3600), unseal: true };

/// One end of a link between two calls.
pub(crate) struct Side {
    pub(crate) link: Link<Stream>,
    pub(crate) state: LinkState,
}

impl Side {
    pub(crate) fn new(stream: Stream, role: Role) -> Self {
        Self { link: Link::new(stream), state: LinkState::standby(role) }
    }

    /// A proxy's end on which a call has been accepted already; the test plays the other end.
    pub(crate) fn accepted(stream: Stream) -> Self {
        let mut side = Self::new(stream, Role::Proxy);
        side.state.on_sent(wire::Kind::Offer);
        side.state.on_received(wire::Kind::Accept).unwrap();
        side
    }
}

/// What the link between the two joins is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Medium {
    /// A loopback connection.
    Tcp,
    /// A sealed loopback connection.
    Sealed,
    /// The same, and every call on it has left the seal before the test begins.
    Unsealed,
    /// Memory that holds so many bytes in each direction.
    Memory(usize),
    /// The same, but it moves 1 to `most` bytes at a time and is often not ready.
    Chopped {
        /// Of the pattern.
        seed: u64,
        /// Bytes at a time.
        most: usize,
    },
}

/// The kinds of links that a running call meets, and one that a test can make small.
pub(crate) const PATHS: [Medium; 4] = [Medium::Tcp, Medium::Sealed, Medium::Unsealed, Medium::Memory(1000)];

/// Those that carry frames to the end.
pub(crate) const FRAMED: [Medium; 3] = [Medium::Tcp, Medium::Sealed, Medium::Memory(1 << 20)];

/// A link's stream, and its other end for a test that plays the peer byte by byte.
pub(crate) async fn raw(medium: Medium) -> (Stream, Box<dyn stream::Io>) {
    match medium {
        Medium::Tcp => {
            let (a, b) = tcp_pair().await;
            (a.into(), Box::new(b))
        }
        Medium::Sealed | Medium::Unsealed => {
            let (a, b) = sealed_pair().await;
            (Stream::of(a), Box::new(b))
        }
        Medium::Memory(bytes) => {
            let (a, b) = duplex(bytes);
            (a.into(), Box::new(b))
        }
        Medium::Chopped { seed, most } => {
            let (a, b) = duplex(most.max(16));
            (chopped(a, seed, most), Box::new(b))
        }
    }
}

/// A link on standby: the proxy's end and the client's.
pub(crate) async fn standby(medium: Medium) -> (Side, Side) {
    let (proxy, client): (Stream, Stream) = match medium {
        Medium::Tcp => {
            let (a, b) = tcp_pair().await;
            (a.into(), b.into())
        }
        Medium::Sealed | Medium::Unsealed => {
            let (a, b) = sealed_pair().await;
            (Stream::of(a), Stream::of(b))
        }
        Medium::Memory(bytes) => {
            let (a, b) = duplex(bytes);
            (a.into(), b.into())
        }
        Medium::Chopped { seed, most } => {
            let (a, b) = duplex(most.max(16));
            (chopped(a, seed, most), chopped(b, seed + 1, most))
        }
    };
    (Side::new(proxy, Role::Proxy), Side::new(client, Role::Client))
}

/// Offers a call on a link and accepts it.
pub(crate) async fn set_up(proxy: &mut Side, client: &mut Side) {
    let offer = Frame::Offer {
        call: CallId(7),
        listener: "plain".parse().unwrap(),
        partner: "192.0.2.1:3305".parse().unwrap(),
    };
    pass(proxy, client, &offer).await;
    pass(client, proxy, &Frame::Accept(CallId(7))).await;
}

async fn pass(from: &mut Side, to: &mut Side, frame: &Frame) {
    from.state.on_sent(frame.kind());
    let (sent, received) = tokio::join!(from.link.send(frame), to.link.receive());
    sent.unwrap();
    to.state.on_received(received.unwrap().kind()).unwrap();
}

/// What one end says of a call: how it went, and the link if it can be used again.
pub(crate) type Outcome = (Joined, Result<Side, LinkError>);

/// What makes an end give a call up.
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Nothing does.
pub(crate) fn never() -> Stop {
    Box::pin(pending())
}

/// A call under way.
pub(crate) struct Call {
    pub(crate) partner: TcpStream,
    pub(crate) station: TcpStream,
    pub(crate) proxy: JoinHandle<Outcome>,
    pub(crate) client: JoinHandle<Outcome>,
    /// Bytes from the partner that are none of the test's.
    before: u64,
}

impl Medium {
    /// What a peer hears of an abort: without the seal there is no word for the reason.
    pub(crate) fn heard(self, reason: AbortReason) -> End {
        End::Aborted(if self.is_used_again() { reason } else { AbortReason::Reset })
    }

    /// Whether a link of this kind is good for the next call.
    pub(crate) fn is_used_again(self) -> bool {
        !matches!(self, Self::Unsealed)
    }
}

/// What begins like TLS.
pub(crate) const CLIENT_HELLO: [u8; 6] = [22, 3, 1, 2, 0, 1];

impl Call {
    /// A call on a fresh link without any bound.
    pub(crate) async fn over(medium: Medium) -> Self {
        Self::bounded(medium, UNBOUNDED, UNBOUNDED).await
    }

    /// A call on a fresh link with the bounds of the proxy and the client.
    pub(crate) async fn bounded(medium: Medium, proxy: JoinLimits, client: JoinLimits) -> Self {
        Self::stoppable(medium, [proxy, client], [never(), never()]).await
    }

    /// The same, and either end, the proxy's first, gives the call up when its future says so.
    pub(crate) async fn stoppable(medium: Medium, limits: [JoinLimits; 2], stops: [Stop; 2]) -> Self {
        let (proxy, client) = standby(medium).await;
        let mut call = Self::begin(proxy, client, limits, stops).await;
        if matches!(medium, Medium::Unsealed) {
            call.leave_the_seal().await;
        }
        call
    }

    /// Moves what it takes to leave the seal, and then as much as it takes to be sure that both directions have.
    pub(crate) async fn leave_the_seal(&mut self) {
        let mut bytes = vec![0; UNSEAL_AFTER_BYTES as usize];
        bytes[..CLIENT_HELLO.len()].copy_from_slice(&CLIENT_HELLO);
        let mut got = vec![0; bytes.len()];
        let moved = async {
            tokio::try_join!(self.partner.write_all(&bytes), self.station.read_exact(&mut got)).unwrap();
            for _ in 0..ROUNDS {
                move_byte(&mut self.station, &mut self.partner).await;
                move_byte(&mut self.partner, &mut self.station).await;
            }
        };
        soon(moved).await;
        // Each way behind the other's word of it.
        self.before = bytes.len() as u64 + ROUNDS;
    }

    /// The next call on a link.
    pub(crate) async fn on(proxy: (Side, JoinLimits), client: (Side, JoinLimits)) -> Self {
        Self::begin(proxy.0, client.0, [proxy.1, client.1], [never(), never()]).await
    }

    async fn begin(mut proxy: Side, mut client: Side, limits: [JoinLimits; 2], stops: [Stop; 2]) -> Self {
        let [proxy_stop, client_stop] = stops;
        set_up(&mut proxy, &mut client).await;
        let (partner, at_proxy) = tcp_pair().await;
        let (station, at_client) = tcp_pair().await;
        Self {
            partner,
            station,
            proxy: carry(at_proxy, proxy, limits[0], proxy_stop),
            client: carry(at_client, client, limits[1], client_stop),
            before: 0,
        }
    }

    /// Both ends' outcomes, when both plain sockets are done with.
    pub(crate) async fn outcomes(self) -> (Outcome, Outcome) {
        drop((self.partner, self.station));
        let (mut proxy, mut client) = (soon(self.proxy).await.unwrap(), soon(self.client).await.unwrap());
        if self.before > 0 {
            proxy.0.from_socket -= self.before;
            client.0.to_socket -= self.before;
            proxy.0.to_socket -= ROUNDS;
            client.0.from_socket -= ROUNDS;
            assert_eq!((proxy.0.path, client.0.path), (Path::Kernel, Path::Kernel));
        }
        (proxy, client)
    }
}

/// Joins and settles in a task of its own, as a daemon does. A link that cannot be used again is dropped.
pub(crate) fn carry(
    socket: TcpStream,
    mut side: Side,
    limits: JoinLimits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<Outcome> {
    tokio::spawn(async move {
        // As the daemons' sockets are.
        relay::socket::reset_on_close(&socket, true);
        let stop = pin!(stop);
        let joined = join(socket, &[], &mut side.link, &mut side.state, limits, stop).await;
        let settled = settle(&mut side.link, &mut side.state).await;
        (joined, settled.map(|()| side))
    })
}

/// Bytes each way behind which both directions have left the seal.
const ROUNDS: u64 = 3;

/// Both ends of a sealed loopback connection: the proxy's and the client's.
pub(crate) async fn sealed_pair() -> (SealedStream<TcpStream>, SealedStream<TcpStream>) {
    let [proxy, client] = [(); 2].map(|()| IdentityKey::generate_for_tests());
    let trusting = |key: &IdentityKey| Arc::new(Authorized::of_keys([key.public_key()]));
    let acceptor = Acceptor::new(&proxy, trusting(&client)).unwrap();
    let connector = Connector::new(&client, trusting(&proxy)).unwrap();
    let (near, far) = tcp_pair().await;
    let (near, far) = tokio::join!(acceptor.accept(near), connector.connect(far, "127.0.0.1"));
    (near.unwrap().stream, far.unwrap().stream)
}

/// Both ends of a loopback connection.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (connected, accepted) = (connected.unwrap(), accepted.unwrap().0);
    connected.set_nodelay(true).unwrap();
    accepted.set_nodelay(true).unwrap();
    (connected, accepted)
}

/// Waits for what must happen, but not for ever.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(FAR, event).await.expect("what was waited for has not happened")
}

/// Reads until FIN. Anything else is a failure.
pub(crate) async fn read_until_fin(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.expect("an end in order");
    bytes
}

/// Reads until the reset, which must come and must not come as FIN.
pub(crate) async fn read_until_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let error = soon(stream.read_to_end(&mut bytes)).await.expect_err("a reset, not FIN");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    bytes
}

/// Waits for the reset of a stream whose peer has sent FIN already, so that reading does not tell (EPIPE).
pub(crate) async fn reset_after_fin(stream: &TcpStream) {
    soon(stream.ready(Interest::ERROR)).await.unwrap();
    assert!(stream.take_error().unwrap().is_some());
}

/// Writes and ends this direction.
pub(crate) async fn write_and_end(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    soon(stream.write_all(bytes)).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// Moves one byte from one end of a call to the other and waits until it is there.
pub(crate) async fn move_byte(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"x").await.unwrap();
    assert_eq!(to.read_u8().await.unwrap(), b'x');
}

/// `count` bytes that do not repeat.
pub(crate) fn payload(seed: u64, count: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    bytes.truncate(count);
    bytes
}

/// Compares without printing megabytes.
pub(crate) fn assert_same(got: &[u8], expected: &[u8], what: &str) {
    let differ = got.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        got == expected,
        "{what}: {} of {} bytes, first difference at {differ:?}",
        got.len(),
        expected.len()
    );
}

/// While this is alive a paused clock stands still, whatever the runtime waits for; only `advance` moves it. A test
/// that has come to a standstill gets its clock back, and fails by what waits on it.
pub(crate) struct HeldClock(Option<std::sync::mpsc::Sender<()>>);

impl HeldClock {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        // A paused clock does not run by itself while there is blocking work.
        tokio::task::spawn_blocking(move || receiver.recv_timeout(FAR));
        Self(Some(sender))
    }
}

impl Drop for HeldClock {
    fn drop(&mut self) {
        self.0.take();
    }
}
