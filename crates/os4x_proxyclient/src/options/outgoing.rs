//! What stations may do: `-Q`, `--forward` and the section `[outgoing]`.

use std::fmt;

use daemon::address::{AddressError, HostPort, ListenAddress};
use daemon::failure::Failure;
use policy::{Clients, Policy, Rule};
use serde::Deserialize;
use wire::Name;

use crate::front::Users;

/// Everything about calls of stations.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where stations connect to; none where calls outward are switched off.
    pub doors: Vec<LocalDoor>,
    /// Who may connect where a door is open to more than this host.
    pub from: Option<Clients>,
    /// Who has to say who it is, where a door lets it.
    pub users: Users,
    /// Whom they may call, as far as the inside is concerned; `None`: the proxy decides alone.
    pub allow: Option<Policy>,
}

/// One local port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDoor {
    /// Its name in the log.
    pub name: Name,
    /// Where.
    pub listen: ListenAddress,
    /// Where its connections go.
    pub way: Way,
}

/// Where the connections of a local port go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The station says so: SOCKS or HTTP CONNECT.
    Asked,
    /// To this partner.
    Fixed(HostPort),
    /// To where they were going before the firewall redirected them.
    Redirected,
}

impl LocalDoor {
    /// Whether only this host can connect.
    pub fn is_local(&self) -> bool {
        self.listen.ip.is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for LocalDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen = self.listen.shown();
        match &self.way {
            Way::Asked => write!(f, "stations call out at {listen} (SOCKS5, SOCKS4, HTTP CONNECT)"),
            Way::Fixed(to) => write!(f, "what connects to {listen} is connected to {to}"),
            Way::Redirected => {
                write!(f, "what the firewall redirects to {listen} is connected to where it was going")
            }
        }
    }
}

/// `-Q`, or `listen`: an address, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Listen {
    Off,
    At(ListenAddress),
}

impl TryFrom<String> for Listen {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        match text.as_str() {
            super::OFF => Ok(Self::Off),
            _ => ListenAddress::parse_loopback_default(&text).map(Self::At),
        }
    }
}

/// The section of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOutgoing {
    listen: Option<Listen>,
    from: Option<Clients>,
    #[serde(default)]
    users: Users,
    allow: Option<Vec<Rule>>,
    #[serde(default)]
    forward: Vec<FileForward>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForward {
    listen: ListenAddress,
    to: Option<HostPort>,
    #[serde(default)]
    transparent: bool,
}

/// A forward, by flag or file.
pub(super) type Forward = (ListenAddress, Way);

/// `--forward [IP]:PORT=HOST:PORT`.
pub(super) fn read_forward(text: &str) -> Result<Forward, Failure> {
    let Some((listen, to)) = text.split_once('=') else {
        return Err(Failure::Usage(format!("--forward {text:?}: write it as [IP]:PORT=HOST:PORT")));
    };
    let listen = listen.parse().map_err(Failure::usage)?;
    Ok((listen, Way::Fixed(to.parse().map_err(Failure::usage)?)))
}

/// The flags win over the file, and forwards of flags replace those of the file.
pub(super) fn resolve(
    listen: Option<Listen>,
    forwards: Vec<Forward>,
    file: FileOutgoing,
) -> Result<Outgoing, Failure> {
    let forwards = match forwards.is_empty() {
        false => forwards,
        true => file.forward.into_iter().map(Forward::try_from).collect::<Result<_, _>>()?,
    };
    let mut doors = Vec::new();
    let default = Listen::At(ListenAddress::loopback(DEFAULT_OUTGOING_PORT));
    if let Listen::At(listen) = listen.or(file.listen).unwrap_or(default) {
        doors.push(LocalDoor { name: door_name("outgoing"), listen, way: Way::Asked });
    }
    for (listen, way) in forwards {
        doors.push(LocalDoor { name: door_name(&format!("forward-{}", listen.port)), listen, way });
    }
    check_doors(&doors)?;
    Ok(Outgoing { doors, from: file.from, users: file.users, allow: file.allow.map(Policy::new) })
}

fn check_doors(doors: &[LocalDoor]) -> Result<(), Failure> {
    for (index, door) in doors.iter().enumerate() {
        let is_same = |other: &&LocalDoor| other.listen == door.listen && door.listen.port != 0;
        if let Some(other) = doors[index + 1..].iter().find(is_same) {
            return Err(Failure::Operator(format!("one address for two things: {door}, and {other}")));
        }
    }
    Ok(())
}

impl TryFrom<FileForward> for Forward {
    type Error = Failure;

    fn try_from(forward: FileForward) -> Result<Self, Failure> {
        let FileForward { listen, to, transparent } = forward;
        match (to, transparent) {
            (Some(to), false) => Ok((listen, Way::Fixed(to))),
            (None, true) => Ok((listen, Way::Redirected)),
            _ => Err(Failure::Operator(format!(
                "[[outgoing.forward]] listen = \"{listen}\": give it either to = \"HOST:PORT\" or transparent = true"
            ))),
        }
    }
}

fn door_name(text: &str) -> Name {
    text.parse().expect("our own names consist of letters, digits and hyphens")
}

const DEFAULT_OUTGOING_PORT: u16 = 65_433;
