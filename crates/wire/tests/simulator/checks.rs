//! What has to be true after every step, and what once everything has healed.

use std::collections::BTreeSet;

use wire::limits::{STANDBY_LINKS_MAX, WAITING_CALLS_MAX};

use super::client::Attachment;
use super::client_link::ClientTask;
use super::dial_out::DialTask;
use super::ends::PartnerId;
use super::net::{ConnId, ProxyEnd};
use super::outward::OutwardTask;
use super::proxy::{Attached, Door, Proxy, is_link};
use super::proxy_link::ProxyTask;
use super::{Check, Event, World};

/// Says what must not be, unless it is so.
fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Check {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

impl World {
    /// What has to be true after every step.
    pub(crate) fn check(&mut self) -> Check {
        let mut placed = BTreeSet::new();
        for (index, proxy) in self.proxies.iter_mut().enumerate() {
            check_proxy(proxy, &mut placed).map_err(|what| format!("proxy {index}: {what}"))?;
        }
        ensure(placed == self.open_partners, || {
            format!("partners {placed:?} are somewhere, {:?} are open", self.open_partners)
        })?;
        for (index, client) in self.clients.iter_mut().enumerate() {
            for attachment in &mut client.attachments {
                check_attachment(attachment).map_err(|what| format!("client {index}: {what}"))?;
            }
        }
        self.check_silence()
    }

    /// The hostile client from which an event comes, if any.
    pub(crate) fn hostile_source(&self, event: &Event) -> Option<usize> {
        use super::net::{ClientEnd, End};
        match event {
            Event::Deliver { conn, to: End::Proxy, .. } => match self.conns.get(conn)?.client {
                ClientEnd::Hostile(index) => Some(index),
                ClientEnd::Honest { .. } => None,
            },
            _ => None,
        }
    }

    /// What a hostile client sends ends nothing but its own connections.
    pub(crate) fn check_hostile_harm(&self, source: Option<usize>) -> Check {
        use super::net::ClientEnd;
        let Some(index) = source else { return Ok(()) };
        let others = self.closed_now.iter().filter_map(|conn| self.conns.get(conn));
        let harmed = others.filter(|conn| conn.client != ClientEnd::Hostile(index)).count();
        ensure(harmed == 0, || format!("hostile client {index} has ended {harmed} connections of others"))
    }

    /// Whether nothing is under way between honest daemons.
    pub(crate) fn is_quiet(&self) -> bool {
        let honest = |conn: &ConnId| {
            self.conns.get(conn).is_some_and(|held| matches!(held.proxy, ProxyEnd::Honest(_)))
        };
        !self.queue.values().any(|event| match event {
            Event::Opened { conn, .. }
            | Event::Deliver { conn, .. }
            | Event::Fin { conn, .. }
            | Event::Closed { conn, .. } => honest(conn),
            _ => false,
        })
    }

    /// Everybody is back, nothing is left over, and both ends agree on the links.
    pub(crate) fn check_healed(&self) -> Check {
        ensure(self.open_partners.is_empty(), || format!("partners {:?} are left over", self.open_partners))?;
        ensure(self.reaches.is_empty(), || format!("targets are still being reached: {:?}", self.reaches))?;
        let stations = self.stations.values().filter(|station| station.open).count();
        ensure(stations == 0, || format!("{stations} stations are left over"))?;
        let callers =
            self.out_calls.iter().filter(|(_, call)| call.wants || call.station_open || call.partner_open);
        let callers: Vec<_> = callers.map(|(&id, _)| id).collect();
        ensure(callers.is_empty(), || format!("calls {callers:?} of stations are left over"))?;
        ensure(self.tally.arrived == self.tally.ended, || {
            format!("not every partner ended: {:?}", self.tally)
        })?;
        for (index, proxy) in self.proxies.iter().enumerate() {
            self.check_healed_proxy(index, proxy).map_err(|what| format!("healed proxy {index}: {what}"))?;
        }
        Ok(())
    }

    fn check_healed_proxy(&self, index: usize, proxy: &Proxy) -> Check {
        let (calls, sessions) = (proxy.side.call_count(), proxy.side.session_count());
        ensure(calls == 0, || format!("{calls} calls are left over"))?;
        ensure(sessions == self.clients.len(), || format!("{sessions} sessions of {}", self.clients.len()))?;
        let mut theirs: BTreeSet<ConnId> = BTreeSet::new();
        for client in &self.clients {
            let own = client.attachments.iter().filter(|attached| attached.proxy == ProxyEnd::Honest(index));
            for attachment in own {
                ensure(attachment.side.is_attached(), || "a client is not attached".into())?;
                let standby = (attachment.side.standby_count(), attachment.links.len());
                ensure(standby.0 == standby.1, || {
                    format!("{} links on standby of {}", standby.0, standby.1)
                })?;
                let ready = (attachment.side.outward_count(), attachment.outward.len());
                ensure(ready.0 == ready.1, || format!("{} outward links ready of {}", ready.0, ready.1))?;
                theirs.extend(attachment.links.values().map(|link| link.conn));
                theirs.extend(attachment.outward.values().map(|link| link.conn));
            }
        }
        let inward = proxy.links.values().map(|link| link.conn);
        let ours: BTreeSet<ConnId> = inward.chain(proxy.outward.values().map(|link| link.conn)).collect();
        ensure(ours == theirs, || format!("links {ours:?} here and {theirs:?} there"))?;
        let counts = (proxy.side.link_count(), proxy.side.standby_count());
        ensure(counts == (ours.len(), proxy.links.len()), || {
            format!("{counts:?} links and standby, not {}", ours.len())
        })?;
        let held =
            self.conns.values().filter(|conn| conn.proxy == ProxyEnd::Honest(index) && is_link(conn.purpose));
        ensure(held.count() == ours.len(), || "connections are left over".into())
    }
}

fn check_proxy(proxy: &mut Proxy, placed: &mut BTreeSet<PartnerId>) -> Check {
    ensure(proxy.side.poll_action().is_none(), || "actions are left over".into())?;
    let takes = |session: &Attached| !session.draining && session.has_targets;
    let serves = !proxy.draining && proxy.sessions.values().any(takes);
    let open = (proxy.ports_open, proxy.side.listeners_open());
    ensure(open == (serves, serves), || format!("ports {open:?}, and serves: {serves}"))?;
    let (mut calls, mut waiting) = (proxy.room.len(), proxy.room.len());
    for &partner in proxy.room.values() {
        ensure(placed.insert(partner), || format!("partner {partner} is in two places"))?;
    }
    for link in proxy.links.values() {
        let (is_call, is_waiting) = match link.task {
            ProxyTask::Idle | ProxyTask::Settling { call: None, .. } => (false, false),
            ProxyTask::Offered { .. } => (true, true),
            ProxyTask::Running { .. } => (true, false),
            ProxyTask::Settling { call: Some(_), accepted, .. } => (true, !accepted),
        };
        calls += usize::from(is_call);
        waiting += usize::from(is_waiting);
        if let Some(partner) = link.partner() {
            ensure(placed.insert(partner), || format!("partner {partner} is in two places"))?;
        }
        let is_idle = matches!(link.task, ProxyTask::Idle);
        ensure(is_idle == link.state.is_standby(), || format!("{:?} in {:?}", link.task, link.state))?;
    }
    for link in proxy.outward.values() {
        calls += usize::from(link.task.call().is_some());
        let is_idle = matches!(link.task, DialTask::Idle);
        ensure(is_idle == link.state.is_standby(), || format!("{:?} in {:?}", link.task, link.state))?;
    }
    let counts = (proxy.side.call_count(), proxy.side.waiting_count(), proxy.side.session_count());
    let expected = (calls, waiting, proxy.sessions.len());
    ensure(counts == expected, || format!("calls, waiting, sessions: {counts:?}, not {expected:?}"))?;
    ensure(waiting <= WAITING_CALLS_MAX, || format!("{waiting} partners wait"))?;
    let (links, doors) = (proxy.links.len() + proxy.outward.len(), proxy.doors.values());
    let link_doors = doors.filter(|door| matches!(door, Door::Link(_) | Door::Outward(_))).count();
    let counts = (proxy.side.link_count(), link_doors);
    ensure(counts == (links, links), || format!("links: {counts:?}, not {links}"))
}

fn check_attachment(attachment: &mut Attachment) -> Check {
    ensure(attachment.side.poll_action().is_none(), || "actions are left over".into())?;
    let (announced, unclaimed) = (attachment.side.announced_count(), attachment.unclaimed.len());
    ensure(announced == unclaimed, || format!("{announced} calls announced, {unclaimed} being reached for"))?;
    let standby = attachment.side.standby_count();
    let idle = attachment.links.values().filter(|link| matches!(link.task, ClientTask::Idle)).count();
    ensure(standby <= idle, || format!("{standby} links on standby, {idle} there"))?;
    ensure(standby <= STANDBY_LINKS_MAX, || format!("{standby} links on standby"))?;
    for link in attachment.links.values() {
        let is_idle = matches!(link.task, ClientTask::Idle);
        ensure(is_idle == link.state.is_standby(), || format!("{:?} in {:?}", link.task, link.state))?;
    }
    let (ready, outward) = (attachment.side.outward_count(), attachment.outward.values());
    let idle = outward.filter(|link| matches!(link.task, OutwardTask::Idle)).count();
    ensure(ready <= idle, || format!("{ready} outward links are ready, {idle} there"))?;
    for link in attachment.outward.values() {
        let is_idle = matches!(link.task, OutwardTask::Idle);
        ensure(is_idle == link.state.is_standby(), || format!("{:?} in {:?}", link.task, link.state))?;
    }
    let is_down = attachment.control.is_none();
    ensure(!is_down || !attachment.side.is_attached(), || "attached without a control link".into())
}
