//! A proxy and a client that trust each other, and a station behind them.

use std::net::SocketAddr;

use crate::daemon::Daemon;
use crate::peer::Peer;
use crate::setup::{ClientSetup, Listener, ProxySetup};
use crate::site::Site;
use crate::station::Station;
use crate::tunnel::Tunnel;

/// A proxy and a client that trust each other, before they are started. Change what the test is about.
pub struct Plan {
    /// Where it takes place.
    pub site: Site,
    /// The proxy.
    pub proxy: ProxySetup,
    /// The client.
    pub client: ClientSetup,
    /// The wire between them, if the test has one.
    pub tunnel: Option<Tunnel>,
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}

impl Plan {
    /// One listener; its target is closed.
    pub fn new() -> Self {
        let site = Site::new();
        let proxy = ProxySetup::new(&site, "proxy");
        let mut client = ClientSetup::new(&site, "client");
        client.proxies = vec![proxy.internal];
        proxy.trust(&[&client.public_key()]);
        client.trust(&[&proxy.public_key()]);
        Self { site, proxy, client, tunnel: None }
    }

    /// One listener; `target` makes the station that its calls go to.
    pub fn to<S>(target: impl FnOnce(&Site) -> S, address: impl FnOnce(&S) -> SocketAddr) -> (Self, S) {
        let mut plan = Self::new();
        let station = target(&plan.site);
        plan.client.aim(address(&station));
        (plan, station)
    }

    /// `-T` of both daemons.
    #[must_use]
    pub fn step_s(mut self, seconds: u64) -> Self {
        (self.proxy.step_s, self.client.step_s) = (seconds, seconds);
        self
    }

    /// Both daemons write the debug log.
    #[must_use]
    pub fn debugging(mut self) -> Self {
        (self.proxy.debug, self.client.debug) = (true, true);
        self
    }

    /// Puts a wire between the daemons.
    #[must_use]
    pub fn with_tunnel(mut self) -> Self {
        let tunnel = Tunnel::open(&self.site, self.proxy.internal);
        self.client.proxies = vec![tunnel.address()];
        self.tunnel = Some(tunnel);
        self
    }

    /// Lets stations call out, to what `allow` says: rules as they stand in the proxy's configuration file.
    #[must_use]
    pub fn calling_out(mut self, allow: &[&str]) -> Self {
        self.client.outgoing = Some(self.site.free_port());
        self.proxy.outgoing = format!("allow = {allow:?}");
        self
    }

    /// The same, to every port of the address of this site.
    #[must_use]
    pub fn calling_here(self) -> Self {
        let here = format!("{}:*", self.site.address());
        self.calling_out(&[&here])
    }

    /// Adds a listener whose calls go to `target`.
    pub fn add_listener(&mut self, name: &str, target: SocketAddr) {
        let address = self.site.free_port();
        self.proxy.listeners.push(Listener { name: name.to_owned(), address, tls: false });
        self.client.targets.push((name.to_owned(), target));
    }

    /// Starts both and waits until the client is attached and all external ports are open.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn start(self) -> Chain {
        let proxy = self.proxy.start();
        let client = self.client.start();
        client.wait_saying(0, "attached");
        for listener in &self.proxy.listeners {
            proxy.wait_saying(0, &listener.address.to_string());
        }
        Chain { proxy, client, plan: self }
    }
}

/// A proxy and a client that run.
pub struct Chain {
    /// The proxy.
    pub proxy: Daemon,
    /// The client.
    pub client: Daemon,
    /// How they were set up.
    pub plan: Plan,
}

impl Chain {
    /// Where partners call, at the first listener.
    pub fn external(&self) -> SocketAddr {
        self.plan.proxy.listeners[0].address
    }

    /// Where partners call, at the listener of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn external_of(&self, name: &str) -> SocketAddr {
        let listener = self.plan.proxy.listeners.iter().find(|listener| listener.name == name);
        listener.unwrap().address
    }

    /// A partner's call at the first listener.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn call(&self) -> Peer {
        Peer::call(self.external())
    }

    /// A call from a partner to a station on which a byte has gone each way: its two ends.
    ///
    /// # Panics
    /// When it does not come about.
    pub fn running_call(&self, station: &Station) -> [Peer; 2] {
        let mut partner = self.call();
        let mut called = station.accept();
        partner.send(b"?");
        called.receive(1);
        called.send(b"!");
        partner.receive(1);
        [partner, called]
    }

    /// Where stations call out.
    ///
    /// # Panics
    /// When the plan let none.
    pub fn outgoing(&self) -> SocketAddr {
        self.plan.client.outgoing.unwrap()
    }

    /// The wire between the daemons.
    ///
    /// # Panics
    /// When the plan had none.
    pub fn tunnel(&self) -> &Tunnel {
        self.plan.tunnel.as_ref().unwrap()
    }

    /// Waits until the external ports are open, after `mark` in the proxy's log.
    ///
    /// # Panics
    /// When they are not opened.
    pub fn wait_open(&self, mark: usize) {
        for listener in &self.plan.proxy.listeners {
            self.wait_listening(mark, listener.address);
        }
    }

    /// Waits until an external port is open, after `mark` in the proxy's log.
    ///
    /// # Panics
    /// When it is not opened.
    pub fn wait_listening(&self, mark: usize, address: SocketAddr) {
        self.proxy.wait_after(mark, &[("event", "listening"), ("address", &address.to_string())]);
    }
}
