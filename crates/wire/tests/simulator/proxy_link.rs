//! The model of the DMZ daemon's task on one link.

use wire::limits::{OFFER_SIGN_MS, SETTLE_MS};
use wire::proxy_side::Returned;
use wire::{AbortReason, CallId, Frame, Kind, LinkId, LinkState, Millis, SessionId};

use super::ends::{Joined, PartnerId, address_of};
use super::net::{ClientEnd, ConnId, End};
use super::scenario::Flaw;
use super::unsealing::allowance;
use super::{Check, Event, World};

/// A link, and what is going on there.
pub(crate) struct ProxyLink {
    pub(crate) conn: ConnId,
    pub(crate) session: SessionId,
    pub(crate) state: LinkState,
    pub(crate) task: ProxyTask,
    /// What it came to claim, until that is answered.
    pub(crate) claims: Option<(CallId, [u8; 16])>,
}

/// What the proxy's task on a link does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProxyTask {
    /// It waits for a call.
    Idle,
    /// It waits for the client's answer.
    Offered { call: CallId, partner: PartnerId, sign_by: Option<u64>, deadline: u64 },
    /// Both directions carry payload.
    Running { call: CallId, partner: PartnerId },
    /// The partner is not here any more; the client has not closed its direction yet.
    Settling { call: Option<CallId>, accepted: bool, by: u64 },
}

impl ProxyLink {
    /// The partner that is with the link.
    pub(crate) fn partner(&self) -> Option<PartnerId> {
        match self.task {
            ProxyTask::Offered { partner, .. } | ProxyTask::Running { partner, .. } => Some(partner),
            _ => None,
        }
    }
}

impl World {
    fn proxy_link(&mut self, proxy: usize, link: LinkId) -> Result<&mut ProxyLink, String> {
        self.proxies[proxy].links.get_mut(&link).ok_or(format!("no link {link}"))
    }

    /// The state machine hands a partner to a link.
    pub(crate) fn proxy_offers(&mut self, proxy: usize, link: LinkId, call: CallId, deadline: u64) -> Check {
        let daemon = &mut self.proxies[proxy];
        let partner = daemon.room.remove(&call).ok_or(format!("call {call} offered and not parked"))?;
        let held = daemon.links.get_mut(&link).ok_or(format!("call {call} offered on no link"))?;
        if !matches!(held.task, ProxyTask::Idle) || !daemon.sessions.contains_key(&held.session) {
            return Err(format!("call {call} offered on link {link}, which is not on standby"));
        }
        if let Some((claimed, token)) = held.claims.take() {
            let session = held.session;
            let token = self.tokens.iter_mut().find(|known| {
                known.bytes == token && (known.proxy, known.session, known.call) == (proxy, session, claimed)
            });
            let token = token.ok_or("a claim was taken without its token")?;
            if claimed != call || std::mem::replace(&mut token.used, true) {
                return Err(format!("the token of call {claimed} was taken twice"));
            }
        }
        let sign_by = self.now + OFFER_SIGN_MS;
        held.task = ProxyTask::Offered { call, partner, sign_by: Some(sign_by), deadline };
        held.state.on_sent(Kind::Offer);
        let conn = held.conn;
        let listener = self.partners[&partner].listener;
        self.send(conn, End::Proxy, &Frame::Offer { call, listener, partner: address_of(partner) });
        self.at(sign_by, Event::ProxyLinkTimer { proxy, link });
        self.at(deadline.max(self.now), Event::ProxyLinkTimer { proxy, link });
        self.proxy_pump(proxy, link)
    }

    /// The partner has said something: it goes to its link, if it is with one.
    pub(crate) fn proxy_pumps(&mut self, partner: PartnerId) -> Check {
        let proxy = self.partners[&partner].proxy;
        match self.link_of(proxy, partner) {
            Some(link) => self.proxy_pump(proxy, link),
            None => Ok(()),
        }
    }

    fn proxy_pump(&mut self, proxy: usize, link: LinkId) -> Check {
        loop {
            let piece = self.rng.between(1, 8_000) as usize;
            let held = self.proxy_link(proxy, link)?;
            let (conn, allowance, partner) = (held.conn, allowance(&held.state), held.partner());
            let Some(partner) = partner.and_then(|id| self.partners.get_mut(&id)) else {
                return Ok(());
            };
            let bytes = partner.speaker.next_bytes(piece.min(allowance));
            let held = self.proxies[proxy].links.get_mut(&link).ok_or("no link")?;
            if bytes.is_empty() {
                if partner.speaker.is_exhausted() && held.state.is_sending() {
                    partner.speaker.sent_end = true;
                    self.send_end(conn, End::Proxy)?;
                }
                return self.proxy_link_settles(proxy, link);
            }
            self.send_payload(conn, End::Proxy, &bytes)?;
        }
    }

    /// Payload from the client.
    pub(crate) fn proxy_link_data(&mut self, proxy: usize, link: LinkId, bytes: &[u8]) -> Check {
        let held = self.proxy_link(proxy, link)?;
        if held.state.on_payload_received(bytes.len()).is_err() {
            let conn = held.conn;
            return self.proxy_drops(proxy, conn);
        }
        match held.task {
            ProxyTask::Running { partner, .. } => self.partner_hears(partner, bytes),
            _ => Ok(()),
        }
    }

    /// A frame from the client.
    pub(crate) fn proxy_link_frame(&mut self, proxy: usize, link: LinkId, frame: &Frame) -> Check {
        let held = self.proxy_link(proxy, link)?;
        let (conn, task) = (held.conn, held.task);
        let names_another = match (task, frame) {
            (
                ProxyTask::Offered { call, .. },
                Frame::Ringing(other) | Frame::Accept(other) | Frame::Refuse(other, _),
            ) => call != *other,
            _ => false,
        };
        if held.state.on_received(frame.kind()).is_err() || names_another {
            return self.proxy_drops(proxy, conn);
        }
        match (task, frame) {
            (ProxyTask::Offered { call, partner, deadline, .. }, Frame::Ringing(_)) => {
                held.task = ProxyTask::Offered { call, partner, sign_by: None, deadline };
            }
            (ProxyTask::Offered { call, partner, .. }, Frame::Accept(_)) => {
                held.task = ProxyTask::Running { call, partner };
                self.proxies[proxy].side.on_accepted(call);
                self.proxy_joins(conn, call, partner)?;
                if self.scenario.flaw == Some(Flaw::AnswersTwice) {
                    self.proxies[proxy].room.insert(call, partner);
                }
                self.proxy_pump(proxy, link)?;
            }
            (ProxyTask::Offered { call, partner, .. }, Frame::Refuse(_, reason)) => {
                self.proxy_returns(proxy, link, (call, partner), Returned::Refused(*reason))?;
            }
            (ProxyTask::Running { partner, .. }, Frame::End) => self.partner_hears_end(partner)?,
            (ProxyTask::Running { call, partner }, Frame::Abort(_)) => {
                self.partner_closed(partner)?;
                self.proxy_closes(proxy, link, Some(call), AbortReason::Answer)?;
            }
            _ => {}
        }
        self.proxy_link_settles(proxy, link)
    }

    /// The partner is joined, with whom the client on the link says.
    fn proxy_joins(&mut self, conn: ConnId, call: CallId, id: PartnerId) -> Check {
        let joined = match self.conns[&conn].client {
            ClientEnd::Hostile(_) => Joined::Hostile,
            ClientEnd::Honest { .. } => {
                let station =
                    self.accepts.get(&(conn, call)).ok_or(format!("nobody accepted call {call}"))?;
                if self.stations[station].partner != Some(id) {
                    return Err(format!("partner {id} was joined with another's station {station}"));
                }
                Joined::Station(*station)
            }
        };
        let partner = self.partners.get_mut(&id).ok_or("nobody was joined")?;
        if !self.open_partners.contains(&id) || partner.call != call || partner.joined.is_some() {
            return Err(format!("partner {id} was joined twice, or after its end"));
        }
        partner.joined = Some(joined);
        self.tally.joined += 1;
        Ok(())
    }

    /// The partner goes back to the waiting room, and the link closes its direction.
    fn proxy_returns(
        &mut self,
        proxy: usize,
        link: LinkId,
        (call, partner): (CallId, PartnerId),
        why: Returned,
    ) -> Check {
        self.proxy_parks(proxy, call, partner);
        let by = self.now + SETTLE_MS;
        self.proxy_link(proxy, link)?.task = ProxyTask::Settling { call: None, accepted: false, by };
        self.proxies[proxy].side.on_returned(Millis(self.now), call, why);
        self.proxy_acts(proxy)?;
        self.proxy_closes(proxy, link, None, AbortReason::GivenUp)
    }

    fn proxy_parks(&mut self, proxy: usize, call: CallId, id: PartnerId) {
        self.proxies[proxy].room.insert(call, id);
        if let Some(partner) = self.partners.get_mut(&id)
            && self.scenario.flaw != Some(Flaw::DropsEarlyPayload)
        {
            partner.speaker.rewind();
        }
    }

    /// Closes the proxy's direction by an abort, if it is open, and waits for the client's. `call` is reported
    /// as over once both are closed.
    fn proxy_closes(&mut self, proxy: usize, link: LinkId, call: Option<CallId>, why: AbortReason) -> Check {
        let by = self.now + SETTLE_MS;
        let held = self.proxy_link(proxy, link)?;
        let accepted = held.state.is_accepted() || matches!(held.task, ProxyTask::Running { .. });
        held.task = ProxyTask::Settling { call, accepted, by };
        let conn = held.conn;
        if held.state.is_unsealed() {
            return self.proxy_drops(proxy, conn);
        }
        if held.state.may_send() {
            held.state.on_sent(Kind::Abort);
            self.send(conn, End::Proxy, &Frame::Abort(why));
        }
        self.at(by, Event::ProxyLinkTimer { proxy, link });
        self.proxy_link_settles(proxy, link)
    }

    /// The partner has aborted, or its patience is over.
    pub(crate) fn proxy_aborts(&mut self, proxy: usize, link: LinkId) -> Check {
        let held = self.proxy_link(proxy, link)?;
        let (ProxyTask::Offered { call, partner, .. } | ProxyTask::Running { call, partner }) = held.task
        else {
            return Ok(());
        };
        let (conn, says) = (held.conn, held.state.may_send());
        self.partner_closed(partner)?;
        let accepted = matches!(self.proxy_link(proxy, link)?.task, ProxyTask::Running { .. });
        if says {
            return self.proxy_closes(proxy, link, Some(call), AbortReason::Reset);
        }
        // The end was said already: only the loss of the link can still tell the other end.
        self.proxy_link(proxy, link)?.task = ProxyTask::Settling { call: Some(call), accepted, by: 0 };
        self.proxy_drops(proxy, conn)
    }

    /// If both directions are closed, the call is over and the link is on standby, or over as well.
    pub(crate) fn proxy_link_settles(&mut self, proxy: usize, link: LinkId) -> Check {
        let Some(held) = self.proxies[proxy].links.get_mut(&link) else {
            return Ok(());
        };
        let (conn, state) = (held.conn, held.state);
        if !state.is_standby() && !state.is_spent() {
            return Ok(());
        }
        let ended = match std::mem::replace(&mut held.task, ProxyTask::Idle) {
            ProxyTask::Idle => return Ok(()),
            ProxyTask::Offered { call, .. } => return Err(format!("call {call} settled without an answer")),
            ProxyTask::Running { call, partner } => {
                self.tally.orderly += 1;
                self.partner_closed(partner)?;
                Some(call)
            }
            ProxyTask::Settling { call, .. } => call,
        };
        if let Some(call) = ended {
            self.proxies[proxy].side.on_ended(call);
        }
        if self.ends_with_its_call(state) {
            return self.proxy_drops(proxy, conn);
        }
        self.proxies[proxy].side.on_link_free(link);
        self.proxy_acts(proxy)
    }

    /// The connection of a link is gone, and its door.
    pub(crate) fn proxy_link_lost(&mut self, proxy: usize, link: LinkId) -> Check {
        let Some(held) = self.proxies[proxy].links.remove(&link) else {
            return Ok(());
        };
        match held.task {
            ProxyTask::Idle | ProxyTask::Settling { call: None, .. } => {}
            ProxyTask::Offered { call, partner, .. } => {
                if self.scenario.flaw != Some(Flaw::ForgetsPartner) {
                    self.proxy_parks(proxy, call, partner);
                    self.proxies[proxy].side.on_returned(Millis(self.now), call, Returned::LinkDead);
                }
            }
            ProxyTask::Running { call, partner } => {
                if self.scenario.flaw == Some(Flaw::EndsOnLoss) {
                    self.partner_hears_end(partner)?;
                }
                self.partner_closed(partner)?;
                self.proxies[proxy].side.on_ended(call);
            }
            ProxyTask::Settling { call: Some(call), .. } => self.proxies[proxy].side.on_ended(call),
        }
        self.proxies[proxy].side.on_link_lost(link);
        self.proxy_acts(proxy)
    }

    /// Something on a link may have taken too long.
    pub(crate) fn proxy_link_timer(&mut self, proxy: usize, link: LinkId) -> Check {
        let now = self.now;
        let Some(held) = self.proxies[proxy].links.get(&link) else {
            return Ok(());
        };
        let conn = held.conn;
        match held.task {
            ProxyTask::Offered { deadline, .. } if deadline <= now => self.proxy_aborts(proxy, link),
            ProxyTask::Offered { sign_by: Some(sign_by), .. } if sign_by <= now => {
                self.proxy_drops(proxy, conn)
            }
            ProxyTask::Settling { by, .. } if by <= now => self.proxy_drops(proxy, conn),
            _ => Ok(()),
        }
    }
}
