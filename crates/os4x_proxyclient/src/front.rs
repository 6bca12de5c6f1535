//! What a station says on `-Q` before it is connected: SOCKS5, SOCKS4, SOCKS4a or HTTP CONNECT, told apart by the first
//! byte.
//!
//! The parsers are pure: bytes in, a [`Step`] out. They are given everything that has come and was not used yet, may be
//! asked again with more, and hold nothing but where they stand. `ask` moves the bytes.

mod http_connect;
mod socks4;
mod socks5;
mod users;

use std::io;
use std::time::Duration;

use relay::Caller;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::{Destination, FailReason};

use http_connect::HttpConnect;
use socks4::Socks4;
use socks5::Socks5;
pub use users::Users;

/// What a station may say before it is connected, in one piece; the longest is the head of an HTTP request.
pub const FRONT_BYTES_MAX: usize = 8_192;
/// What is read of a station that was turned away, so that the answer is not lost behind a reset.
const FAREWELL_BYTES_MAX: usize = 16_384;
/// How long that may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for more bytes.
    More,
    /// Forget so many bytes, and say these.
    Say(usize, Vec<u8>),
    /// Forget so many bytes; the station wants to be connected there. What follows is payload.
    Ask(usize, Destination),
    /// Say these bytes and end the connection, for the reason that is for the log.
    Reject(Vec<u8>, Rejection),
}

/// Why a station was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The first byte begins none of the protocols.
    UnknownProtocol,
    /// What was said is not of the protocol with which it began.
    Malformed,
    /// It wants something else than a connection.
    UnknownCommand,
    /// What it wants to be connected to is no host and port.
    NoDestination,
    /// It offers no way to prove who it is that is good enough here.
    NoMethod,
    /// User and password are not in `[outgoing] users`.
    WrongPassword,
    /// More than may be said.
    TooLong,
}

impl Rejection {
    /// The sentence for the log.
    pub const fn text(self) -> &'static str {
        match self {
            Self::UnknownProtocol => "it speaks neither SOCKS5, SOCKS4 nor HTTP CONNECT",
            Self::Malformed => "it broke the rules of the protocol with which it began",
            Self::UnknownCommand => "it asked for something else than a connection (CONNECT is all there is)",
            Self::NoDestination => "what it wants to be connected to is no host and port",
            Self::NoMethod => {
                "its way of saying who it is does not fit [outgoing] users: user and password where there are any, none \
                 where there are none"
            }
            Self::WrongPassword => "user and password are not in [outgoing] users",
            Self::TooLong => "it said more than a request may have",
        }
    }
}

/// Why a station is not connected to whom it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The proxy says so, or our own policy (`NotAllowed`), or nobody answered in time (`TimedOut`).
    Reason(FailReason),
    /// No proxy is attached, or none that has a link for it.
    NoProxy,
}

/// One protocol, from the first byte to the request.
#[derive(Debug)]
pub enum Front {
    /// Nothing was said yet.
    Unknown,
    /// RFC 1928.
    Socks5(Socks5),
    /// SOCKS4, and 4a.
    Socks4(Socks4),
    /// RFC 9110, section 9.3.6.
    Http(HttpConnect),
}

impl Front {
    /// Looks at what has come and was not used yet.
    pub fn on_bytes(&mut self, bytes: &[u8], users: &Users) -> Step {
        if let (Self::Unknown, Some(&first)) = (&*self, bytes.first()) {
            *self = match first {
                socks5::VERSION => Self::Socks5(Socks5::default()),
                socks4::VERSION => Self::Socks4(Socks4),
                b'A'..=b'Z' | b'a'..=b'z' => Self::Http(HttpConnect),
                _ => return Step::Reject(Vec::new(), Rejection::UnknownProtocol),
            };
        }
        let step = match self {
            Self::Unknown => return Step::More,
            Self::Socks5(front) => front.on_bytes(bytes, users),
            Self::Socks4(front) => front.on_bytes(bytes, users),
            Self::Http(front) => front.on_bytes(bytes, users),
        };
        match step {
            Step::More if bytes.len() >= FRONT_BYTES_MAX => match self {
                Self::Http(_) => Step::Reject(http_connect::too_long(), Rejection::TooLong),
                _ => Step::Reject(Vec::new(), Rejection::TooLong),
            },
            step => step,
        }
    }

    /// The answer to a request that was fulfilled.
    pub fn connected(&self) -> Vec<u8> {
        match self {
            Self::Unknown => Vec::new(),
            Self::Socks5(_) => socks5::reply(socks5::SUCCEEDED),
            Self::Socks4(_) => socks4::reply(socks4::GRANTED),
            Self::Http(_) => http_connect::connected(),
        }
    }

    /// The answer to a request that was not.
    pub fn failed(&self, failure: Failure) -> Vec<u8> {
        match self {
            Self::Unknown => Vec::new(),
            Self::Socks5(_) => socks5::reply(socks5::reply_code(failure)),
            Self::Socks4(_) => socks4::reply(socks4::REJECTED),
            Self::Http(_) => http_connect::failed(failure),
        }
    }
}

/// Why a station did not come as far as a request.
#[derive(Debug)]
pub enum NotAsked {
    /// It was turned away, and told so.
    Rejected(Rejection),
    /// It left.
    Left,
}

impl From<io::Error> for NotAsked {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

/// Hears out a station until it asks for a destination. What it has said beyond that stays in `caller.early`.
pub(crate) async fn ask(caller: &mut Caller, users: &Users) -> Result<(Front, Destination), NotAsked> {
    let mut front = Front::Unknown;
    loop {
        match front.on_bytes(&caller.early, users) {
            Step::More => {
                let room = FRONT_BYTES_MAX - caller.early.len();
                if caller.read_early(room).await?.1 == 0 {
                    return Err(NotAsked::Left);
                }
            }
            Step::Say(used, reply) => {
                caller.early.drain(..used);
                caller.socket.write_all(&reply).await?;
            }
            Step::Ask(used, destination) => {
                caller.early.drain(..used);
                return Ok((front, destination));
            }
            Step::Reject(reply, rejection) => {
                say_goodbye(&mut caller.socket, &reply).await;
                return Err(NotAsked::Rejected(rejection));
            }
        }
    }
}

/// Says the last word and ends the connection in order: what the station is still sending must not turn the end into a
/// reset, which could overtake the word.
pub(crate) async fn say_goodbye(socket: &mut TcpStream, reply: &[u8]) {
    let goodbye = async {
        socket.write_all(reply).await?;
        socket.shutdown().await?;
        let mut rest = (&mut *socket).take(FAREWELL_BYTES_MAX as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // A station that is gone, or says more than that, has no use for the rest.
    let _ = timeout(FAREWELL_MAX, goodbye).await;
}

/// A destination out of what a station has written.
fn destination(host: &[u8], port: u16) -> Option<Destination> {
    let host = std::str::from_utf8(host).ok()?;
    host.parse::<daemon::address::Host>().ok()?;
    // An address may stand in brackets where a name can stand.
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    Destination::new(bare, port)
}

#[cfg(test)]
mod tests;
