//! A network of its own for a proxy, with a wire that really goes dead: nothing is acknowledged any more. Doubles on
//! loopback cannot do that, because the kernel acknowledges for them.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{Outcome, outcome};

/// A network namespace with two wires to this host: one for partners, one for clients. It needs root and iproute2.
pub struct Namespace {
    name: String,
    block: [u8; 3],
}

/// One of the two wires: its number, and the last byte of the address at this host and in the namespace.
struct Wire {
    letter: char,
    host: u8,
    inside: u8,
}

const PARTNERS: Wire = Wire { letter: 'a', host: 1, inside: 2 };
const CLIENTS: Wire = Wire { letter: 'b', host: 5, inside: 6 };

impl Namespace {
    /// A new one; `None`, with the reason printed, where this process may not make any.
    ///
    /// # Panics
    /// When it may, and that fails half-way.
    pub fn new() -> Option<Self> {
        static SERIAL: AtomicU8 = AtomicU8::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let name = format!("o{process}n{serial}");
        if !ip(&["netns", "add", &name]) {
            eprintln!("skipped: a network namespace cannot be made here (it needs root and iproute2)");
            return None;
        }
        let namespace = Self { name, block: [10, 1 + (process % 250) as u8, serial] };
        for wire in [PARTNERS, CLIENTS] {
            namespace.add(&wire);
        }
        Some(namespace)
    }

    fn add(&self, wire: &Wire) {
        let (near, far) = (self.device(wire), format!("{}f", self.device(wire)));
        let [host, inside] = [wire.host, wire.inside].map(|last| format!("{}/30", self.address(last)));
        let name = &self.name;
        let steps = [
            format!("link add {near} type veth peer name {far} netns {name}"),
            format!("address add {host} dev {near}"),
            format!("link set {near} up"),
            format!("-n {name} address add {inside} dev {far}"),
            format!("-n {name} link set {far} up"),
        ];
        run_all(&steps);
    }

    fn device(&self, wire: &Wire) -> String {
        format!("{}{}", self.name, wire.letter)
    }

    fn address(&self, last: u8) -> IpAddr {
        let [a, b, c] = self.block;
        Ipv4Addr::new(a, b, c, last).into()
    }

    /// Its name, under which a daemon can be started in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where partners reach a port of a daemon inside.
    pub fn external(&self, port: u16) -> SocketAddr {
        (self.address(PARTNERS.inside), port).into()
    }

    /// Where clients reach a port of a daemon inside.
    pub fn internal(&self, port: u16) -> SocketAddr {
        (self.address(CLIENTS.inside), port).into()
    }

    /// Where a daemon inside reaches a port of this host, by the wire for clients.
    pub fn host(&self, port: u16) -> SocketAddr {
        (self.address(CLIENTS.host), port).into()
    }

    /// Runs a command inside, with `input`, and gives back what it prints; `None` where it fails.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, command: &[&str], input: &str) -> Option<String> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.name])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A command that does not read its input ends without it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Connects another namespace with this one, as two hosts are. The address of this one as the other sees it.
    ///
    /// # Panics
    /// When that fails.
    pub fn connect(&self, other: &Self) -> IpAddr {
        let [near, far] = ["x", "y"].map(|end| format!("{}{end}", self.name));
        let [own, others] = [9, 10].map(|last| self.address(last));
        let (name, other_name) = (&self.name, &other.name);
        run_all(&[
            format!("-n {name} link add {near} type veth peer name {far} netns {other_name}"),
            format!("-n {name} address add {own}/30 dev {near}"),
            format!("-n {name} link set {near} up"),
            format!("-n {other_name} address add {others}/30 dev {far}"),
            format!("-n {other_name} link set {far} up"),
            format!("-n {other_name} link set lo up"),
        ]);
        own
    }

    /// Runs a command of a shell in it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn shell(&self, command: &str) -> Outcome {
        let mut shell = Command::new("ip");
        shell.args(["netns", "exec", &self.name, "bash", "-c", command]);
        outcome(&mut shell)
    }

    /// Kills every process that runs in it.
    pub fn end_all(&self) {
        let mut command = Command::new("ip");
        let found = outcome(command.args(["netns", "pids", &self.name])).stdout;
        for process in found.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)) {
            // It may have ended by itself.
            let _ = kill_process(process, Signal::KILL);
        }
    }

    /// From now on the wire for clients is dead: what is sent into it is lost.
    ///
    /// # Panics
    /// When that fails.
    pub fn kill_wire_of_clients(&self) {
        // At the far end, so that this host still believes in it.
        let device = format!("{}f", self.device(&CLIENTS));
        assert!(ip(&["-n", &self.name, "link", "set", &device, "down"]));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The other ends go with these; daemons that still run in it keep an empty network.
        for wire in [PARTNERS, CLIENTS] {
            ip(&["link", "delete", &self.device(&wire)]);
        }
        ip(&["netns", "delete", &self.name]);
    }
}

fn run_all(steps: &[String]) {
    for step in steps {
        assert!(ip(&step.split(' ').collect::<Vec<_>>()), "ip {step}");
    }
}

fn ip(arguments: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
