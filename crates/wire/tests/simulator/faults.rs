//! What goes wrong by itself, and how it is made good again.

use wire::proxy_side::ProxySide;
use wire::{Millis, Name};

use super::ends::{self, names};
use super::net::{ClientEnd, ConnId, End, ProxyEnd};
use super::{Check, Event, World};

impl World {
    /// Something goes wrong.
    pub(crate) fn fault(&mut self) -> Check {
        if self.healing {
            return Ok(());
        }
        self.tally.faults += 1;
        let wait = self.rng.between(1, 2 * self.scenario.fault_ms);
        self.after(wait, Event::Fault);
        let client = self.rng.below(self.clients.len() as u64) as usize;
        let proxy = self.rng.below(self.proxies.len() as u64) as usize;
        match self.rng.below(20) {
            0..=7 => self.some_conn_breaks(),
            8 => self.client_restarts(client, self.clients[client].life),
            9 => self.proxy_restarts(proxy, self.proxies[proxy].life),
            10 | 11 => self.client_drains(client),
            12 => self.proxy_drains(proxy),
            13 | 14 => self.listeners_change(proxy),
            15 | 16 => self.targets_change(client),
            17 => self.trust_changes(proxy, client),
            18 => {
                self.clients[client].targets_down_until = self.now + self.rng.between(100, 10_000);
                Ok(())
            }
            _ => self.whole_path_breaks(proxy, client),
        }
    }

    fn some_conn_breaks(&mut self) -> Check {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        if let Some(conn) = self.rng.pick(&conns) {
            let silent = self.rng.chance(40);
            self.break_conn(conn, silent);
        }
        Ok(())
    }

    /// Everything between a proxy and a client dies in silence, as when a firewall forgets its table.
    fn whole_path_breaks(&mut self, proxy: usize, client: usize) -> Check {
        let between =
            |end: ClientEnd| matches!(end, ClientEnd::Honest { client: other, .. } if other == client);
        let lost = |conn: &super::net::Conn| conn.proxy == ProxyEnd::Honest(proxy) && between(conn.client);
        let conns: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| lost(conn)).map(|(&id, _)| id).collect();
        conns.into_iter().for_each(|conn| self.break_conn(conn, true));
        Ok(())
    }

    /// A client ends, with or without a word to the network, and begins anew.
    pub(crate) fn client_restarts(&mut self, client: usize, life: u64) -> Check {
        if self.clients[client].life != life {
            return Ok(());
        }
        let silent = self.rng.chance(30);
        let is_its =
            |end: ClientEnd| matches!(end, ClientEnd::Honest { client: other, .. } if other == client);
        let conns = self.conns.iter().filter(|(_, conn)| is_its(conn.client));
        let conns: Vec<ConnId> = conns.map(|(&id, _)| id).collect();
        for conn in conns {
            if silent {
                self.break_conn(conn, true);
            }
            self.close(conn, End::Client);
        }
        self.reaches.retain(|_, reach| reach.owner.0 != client);
        let stations = self.stations.values_mut().filter(|station| station.client.0 == client);
        stations.for_each(|station| station.open = false);
        for call in self.out_calls.values_mut().filter(|call| call.client.0 == client) {
            (call.wants, call.station_open) = (false, false);
        }
        self.clients[client] = self.new_client(life + 1);
        (0..self.clients[client].attachments.len()).for_each(|at| self.schedule_client(client, at));
        Ok(())
    }

    /// A proxy ends, with or without a word to the network, and begins anew after a while.
    pub(crate) fn proxy_restarts(&mut self, proxy: usize, life: u64) -> Check {
        if self.proxies[proxy].life != life {
            return Ok(());
        }
        let silent = self.rng.chance(30);
        let conns = self.conns.iter().filter(|(_, conn)| conn.proxy == ProxyEnd::Honest(proxy) && conn.up);
        let conns: Vec<ConnId> = conns.map(|(&id, _)| id).collect();
        for conn in conns {
            if silent {
                self.break_conn(conn, true);
            }
            self.close(conn, End::Proxy);
        }
        let partners = self.open_partners.iter().copied();
        let partners: Vec<u64> = partners.filter(|id| self.partners[id].proxy == proxy).collect();
        for partner in partners {
            self.partner_closed(partner)?;
        }
        self.out_calls
            .values_mut()
            .filter(|call| call.client.1 == proxy)
            .for_each(|call| call.partner_open = false);
        self.proxies[proxy] = self.new_proxy(life + 1);
        if !self.healing {
            self.proxies[proxy].down_until = self.now + self.rng.below(5_000);
        }
        Ok(())
    }

    fn client_drains(&mut self, client: usize) -> Check {
        self.clients[client].draining = true;
        let restart = Event::ClientRestarts { client, life: self.clients[client].life };
        let wait = self.rng.between(500, 15_000);
        self.after(wait, restart);
        for at in 0..self.clients[client].attachments.len() {
            self.attachment(client, at).side.on_drain();
            self.client_acts(client, at)?;
        }
        Ok(())
    }

    fn proxy_drains(&mut self, proxy: usize) -> Check {
        let daemon = &mut self.proxies[proxy];
        daemon.draining = true;
        daemon.side.on_drain();
        let restart = Event::ProxyRestarts { proxy, life: daemon.life };
        let wait = self.rng.between(500, 15_000);
        self.after(wait, restart);
        self.proxy_acts(proxy)
    }

    fn some_names(&mut self) -> Vec<Name> {
        names().into_iter().filter(|_| self.rng.chance(70)).collect()
    }

    fn listeners_change(&mut self, proxy: usize) -> Check {
        let listeners = self.some_names();
        self.proxies[proxy].listeners.clone_from(&listeners);
        self.proxies[proxy].side.on_settings(listeners, self.scenario.call_wait_ms);
        self.proxy_acts(proxy)
    }

    fn targets_change(&mut self, client: usize) -> Check {
        let targets = self.some_names();
        self.clients[client].targets.clone_from(&targets);
        for at in 0..self.clients[client].attachments.len() {
            self.attachment(client, at).side.on_targets(ends::targets(&targets));
            self.client_acts(client, at)?;
        }
        Ok(())
    }

    fn trust_changes(&mut self, proxy: usize, client: usize) -> Check {
        let key = self.client_key(client);
        let daemon = &mut self.proxies[proxy];
        daemon.distrusted.push(key);
        let distrusted = daemon.distrusted.clone();
        ProxySide::on_trust_changed(&mut daemon.side, Millis(self.now), |key| !distrusted.contains(key));
        let wait = self.rng.between(1_000, 10_000);
        self.after(wait, Event::TrustReturns(proxy));
        self.proxy_acts(proxy)
    }

    /// Whoever is ending is started again, whoever means harm goes home, and nothing goes wrong any more.
    pub(crate) fn heal(&mut self) -> Check {
        self.healing = true;
        let is_hostile = |end: ClientEnd| matches!(end, ClientEnd::Hostile(_));
        let conns = self.conns.iter().filter(|(_, conn)| is_hostile(conn.client));
        let conns: Vec<ConnId> = conns.map(|(&id, _)| id).collect();
        conns.into_iter().for_each(|conn| self.close(conn, End::Client));
        for proxy in 0..self.proxies.len() {
            if self.proxies[proxy].draining {
                self.proxy_restarts(proxy, self.proxies[proxy].life)?;
            }
            self.proxies[proxy].distrusted.clear();
            self.proxies[proxy].down_until = self.now;
        }
        for client in 0..self.clients.len() {
            if self.clients[client].draining {
                self.client_restarts(client, self.clients[client].life)?;
            }
            self.clients[client].targets_down_until = self.now;
        }
        Ok(())
    }
}
