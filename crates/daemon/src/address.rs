//! Addresses as operators write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// Where to accept connections: a device's address, or any device, and a port (0: the system chooses).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress {
    /// The device; `None` for all of them, IPv4 and IPv6.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl ListenAddress {
    /// Any device.
    pub const fn any(port: u16) -> Self {
        Self { ip: None, port }
    }

    /// This host only.
    pub const fn loopback(port: u16) -> Self {
        Self { ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port }
    }

    /// As [`FromStr`], but a port alone is loopback.
    ///
    /// # Errors
    /// [`AddressError`] with the text and what is wrong.
    pub fn parse_loopback_default(text: &str) -> Result<Self, AddressError> {
        match text.parse() {
            Ok(port) if is_number(text) => Ok(Self::loopback(port)),
            _ => text.parse(),
        }
    }

    /// As usage texts and messages show it: any device is `0.0.0.0`.
    pub fn shown(&self) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), self.port)
    }
}

/// `:6619` or `6619` is any device; `IP:port`, `[IPv6]:port`, `localhost:port`.
impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fault = |fault| AddressError { text: text.to_owned(), fault };
        if is_number(text) {
            return Ok(Self::any(port(text).map_err(fault)?));
        }
        let (host, port) = split_port(text).map_err(fault)?;
        let ip = match host {
            "" | "*" => None,
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            _ => Some(bracketed_ip(host).ok_or_else(|| fault(AddressFault::NotADevice))?),
        };
        Ok(Self { ip, port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            None => write!(f, ":{}", self.port),
            Some(ip) => SocketAddr::new(ip, self.port).fmt(f),
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// A host: a name to be resolved each time it is dialled, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, as it was written.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl FromStr for Host {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(ip) = bracketed_ip(text).or_else(|| text.parse().ok()) {
            return Ok(Self::Ip(ip));
        }
        match is_host_name(text) {
            true => Ok(Self::Name(text.to_owned())),
            false => Err(AddressError { text: text.to_owned(), fault: AddressFault::NotAHost }),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// `host` or `host:port`; IPv6 in brackets when a port follows.
    ///
    /// # Errors
    /// [`AddressError`] with the text and what is wrong.
    pub fn parse_with_default_port(text: &str, default_port: u16) -> Result<Self, AddressError> {
        match text.parse() {
            Ok(host) => Ok(Self { host, port: default_port }),
            Err(_) if text.contains(':') => text.parse(),
            Err(error) => Err(error),
        }
    }

    /// `host:port`; with `:port` or `port` alone the host is `localhost`.
    ///
    /// # Errors
    /// [`AddressError`] with the text and what is wrong.
    pub fn parse_with_local_default(text: &str) -> Result<Self, AddressError> {
        let bare = text.strip_prefix(':').unwrap_or(text);
        match is_number(bare) {
            true => format!("localhost:{bare}")
                .parse()
                .map_err(|error: AddressError| AddressError { text: text.to_owned(), ..error }),
            false => text.parse(),
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fault = |fault| AddressError { text: text.to_owned(), fault };
        let (host, port) = split_port(text).map_err(fault)?;
        if port == 0 {
            return Err(fault(AddressFault::BadPort));
        }
        let host = host.parse().map_err(|error: AddressError| fault(error.fault))?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// The name of an external listener: 1 to 32 characters of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenerName(String);

impl ListenerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ListenerName {
    fn default() -> Self {
        Self(String::from("default"))
    }
}

impl FromStr for ListenerName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let permitted = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        match (1..=NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(permitted) {
            true => Ok(Self(text.to_owned())),
            false => Err(AddressError { text: text.to_owned(), fault: AddressFault::BadName }),
        }
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for ListenerName {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// Something with a listener's name in front: `NAME=…`; `default` where none is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named<T> {
    /// The name.
    pub name: ListenerName,
    /// What it names.
    pub value: T,
}

impl<T> Named<T> {
    /// `NAME=…` or `…` alone, where `parse` reads the rest.
    ///
    /// # Errors
    /// [`AddressError`] with the text and what is wrong.
    pub fn parse_with(
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, AddressError>,
    ) -> Result<Self, AddressError> {
        match text.split_once('=') {
            None => Ok(Self { name: ListenerName::default(), value: parse(text)? }),
            Some((name, rest)) => Ok(Self { name: name.parse()?, value: parse(rest)? }),
        }
    }
}

impl<T: FromStr<Err = AddressError>> FromStr for Named<T> {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse_with(text, str::parse)
    }
}

impl<T: fmt::Display> fmt::Display for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub fault: AddressFault,
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// Nothing that could be a port at the end.
    NoPort,
    /// The port is no number from 1 to 65535.
    BadPort,
    /// Colons without brackets: the port cannot be told from the address.
    NoBrackets,
    /// Only an address of this host can be listened on.
    NotADevice,
    /// Neither a host name nor an address.
    NotAHost,
    /// Not a listener's name.
    BadName,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            AddressFault::NoPort => "has no port; write HOST:PORT",
            AddressFault::BadPort => "has no valid port; a port is a number from 1 to 65535",
            AddressFault::NoBrackets => "is ambiguous; write an IPv6 address in brackets, as [::1]:6619",
            AddressFault::NotADevice => "is no address of a device; write IP:PORT, or :PORT for any device",
            AddressFault::NotAHost => "is neither a host name nor an IP address",
            AddressFault::BadName => "is no listener's name; use 1 to 32 letters, digits, _ or -",
        };
        write!(f, "{:?} {fault}", self.text)
    }
}

impl std::error::Error for AddressError {}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn port(text: &str) -> Result<u16, AddressFault> {
    // `parse` alone would take "+80".
    text.parse().ok().filter(|_| is_number(text)).ok_or(AddressFault::BadPort)
}

/// The text in front of the last colon, and the port behind it.
fn split_port(text: &str) -> Result<(&str, u16), AddressFault> {
    let (host, port_text) = text.rsplit_once(':').ok_or(AddressFault::NoPort)?;
    match host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        true => Err(AddressFault::NoBrackets),
        false => Ok((host, port(port_text)?)),
    }
}

/// An IPv4 address, or an IPv6 address in brackets.
fn bracketed_ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// RFC 1123 §2.1, and the underscore that internal networks love. A last label of digits alone is a mistyped
/// address, not a name.
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label) && !text.rsplit('.').next().is_some_and(is_number)
}

/// Longest name of a listener.
pub const NAME_CHARACTERS_MAX: usize = 32;
