//! Connecting: the name is looked up at every call, all its addresses are tried, and one deadline bounds it all.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

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
    /// There is no way to the host or its network.
    Unreachable(io::Error),
    /// No answer within the time given.
    TimedOut(Duration),
    /// This host has no descriptors, ports or memory left.
    Exhausted(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName(error) => write!(f, "the name does not resolve ({error})"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unreachable(error) => write!(f, "unreachable ({error})"),
            Self::TimedOut(time) => write!(f, "no answer within {} s", time.as_secs_f32()),
            Self::Exhausted(error) => write!(f, "this host is out of resources ({error})"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Connects to `host`, a name or an address without brackets, within `step` (`-T`), look-up included.
pub async fn connect(host: &str, port: u16, step: Duration) -> Result<TcpStream, ConnectError> {
    let began = Instant::now();
    let attempt = async {
        let addresses = resolve(host, port).await?;
        connect_first(addresses).await
    };
    match timeout(step, attempt).await {
        // The kernel gave up before the deadline did.
        Ok(Err(ConnectError::TimedOut(_))) => Err(ConnectError::TimedOut(began.elapsed())),
        Ok(outcome) => outcome,
        Err(_) => Err(ConnectError::TimedOut(step)),
    }
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

/// Tries one address after the other, each with a head start; the first connection wins, the others are dropped.
async fn connect_first(addresses: Vec<SocketAddr>) -> Result<TcpStream, ConnectError> {
    if let [address] = addresses[..] {
        return connect_one(address).await.map_err(classify);
    }
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(connect_one(address));
        }
        let finished = if waiting.len() > 0 {
            timeout(ATTEMPT_DELAY, attempts.join_next()).await
        } else {
            Ok(attempts.join_next().await)
        };
        match finished {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => failure = Some(worse(failure, classify(error))),
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
async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    let is_itself = address.ip().is_loopback() && stream.local_addr().is_ok_and(|own| own == address);
    if is_itself { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(stream) }
}

/// Of two failures, the one that tells more: a host that answered is nearer to the cause than one that did not.
fn worse(first: Option<ConnectError>, second: ConnectError) -> ConnectError {
    match first {
        Some(first @ (ConnectError::Refused | ConnectError::Exhausted(_))) => first,
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
        _ => ConnectError::Unreachable(error),
    }
}

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
