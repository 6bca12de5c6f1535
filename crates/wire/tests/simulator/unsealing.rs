//! Calls that leave the seal: the agreement, and a direction of bare bytes that ends by FIN. The same for both kinds
//! of links and for both ends, which are named by their connection.

use wire::{CallId, Frame, Kind, LinkState};

use super::client_link::ClientTask;
use super::ends::{PartnerId, StationId};
use super::net::{ClientEnd, Conn, ConnId, End, ProxyEnd, Use};
use super::proxy::Door;
use super::scenario::Flaw;
use super::{Check, Event, World};

/// Whom the payload is for that arrives at one end of a connection.
enum Hearer {
    Partner(PartnerId),
    Station(StationId),
    FarEnd(CallId),
    Caller(CallId),
}

/// Whether this end's direction of a call is open and bare.
fn sends_bare(state: &LinkState) -> bool {
    state.is_sending() && !state.may_send()
}

/// Payload that may go out now: a bare direction has no bound.
pub(crate) fn allowance(state: &LinkState) -> usize {
    if sends_bare(state) { usize::MAX } else { state.payload_allowance() }
}

impl World {
    /// A call has begun. Sooner or later the inside may find that its payload needs no seal.
    pub(crate) fn may_be_permitted(&mut self, conn: ConnId) {
        if self.rng.chance(self.scenario.unseals) {
            let wait = if self.rng.chance(50) { 0 } else { self.rng.below(300) };
            self.after(wait, Event::Permits(conn));
        }
    }

    /// The inside permits to leave the seal, if it still can.
    pub(crate) fn permits(&mut self, conn: ConnId) {
        if let Some(state) = self.link_state(conn, End::Client).filter(|state| state.may_permit()) {
            state.on_sent(Kind::MayUnseal);
            self.send(conn, End::Client, &Frame::MayUnseal);
        }
    }

    /// A peer speaks of leaving the seal. This end follows in a while, or, where it was only asked, not at all.
    pub(crate) fn hears_of_unsealing(&mut self, conn: ConnId, at: End, frame: &Frame) -> Check {
        let is_running = self.hearer(conn, at).is_some();
        let Some(state) = self.link_state(conn, at) else { return Ok(()) };
        // A call that was aborted meanwhile has no other way to end than with its link.
        let is_over = state.on_received(frame.kind()).is_err() || (state.is_bare_inward() && !is_running);
        if is_over {
            return self.drops(conn, at);
        }
        if matches!(frame, Frame::Unseal) && self.scenario.flaw == Some(Flaw::LosesWhatFollows) {
            self.take_bare(conn, at);
        }
        if at == End::Client || self.rng.chance(85) {
            let wait = if self.rng.chance(50) { 0 } else { self.rng.below(100) };
            self.after(wait, Event::Unseals { conn, at });
        }
        Ok(())
    }

    /// This end's direction leaves the seal, if it still can.
    pub(crate) fn unseals(&mut self, conn: ConnId, at: End) {
        if let Some(state) = self.link_state(conn, at).filter(|state| state.may_unseal()) {
            state.on_sent(Kind::Unseal);
            self.send(conn, at, &Frame::Unseal);
            self.goodbye(conn, at);
            self.tally.unsealed += 1;
        }
    }

    /// Payload goes out, in a frame or bare.
    pub(crate) fn send_payload(&mut self, conn: ConnId, from: End, bytes: &[u8]) -> Check {
        let state = self.link_state(conn, from).ok_or("payload on no link")?;
        if sends_bare(state) {
            self.send_bytes(conn, from, bytes.to_vec());
        } else {
            state.on_payload_sent(bytes.len());
            self.send_data(conn, from, bytes);
        }
        Ok(())
    }

    /// A direction ends, by `End` or by FIN.
    pub(crate) fn send_end(&mut self, conn: ConnId, from: End) -> Check {
        let state = self.link_state(conn, from).ok_or("an end on no link")?;
        if sends_bare(state) {
            state.on_fin_sent();
            self.send_fin(conn, from);
        } else {
            state.on_sent(Kind::End);
            self.send(conn, from, &Frame::End);
        }
        Ok(())
    }

    /// Whether what arrives at an end is payload and nothing else.
    pub(crate) fn is_bare_inward(&mut self, conn: ConnId, at: End) -> bool {
        self.link_state(conn, at).is_some_and(|state| state.is_bare_inward())
    }

    /// Bare bytes have arrived.
    pub(crate) fn bare_arrives(&mut self, conn: ConnId, at: End) -> Check {
        let bytes = self.take_bare(conn, at);
        if bytes.is_empty() {
            return Ok(());
        }
        match self.hearer(conn, at) {
            Some(Hearer::Partner(partner)) => self.partner_hears(partner, &bytes),
            Some(Hearer::Station(station)) => self.station_hears(station, &bytes),
            Some(Hearer::FarEnd(call)) => self.far_end_hears(conn, call, &bytes),
            Some(Hearer::Caller(call)) => self.caller_hears(conn, call, &bytes),
            None => Err(format!("bare payload on connection {conn}, where nobody is")),
        }
    }

    /// FIN has arrived. Where frames are due it ends a connection before its time.
    pub(crate) fn on_fin(&mut self, conn: ConnId, at: End) -> Check {
        if self.conn(conn, at).is_none_or(Conn::is_broken) {
            return Ok(());
        }
        let Some(state) = self.link_state(conn, at) else { return Ok(()) };
        if !state.is_bare_inward() {
            return Err(format!("FIN on connection {conn} in {state:?}"));
        }
        state.on_fin_received();
        match self.hearer(conn, at) {
            Some(Hearer::Partner(partner)) => self.partner_hears_end(partner)?,
            Some(Hearer::Station(station)) => self.station_hears_end(station)?,
            Some(Hearer::FarEnd(call)) => self.far_end_hears_end(conn, call)?,
            Some(Hearer::Caller(call)) => self.caller_hears_end(conn, call)?,
            None => return Err(format!("FIN on connection {conn}, where nobody is")),
        }
        self.settles(conn, at)
    }

    /// Whether a link whose call is over goes with it.
    pub(crate) fn ends_with_its_call(&self, state: LinkState) -> bool {
        state.is_spent() && self.scenario.flaw != Some(Flaw::KeepsSpentLinks)
    }

    /// Where an end of a connection stands, if it is a link of ours.
    pub(crate) fn link_state(&mut self, conn: ConnId, at: End) -> Option<&mut LinkState> {
        let held = self.conns.get(&conn)?;
        match (at, held.proxy, held.client, held.purpose) {
            (End::Proxy, ProxyEnd::Honest(proxy), ..) => {
                let proxy = &mut self.proxies[proxy];
                match proxy.doors.get(&conn)? {
                    Door::Link(link) => proxy.links.get_mut(link).map(|held| &mut held.state),
                    Door::Outward(link) => proxy.outward.get_mut(link).map(|held| &mut held.state),
                    Door::Opened | Door::Control(_) => None,
                }
            }
            (End::Client, _, ClientEnd::Honest { client, at }, Use::Link(link)) => {
                let attachment = &mut self.clients[client].attachments[at];
                let inward = attachment.links.get_mut(&link).filter(|held| held.conn == conn);
                let outward = attachment.outward.get_mut(&link).filter(|held| held.conn == conn);
                inward.map(|held| &mut held.state).or(outward.map(|held| &mut held.state))
            }
            _ => None,
        }
    }

    /// Who is behind an end of a connection, if a call runs on it.
    fn hearer(&self, conn: ConnId, at: End) -> Option<Hearer> {
        let held = self.conns.get(&conn)?;
        match (at, held.proxy, held.client, held.purpose) {
            (End::Proxy, ProxyEnd::Honest(proxy), ..) => {
                let proxy = &self.proxies[proxy];
                match proxy.doors.get(&conn)? {
                    Door::Link(link) => proxy.links.get(link)?.partner().map(Hearer::Partner),
                    Door::Outward(link) => proxy.outward.get(link)?.task.call().map(Hearer::FarEnd),
                    Door::Opened | Door::Control(_) => None,
                }
            }
            (End::Client, _, ClientEnd::Honest { client, at }, Use::Link(link)) => {
                let attachment = &self.clients[client].attachments[at];
                match (attachment.links.get(&link), attachment.outward.get(&link)) {
                    (Some(held), _) => match held.task {
                        ClientTask::Running { station } => Some(Hearer::Station(station)),
                        _ => None,
                    },
                    (_, Some(held)) => held.task.call().map(Hearer::Caller),
                    (None, None) => None,
                }
            }
            _ => None,
        }
    }

    /// If both directions are closed, the call is over.
    fn settles(&mut self, conn: ConnId, at: End) -> Check {
        let held = &self.conns[&conn];
        match (at, held.proxy, held.client, held.purpose) {
            (End::Proxy, ProxyEnd::Honest(proxy), ..) => match self.proxies[proxy].doors.get(&conn) {
                Some(&Door::Link(link)) => self.proxy_link_settles(proxy, link),
                Some(&Door::Outward(link)) => self.dial_settles(proxy, link),
                _ => Ok(()),
            },
            (End::Client, _, ClientEnd::Honest { client, at }, Use::Link(link)) => {
                match self.clients[client].attachments[at].outward.contains_key(&link) {
                    true => self.outward_settles(client, at, link),
                    false => self.client_link_settles(client, at, link),
                }
            }
            _ => Ok(()),
        }
    }

    /// An end lets go of a connection, and with it of the link.
    pub(crate) fn drops(&mut self, conn: ConnId, at: End) -> Check {
        let held = &self.conns[&conn];
        match (at, held.proxy, held.client, held.purpose) {
            (End::Proxy, ProxyEnd::Honest(proxy), ..) => self.proxy_drops(proxy, conn),
            (End::Client, _, ClientEnd::Honest { client, at }, purpose) => {
                self.client_drops(client, at, conn, purpose)
            }
            _ => Ok(()),
        }
    }
}
