//! SOCKS version 5 (RFC 1928), with user and password (RFC 1929) where there are users.

use std::net::{Ipv4Addr, Ipv6Addr};

use wire::FailReason;

use super::{Failure, Rejection, Step, Users, destination};

/// The first byte.
pub(super) const VERSION: u8 = 5;
/// RFC 1928, section 6.
pub(super) const SUCCEEDED: u8 = 0;

const METHOD_NONE: u8 = 0;
const METHOD_PASSWORD: u8 = 2;
const METHOD_UNACCEPTABLE: u8 = 0xff;
/// RFC 1929, section 2.
const LOGIN_VERSION: u8 = 1;
const COMMAND_CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;
const GENERAL_FAILURE: u8 = 1;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_TYPE_NOT_SUPPORTED: u8 = 8;

/// Where the exchange stands.
#[derive(Debug, Default)]
pub enum Socks5 {
    /// The methods are to come.
    #[default]
    Greeting,
    /// User and password are to come.
    Login,
    /// The request is to come.
    Request,
}

impl Socks5 {
    pub(super) fn on_bytes(&mut self, bytes: &[u8], users: &Users) -> Step {
        match self {
            Self::Greeting => self.on_greeting(bytes, users),
            Self::Login => self.on_login(bytes, users),
            Self::Request => on_request(bytes),
        }
    }

    fn on_greeting(&mut self, bytes: &[u8], users: &Users) -> Step {
        let [_, count, rest @ ..] = bytes else { return Step::More };
        let Some(methods) = rest.get(..usize::from(*count)) else { return Step::More };
        let method = if users.is_empty() { METHOD_NONE } else { METHOD_PASSWORD };
        if !methods.contains(&method) {
            return Step::Reject(vec![VERSION, METHOD_UNACCEPTABLE], Rejection::NoMethod);
        }
        *self = if users.is_empty() { Self::Request } else { Self::Login };
        Step::Say(2 + methods.len(), vec![VERSION, method])
    }

    fn on_login(&mut self, bytes: &[u8], users: &Users) -> Step {
        let [version, rest @ ..] = bytes else { return Step::More };
        if *version != LOGIN_VERSION {
            return Step::Reject(Vec::new(), Rejection::Malformed);
        }
        let Some((user, rest)) = counted(rest) else { return Step::More };
        let Some((password, _)) = counted(rest) else { return Step::More };
        if !users.admit(user, password) {
            return Step::Reject(vec![LOGIN_VERSION, 1], Rejection::WrongPassword);
        }
        *self = Self::Request;
        Step::Say(3 + user.len() + password.len(), vec![LOGIN_VERSION, 0])
    }
}

fn on_request(bytes: &[u8]) -> Step {
    if bytes.first().is_some_and(|version| *version != VERSION) {
        return Step::Reject(Vec::new(), Rejection::Malformed);
    }
    let [_, command, _, kind, rest @ ..] = bytes else { return Step::More };
    if *command != COMMAND_CONNECT {
        return Step::Reject(reply(COMMAND_NOT_SUPPORTED), Rejection::UnknownCommand);
    }
    let (host, rest) = match *kind {
        ADDRESS_V4 => match rest.split_first_chunk::<4>() {
            Some((ip, rest)) => (Ipv4Addr::from(*ip).to_string().into_bytes(), rest),
            None => return Step::More,
        },
        ADDRESS_V6 => match rest.split_first_chunk::<16>() {
            Some((ip, rest)) => (Ipv6Addr::from(*ip).to_string().into_bytes(), rest),
            None => return Step::More,
        },
        ADDRESS_NAME => match counted(rest) {
            Some((name, rest)) => (name.to_vec(), rest),
            None => return Step::More,
        },
        _ => return Step::Reject(reply(ADDRESS_TYPE_NOT_SUPPORTED), Rejection::NoDestination),
    };
    let Some((port, left)) = rest.split_first_chunk::<2>() else { return Step::More };
    match destination(&host, u16::from_be_bytes(*port)) {
        Some(destination) => Step::Ask(bytes.len() - left.len(), destination),
        None => Step::Reject(reply(GENERAL_FAILURE), Rejection::NoDestination),
    }
}

/// What follows a byte that counts it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&count, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(count))
}

/// A reply. The address of the proxy's own end is not told: 0.0.0.0, port 0.
pub(super) fn reply(code: u8) -> Vec<u8> {
    vec![VERSION, code, 0, ADDRESS_V4, 0, 0, 0, 0, 0, 0]
}

/// RFC 1928, section 6.
pub(super) fn reply_code(failure: Failure) -> u8 {
    match failure {
        Failure::Reason(FailReason::NotAllowed) => 2,
        Failure::Reason(FailReason::NetworkUnreachable) => 3,
        Failure::Reason(FailReason::HostUnreachable | FailReason::UnknownName) => 4,
        Failure::Reason(FailReason::Refused) => 5,
        // "TTL expired", which is how the field says that nobody answered in time.
        Failure::Reason(FailReason::TimedOut) => 6,
        Failure::Reason(FailReason::Draining | FailReason::NoResources) | Failure::NoProxy => GENERAL_FAILURE,
    }
}
