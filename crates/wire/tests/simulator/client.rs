//! The model of the inner daemon: one attachment to each of its proxies, and the targets it reaches.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use wire::client_side::{Action, ClientSettings, ClientSide, Purpose};
use wire::{CallId, Frame, LinkId, LinkState, Millis, Name, PeerKey, RefuseReason};

use super::client_link::{ClientLink, ClientTask};
use super::ends::{Station, StationId, names, partner_at, targets};
use super::net::{ClientEnd, ConnId, End, Incoming, ProxyEnd, Use};
use super::outward::{OutwardLink, OutwardTask};
use super::{Check, Event, World};

/// One attempt to reach a target.
pub(crate) type ReachId = u64;

/// A client.
pub(crate) struct Client {
    pub(crate) attachments: Vec<Attachment>,
    /// Counts restarts.
    pub(crate) life: u64,
    pub(crate) targets: Vec<Name>,
    pub(crate) draining: bool,
    /// Until when its targets refuse everything.
    pub(crate) targets_down_until: u64,
}

/// A client's part with one proxy.
pub(crate) struct Attachment {
    pub(crate) proxy: ProxyEnd,
    pub(crate) side: ClientSide,
    pub(crate) control: Option<ConnId>,
    /// Links that are being opened, and for which call.
    opening: BTreeMap<LinkId, (ConnId, Purpose)>,
    pub(crate) links: BTreeMap<LinkId, ClientLink>,
    /// Links for calls of stations.
    pub(crate) outward: BTreeMap<LinkId, OutwardLink>,
    /// Attempts to reach the targets of calls that no link has claimed yet.
    pub(crate) unclaimed: BTreeMap<CallId, ReachId>,
}

/// An attempt to reach a target.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Client, attachment and life of the client.
    pub(crate) owner: (usize, usize, u64),
    pub(crate) call: CallId,
    partner: SocketAddr,
    /// The link that has taken it over.
    pub(crate) link: Option<LinkId>,
    pub(crate) outcome: Option<Result<StationId, RefuseReason>>,
}

impl World {
    /// A client that has just started.
    pub(crate) fn new_client(&mut self, life: u64) -> Client {
        let mut proxies: Vec<ProxyEnd> = (0..self.scenario.proxies).map(ProxyEnd::Honest).collect();
        if self.scenario.hostile_proxy {
            proxies.push(ProxyEnd::Hostile);
        }
        let attachments = proxies
            .into_iter()
            .map(|proxy| {
                let mut jitter = self.rng.fork();
                let settings = ClientSettings {
                    targets: targets(&names()),
                    calls_out: true,
                    attach_ms: 8_000,
                    silence_ms: self.scenario.silence_ms,
                    jitter: Box::new(move |bound| jitter.below(bound)),
                };
                let side = ClientSide::new(settings);
                let (opening, links, outward) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
                Attachment { proxy, side, control: None, opening, links, outward, unclaimed: BTreeMap::new() }
            })
            .collect();
        Client { attachments, life, targets: names(), draining: false, targets_down_until: 0 }
    }

    /// A client's part with one of its proxies.
    pub(crate) fn attachment(&mut self, client: usize, at: usize) -> &mut Attachment {
        &mut self.clients[client].attachments[at]
    }

    /// A dial has come to its end.
    pub(crate) fn client_opened(
        &mut self,
        client: usize,
        at: usize,
        conn: ConnId,
        purpose: Use,
        well: bool,
    ) -> Check {
        let now = Millis(self.now);
        let attachment = self.attachment(client, at);
        let Use::Link(link) = purpose else {
            if attachment.control == Some(conn) {
                if well {
                    attachment.side.on_dialled();
                } else {
                    attachment.control = None;
                    attachment.side.on_lost(now);
                }
            }
            return self.client_acts(client, at);
        };
        let Some((_, purpose)) = attachment.opening.remove(&link) else {
            return Ok(());
        };
        match (purpose, well) {
            (Purpose::Standby(session), true) => {
                let (state, task) = (LinkState::standby(wire::Role::Client), ClientTask::Idle);
                attachment.links.insert(link, ClientLink { conn, state, task });
                attachment.side.on_link_standby(now, link);
                self.send(conn, End::Client, &Frame::Standby(session));
            }
            (Purpose::Claim(session, call, token), true) if attachment.side.on_claiming(link, call) => {
                let reach =
                    attachment.unclaimed.remove(&call).ok_or("a call is claimed and not reached for")?;
                let (state, task) = (LinkState::claiming(), ClientTask::Claiming { call, reach });
                attachment.links.insert(link, ClientLink { conn, state, task });
                attachment.side.on_link_claims(link);
                if let Some(reach) = self.reaches.get_mut(&reach) {
                    reach.link = Some(link);
                }
                self.send(conn, End::Client, &Frame::Claim { session, call, token });
            }
            (Purpose::Claim(session, ..), true) => {
                let (state, task) = (LinkState::standby(wire::Role::Client), ClientTask::Idle);
                attachment.links.insert(link, ClientLink { conn, state, task });
                attachment.side.on_link_standby(now, link);
                self.send(conn, End::Client, &Frame::Standby(session));
            }
            (Purpose::Outward(session), true) => {
                let (state, task) = (LinkState::outward(wire::Role::Client), OutwardTask::Idle);
                attachment.outward.insert(link, OutwardLink { conn, state, task });
                self.send(conn, End::Client, &Frame::Outward(session));
                self.attachment(client, at).side.on_link_outward(now, link);
            }
            (Purpose::Standby(_) | Purpose::Outward(_), false) => {
                attachment.side.on_link_failed(now, link, None);
            }
            (Purpose::Claim(_, call, _), false) => attachment.side.on_link_failed(now, link, Some(call)),
        }
        self.client_acts(client, at)
    }

    /// Bytes have arrived from a proxy.
    pub(crate) fn client_reads(&mut self, client: usize, at: usize, conn: ConnId, purpose: Use) -> Check {
        loop {
            if self.is_bare_inward(conn, End::Client) {
                return self.bare_arrives(conn, End::Client);
            }
            let incoming = match self.next_frame(conn, End::Client) {
                Ok(Some(incoming)) => incoming,
                Ok(None) => return Ok(()),
                Err(_) => return self.client_drops(client, at, conn, purpose),
            };
            match (purpose, incoming) {
                (Use::Control, Incoming::Frame(frame)) => {
                    let now = Millis(self.now);
                    if self.attachment(client, at).side.on_frame(now, frame).is_err() {
                        self.client_drops(client, at, conn, purpose)?;
                    }
                    self.client_acts(client, at)?;
                }
                (Use::Control, Incoming::Data(_)) => self.client_drops(client, at, conn, purpose)?,
                (Use::Link(_), Incoming::Frame(frame @ (Frame::MayUnseal | Frame::Unseal))) => {
                    self.hears_of_unsealing(conn, End::Client, &frame)?;
                }
                (Use::Link(_), Incoming::Frame(Frame::Heartbeat)) => {
                    self.hears_heartbeat(conn, End::Client)?;
                }
                (Use::Link(link), incoming) if self.attachment(client, at).outward.contains_key(&link) => {
                    match incoming {
                        Incoming::Frame(frame) => self.outward_frame(client, at, link, &frame)?,
                        Incoming::Data(bytes) => self.outward_data(client, at, link, &bytes)?,
                    }
                }
                (Use::Link(link), Incoming::Frame(frame)) => {
                    self.client_link_frame(client, at, link, &frame)?;
                }
                (Use::Link(link), Incoming::Data(bytes)) => {
                    self.client_link_data(client, at, link, &bytes)?;
                }
            }
        }
    }

    /// A connection is over, by the proxy, the network or what was said on it.
    pub(crate) fn client_drops(&mut self, client: usize, at: usize, conn: ConnId, purpose: Use) -> Check {
        self.close(conn, End::Client);
        let now = Millis(self.now);
        let attachment = self.attachment(client, at);
        match purpose {
            Use::Control if attachment.control == Some(conn) => {
                attachment.control = None;
                attachment.side.on_lost(now);
                self.client_acts(client, at)
            }
            Use::Control => Ok(()),
            Use::Link(link) if attachment.outward.contains_key(&link) => self.outward_lost(client, at, link),
            Use::Link(link) => self.client_link_lost(client, at, link),
        }
    }

    /// Carries out what the state machine wants.
    pub(crate) fn client_acts(&mut self, client: usize, at: usize) -> Check {
        while let Some(action) = self.attachment(client, at).side.poll_action() {
            self.note(&action);
            let proxy = self.attachment(client, at).proxy;
            let from = ClientEnd::Honest { client, at };
            match action {
                Action::Dial => {
                    if self.attachment(client, at).control.is_some() {
                        return Err(format!("client {client} dials twice"));
                    }
                    let conn = self.dial(proxy, from, Use::Control);
                    self.attachment(client, at).control = Some(conn);
                }
                Action::Send(frame) => {
                    let control = self.attachment(client, at).control;
                    let conn = control.ok_or(format!("{:?} on no control link", frame.kind()))?;
                    self.send(conn, End::Client, &frame);
                }
                Action::HangUp(_) => {
                    let control = self.attachment(client, at).control.take();
                    self.close(control.ok_or("nothing to hang up")?, End::Client);
                }
                Action::OpenLink(link, purpose) => {
                    let conn = self.dial(proxy, from, Use::Link(link));
                    self.attachment(client, at).opening.insert(link, (conn, purpose));
                }
                Action::CloseLink(link) => self.client_closes_link(client, at, link)?,
                Action::LinkSilent(link) => self.client_misses(client, at, link)?,
                Action::Probe(link) => self.client_probes(client, at, link)?,
                Action::Lend(link, call) => self.client_lends(client, at, link, call)?,
                Action::NoLink(call) => self.station_turned_away(call)?,
                Action::Reach { call, partner, .. } => {
                    let reach = self.client_reaches(client, at, call, partner, None);
                    if self.attachment(client, at).unclaimed.insert(call, reach).is_some() {
                        return Err(format!("call {call} is reached for twice"));
                    }
                }
                Action::Forget(call) => {
                    if let Some(reach) = self.attachment(client, at).unclaimed.remove(&call) {
                        self.reach_dropped(reach);
                    }
                }
                Action::Attached(..) => self.tally.attached += 1,
                Action::Refused { .. } | Action::Listeners(_) | Action::ProxyDraining => {}
            }
        }
        self.schedule_client(client, at);
        Ok(())
    }

    fn client_closes_link(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let now = Millis(self.now);
        let reports = self.rng.chance(50);
        let attachment = self.attachment(client, at);
        let inward = attachment.links.remove(&link);
        let inward = inward.map(|held| (held.conn, matches!(held.task, ClientTask::Idle)));
        let outward = attachment.outward.remove(&link);
        let outward = outward.map(|held| (held.conn, matches!(held.task, OutwardTask::Idle)));
        let (conn, is_idle) = inward.or(outward).ok_or(format!("link {link} closed and not there"))?;
        if !is_idle {
            return Err(format!("link {link} is to close with a call on it"));
        }
        if reports {
            attachment.side.on_link_lost(now, link);
        }
        self.close(conn, End::Client);
        Ok(())
    }

    /// Begins to reach a target.
    pub(crate) fn client_reaches(
        &mut self,
        client: usize,
        at: usize,
        call: CallId,
        partner: SocketAddr,
        link: Option<LinkId>,
    ) -> ReachId {
        self.last_reach += 1;
        let id = self.last_reach;
        let owner = (client, at, self.clients[client].life);
        self.reaches.insert(id, Reach { owner, call, partner, link, outcome: None });
        let down = self.clients[client].targets_down_until > self.now;
        let bad = !self.healing && self.rng.chance(self.scenario.bad_targets);
        let (wait, refusal) = match self.rng.below(4) {
            _ if down => (self.rng.below(50), Some(RefuseReason::Refused)),
            0 if bad => (self.rng.below(50), Some(RefuseReason::Refused)),
            1 if bad => (self.rng.between(400, 8_000), None),
            2 if bad => (self.scenario.call_wait_ms, Some(RefuseReason::TimedOut)),
            3 if bad => (self.rng.below(3_000), Some(RefuseReason::Unreachable)),
            _ => (self.rng.below(60), None),
        };
        self.after(wait, Event::Reached(id, refusal));
        id
    }

    /// An attempt to reach a target has come to its end.
    pub(crate) fn client_reached(&mut self, id: ReachId, refusal: Option<RefuseReason>) -> Check {
        let Some(reach) = self.reaches.get(&id) else {
            return Ok(());
        };
        let ((client, at, life), call, link, partner) = (reach.owner, reach.call, reach.link, reach.partner);
        let outcome = match refusal {
            Some(reason) => Err(reason),
            None => Ok(self.new_station(partner_at(partner), (client, at, life))),
        };
        if let Some(reach) = self.reaches.get_mut(&id) {
            reach.outcome = Some(outcome);
        }
        match (link, outcome) {
            (Some(link), _) => self.client_answers(client, at, link),
            (None, Ok(_)) => Ok(()),
            (None, Err(reason)) => {
                let attachment = self.attachment(client, at);
                if !attachment.side.on_unreached(call, reason) {
                    return Err(format!("call {call} was claimed by nobody and is not there"));
                }
                attachment.unclaimed.remove(&call);
                self.reach_dropped(id);
                self.client_acts(client, at)
            }
        }
    }

    fn new_station(&mut self, partner: Option<u64>, client: (usize, usize, u64)) -> StationId {
        self.last_station += 1;
        let id = self.last_station;
        let speaker = self.speaker();
        self.stations.insert(id, Station { partner, client, speaker, open: true });
        let wait = self.rng.below(50);
        self.after(wait, Event::StationSpeaks(id));
        id
    }

    /// An attempt is given up, and with it the station that it reached.
    pub(crate) fn reach_dropped(&mut self, id: ReachId) {
        if let Some(Reach { outcome: Some(Ok(station)), .. }) = self.reaches.remove(&id) {
            self.station_closed(station);
        }
    }

    /// Who a client is.
    pub(crate) fn client_key(&self, client: usize) -> PeerKey {
        super::proxy::key_of(ClientEnd::Honest { client, at: 0 })
    }
}
