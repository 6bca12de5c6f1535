//! Links without a call: both ends prove to each other that they live, and one that has died in silence is
//! found. The same for both kinds of links, which are named by their connection.

use std::collections::BTreeMap;

use wire::limits::{HEARTBEATS_PER_SILENCE, PROBES_MISSED_MAX, probe_ms};
use wire::{Frame, Kind, LinkId, Millis};

use super::client_link::ClientTask;
use super::net::{ClientEnd, Conn, ConnId, End, ProxyEnd, Use};
use super::outward::OutwardTask;
use super::proxy_link::ProxyTask;
use super::scenario::Flaw;
use super::{Check, World};

impl World {
    /// The state machine of a proxy wants to know whether a link lives.
    pub(crate) fn proxy_probes(&mut self, proxy: usize, link: LinkId) -> Check {
        let held = self.proxies[proxy].links.get(&link).ok_or(format!("a heartbeat for no link {link}"))?;
        match held.task {
            ProxyTask::Idle => self.probes(held.conn, End::Proxy),
            task => Err(format!("a heartbeat for link {link}, which is {task:?}")),
        }
    }

    /// That of a client.
    pub(crate) fn client_probes(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let held = self.clients[client].attachments[at].outward.get(&link);
        let held = held.ok_or(format!("a heartbeat for no outward link {link}"))?;
        match held.task {
            OutwardTask::Idle => self.probes(held.conn, End::Client),
            task => Err(format!("a heartbeat for outward link {link}, which is {task:?}")),
        }
    }

    fn probes(&mut self, conn: ConnId, at: End) -> Check {
        let keeps = self.scenario.flaw == Some(Flaw::KeepsDeadLinks);
        let state = self.link_state(conn, at).ok_or("a heartbeat on no link")?;
        if state.is_unanswered() {
            return if keeps { Ok(()) } else { self.gives_up(conn, at) };
        }
        state.on_sent(Kind::Heartbeat);
        self.send(conn, at, &Frame::Heartbeat);
        Ok(())
    }

    /// A heartbeat has come on a link. Where calls begin it is an answer; where they end it wants one.
    pub(crate) fn hears_heartbeat(&mut self, conn: ConnId, at: End) -> Check {
        let is_ours = self.is_ours(conn);
        let Some(state) = self.link_state(conn, at) else { return Ok(()) };
        match state.on_received(Kind::Heartbeat) {
            Err(violation) if is_ours => return Err(format!("connection {conn}: {violation}")),
            Err(_) => return self.drops(conn, at),
            Ok(()) if !state.is_unanswered() => return Ok(()),
            Ok(()) => state.on_sent(Kind::Heartbeat),
        }
        if self.scenario.flaw != Some(Flaw::AnswersNoHeartbeat) {
            self.send(conn, at, &Frame::Heartbeat);
        }
        let held = &self.conns[&conn];
        if let (End::Client, ClientEnd::Honest { client, at }, Use::Link(link)) =
            (at, held.client, held.purpose)
            && self.scenario.flaw != Some(Flaw::HearsNoHeartbeat)
        {
            let now = Millis(self.now);
            self.attachment(client, at).side.on_link_heard(now, link);
            return self.client_acts(client, at);
        }
        Ok(())
    }

    /// The state machine of a client has heard nothing on a link on standby for too long.
    pub(crate) fn client_misses(&mut self, client: usize, at: usize, link: LinkId) -> Check {
        let held = self.clients[client].attachments[at].links.get(&link);
        let held = held.ok_or(format!("no link {link} is silent"))?;
        match held.task {
            ClientTask::Idle => self.gives_up(held.conn, End::Client),
            ref task => Err(format!("link {link} is silent, and {task:?}")),
        }
    }

    /// A link is given up because it does not seem to live.
    fn gives_up(&mut self, conn: ConnId, at: End) -> Check {
        let other = if at == End::Proxy { End::Client } else { End::Proxy };
        if self.is_ours(conn) && self.conn(conn, other).is_some_and(|held| !held.is_broken()) {
            return Err(format!("connection {conn} was taken for dead and lives"));
        }
        self.tally.found_dead += 1;
        self.drops(conn, at)
    }

    /// Whether nobody at a connection means harm.
    fn is_ours(&self, conn: ConnId) -> bool {
        let honest = |held: &Conn| held.is_honest_client() && held.proxy != ProxyEnd::Hostile;
        self.conns.get(&conn).is_some_and(honest)
    }

    /// A link that has died in silence is soon found by the end at which its calls begin, and by the one that
    /// replaces it.
    pub(crate) fn check_silence(&mut self) -> Check {
        let soon_ms = PROBES_MISSED_MAX * probe_ms(self.scenario.silence_ms / HEARTBEATS_PER_SILENCE);
        let mut dead_since = BTreeMap::new();
        for (conn, at) in self.waiting_links() {
            if !self.conns.get(&conn).is_some_and(Conn::is_broken) {
                continue;
            }
            let since = *self.dead_since.get(&(conn, at)).unwrap_or(&self.now);
            if self.now - since > soon_ms {
                return Err(format!(
                    "connection {conn} waits for a call at {at:?} and has been dead since {since}"
                ));
            }
            dead_since.insert((conn, at), since);
        }
        self.dead_since = dead_since;
        Ok(())
    }

    /// The links without a call between daemons of ours, each at the ends that have to know whether it lives.
    fn waiting_links(&self) -> Vec<(ConnId, End)> {
        let mut waiting = Vec::new();
        for proxy in &self.proxies {
            let idle = proxy.links.values().filter(|held| matches!(held.task, ProxyTask::Idle));
            waiting.extend(idle.map(|held| (held.conn, End::Proxy)));
        }
        let attachments = self.clients.iter().flat_map(|client| &client.attachments);
        for attachment in attachments.filter(|attachment| attachment.proxy != ProxyEnd::Hostile) {
            let idle = attachment.links.values().filter(|held| matches!(held.task, ClientTask::Idle));
            waiting.extend(idle.map(|held| (held.conn, End::Client)));
            let idle = attachment.outward.values().filter(|held| matches!(held.task, OutwardTask::Idle));
            waiting.extend(idle.map(|held| (held.conn, End::Client)));
        }
        waiting
    }
}
