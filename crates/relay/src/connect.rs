//! Connecting: the name is looked up at every call, all its addresses are tried, and one deadline bounds it all.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::race::{Either, race};
use crate::timer::Timer;

/// The head start of one address before the next is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried at most; a name with more is broken or hostile.
const ADDRESSES_MAX: usize = 16;

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The name does not resolve.
    UnknownName(io::Error),
    /// The host answered with a reset: nothing listens there.
    Refused,
    /// There is no way to the host's network.
    NetworkUnreachable(io::Error),
    /// There is no way to the host.
    HostUnreachable(io::Error),
    /// No answer within the time given.
    TimedOut(Duration),
    /// This host has no descriptors, ports or memory left.
    Exhausted(io::Error),
    /// No address of the host may be dialled.
    Forbidden,
    /// No address of the host is of the family of the source from which it has to be dialled.
    NoSource,
    /// This host does not have the address from which it has to dial.
    WrongSource(IpAddr, io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName(error) => write!(f, "the name does not resolve ({error})"),
            Self::Refused => f.write_str("connection refused"),
            Self::NetworkUnreachable(error) | Self::HostUnreachable(error) => {
                write!(f, "unreachable ({error})")
            }
            Self::TimedOut(time) => write!(f, "no answer within {} s", time.as_secs_f32()),
            Self::Exhausted(error) => write!(f, "this host is out of resources ({error})"),
            Self::Forbidden => f.write_str("no address of it may be dialled"),
            Self::NoSource => {
                f.write_str("it has no address of the family of the source from which it has to be dialled")
            }
            Self::WrongSource(source, error) => {
                write!(f, "it cannot be dialled from {source}: {error}; does this host have that address?")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

/// Whether an address is dialled, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It is, and the system chooses the source.
    Open,
    /// It is, from this address.
    From(IpAddr),
    /// It is not.
    Closed,
    /// It is not, for want of a source of its family.
    NoSource,
}

/// Why there is no connection, and the address that was tried last, if it came that far.
#[derive(Debug)]
pub struct NotConnected {
    /// Why.
    pub error: ConnectError,
    /// The address.
    pub address: Option<SocketAddr>,
}

/// Connects to `host`, a name or an address without brackets, within `step` (`-T`), look-up included.
///
/// # Errors
/// Why there is no connection.
pub async fn connect(host: &str, port: u16, step: Duration) -> Result<TcpStream, ConnectError> {
    connect_by(host, port, step, |_| Route::Open).await.map_err(|failure| failure.error)
}

/// As [`connect`], where `route` is asked about every address before it is dialled.
///
/// # Errors
/// Why there is no connection, and to which address.
pub async fn connect_by(
    host: &str,
    port: u16,
    step: Duration,
    route: impl Fn(SocketAddr) -> Route,
) -> Result<TcpStream, NotConnected> {
    let began = Instant::now();
    let mut tried = None;
    let attempt = async {
        let ways = open_ways(resolve(host, port).await?, route, &mut tried)?;
        connect_first(ways, &mut tried).await
    };
    let error = match race(attempt, Timer::at(began + step)).await {
        Either::Left(Ok(stream)) => return Ok(stream),
        // The kernel gave up before the deadline did.
        Either::Left(Err(ConnectError::TimedOut(_))) => ConnectError::TimedOut(began.elapsed()),
        Either::Left(Err(error)) => error,
        Either::Right(()) => ConnectError::TimedOut(step),
    };
    Err(NotConnected { error, address: tried })
}

/// The addresses of a host in the order in which they are tried: families in turn (RFC 8305, section 4).
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // RFC 6761, section 6.3: this name needs no look-up.
    if host.eq_ignore_ascii_case("localhost") {
        let loopbacks: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopbacks.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let found = tokio::net::lookup_host((host, port)).await.map_err(ConnectError::UnknownName)?;
    let addresses = interleave(found);
    if addresses.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "no addresses");
        return Err(ConnectError::UnknownName(error));
    }
    Ok(addresses)
}

fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = Vec::new();
    for address in found {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    let first_is_v6 = seen.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES_MAX {
        let before = ordered.len();
        ordered.extend(first.next());
        ordered.extend(second.next());
        if ordered.len() == before {
            break;
        }
    }
    ordered
}

/// An address that is dialled, and from where.
type Way = (SocketAddr, Option<IpAddr>);

/// Asks `route` about every address; `closed` tells one that is not dialled.
fn open_ways(
    addresses: Vec<SocketAddr>,
    route: impl Fn(SocketAddr) -> Route,
    closed: &mut Option<SocketAddr>,
) -> Result<Vec<Way>, ConnectError> {
    let mut ways = Vec::new();
    let mut error = ConnectError::Forbidden;
    for address in addresses {
        match route(address) {
            Route::Open => ways.push((address, None)),
            Route::From(source) => ways.push((address, Some(source))),
            Route::Closed => *closed = Some(address),
            Route::NoSource => {
                *closed = Some(address);
                error = ConnectError::NoSource;
            }
        }
    }
    if ways.is_empty() { Err(error) } else { Ok(ways) }
}

/// Tries one address after the other, each with a head start; the first connection wins, the others are dropped.
async fn connect_first(ways: Vec<Way>, tried: &mut Option<SocketAddr>) -> Result<TcpStream, ConnectError> {
    if let [way] = ways[..] {
        *tried = Some(way.0);
        return connect_one(way).await;
    }
    let mut waiting = ways.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(way) = waiting.next() {
            *tried = Some(way.0);
            attempts.spawn(connect_one(way));
        }
        let finished = if waiting.len() > 0 {
            timeout(ATTEMPT_DELAY, attempts.join_next()).await
        } else {
            Ok(attempts.join_next().await)
        };
        match finished {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => failure = Some(worse(failure, error)),
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => {
                let none = io::Error::new(io::ErrorKind::NotFound, "no addresses");
                return Err(failure.unwrap_or(ConnectError::UnknownName(none)));
            }
        }
    }
}

/// Connects to one address. Where nothing listens at a port of this host, the kernel may choose that very port for
/// this end, and the connection is one with itself (RFC 9293, section 3.5, simultaneous open).
async fn connect_one((address, source): Way) -> Result<TcpStream, ConnectError> {
    let stream = match source {
        None => TcpStream::connect(address).await.map_err(classify)?,
        Some(source) => {
            let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
            let socket = socket.map_err(classify)?;
            let wrong = |error| ConnectError::WrongSource(source, error);
            socket.bind(SocketAddr::new(source, 0)).map_err(wrong)?;
            socket.connect(address).await.map_err(classify)?
        }
    };
    let is_itself = stream.local_addr().is_ok_and(|own| own == address);
    if is_itself { Err(ConnectError::Refused) } else { Ok(stream) }
}

/// Of two failures, the one that tells more: a host that answered is nearer to the cause than one that did not.
fn worse(first: Option<ConnectError>, second: ConnectError) -> ConnectError {
    use ConnectError as Error;
    match first {
        Some(first @ (Error::Refused | Error::Exhausted(_) | Error::WrongSource(..))) => first,
        _ => second,
    }
}

fn classify(error: io::Error) -> ConnectError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused | Kind::ConnectionReset => ConnectError::Refused,
        Kind::TimedOut => ConnectError::TimedOut(Duration::ZERO),
        Kind::OutOfMemory | Kind::AddrNotAvailable | Kind::QuotaExceeded => ConnectError::Exhausted(error),
        _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => ConnectError::Exhausted(error),
        Kind::NetworkUnreachable => ConnectError::NetworkUnreachable(error),
        _ => ConnectError::HostUnreachable(error),
    }
}

/// Whether an address is one of this host's own: then the kernel would dial it from that very address. Nothing is sent:
/// connecting a datagram socket (udp(7)) only looks up the route.
pub fn is_own(ip: IpAddr) -> bool {
    let unspecified: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = UdpSocket::bind(SocketAddr::new(unspecified, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(ip, DISCARD_PORT))?;
        socket.local_addr()
    });
    // Without a route there is nothing to dial.
    source.is_ok_and(|source| source.ip() == ip)
}

/// Any port will do (RFC 863).
const DISCARD_PORT: u16 = 9;

const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn families_take_turns_and_nothing_is_tried_twice() {
        let list =
            ["[::1]:1", "[::2]:1", "[::1]:1", "1.1.1.1:1", "2.2.2.2:1"].map(|text| text.parse().unwrap());
        let ordered: Vec<String> = interleave(list.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(ordered, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"]);
        let many = (0..100).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(interleave(many).len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn a_listener_is_reached_by_address_and_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let step = Duration::from_secs(10);
        assert!(connect("127.0.0.1", port, step).await.is_ok());
        assert!(connect("localhost", port, step).await.is_ok());
    }

    #[test]
    fn the_own_addresses_are_known() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own("192.0.2.77".parse().unwrap()), "an address for documentation (RFC 5737)");
    }

    #[tokio::test]
    async fn what_is_closed_is_not_dialled_and_the_source_is_kept_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let step = Duration::from_secs(10);
        let closed = connect_by("localhost", address.port(), step, |_| Route::Closed).await.unwrap_err();
        assert!(matches!(closed.error, ConnectError::Forbidden) && closed.address.is_some(), "{closed:?}");
        let by_family = |dialled: SocketAddr| match dialled {
            SocketAddr::V4(_) => Route::From("127.0.0.9".parse().unwrap()),
            SocketAddr::V6(_) => Route::NoSource,
        };
        let _stream = connect_by("localhost", address.port(), step, by_family).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1.ip(), "127.0.0.9".parse::<IpAddr>().unwrap());
        let foreign = |_| Route::From("192.0.2.77".parse().unwrap());
        let failure = connect_by("127.0.0.1", address.port(), step, foreign).await.unwrap_err();
        assert!(matches!(failure.error, ConnectError::WrongSource(..)), "{failure:?}");
        assert_eq!(failure.address, Some(address));
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_and_a_wrong_name_is_unknown() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let step = Duration::from_secs(10);
        assert!(matches!(connect("127.0.0.1", port, step).await, Err(ConnectError::Refused)));
        assert!(matches!(connect("localhost", port, step).await, Err(ConnectError::Refused)));
        let unknown = connect("does-not-exist.invalid", port, step).await;
        assert!(matches!(unknown, Err(ConnectError::UnknownName(_))), "{unknown:?}");
    }
}
