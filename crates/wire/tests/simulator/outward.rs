//! Calls of stations: what they are, and the model of the inner daemon's part in them.

use wire::limits::{OFFER_SIGN_MS, SETTLE_MS};
use wire::{AbortReason, CallId, Destination, Dial, Frame, Kind, LinkId, LinkState, Millis};

use super::ends::{Speaker, address_of, hear, hear_end, names};
use super::net::{ConnId, End, Use};
use super::unsealing::allowance;
use super::{Check, Event, World};

/// A station that calls a partner.
pub(crate) struct OutCall {
    /// The client that it asked, the proxy there, and the life of the client.
    pub(crate) client: (usize, usize, u64),
    pub(crate) station: Speaker,
    pub(crate) station_open: bool,
    pub(crate) partner: Speaker,
    pub(crate) partner_open: bool,
    /// Whether it waits for a link.
    pub(crate) wants: bool,
}

/// An outward link at the client.
pub(crate) struct OutwardLink {
    pub(crate) conn: ConnId,
    pub(crate) state: LinkState,
    pub(crate) task: OutwardTask,
}

/// What the client's task on an outward link does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OutwardTask {
    Idle,
    Dialled { call: CallId, sign_by: Option<u64> },
    Running { call: CallId },
    Settling { by: u64 },
}

impl OutwardTask {
    pub(crate) fn call(self) -> Option<CallId> {
        match self {
            Self::Dialled { call, .. } | Self::Running { call } => Some(call),
            Self::Idle | Self::Settling { .. } => None,
        }
    }
}

impl World {
    /// A station wants to be connected, and the next one in a while.
    pub(crate) fn station_calls(&mut self, client: usize) -> Check {
        if self.healing {
            return Ok(());
        }
        let wait = self.rng.between(1, 4 * self.scenario.arrival_ms);
        self.after(wait, Event::StationCalls(client));
        if self.clients[client].draining {
            return Ok(());
        }
        let at = self.rng.below(self.scenario.proxies as u64) as usize;
        self.call_begins(client, at)
    }

    fn call_begins(&mut self, client: usize, at: usize) -> Check {
        let call = CallId(self.rng.next());
        let (station, partner) = (self.speaker(), self.speaker());
        let owner = (client, at, self.clients[client].life);
        let (station_open, partner_open, wants) = (true, false, true);
        let out_call = OutCall { client: owner, station, station_open, partner, partner_open, wants };
        self.out_calls.insert(call, out_call);
        let wait = self.rng.below(300);
        self.after(wait, Event::StationSays(call));
        let now = Millis(self.now);
        self.attachment(client, at).side.on_link_wanted(now, call);
        self.client_acts(client, at)
    }

    fn out_call(&mut self, call: CallId) -> Result<&mut OutCall, String> {
        self.out_calls.get_mut(&call).ok_or(format!("no outward call {call}"))
    }

    fn outward_link(&mut self, client: usize, at: usize, link: LinkId) -> Result<&mut OutwardLink, String> {
        self.attachment(client, at).outward.get_mut(&link).ok_or(format!("no outward link {link}"))
    }

    /// The state machine has no link for a station.
    pub(crate) fn station_turned_away(&mut self, call: CallId) -> Check {
        let out_call = self.out_call(call)?;
        if !std::mem::take(&mut out_call.wants) {
            return Err(format!("call {call} is told twice that there is no link"));
        }
        out_call.station_open = false;
        Ok(())
    }

    /// The state machine lends a link to a station.
    pub(crate) fn client_lends(&mut self, client: usize, at: usize, link: LinkId, call: CallId) -> Check {
        if !std::mem::take(&mut self.out_call(call)?.wants) {
            return Err(format!("call {call} is lent a second link"));
        }
        let sign_by = self.now + OFFER_SIGN_MS;
        let held = self.outward_link(client, at, link)?;
        if !matches!(held.task, OutwardTask::Idle) {
            return Err(format!("outward link {link} is lent and has a call"));
        }
        held.task = OutwardTask::Dialled { call, sign_by: Some(sign_by) };
        held.state.on_sent(Kind::Dial);
        let conn = held.conn;
        let destination = Destination::new("partner.example.com", 6619).ok_or("no destination")?;
        let dial = Dial { call, listener: names()[0], station: address_of(1), destination };
        self.send(conn, End::Client, &Frame::Dial(dial));
        self.at(sign_by, Event::OutwardTimer { client, at, conn });
        self.outward_pump(client, at, link)
    }

    /// The station says its next bytes, or aborts.
    pub(crate) fn station_says(&mut self, call: CallId) -> Check {
        let share = self.rng.between(1, 20_000) as usize;
        let pause = self.pause();
        let out_call = self.out_call(call)?;
        if !out_call.station_open {
            return Ok(());
        }
        let (client, at, _) = out_call.client;
        let speaker = &mut out_call.station;
        speaker.say(share);
        let aborts = speaker.made == speaker.total && speaker.aborts;
        if speaker.made < speaker.total {
            self.after(pause, Event::StationSays(call));
        }
        let links = &self.clients[client].attachments[at].outward;
        let found = links.iter().find(|(_, held)| held.task.call() == Some(call)).map(|(&link, _)| link);
        match (found, aborts) {
            (Some(link), false) => self.outward_pump(client, at, link),
            (Some(link), true) => self.station_hangs_up(client, at, link, call),
            // It still waits for a link, and leaves by itself only when it has one.
            (None, true) => {
                self.after(pause, Event::StationSays(call));
                Ok(())
            }
            (None, false) => Ok(()),
        }
    }

    fn station_hangs_up(&mut self, client: usize, at: usize, link: LinkId, call: CallId) -> Check {
        self.out_call(call)?.station_open = false;
        let held = self.outward_link(client, at, link)?;
        let conn = held.conn;
        match held.state.may_send() {
            true => self.outward_closes(client, at, link, AbortReason::GivenUp),
            false => self.client_drops(client, at, conn, Use::Link(link)),
        }
    }

    fn outward_pump(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        loop {
            let piece = self.rng.between(1, 8_000) as usize;
            let held = self.outward_link(client, at, link)?;
            let (conn, allowance, task) = (held.conn, allowance(&held.state), held.task);
            let Some(call) = task.call() else { return Ok(()) };
            let speaker = &mut self.out_call(call)?.station;
            let bytes = speaker.next_bytes(piece.min(allowance));
            let ends = bytes.is_empty() && speaker.is_exhausted();
            let held = self.outward_link(client, at, link)?;
            if bytes.is_empty() {
                if ends && held.state.is_sending() {
                    self.send_end(conn, End::Client)?;
                    self.out_call(call)?.station.sent_end = true;
                }
                return self.outward_settles(client, at, link);
            }
            self.send_payload(conn, End::Client, &bytes)?;
        }
    }

    /// A frame from the proxy on an outward link.
    pub(crate) fn outward_frame(&mut self, client: usize, at: usize, link: LinkId, frame: &Frame) -> Check {
        let held = self.outward_link(client, at, link)?;
        let (conn, task) = (held.conn, held.task);
        if held.state.on_received(frame.kind()).is_err() {
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        match (task, frame) {
            (OutwardTask::Dialled { call, .. }, Frame::Ringing(_)) => {
                held.task = OutwardTask::Dialled { call, sign_by: None };
            }
            (OutwardTask::Dialled { call, .. }, Frame::Connected { .. }) => {
                held.task = OutwardTask::Running { call };
                self.tally.out_joined += 1;
                self.may_be_permitted(conn);
                return self.outward_pump(client, at, link);
            }
            (OutwardTask::Dialled { call, .. }, Frame::Failed { .. })
            | (OutwardTask::Running { call }, Frame::Abort(_)) => {
                self.out_call(call)?.station_open = false;
                return self.outward_closes(client, at, link, AbortReason::Answer);
            }
            (OutwardTask::Running { call }, Frame::End) => self.caller_hears_end(conn, call)?,
            _ => {}
        }
        self.outward_settles(client, at, link)
    }

    /// Payload from the proxy on an outward link.
    pub(crate) fn outward_data(&mut self, client: usize, at: usize, link: LinkId, bytes: &[u8]) -> Check {
        let held = self.outward_link(client, at, link)?;
        let (conn, task) = (held.conn, held.task);
        if held.state.on_payload_received(bytes.len()).is_err() {
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        match task {
            OutwardTask::Running { call } => self.caller_hears(conn, call, bytes),
            _ => Ok(()),
        }
    }

    /// Payload reaches the station that has called.
    pub(crate) fn caller_hears(&mut self, conn: ConnId, call: CallId, bytes: &[u8]) -> Check {
        if !self.is_honest_call(conn) {
            return Ok(());
        }
        let out_call = self.out_call(call)?;
        let said = out_call.partner.spoken();
        hear(&mut out_call.station, said, bytes).map_err(|why| format!("caller {call}: {why}"))
    }

    /// An orderly end reaches it.
    pub(crate) fn caller_hears_end(&mut self, conn: ConnId, call: CallId) -> Check {
        if !self.is_honest_call(conn) {
            return Ok(());
        }
        let out_call = self.out_call(call)?;
        let said = out_call.partner.said();
        hear_end(&mut out_call.station, said).map_err(|why| format!("caller {call}: {why}"))
    }

    fn is_honest_call(&self, conn: ConnId) -> bool {
        matches!(self.conns[&conn].proxy, super::net::ProxyEnd::Honest(_))
    }

    fn outward_closes(&mut self, client: usize, at: usize, link: LinkId, why: AbortReason) -> Check {
        let by = self.now + SETTLE_MS;
        let held = self.outward_link(client, at, link)?;
        held.task = OutwardTask::Settling { by };
        let conn = held.conn;
        if held.state.is_unsealed() {
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        if held.state.may_send() {
            held.state.on_sent(Kind::Abort);
            self.send(conn, End::Client, &Frame::Abort(why));
        }
        self.at(by, Event::OutwardTimer { client, at, conn });
        self.outward_settles(client, at, link)
    }

    /// If both directions are closed, the call is over and the link can be lent again, or is over as well.
    pub(crate) fn outward_settles(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let now = Millis(self.now);
        let Some(held) = self.attachment(client, at).outward.get_mut(&link) else { return Ok(()) };
        let (conn, state) = (held.conn, held.state);
        if !state.is_standby() && !state.is_spent() {
            return Ok(());
        }
        match std::mem::replace(&mut held.task, OutwardTask::Idle) {
            OutwardTask::Idle => return Ok(()),
            OutwardTask::Running { call } => {
                self.tally.out_orderly += 1;
                self.out_call(call)?.station_open = false;
            }
            OutwardTask::Settling { .. } => {}
            task @ OutwardTask::Dialled { .. } => {
                return Err(format!("outward link {link} settled as {task:?}"));
            }
        }
        if self.ends_with_its_call(state) {
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        self.attachment(client, at).side.on_link_free(now, link);
        self.client_acts(client, at)
    }

    /// The connection of an outward link is gone. A call that was not answered is put to the next link.
    pub(crate) fn outward_lost(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let now = Millis(self.now);
        let Some(held) = self.attachment(client, at).outward.remove(&link) else { return Ok(()) };
        if let Some(call) = held.task.call() {
            self.out_call(call)?.station_open = false;
        }
        self.attachment(client, at).side.on_link_lost(now, link);
        self.client_acts(client, at)?;
        match held.task {
            OutwardTask::Dialled { .. } => self.call_begins(client, at),
            _ => Ok(()),
        }
    }

    /// Something on an outward link may have taken too long.
    pub(crate) fn outward_timer(&mut self, client: usize, at: usize, conn: ConnId) -> Check {
        let now = self.now;
        let links = &self.attachment(client, at).outward;
        let overdue = links.iter().find(|(_, held)| {
            let by = match held.task {
                OutwardTask::Dialled { sign_by, .. } => sign_by,
                OutwardTask::Settling { by } => Some(by),
                _ => None,
            };
            held.conn == conn && by.is_some_and(|by| by <= now)
        });
        match overdue.map(|(&link, _)| link) {
            Some(link) => self.client_drops(client, at, conn, Use::Link(link)),
            None => Ok(()),
        }
    }
}
