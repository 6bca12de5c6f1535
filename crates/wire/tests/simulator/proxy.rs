//! The model of the DMZ daemon: its doors, its sessions and its waiting room.

use std::collections::BTreeMap;

use wire::limits;
use wire::link::{LinkState, Role};
use wire::proxy_side::{Action, CallFailure, ProxySettings, ProxySide};
use wire::{CallId, CallToken, Frame, LinkId, Millis, Name, PeerKey, SessionId};

use super::dial_out::{DialLink, DialTask};
use super::ends::{Partner, PartnerId, Speaker, address_of, names};
use super::net::{ClientEnd, ConnId, End, Incoming, Use};
use super::proxy_link::{ProxyLink, ProxyTask};
use super::scenario::Flaw;
use super::{Check, Event, World};

/// A proxy.
pub(crate) struct Proxy {
    pub(crate) side: ProxySide,
    /// Counts restarts.
    pub(crate) life: u64,
    pub(crate) doors: BTreeMap<ConnId, Door>,
    pub(crate) sessions: BTreeMap<SessionId, Attached>,
    pub(crate) links: BTreeMap<LinkId, ProxyLink>,
    /// Links for calls of stations.
    pub(crate) outward: BTreeMap<LinkId, DialLink>,
    /// The waiting room.
    pub(crate) room: BTreeMap<CallId, PartnerId>,
    pub(crate) ports_open: bool,
    pub(crate) draining: bool,
    pub(crate) listeners: Vec<Name>,
    /// Keys that are not trusted at the moment.
    pub(crate) distrusted: Vec<PeerKey>,
    /// Until when it does not run.
    pub(crate) down_until: u64,
}

/// What a connection to the internal port has turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Opened,
    Control(SessionId),
    Link(LinkId),
    Outward(LinkId),
}

/// A session as the daemon knows it.
pub(crate) struct Attached {
    pub(crate) conn: ConnId,
    pub(crate) key: PeerKey,
    pub(crate) draining: bool,
    pub(crate) has_targets: bool,
}

/// A token that was announced.
pub(crate) struct Token {
    pub(crate) bytes: [u8; 16],
    pub(crate) proxy: usize,
    pub(crate) session: SessionId,
    pub(crate) call: CallId,
    pub(crate) used: bool,
}

impl World {
    /// A proxy that has just started.
    pub(crate) fn new_proxy(&mut self, life: u64) -> Proxy {
        let mut secrets = self.rng.fork();
        let reuses = self.scenario.flaw == Some(Flaw::ReusesTokens);
        let make_token = move || CallToken(if reuses { [7; 16] } else { secrets.bytes16() });
        let settings = ProxySettings {
            listeners: names(),
            call_wait_ms: self.scenario.call_wait_ms,
            silence_ms: self.scenario.silence_ms,
            first_id: self.rng.next(),
            make_token: Box::new(make_token),
        };
        Proxy {
            side: ProxySide::new(settings),
            life,
            doors: BTreeMap::new(),
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            outward: BTreeMap::new(),
            room: BTreeMap::new(),
            ports_open: false,
            draining: false,
            listeners: names(),
            distrusted: Vec::new(),
            down_until: 0,
        }
    }

    /// Whether the proxy runs and trusts the key of a client that dials.
    pub(crate) fn is_welcome(&self, proxy: usize, client: ClientEnd) -> bool {
        let proxy = &self.proxies[proxy];
        proxy.down_until <= self.now && !proxy.distrusted.contains(&key_of(client))
    }

    /// A sealed connection to the internal port.
    pub(crate) fn proxy_opens_door(&mut self, proxy: usize, conn: ConnId) {
        self.proxies[proxy].doors.insert(conn, Door::Opened);
        self.after(limits::HANDSHAKE_MS_MAX, Event::DoorTimer { proxy, conn });
    }

    /// The first frame has taken too long.
    pub(crate) fn proxy_door_timer(&mut self, proxy: usize, conn: ConnId) -> Check {
        match self.proxies[proxy].doors.get(&conn) {
            Some(Door::Opened) => self.proxy_drops(proxy, conn),
            _ => Ok(()),
        }
    }

    /// Bytes have arrived at the internal port.
    pub(crate) fn proxy_reads(&mut self, proxy: usize, conn: ConnId) -> Check {
        loop {
            if self.is_bare_inward(conn, End::Proxy) {
                return self.bare_arrives(conn, End::Proxy);
            }
            let incoming = match self.next_frame(conn, End::Proxy) {
                Ok(Some(incoming)) => incoming,
                Ok(None) => return Ok(()),
                Err(_) => return self.proxy_drops(proxy, conn),
            };
            let Some(&door) = self.proxies[proxy].doors.get(&conn) else {
                return Ok(());
            };
            match (door, incoming) {
                (Door::Opened, Incoming::Frame(frame)) => self.proxy_first_frame(proxy, conn, frame)?,
                (Door::Control(session), Incoming::Frame(frame)) => {
                    self.proxy_control_frame(proxy, conn, session, frame)?;
                }
                (
                    Door::Link(_) | Door::Outward(_),
                    Incoming::Frame(frame @ (Frame::MayUnseal | Frame::Unseal)),
                ) => self.hears_of_unsealing(conn, End::Proxy, &frame)?,
                (Door::Link(_) | Door::Outward(_), Incoming::Frame(Frame::Heartbeat)) => {
                    self.hears_heartbeat(conn, End::Proxy)?;
                }
                (Door::Link(link), Incoming::Frame(frame)) => self.proxy_link_frame(proxy, link, &frame)?,
                (Door::Link(link), Incoming::Data(bytes)) => self.proxy_link_data(proxy, link, &bytes)?,
                (Door::Outward(link), Incoming::Frame(frame)) => self.dial_frame(proxy, link, &frame)?,
                (Door::Outward(link), Incoming::Data(bytes)) => self.dial_data(proxy, link, &bytes)?,
                (_, Incoming::Data(_)) => self.proxy_drops(proxy, conn)?,
            }
        }
    }

    fn proxy_first_frame(&mut self, proxy: usize, conn: ConnId, frame: Frame) -> Check {
        let key = key_of(self.conns[&conn].client);
        let now = Millis(self.now);
        let (link, daemon) = (LinkId(conn), &mut self.proxies[proxy]);
        let (session, claim) = match frame {
            Frame::Hello(hello) => {
                let has_targets = !hello.targets.is_empty();
                return match daemon.side.on_hello(now, key, hello) {
                    Ok(welcome) => {
                        let session = welcome.session;
                        let attached = Attached { conn, key, draining: false, has_targets };
                        daemon.sessions.insert(session, attached);
                        daemon.doors.insert(conn, Door::Control(session));
                        self.send(conn, End::Proxy, &Frame::Welcome(welcome));
                        self.proxy_acts(proxy)
                    }
                    Err(reason) => {
                        self.send(conn, End::Proxy, &Frame::Reject(reason));
                        self.proxy_drops(proxy, conn)
                    }
                };
            }
            Frame::Standby(session) => (session, None),
            Frame::Outward(session) => return self.proxy_admits_outward(proxy, conn, key, session),
            Frame::Claim { session, call, token } => (session, Some((call, token))),
            _ => return self.proxy_drops(proxy, conn),
        };
        let answer = match claim {
            None => daemon.side.on_standby(link, key, session),
            Some((call, token)) => daemon.side.on_claim(link, key, session, call, token),
        };
        let is_own = daemon.sessions.get(&session).is_some_and(|attached| attached.key == key);
        if answer.is_ok() != is_own {
            return Err(format!("link of session {session} answered {answer:?}"));
        }
        if answer.is_err() {
            return self.proxy_drops(proxy, conn);
        }
        let state = LinkState::standby(Role::Proxy);
        let claims = claim.map(|(call, token)| (call, token.0));
        daemon.links.insert(link, ProxyLink { conn, session, state, task: ProxyTask::Idle, claims });
        daemon.doors.insert(conn, Door::Link(link));
        self.proxy_acts(proxy)
    }

    fn proxy_admits_outward(
        &mut self,
        proxy: usize,
        conn: ConnId,
        key: PeerKey,
        session: SessionId,
    ) -> Check {
        let honest = self.conns[&conn].is_honest_client();
        let (link, daemon) = (LinkId(conn), &mut self.proxies[proxy]);
        let answer = daemon.side.on_outward(link, key, session);
        let is_own = daemon.sessions.get(&session).is_some_and(|attached| attached.key == key);
        if answer.is_ok() != is_own {
            return Err(format!("outward link of session {session} answered {answer:?}"));
        }
        if answer.is_err() {
            return self.proxy_drops(proxy, conn);
        }
        let (state, task) = (LinkState::outward(Role::Proxy), DialTask::Idle);
        daemon.outward.insert(link, DialLink { conn, honest, state, task });
        daemon.doors.insert(conn, Door::Outward(link));
        self.proxy_acts(proxy)
    }

    fn proxy_control_frame(&mut self, proxy: usize, conn: ConnId, session: SessionId, frame: Frame) -> Check {
        let now = Millis(self.now);
        let drains = matches!(frame, Frame::Drain);
        let targets = if let Frame::Targets(targets) = &frame { Some(!targets.is_empty()) } else { None };
        let daemon = &mut self.proxies[proxy];
        if daemon.side.on_frame(now, session, frame).is_err() {
            return self.proxy_drops(proxy, conn);
        }
        if let Some(attached) = daemon.sessions.get_mut(&session) {
            attached.draining |= drains;
            attached.has_targets = targets.unwrap_or(attached.has_targets);
        }
        self.proxy_acts(proxy)
    }

    /// A connection is over, by the peer, the network or what it said.
    pub(crate) fn proxy_drops(&mut self, proxy: usize, conn: ConnId) -> Check {
        self.close(conn, End::Proxy);
        match self.proxies[proxy].doors.remove(&conn) {
            Some(Door::Control(session)) => {
                let now = Millis(self.now);
                self.proxies[proxy].sessions.remove(&session);
                self.proxies[proxy].side.on_session_lost(now, session);
                self.proxy_acts(proxy)
            }
            Some(Door::Link(link)) => self.proxy_link_lost(proxy, link),
            Some(Door::Outward(link)) => self.dial_lost(proxy, link),
            Some(Door::Opened) | None => Ok(()),
        }
    }

    /// Carries out what the state machine wants.
    pub(crate) fn proxy_acts(&mut self, proxy: usize) -> Check {
        while let Some(action) = self.proxies[proxy].side.poll_action() {
            self.note(&action);
            match action {
                Action::OpenListeners => self.proxies[proxy].ports_open = true,
                Action::CloseListeners => {
                    self.proxies[proxy].ports_open = self.scenario.flaw == Some(Flaw::KeepsPortsOpen);
                }
                Action::Send(session, frame) => self.proxy_sends(proxy, session, &frame)?,
                Action::EndSession(session, _) => {
                    let attached = self.proxies[proxy].sessions.remove(&session);
                    let conn = attached.ok_or(format!("session {session} ended twice"))?.conn;
                    self.proxies[proxy].doors.remove(&conn);
                    self.close(conn, End::Proxy);
                    // The task of the control link reports its end as well.
                    self.proxies[proxy].side.on_session_lost(Millis(self.now), session);
                }
                Action::Offer { link, call, deadline } => self.proxy_offers(proxy, link, call, deadline.0)?,
                Action::Gone(link, call) => {
                    let held = self.proxies[proxy].links.get_mut(&link).ok_or("gone on no link")?;
                    held.claims.take().ok_or("gone on a link that claims nothing")?;
                    held.state.on_sent(wire::Kind::Gone);
                    let conn = held.conn;
                    self.send(conn, End::Proxy, &Frame::Gone(call));
                }
                Action::Probe(link) => self.proxy_probes(proxy, link)?,
                Action::CloseLink(link) => self.proxy_closes_link(proxy, link)?,
                Action::ClosePartner(call, why) => {
                    let partner = self.proxies[proxy].room.remove(&call);
                    let partner = partner.ok_or(format!("call {call} closed ({why}) and not parked"))?;
                    self.tally.failed += u64::from(why != CallFailure::PartnerLeft);
                    self.partner_closed(partner)?;
                }
            }
        }
        self.schedule_proxy(proxy);
        Ok(())
    }

    fn proxy_closes_link(&mut self, proxy: usize, link: LinkId) -> Check {
        let daemon = &mut self.proxies[proxy];
        let inward = daemon.links.remove(&link);
        let inward = inward.map(|held| (held.conn, matches!(held.task, ProxyTask::Idle)));
        let outward = daemon.outward.remove(&link);
        let outward = outward.map(|held| (held.conn, matches!(held.task, DialTask::Idle)));
        let (conn, is_idle) = inward.or(outward).ok_or("a link closed twice")?;
        if !is_idle {
            return Err(format!("link {link} is to close with a call on it"));
        }
        daemon.doors.remove(&conn);
        daemon.side.on_link_lost(link);
        self.close(conn, End::Proxy);
        Ok(())
    }

    fn proxy_sends(&mut self, proxy: usize, session: SessionId, frame: &Frame) -> Check {
        let attached = self.proxies[proxy].sessions.get(&session);
        let conn = attached.ok_or(format!("{:?} for session {session}, which is over", frame.kind()))?.conn;
        if let Frame::Announce { call, token, .. } = frame {
            if self.tokens.iter().any(|other| other.bytes == token.0) {
                return Err(format!("the token of call {call} was announced before"));
            }
            self.tokens.push(Token { bytes: token.0, proxy, session, call: *call, used: false });
        }
        self.send(conn, End::Proxy, frame);
        Ok(())
    }

    /// A partner was accepted.
    pub(crate) fn proxy_accepts(
        &mut self,
        proxy: usize,
        listener: Name,
        id: PartnerId,
        speaker: Speaker,
    ) -> Check {
        let daemon = &mut self.proxies[proxy];
        let Ok(call) = daemon.side.on_arrival(Millis(self.now), listener, address_of(id)) else {
            return if daemon.room.len() < limits::WAITING_CALLS_MAX / 2 {
                Err("a partner was turned away at an open port".into())
            } else {
                Ok(())
            };
        };
        daemon.room.insert(call, id);
        self.partners.insert(id, Partner { proxy, call, listener, speaker, joined: None });
        self.open_partners.insert(id);
        self.tally.arrived += 1;
        self.partner_begins(id);
        self.proxy_acts(proxy)
    }

    /// A partner leaves: parked, or in the middle of its call.
    pub(crate) fn partner_leaves(&mut self, id: PartnerId) -> Check {
        if !self.open_partners.contains(&id) {
            return Ok(());
        }
        let partner = &self.partners[&id];
        let (proxy, call) = (partner.proxy, partner.call);
        if self.proxies[proxy].room.contains_key(&call) {
            self.proxies[proxy].side.on_partner_left(call);
            return self.proxy_acts(proxy);
        }
        match self.link_of(proxy, id) {
            Some(link) => self.proxy_aborts(proxy, link),
            None => Err(format!("partner {id} is nowhere")),
        }
    }

    /// The link that a partner is with.
    pub(crate) fn link_of(&self, proxy: usize, id: PartnerId) -> Option<LinkId> {
        self.proxies[proxy].links.iter().find(|(_, link)| link.partner() == Some(id)).map(|(&link, _)| link)
    }
}

/// Who the seal says a client is.
pub(crate) fn key_of(client: ClientEnd) -> PeerKey {
    PeerKey(match client {
        ClientEnd::Honest { client, .. } => [client as u8; 32],
        ClientEnd::Hostile(index) => [200 + index as u8; 32],
    })
}

/// Whether a connection was dialled as a link.
pub(crate) fn is_link(purpose: Use) -> bool {
    matches!(purpose, Use::Link(_))
}
