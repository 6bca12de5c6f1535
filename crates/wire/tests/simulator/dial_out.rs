//! The model of the DMZ daemon's task on an outward link: the mirror of the client's on a link for calls inward.

use wire::limits::{RINGING_AFTER_MS, SETTLE_MS};
use wire::{AbortReason, CallId, FailReason, Frame, Kind, LinkId, LinkState};

use super::ends::{address_of, hear, hear_end};
use super::net::{ConnId, End};
use super::{Check, Event, World};

/// An outward link at the proxy.
pub(crate) struct DialLink {
    pub(crate) conn: ConnId,
    /// Whether a client of ours has opened it.
    pub(crate) honest: bool,
    pub(crate) state: LinkState,
    pub(crate) task: DialTask,
}

/// What the proxy's task on an outward link does.
#[derive(Clone, Debug)]
pub(crate) enum DialTask {
    Idle,
    Reaching { call: CallId, early: Vec<u8>, ended: bool },
    Running { call: CallId },
    Settling { by: u64 },
}

impl DialTask {
    /// The call for which the state machine was asked, and that is not over.
    pub(crate) fn call(&self) -> Option<CallId> {
        match self {
            Self::Reaching { call, .. } | Self::Running { call } => Some(*call),
            Self::Idle | Self::Settling { .. } => None,
        }
    }
}

impl World {
    fn dial_link(&mut self, proxy: usize, link: LinkId) -> Result<&mut DialLink, String> {
        self.proxies[proxy].outward.get_mut(&link).ok_or(format!("no outward link {link}"))
    }

    /// A frame from the client on an outward link.
    pub(crate) fn dial_frame(&mut self, proxy: usize, link: LinkId, frame: &Frame) -> Check {
        let held = self.dial_link(proxy, link)?;
        let conn = held.conn;
        if held.state.on_received(frame.kind()).is_err() {
            return self.proxy_drops(proxy, conn);
        }
        match (&mut held.task, frame) {
            (DialTask::Idle, Frame::Dial(dial)) => return self.proxy_dials(proxy, link, dial.call),
            (DialTask::Reaching { ended, .. }, Frame::End) => *ended = true,
            (DialTask::Reaching { .. } | DialTask::Running { .. }, Frame::Abort(_)) => {
                return self.dial_ends(proxy, link, Some(AbortReason::Answer));
            }
            (&mut DialTask::Running { call }, Frame::End) => self.far_end_hears_end(conn, call)?,
            _ => {}
        }
        self.dial_settles(proxy, link)
    }

    /// Payload from the client on an outward link.
    pub(crate) fn dial_data(&mut self, proxy: usize, link: LinkId, bytes: &[u8]) -> Check {
        let held = self.dial_link(proxy, link)?;
        let conn = held.conn;
        if held.state.on_payload_received(bytes.len()).is_err() {
            return self.proxy_drops(proxy, conn);
        }
        match &mut held.task {
            DialTask::Reaching { early, .. } => early.extend_from_slice(bytes),
            &mut DialTask::Running { call } => self.far_end_hears(conn, call, bytes)?,
            _ => {}
        }
        Ok(())
    }

    fn proxy_dials(&mut self, proxy: usize, link: LinkId, call: CallId) -> Check {
        if let Err(reason) = self.proxies[proxy].side.on_dial(link) {
            return self.dial_fails(proxy, link, call, reason);
        }
        let conn = self.dial_link(proxy, link)?.conn;
        self.dial_link(proxy, link)?.task = DialTask::Reaching { call, early: Vec::new(), ended: false };
        let bad = !self.healing && self.rng.chance(self.scenario.bad_targets);
        let (wait, refusal) = match self.rng.below(3) {
            0 if bad => (self.rng.below(50), Some(FailReason::Refused)),
            1 if bad => (self.rng.between(400, 8_000), None),
            2 if bad => (self.scenario.call_wait_ms, Some(FailReason::TimedOut)),
            _ => (self.rng.below(60), None),
        };
        self.after(wait, Event::FarEnd { proxy, conn, call, refusal });
        self.after(RINGING_AFTER_MS, Event::DialRings { proxy, conn, call });
        Ok(())
    }

    /// The link that still reaches for a call.
    fn reaching(&self, proxy: usize, conn: ConnId, call: CallId) -> Option<LinkId> {
        let links = self.proxies[proxy].outward.iter();
        let mut its = links.filter(|(_, held)| {
            held.conn == conn && matches!(held.task, DialTask::Reaching { call: other, .. } if other == call)
        });
        its.next().map(|(&link, _)| link)
    }

    /// The partner has not answered yet.
    pub(crate) fn dial_rings(&mut self, proxy: usize, conn: ConnId, call: CallId) -> Check {
        if let Some(link) = self.reaching(proxy, conn, call) {
            self.dial_link(proxy, link)?.state.on_sent(Kind::Ringing);
            self.send(conn, End::Proxy, &Frame::Ringing(call));
        }
        Ok(())
    }

    /// The attempt to reach a partner has come to its end.
    pub(crate) fn far_end(
        &mut self,
        proxy: usize,
        conn: ConnId,
        call: CallId,
        refusal: Option<FailReason>,
    ) -> Check {
        let Some(link) = self.reaching(proxy, conn, call) else { return Ok(()) };
        if let Some(reason) = refusal {
            self.proxies[proxy].side.on_dial_ended(link);
            return self.dial_fails(proxy, link, call, reason);
        }
        let held = self.dial_link(proxy, link)?;
        let DialTask::Reaching { early, ended, .. } =
            std::mem::replace(&mut held.task, DialTask::Running { call })
        else {
            return Ok(());
        };
        held.state.on_sent(Kind::Connected);
        self.send(conn, End::Proxy, &Frame::Connected { call, partner: address_of(2) });
        if let Some(out_call) = self.out_calls.get_mut(&call).filter(|_| self.conns[&conn].is_honest_client())
        {
            out_call.partner_open = true;
        }
        self.far_end_hears(conn, call, &early)?;
        if ended {
            self.far_end_hears_end(conn, call)?;
        }
        let wait = self.rng.below(50);
        self.after(wait, Event::FarEndSays { proxy, conn, call });
        self.dial_settles(proxy, link)
    }

    /// The partner says its next bytes, or aborts.
    pub(crate) fn far_end_says(&mut self, proxy: usize, conn: ConnId, call: CallId) -> Check {
        let share = self.rng.between(1, 20_000) as usize;
        let pause = self.pause();
        let links = self.proxies[proxy].outward.iter();
        let mut its = links.filter(|(_, held)| {
            held.conn == conn && matches!(held.task, DialTask::Running { call: other } if other == call)
        });
        let Some((&link, _)) = its.next() else { return Ok(()) };
        let honest = self.conns[&conn].is_honest_client();
        let Some(out_call) = self.out_calls.get_mut(&call).filter(|_| honest) else {
            // Whoever a hostile client calls hangs up soon.
            return self.dial_ends(proxy, link, Some(AbortReason::Reset));
        };
        let speaker = &mut out_call.partner;
        speaker.say(share);
        if speaker.made < speaker.total {
            self.after(pause, Event::FarEndSays { proxy, conn, call });
        } else if speaker.aborts {
            return self.dial_ends(proxy, link, Some(AbortReason::Reset));
        }
        loop {
            let piece = self.rng.between(1, 8_000) as usize;
            let speaker = &mut self.out_calls.get_mut(&call).ok_or("no call")?.partner;
            let bytes = speaker.next_bytes(piece);
            let ends = bytes.is_empty() && speaker.is_exhausted();
            speaker.sent_end |= ends;
            let held = self.dial_link(proxy, link)?;
            if bytes.is_empty() {
                if ends && held.state.is_sending() {
                    self.send_end(conn, End::Proxy)?;
                }
                return self.dial_settles(proxy, link);
            }
            self.send_payload(conn, End::Proxy, &bytes)?;
        }
    }

    pub(crate) fn far_end_hears(&mut self, conn: ConnId, call: CallId, bytes: &[u8]) -> Check {
        match self.out_calls.get_mut(&call) {
            Some(out_call) if self.conns[&conn].is_honest_client() => {
                let said = out_call.station.spoken();
                hear(&mut out_call.partner, said, bytes).map_err(|why| format!("callee {call}: {why}"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn far_end_hears_end(&mut self, conn: ConnId, call: CallId) -> Check {
        match self.out_calls.get_mut(&call) {
            Some(out_call) if self.conns[&conn].is_honest_client() => {
                let said = out_call.station.said();
                hear_end(&mut out_call.partner, said).map_err(|why| format!("callee {call}: {why}"))
            }
            _ => Ok(()),
        }
    }

    fn dial_fails(&mut self, proxy: usize, link: LinkId, call: CallId, reason: FailReason) -> Check {
        let by = self.now + SETTLE_MS;
        let held = self.dial_link(proxy, link)?;
        held.task = DialTask::Settling { by };
        held.state.on_sent(Kind::Failed);
        let conn = held.conn;
        self.send(conn, End::Proxy, &Frame::Failed { call, reason, partner: None });
        self.at(by, Event::DialTimer { proxy, conn });
        self.dial_settles(proxy, link)
    }

    /// The partner is not there any more: by an abort, or because the link goes.
    fn dial_ends(&mut self, proxy: usize, link: LinkId, why: Option<AbortReason>) -> Check {
        let by = self.now + SETTLE_MS;
        let held = self.dial_link(proxy, link)?;
        let (conn, honest) = (held.conn, held.task.call());
        let (may_send, is_unsealed) = (held.state.may_send(), held.state.is_unsealed());
        held.task = DialTask::Settling { by };
        if let Some(out_call) = honest.and_then(|call| self.out_calls.get_mut(&call)) {
            out_call.partner_open &= !self.conns[&conn].is_honest_client();
        }
        self.proxies[proxy].side.on_dial_ended(link);
        match why {
            Some(_) if is_unsealed => self.proxy_drops(proxy, conn),
            Some(reason) if may_send => {
                self.dial_link(proxy, link)?.state.on_sent(Kind::Abort);
                self.send(conn, End::Proxy, &Frame::Abort(reason));
                self.at(by, Event::DialTimer { proxy, conn });
                self.dial_settles(proxy, link)
            }
            // The end was said already: only the loss of the link can still tell the other end.
            Some(AbortReason::Reset) => self.proxy_drops(proxy, conn),
            _ => self.dial_settles(proxy, link),
        }
    }

    /// If both directions are closed, the link can be dialled on again, or is over with its call.
    pub(crate) fn dial_settles(&mut self, proxy: usize, link: LinkId) -> Check {
        let Some(held) = self.proxies[proxy].outward.get_mut(&link) else { return Ok(()) };
        let (conn, state) = (held.conn, held.state);
        if !state.is_standby() && !state.is_spent() {
            return Ok(());
        }
        match std::mem::replace(&mut held.task, DialTask::Idle) {
            DialTask::Idle => return Ok(()),
            DialTask::Running { call } => {
                self.proxies[proxy].side.on_dial_ended(link);
                if let Some(out_call) = self.out_calls.get_mut(&call) {
                    out_call.partner_open = false;
                }
            }
            DialTask::Settling { .. } => {}
            task @ DialTask::Reaching { .. } => {
                return Err(format!("outward link {link} settled as {task:?}"));
            }
        }
        if self.ends_with_its_call(state) {
            return self.proxy_drops(proxy, conn);
        }
        self.proxies[proxy].side.on_link_free(link);
        self.proxy_acts(proxy)
    }

    /// The connection of an outward link is gone.
    pub(crate) fn dial_lost(&mut self, proxy: usize, link: LinkId) -> Check {
        let Some(held) = self.proxies[proxy].outward.remove(&link) else { return Ok(()) };
        let honest = held.honest;
        if let Some(out_call) =
            held.task.call().filter(|_| honest).and_then(|call| self.out_calls.get_mut(&call))
        {
            out_call.partner_open = false;
        }
        self.proxies[proxy].side.on_dial_ended(link);
        self.proxies[proxy].side.on_link_lost(link);
        self.proxy_acts(proxy)
    }

    /// The client may have taken too long to close its direction.
    pub(crate) fn dial_timer(&mut self, proxy: usize, conn: ConnId) -> Check {
        let now = self.now;
        let mut links = self.proxies[proxy].outward.values();
        match links
            .any(|held| held.conn == conn && matches!(held.task, DialTask::Settling { by } if by <= now))
        {
            true => self.proxy_drops(proxy, conn),
            false => Ok(()),
        }
    }
}
