//! The bytes of the frames, as [`crate::frame`] describes them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::call::{
    AbortReason, CallId, CallToken, Destination, FailReason, Name, RefuseReason, RejectReason, SessionId,
    Target,
};
use crate::frame::{Dial, Frame, Header, Hello, Kind, Malformed, Welcome};
use crate::limits::{BODY_BYTES_MAX, FRAME_HEADER_BYTES, NAMES_MAX};

impl Frame {
    /// Appends the frame, header and body, to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        self.encode_body(out);
        let header = Header { kind: self.kind(), length: out.len() - start - FRAME_HEADER_BYTES };
        debug_assert!(header.length <= BODY_BYTES_MAX);
        out[start..start + FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Heartbeat | Self::Drain | Self::End | Self::MayUnseal | Self::Unseal => {}
            Self::Hello(hello) => {
                out.extend_from_slice(&hello.version.to_be_bytes());
                out.extend_from_slice(&hello.capabilities.to_be_bytes());
                out.extend_from_slice(&hello.silence_ms.to_be_bytes());
                put_targets(out, &hello.targets);
            }
            Self::Welcome(welcome) => {
                out.extend_from_slice(&welcome.version.to_be_bytes());
                out.extend_from_slice(&welcome.capabilities.to_be_bytes());
                out.extend_from_slice(&welcome.silence_ms.to_be_bytes());
                put_id(out, welcome.session.0);
                put_names(out, &welcome.listeners);
            }
            Self::Reject(reason) => out.push(reason.code()),
            Self::Announce { call, token, listener, partner } => {
                put_id(out, call.0);
                out.extend_from_slice(&token.0);
                put_name(out, listener);
                put_address(out, *partner);
            }
            Self::Withdraw(call) | Self::Ringing(call) | Self::Gone(call) | Self::Accept(call) => {
                put_id(out, call.0);
            }
            Self::Refuse(call, reason) => {
                put_id(out, call.0);
                out.push(reason.code());
            }
            Self::Targets(targets) => put_targets(out, targets),
            Self::Listeners(names) => put_names(out, names),
            Self::Standby(session) | Self::Outward(session) => put_id(out, session.0),
            Self::Claim { session, call, token } => {
                put_id(out, session.0);
                put_id(out, call.0);
                out.extend_from_slice(&token.0);
            }
            Self::Offer { call, listener, partner } => {
                put_id(out, call.0);
                put_name(out, listener);
                put_address(out, *partner);
            }
            Self::Abort(reason) => out.push(reason.code()),
            Self::Dial(dial) => {
                put_id(out, dial.call.0);
                put_name(out, &dial.listener);
                put_address(out, dial.station);
                put_destination(out, &dial.destination);
            }
            Self::Connected { call, partner } => {
                put_id(out, call.0);
                put_address(out, *partner);
            }
            Self::Failed { call, reason, partner } => {
                put_id(out, call.0);
                out.push(reason.code());
                match partner {
                    Some(partner) => put_address(out, *partner),
                    None => out.push(0),
                }
            }
        }
    }

    /// Reads the body of a frame of any kind but `Data`, which is not for here.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Self, Malformed> {
        let mut body = Body(body);
        let frame = match kind {
            Kind::Data => return Err(Malformed::Kind),
            Kind::Heartbeat => Self::Heartbeat,
            Kind::Drain => Self::Drain,
            Kind::End => Self::End,
            Kind::MayUnseal => Self::MayUnseal,
            Kind::Unseal => Self::Unseal,
            Kind::Hello => Self::Hello(Hello {
                version: u16::from_be_bytes(body.take()?),
                capabilities: u32::from_be_bytes(body.take()?),
                silence_ms: u32::from_be_bytes(body.take()?),
                targets: body.targets()?,
            }),
            Kind::Welcome => Self::Welcome(Welcome {
                version: u16::from_be_bytes(body.take()?),
                capabilities: u32::from_be_bytes(body.take()?),
                silence_ms: u32::from_be_bytes(body.take()?),
                session: SessionId(body.id()?),
                listeners: body.names()?,
            }),
            Kind::Reject => Self::Reject(RejectReason::from_code(body.byte()?).ok_or(Malformed::Field)?),
            Kind::Announce => Self::Announce {
                call: CallId(body.id()?),
                token: CallToken(body.take()?),
                listener: body.name()?,
                partner: body.address()?,
            },
            Kind::Withdraw => Self::Withdraw(CallId(body.id()?)),
            Kind::Ringing => Self::Ringing(CallId(body.id()?)),
            Kind::Gone => Self::Gone(CallId(body.id()?)),
            Kind::Accept => Self::Accept(CallId(body.id()?)),
            Kind::Refuse => Self::Refuse(
                CallId(body.id()?),
                RefuseReason::from_code(body.byte()?).ok_or(Malformed::Field)?,
            ),
            Kind::Targets => Self::Targets(body.targets()?),
            Kind::Listeners => Self::Listeners(body.names()?),
            Kind::Standby => Self::Standby(SessionId(body.id()?)),
            Kind::Claim => Self::Claim {
                session: SessionId(body.id()?),
                call: CallId(body.id()?),
                token: CallToken(body.take()?),
            },
            Kind::Offer => {
                Self::Offer { call: CallId(body.id()?), listener: body.name()?, partner: body.address()? }
            }
            Kind::Abort => Self::Abort(AbortReason::from_code(body.byte()?).ok_or(Malformed::Field)?),
            Kind::Outward => Self::Outward(SessionId(body.id()?)),
            Kind::Dial => Self::Dial(Dial {
                call: CallId(body.id()?),
                listener: body.name()?,
                station: body.address()?,
                destination: body.destination()?,
            }),
            Kind::Connected => Self::Connected { call: CallId(body.id()?), partner: body.address()? },
            Kind::Failed => Self::Failed {
                call: CallId(body.id()?),
                reason: FailReason::from_code(body.byte()?).ok_or(Malformed::Field)?,
                partner: body.address_if_any()?,
            },
        };
        if body.0.is_empty() { Ok(frame) } else { Err(Malformed::Length) }
    }
}

fn put_id(out: &mut Vec<u8>, id: u64) {
    out.extend_from_slice(&id.to_be_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &Name) {
    out.push(name.as_bytes().len() as u8);
    out.extend_from_slice(name.as_bytes());
}

fn put_names(out: &mut Vec<u8>, names: &[Name]) {
    assert!(names.len() <= NAMES_MAX, "{} names in one frame", names.len());
    out.push(names.len() as u8);
    names.iter().for_each(|name| put_name(out, name));
}

fn put_targets(out: &mut Vec<u8>, targets: &[Target]) {
    assert!(targets.len() <= NAMES_MAX, "{} targets in one frame", targets.len());
    out.push(targets.len() as u8);
    for target in targets {
        put_name(out, &target.name);
        out.push(target.address().len() as u8);
        out.extend_from_slice(target.address().as_bytes());
    }
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

fn put_destination(out: &mut Vec<u8>, destination: &Destination) {
    out.push(destination.host().len() as u8);
    out.extend_from_slice(destination.host().as_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

/// What is left of a body that is being read.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take::<1>()?[0])
    }

    fn id(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(text)
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        Name::from_bytes(self.text()?).map_err(|_| Malformed::Field)
    }

    fn targets(&mut self) -> Result<Vec<Target>, Malformed> {
        let count = usize::from(self.byte()?);
        if count > NAMES_MAX {
            return Err(Malformed::Field);
        }
        (0..count).map(|_| self.target()).collect()
    }

    fn target(&mut self) -> Result<Target, Malformed> {
        let name = self.name()?;
        let address = core::str::from_utf8(self.text()?).map_err(|_| Malformed::Field)?;
        Target::new(name, address).ok_or(Malformed::Field)
    }

    fn names(&mut self) -> Result<Vec<Name>, Malformed> {
        let count = usize::from(self.byte()?);
        if count > NAMES_MAX {
            return Err(Malformed::Field);
        }
        (0..count).map(|_| self.name()).collect()
    }

    fn address(&mut self) -> Result<SocketAddr, Malformed> {
        self.address_if_any()?.ok_or(Malformed::Field)
    }

    fn address_if_any(&mut self) -> Result<Option<SocketAddr>, Malformed> {
        let ip = match self.byte()? {
            0 => return Ok(None),
            4 => IpAddr::V4(Ipv4Addr::from(self.take::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.take::<16>()?)),
            _ => return Err(Malformed::Field),
        };
        Ok(Some(SocketAddr::new(ip, u16::from_be_bytes(self.take()?))))
    }

    fn destination(&mut self) -> Result<Destination, Malformed> {
        let host = core::str::from_utf8(self.text()?).map_err(|_| Malformed::Field)?;
        Destination::new(host, u16::from_be_bytes(self.take()?)).ok_or(Malformed::Field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use std::format;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn target(listener: &str, address: &str) -> Target {
        Target::new(name(listener), address).unwrap()
    }

    fn samples() -> Vec<Frame> {
        let (call, token) = (CallId(0x0102_0304_0506_0708), CallToken([9; 16]));
        let partner: SocketAddr = "203.0.113.7:40000".parse().unwrap();
        let partner6: SocketAddr = "[2001:db8::7]:40000".parse().unwrap();
        let mut frames = vec![
            Frame::Hello(Hello {
                version: 1,
                capabilities: 0,
                silence_ms: 45_000,
                targets: vec![target("default", "station.example.com:6619")],
            }),
            Frame::Welcome(Welcome {
                version: 1,
                capabilities: 0,
                silence_ms: 1,
                session: SessionId(u64::MAX),
                listeners: vec![name("a"); NAMES_MAX],
            }),
            Frame::Heartbeat,
            Frame::Announce { call, token, listener: name("default"), partner },
            Frame::Withdraw(call),
            Frame::Ringing(call),
            Frame::Targets(vec![]),
            Frame::Targets(vec![target("a", &"x".repeat(255)); NAMES_MAX]),
            Frame::Listeners(vec![name("x"), name("y")]),
            Frame::Drain,
            Frame::Standby(SessionId(5)),
            Frame::Claim { session: SessionId(5), call, token },
            Frame::Offer { call, listener: name("plain"), partner: partner6 },
            Frame::Gone(call),
            Frame::Accept(call),
            Frame::End,
            Frame::MayUnseal,
            Frame::Unseal,
            Frame::Outward(SessionId(5)),
            Frame::Dial(Dial {
                call,
                listener: name("outgoing"),
                station: partner6,
                destination: Destination::new("partner.example.com", 6619).unwrap(),
            }),
            Frame::Connected { call, partner },
            Frame::Failed { call, reason: FailReason::Refused, partner: Some(partner6) },
        ];
        frames.extend(RejectReason::ALL.iter().map(|&reason| Frame::Reject(reason)));
        frames.extend(RefuseReason::ALL.iter().map(|&reason| Frame::Refuse(call, reason)));
        frames.extend(AbortReason::ALL.iter().map(|&reason| Frame::Abort(reason)));
        frames.extend(FailReason::ALL.iter().map(|&reason| Frame::Failed { call, reason, partner: None }));
        frames
    }

    #[test]
    fn frames_survive_their_bytes_and_no_shorter_or_longer_ones() {
        for frame in samples() {
            let mut bytes = vec![];
            frame.encode(&mut bytes);
            let (header, body) = bytes.split_first_chunk().unwrap();
            let header = Header::decode(*header).unwrap();
            assert_eq!((header.kind, header.length), (frame.kind(), body.len()));
            let again = Frame::decode(header.kind, body).unwrap();
            assert_eq!(format!("{again:?}"), format!("{frame:?}"));
            for end in 0..body.len() {
                assert!(Frame::decode(header.kind, &body[..end]).is_err(), "{frame:?} cut at {end}");
            }
            let longer = [body, &[0]].concat();
            assert_eq!(Frame::decode(header.kind, &longer).unwrap_err(), Malformed::Length, "{frame:?}");
        }
    }

    #[test]
    fn the_bytes_of_an_offer_are_those_of_the_document() {
        let mut bytes = vec![];
        let partner = "192.0.2.1:6619".parse().unwrap();
        Frame::Offer { call: CallId(1), listener: name("ab"), partner }.encode(&mut bytes);
        let body = [0, 0, 0, 0, 0, 0, 0, 1, 2, b'a', b'b', 4, 192, 0, 2, 1, 0x19, 0xdb];
        assert_eq!(bytes, [&[14, 0, 0, 18][..], &body].concat());
    }

    #[test]
    fn impossible_headers_are_refused() {
        assert_eq!(Header::decode([0, 0, 0, 0]), Err(Malformed::Kind));
        assert_eq!(Header::decode([Kind::ALL.len() as u8 + 1, 0, 0, 0]), Err(Malformed::Kind));
        assert_eq!(
            Header::decode([17, 0, 0, 0]),
            Err(Malformed::Length),
            "empty payload is a way to spin us"
        );
        assert_eq!(Header::decode([17, 1, 0, 0]), Err(Malformed::Length));
        assert_eq!(Header::decode([14, 0, 40, 1]), Err(Malformed::Length));
        assert!(Header::decode([17, 0, 255, 252]).is_ok());
    }
}
