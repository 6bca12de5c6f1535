//! The model of the inner daemon's task on one link: the mirror of the proxy's.

use std::net::SocketAddr;

use wire::limits::{RINGING_AFTER_MS, SETTLE_MS};
use wire::{AbortReason, CallId, Frame, Kind, LinkId, LinkState, Millis, Name, RefuseReason};

use super::client::ReachId;
use super::ends::StationId;
use super::net::{ConnId, End, Use};
use super::scenario::Flaw;
use super::unsealing::allowance;
use super::{Check, Event, World};

/// A link, and what is going on there.
pub(crate) struct ClientLink {
    pub(crate) conn: ConnId,
    pub(crate) state: LinkState,
    pub(crate) task: ClientTask,
}

/// What the client's task on a link does.
#[derive(Clone, Debug)]
pub(crate) enum ClientTask {
    /// It waits for a call.
    Idle,
    /// It has claimed a call, whose target is being reached.
    Claiming { call: CallId, reach: ReachId },
    /// It was offered a call, whose target is being reached.
    Answering { call: CallId, reach: ReachId, early: Vec<u8>, ended: bool },
    /// Both directions carry payload.
    Running { station: StationId },
    /// The station is not here any more; the proxy has not closed its direction yet.
    Settling { by: u64 },
}

impl World {
    fn client_link(&mut self, client: usize, at: usize, link: LinkId) -> Result<&mut ClientLink, String> {
        self.attachment(client, at).links.get_mut(&link).ok_or(format!("no link {link}"))
    }

    /// A frame from the proxy.
    pub(crate) fn client_link_frame(
        &mut self,
        client: usize,
        at: usize,
        link: LinkId,
        frame: &Frame,
    ) -> Check {
        let held = self.client_link(client, at, link)?;
        let conn = held.conn;
        let names_another = match (&held.task, frame) {
            (ClientTask::Claiming { call, .. }, Frame::Offer { call: other, .. } | Frame::Gone(other)) => {
                call != other
            }
            _ => false,
        };
        if held.state.on_received(frame.kind()).is_err() || names_another {
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        match (&mut held.task, frame) {
            (ClientTask::Idle, Frame::Offer { call, listener, partner }) => {
                self.client_offered(client, at, link, (*call, *listener, *partner))?;
            }
            (&mut ClientTask::Claiming { call, reach }, Frame::Offer { .. }) => {
                held.task = ClientTask::Answering { call, reach, early: Vec::new(), ended: false };
                self.after(RINGING_AFTER_MS, Event::Ringing { client, at, conn, call });
                self.client_answers(client, at, link)?;
            }
            (&mut ClientTask::Claiming { reach, .. }, Frame::Gone(_)) => {
                held.task = ClientTask::Settling { by: 0 };
                self.reach_dropped(reach);
            }
            (ClientTask::Answering { ended, .. }, Frame::End) => *ended = true,
            (&mut ClientTask::Answering { reach, .. }, Frame::Abort(_)) => {
                self.reach_dropped(reach);
                self.client_closes(client, at, link, AbortReason::Answer)?;
            }
            (&mut ClientTask::Running { station }, Frame::End) => self.station_hears_end(station)?,
            (&mut ClientTask::Running { station }, Frame::Abort(_)) => {
                self.station_closed(station);
                self.client_closes(client, at, link, AbortReason::Answer)?;
            }
            _ => {}
        }
        self.client_link_settles(client, at, link)
    }

    /// A call comes in on a link on standby.
    fn client_offered(
        &mut self,
        client: usize,
        at: usize,
        link: LinkId,
        (call, listener, partner): (CallId, Name, SocketAddr),
    ) -> Check {
        let now = Millis(self.now);
        let side = &mut self.attachment(client, at).side;
        side.on_link_busy(now, link);
        let admitted = side.admits(&listener);
        let conn = self.client_link(client, at, link)?.conn;
        match admitted {
            Err(reason) => self.client_refuses(client, at, link, call, reason)?,
            Ok(()) => {
                let reach = self.client_reaches(client, at, call, partner, Some(link));
                self.client_link(client, at, link)?.task =
                    ClientTask::Answering { call, reach, early: Vec::new(), ended: false };
                self.after(RINGING_AFTER_MS, Event::Ringing { client, at, conn, call });
            }
        }
        self.client_acts(client, at)
    }

    /// The target has not answered yet: the proxy is told that somebody is trying.
    pub(crate) fn client_rings(&mut self, client: usize, at: usize, conn: ConnId, ringing: CallId) -> Check {
        let links = &mut self.attachment(client, at).links;
        let Some(held) = links.values_mut().find(|held| held.conn == conn) else {
            return Ok(());
        };
        if matches!(held.task, ClientTask::Answering { call, .. } if call == ringing) {
            held.state.on_sent(Kind::Ringing);
            self.send(conn, End::Client, &Frame::Ringing(ringing));
        }
        Ok(())
    }

    /// If the call is offered and the outcome of reaching its target is known, the client answers.
    pub(crate) fn client_answers(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let held = self.client_link(client, at, link)?;
        let ClientTask::Answering { call, reach, early, ended } = held.task.clone() else {
            return Ok(());
        };
        let conn = held.conn;
        match self.reaches.get(&reach).and_then(|reach| reach.outcome) {
            None => Ok(()),
            Some(Err(reason)) => {
                self.reaches.remove(&reach);
                self.client_refuses(client, at, link, call, reason)
            }
            Some(Ok(station)) => {
                self.reaches.remove(&reach);
                let held = self.client_link(client, at, link)?;
                held.task = ClientTask::Running { station };
                held.state.on_sent(Kind::Accept);
                self.accepts.insert((conn, call), station);
                self.send(conn, End::Client, &Frame::Accept(call));
                self.may_be_permitted(conn);
                self.station_hears(station, &early)?;
                if ended {
                    self.station_hears_end(station)?;
                }
                if self.stations[&station].open {
                    self.client_pumps(station)
                } else {
                    // It was reached, and aborted before it was joined.
                    self.client_closes(client, at, link, AbortReason::Reset)
                }
            }
        }
    }

    fn client_refuses(
        &mut self,
        client: usize,
        at: usize,
        link: LinkId,
        call: CallId,
        why: RefuseReason,
    ) -> Check {
        let by = self.now + SETTLE_MS;
        let held = self.client_link(client, at, link)?;
        held.task = ClientTask::Settling { by };
        held.state.on_sent(Kind::Refuse);
        let conn = held.conn;
        self.send(conn, End::Client, &Frame::Refuse(call, why));
        self.after(SETTLE_MS, Event::ClientLinkTimer { client, at, conn });
        self.client_link_settles(client, at, link)
    }

    /// Payload from the proxy.
    pub(crate) fn client_link_data(&mut self, client: usize, at: usize, link: LinkId, bytes: &[u8]) -> Check {
        let held = self.client_link(client, at, link)?;
        if held.state.on_payload_received(bytes.len()).is_err() {
            let conn = held.conn;
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        match &mut held.task {
            ClientTask::Answering { early, .. } => early.extend_from_slice(bytes),
            &mut ClientTask::Running { station } => self.station_hears(station, bytes)?,
            _ => {}
        }
        Ok(())
    }

    /// The link that a station is with.
    fn link_with(&self, id: StationId) -> Option<(usize, usize, LinkId)> {
        let (client, at, _) = self.stations[&id].client;
        let mut links = self.clients[client].attachments[at].links.iter();
        let found =
            links.find(|(_, held)| matches!(held.task, ClientTask::Running { station } if station == id));
        found.map(|(&link, _)| (client, at, link))
    }

    /// The station has said something: it goes to its link, if it is joined.
    pub(crate) fn client_pumps(&mut self, id: StationId) -> Check {
        let Some((client, at, link)) = self.link_with(id) else {
            return Ok(());
        };
        let conn = self.client_link(client, at, link)?.conn;
        loop {
            let piece = self.rng.between(1, 8_000) as usize;
            let allowance = allowance(&self.client_link(client, at, link)?.state);
            let Some(station) = self.stations.get_mut(&id) else {
                return Ok(());
            };
            let bytes = station.speaker.next_bytes(piece.min(allowance));
            let exhausted = station.speaker.is_exhausted();
            let held = self.client_link(client, at, link)?;
            if bytes.is_empty() {
                if exhausted && held.state.is_sending() {
                    self.send_end(conn, End::Client)?;
                    if let Some(station) = self.stations.get_mut(&id) {
                        station.speaker.sent_end = true;
                    }
                }
                return self.client_link_settles(client, at, link);
            }
            self.send_payload(conn, End::Client, &bytes)?;
        }
    }

    /// A station resets its connection.
    pub(crate) fn station_aborts(&mut self, id: StationId) -> Check {
        self.station_closed(id);
        let Some((client, at, link)) = self.link_with(id) else {
            return Ok(());
        };
        let held = self.client_link(client, at, link)?;
        let conn = held.conn;
        if held.state.may_send() {
            self.client_closes(client, at, link, AbortReason::Reset)
        } else {
            self.client_drops(client, at, conn, Use::Link(link))
        }
    }

    /// Closes the client's direction by an abort, if it is open, and waits for the proxy's.
    fn client_closes(&mut self, client: usize, at: usize, link: LinkId, why: AbortReason) -> Check {
        let by = self.now + SETTLE_MS;
        let held = self.client_link(client, at, link)?;
        held.task = ClientTask::Settling { by };
        let conn = held.conn;
        if held.state.is_unsealed() {
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        if held.state.may_send() {
            held.state.on_sent(Kind::Abort);
            self.send(conn, End::Client, &Frame::Abort(why));
        }
        self.after(SETTLE_MS, Event::ClientLinkTimer { client, at, conn });
        self.client_link_settles(client, at, link)
    }

    /// If both directions are closed, the call is over and the link is on standby, or over as well.
    pub(crate) fn client_link_settles(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let now = Millis(self.now);
        let leaks = self.scenario.flaw == Some(Flaw::LeaksLinks);
        let Some(held) = self.attachment(client, at).links.get_mut(&link) else {
            return Ok(());
        };
        let (conn, state) = (held.conn, held.state);
        if !state.is_standby() && !state.is_spent() {
            return Ok(());
        }
        match std::mem::replace(&mut held.task, ClientTask::Idle) {
            ClientTask::Idle => return Ok(()),
            ClientTask::Running { station } => self.station_closed(station),
            ClientTask::Settling { .. } => {}
            task => return Err(format!("link {link} settled as {task:?}")),
        }
        if self.ends_with_its_call(state) {
            return self.client_drops(client, at, conn, Use::Link(link));
        }
        if !leaks {
            self.attachment(client, at).side.on_link_free(now, link);
        }
        self.client_acts(client, at)
    }

    /// The connection of a link is gone.
    pub(crate) fn client_link_lost(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let now = Millis(self.now);
        let Some(held) = self.attachment(client, at).links.remove(&link) else {
            return Ok(());
        };
        match held.task {
            ClientTask::Idle | ClientTask::Settling { .. } => {}
            ClientTask::Claiming { reach, .. } | ClientTask::Answering { reach, .. } => {
                self.reach_dropped(reach);
            }
            ClientTask::Running { station } => {
                if self.scenario.flaw == Some(Flaw::EndsOnLoss) {
                    self.station_hears_end(station)?;
                }
                self.station_closed(station);
            }
        }
        self.attachment(client, at).side.on_link_lost(now, link);
        self.client_acts(client, at)
    }

    /// The proxy may have taken too long to close its direction.
    pub(crate) fn client_link_timer(&mut self, client: usize, at: usize, conn: ConnId) -> Check {
        let now = self.now;
        let links = &self.attachment(client, at).links;
        let found = links.iter().find(|(_, held)| held.conn == conn);
        match found {
            Some((&link, held)) if matches!(held.task, ClientTask::Settling { by } if by <= now) => {
                self.client_drops(client, at, conn, Use::Link(link))
            }
            _ => Ok(()),
        }
    }
}
