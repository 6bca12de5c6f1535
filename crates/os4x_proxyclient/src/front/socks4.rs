//! SOCKS version 4, and 4a, which sends the name of the host behind an impossible address. Neither has a standard beyond
//! the notes of their authors.

use std::net::Ipv4Addr;

use super::{Rejection, Step, Users, destination};

/// The first byte.
pub(super) const VERSION: u8 = 4;
pub(super) const GRANTED: u8 = 0x5a;
pub(super) const REJECTED: u8 = 0x5b;

const COMMAND_CONNECT: u8 = 1;
/// User, and host of 4a, without the zero behind each.
const TEXT_BYTES_MAX: usize = 255;

/// There is one request and nothing to remember.
#[derive(Debug)]
pub struct Socks4;

impl Socks4 {
    pub(super) fn on_bytes(&mut self, bytes: &[u8], users: &Users) -> Step {
        let [_, command, port_high, port_low, a, b, c, d, rest @ ..] = bytes else { return Step::More };
        if *command != COMMAND_CONNECT {
            return Step::Reject(reply(REJECTED), Rejection::UnknownCommand);
        }
        // The user is a claim without a proof.
        if !users.is_empty() {
            return Step::Reject(reply(REJECTED), Rejection::NoMethod);
        }
        let rest = match text(rest) {
            Ok((_, rest)) => rest,
            Err(step) => return step,
        };
        let (host, left) = match [*a, *b, *c, *d] {
            [0, 0, 0, last] if last != 0 => match text(rest) {
                Ok((host, left)) => (host.to_vec(), left),
                Err(step) => return step,
            },
            ip => (Ipv4Addr::from(ip).to_string().into_bytes(), rest),
        };
        match destination(&host, u16::from_be_bytes([*port_high, *port_low])) {
            Some(destination) => Step::Ask(bytes.len() - left.len(), destination),
            None => Step::Reject(reply(REJECTED), Rejection::NoDestination),
        }
    }
}

/// What stands before a zero, and what behind it.
fn text(bytes: &[u8]) -> Result<(&[u8], &[u8]), Step> {
    match bytes.iter().position(|&byte| byte == 0) {
        Some(end) if end <= TEXT_BYTES_MAX => Ok((&bytes[..end], &bytes[end + 1..])),
        None if bytes.len() <= TEXT_BYTES_MAX => Err(Step::More),
        _ => Err(Step::Reject(reply(REJECTED), Rejection::Malformed)),
    }
}

pub(super) fn reply(code: u8) -> Vec<u8> {
    vec![0, code, 0, 0, 0, 0, 0, 0]
}
