//! Peers that mean harm: clients with a trusted key, and a proxy. Both speak the protocol, badly.

use std::net::{Ipv6Addr, SocketAddr};

use wire::limits::VERSION;
use wire::{
    AbortReason, CallId, CallToken, Destination, Dial, FailReason, Frame, Header, Hello, LinkId, Name,
    RefuseReason, RejectReason, SessionId, Welcome,
};

use super::ends::{names, targets};
use super::net::{ClientEnd, ConnId, End, Incoming, ProxyEnd, Use};
use super::{Check, Event, World};

/// Connections that a hostile client holds at once.
const CONNS_MAX: usize = 5;

/// A hostile client.
#[derive(Default)]
pub(crate) struct Hostile {
    conns: Vec<ConnId>,
    sessions: Vec<SessionId>,
}

impl World {
    /// A hostile client does something.
    pub(crate) fn hostile_acts(&mut self, index: usize) -> Check {
        if self.healing {
            return Ok(());
        }
        let wait = self.rng.between(5, 150);
        self.after(wait, Event::HostileActs(index));
        let conns = std::mem::take(&mut self.hostiles[index].conns);
        let conns: Vec<ConnId> =
            conns.into_iter().filter(|&conn| self.conn(conn, End::Client).is_some()).collect();
        let count = conns.len();
        let chosen = self.rng.pick(&conns);
        self.hostiles[index].conns = conns;
        if count < CONNS_MAX && self.rng.chance(30) {
            let proxy = self.rng.below(self.proxies.len() as u64) as usize;
            let conn = self.dial(ProxyEnd::Honest(proxy), ClientEnd::Hostile(index), Use::Link(LinkId(0)));
            self.hostiles[index].conns.push(conn);
        } else if let Some(conn) = chosen.filter(|conn| self.conns[conn].up) {
            match self.rng.below(20) {
                0 => self.close(conn, End::Client),
                1 => self.break_conn(conn, true),
                2 => self.sends_garbage(conn, End::Client),
                _ => self.sends_something(conn, End::Client, index),
            }
        }
        Ok(())
    }

    /// A connection of a hostile client is open, or not. It mostly begins as it should.
    pub(crate) fn hostile_opened(&mut self, index: usize, conn: ConnId, well: bool) -> Check {
        if !well {
            return Ok(());
        }
        let own = self.hostiles[index].sessions.clone();
        let own = self.rng.pick(&own);
        match (own, self.rng.below(6)) {
            (None, _) | (_, 0) => {
                let hello =
                    Hello { version: VERSION, capabilities: 9, silence_ms: 0, targets: targets(&names()) };
                self.send(conn, End::Client, &Frame::Hello(hello));
            }
            (Some(session), 1 | 2) => self.send(conn, End::Client, &Frame::Standby(session)),
            (Some(session), 3) => {
                let frame = self.claim(Some(session));
                self.send(conn, End::Client, &frame);
            }
            (Some(_), 4) => {
                let frame = self.claim(None);
                self.send(conn, End::Client, &frame);
            }
            _ => self.sends_something(conn, End::Client, index),
        }
        Ok(())
    }

    /// A hostile client reads what a proxy has sent, and answers as it likes.
    pub(crate) fn hostile_reads(&mut self, index: usize, conn: ConnId) -> Check {
        while let Ok(Some(incoming)) = self.next_frame(conn, End::Client) {
            match incoming {
                Incoming::Frame(Frame::Welcome(welcome)) => {
                    self.hostiles[index].sessions.push(welcome.session);
                }
                Incoming::Frame(Frame::Offer { call, .. }) => match self.rng.below(8) {
                    0..=2 => self.send(conn, End::Client, &Frame::Accept(call)),
                    3 => {
                        self.send(conn, End::Client, &Frame::Accept(call));
                        self.send(conn, End::Client, &Frame::Accept(call));
                    }
                    4 => self.send(conn, End::Client, &Frame::Refuse(call, RefuseReason::Refused)),
                    5 => self.send(conn, End::Client, &Frame::Abort(AbortReason::Reset)),
                    6 => self.send(conn, End::Client, &Frame::Accept(CallId(call.0 + 1))),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// A claim: of an own session or any, with a token that was announced to whomever, or with none.
    fn claim(&mut self, session: Option<SessionId>) -> Frame {
        let recent = self.tokens.len().saturating_sub(8);
        let known: Vec<(SessionId, CallId, [u8; 16])> =
            self.tokens[recent..].iter().map(|token| (token.session, token.call, token.bytes)).collect();
        let bytes = self.rng.bytes16();
        let (victim, call, mut token) =
            self.rng.pick(&known).unwrap_or((SessionId(self.rng.next()), CallId(self.rng.next()), bytes));
        if self.rng.chance(20) {
            token[15] ^= 1;
        }
        Frame::Claim { session: session.unwrap_or(victim), call, token: CallToken(token) }
    }

    fn sends_garbage(&mut self, conn: ConnId, from: End) {
        let length = self.rng.between(1, 40);
        let bytes = (0..length).map(|_| self.rng.below(24) as u8).collect();
        self.send_bytes(conn, from, bytes);
    }

    fn sends_something(&mut self, conn: ConnId, from: End, index: usize) {
        if self.rng.chance(20) {
            let length = self.rng.between(1, 20_000) as usize;
            let bytes = [&Header::data(length).encode()[..], &vec![0x55; length]].concat();
            return self.send_bytes(conn, from, bytes);
        }
        let frame = self.some_frame(index);
        self.send(conn, from, &frame);
    }

    /// A call that there is, or was, or never was.
    fn some_call(&mut self) -> CallId {
        let calls: Vec<CallId> = self.open_partners.iter().map(|id| self.partners[id].call).collect();
        match self.rng.pick(&calls) {
            Some(call) if self.rng.chance(80) => call,
            _ => CallId(self.rng.next()),
        }
    }

    fn some_frame(&mut self, index: usize) -> Frame {
        let call = self.some_call();
        let own = self.hostiles.get(index).map(|hostile| hostile.sessions.clone()).unwrap_or_default();
        let standing: Vec<SessionId> =
            self.proxies.iter().flat_map(|proxy| proxy.sessions.keys().copied()).collect();
        let session = if self.rng.chance(50) { self.rng.pick(&own) } else { self.rng.pick(&standing) };
        let session = session.unwrap_or(SessionId(7));
        let listener: Name = names()[self.rng.below(3) as usize];
        let partner = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
        let version = if self.rng.chance(90) { VERSION } else { VERSION + 1 };
        let destination = Destination::new("127.0.0.1", 22).expect("a destination");
        match self.rng.below(26) {
            0 => Frame::Hello(Hello { version, capabilities: 0, silence_ms: 1, targets: targets(&names()) }),
            1 => {
                let (capabilities, silence_ms) = (u32::MAX, self.rng.next() as u32);
                Frame::Welcome(Welcome { version, capabilities, silence_ms, session, listeners: names() })
            }
            2 => Frame::Reject(RejectReason::TooManySessions),
            3 | 4 => Frame::Heartbeat,
            5 => Frame::Announce { call, token: CallToken(self.rng.bytes16()), listener, partner },
            6 => Frame::Withdraw(call),
            7 => Frame::Ringing(call),
            8 => Frame::Refuse(call, RefuseReason::TimedOut),
            9 => Frame::Targets(Vec::new()),
            10 => Frame::Listeners(names()),
            11 => Frame::Drain,
            12 => Frame::Standby(session),
            13 => self.claim(Some(session)),
            14 | 15 => Frame::Offer { call, listener, partner },
            16 => Frame::Gone(call),
            17 => Frame::Accept(call),
            18 => Frame::End,
            19 => Frame::Outward(session),
            20 => Frame::Dial(Dial { call, listener, station: partner, destination }),
            21 => Frame::Connected { call, partner },
            22 => Frame::Failed { call, reason: FailReason::NotAllowed, partner: Some(partner) },
            23 => Frame::MayUnseal,
            24 => Frame::Unseal,
            _ => Frame::Abort(AbortReason::Reset),
        }
    }

    /// A client of ours has come to the hostile proxy, which begins to talk.
    pub(crate) fn nonsense(&mut self, conn: ConnId) {
        if self.conns[&conn].purpose == Use::Control && self.rng.chance(80) {
            let session = SessionId(self.rng.next());
            let welcome = Welcome {
                version: VERSION,
                capabilities: 0,
                silence_ms: 3_000,
                session,
                listeners: Vec::new(),
            };
            // The client is greeted only after it has said its own part.
            let mut bytes = Vec::new();
            Frame::Welcome(welcome).encode(&mut bytes);
            self.after(50, Event::Deliver { conn, to: End::Client, bytes });
        }
        self.after(200, Event::Nonsense(conn));
    }

    /// It goes on talking.
    pub(crate) fn nonsense_again(&mut self, conn: ConnId) -> Check {
        let Some(held) = self.conn(conn, End::Proxy) else {
            return Ok(());
        };
        let purpose = held.purpose;
        if self.healing {
            self.close(conn, End::Proxy);
            return Ok(());
        }
        let wait = self.rng.between(10, 800);
        self.after(wait, Event::Nonsense(conn));
        let call = CallId(self.rng.below(4));
        let listener = names()[self.rng.below(3) as usize];
        let partner = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
        match (purpose, self.rng.below(10)) {
            (_, 0) => self.sends_garbage(conn, End::Proxy),
            (_, 1) => self.close(conn, End::Proxy),
            (_, 2) => self.sends_something(conn, End::Proxy, usize::MAX),
            (Use::Control, 3..=5) => {
                let token = CallToken(self.rng.bytes16());
                self.send(conn, End::Proxy, &Frame::Announce { call, token, listener, partner });
            }
            (Use::Control, 6) => self.send(conn, End::Proxy, &Frame::Withdraw(call)),
            (Use::Control, _) => self.send(conn, End::Proxy, &Frame::Heartbeat),
            (Use::Link(_), 3..=6) => self.send(conn, End::Proxy, &Frame::Offer { call, listener, partner }),
            (Use::Link(_), 7) => self.send(conn, End::Proxy, &Frame::Gone(call)),
            (Use::Link(_), 8) => self.send_data(conn, End::Proxy, &[1, 2, 3]),
            (Use::Link(_), _) => self.send(conn, End::Proxy, &Frame::End),
        }
        Ok(())
    }
}
