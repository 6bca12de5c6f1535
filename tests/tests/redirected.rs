//! Stations that cannot be configured at all: the firewall redirects what they call, and a transparent forward carries
//! it to where it was going.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener};

use testkit::{Namespace, Peer, Plan, Station};

/// The local port of the transparent forward, in a namespace that nobody else is in.
const FORWARD: u16 = 13_305;

/// How a firewall is told to redirect what goes to a port.
#[derive(Clone, Copy, Debug)]
enum Firewall {
    Nftables,
    Iptables,
}

impl Firewall {
    /// Redirects, inside, what goes to `port`; false where this firewall is not installed.
    fn redirect(self, inside: &Namespace, port: u16) -> bool {
        let done = match self {
            Self::Nftables => {
                let rules = format!(
                    "table inet t {{\nchain out {{\ntype nat hook output priority -100\n\
                     tcp dport {port} redirect to :{FORWARD}\n}}\n}}\n"
                );
                inside.run(&["nft", "-f", "-"], &rules)
            }
            Self::Iptables => {
                let (port, forward) = (port.to_string(), FORWARD.to_string());
                let rule = [
                    "-t",
                    "nat",
                    "-A",
                    "OUTPUT",
                    "-p",
                    "tcp",
                    "--dport",
                    &port,
                    "-j",
                    "REDIRECT",
                    "--to-ports",
                    &forward,
                ];
                let both = ["iptables", "ip6tables"]
                    .map(|program| inside.run(&[&[program], &rule[..]].concat(), ""));
                let [v4, v6] = both;
                v4.and(v6)
            }
        };
        if done.is_none() {
            eprintln!("skipped: {self:?} cannot redirect here");
        }
        done.is_some()
    }
}

/// A chain whose client is in a namespace together with the station that is redirected. `None` where that is not possible.
fn chain() -> Option<(testkit::Chain, Namespace, Station)> {
    let inside = Namespace::new()?;
    inside.run(&["ip", "link", "set", "lo", "up"], "")?;
    inside.run(&["ip", "-6", "address", "add", "fd00::1", "dev", "lo"], "")?;
    let mut plan = Plan::new();
    plan.proxy.internal = inside.host(free_port(inside.host(0)));
    plan.client.proxies = vec![plan.proxy.internal];
    plan.client.room.namespace = Some(inside.name().to_owned());
    plan.client.outgoing_lines = format!(
        "[[outgoing.forward]]\nlisten = \"127.0.0.1:{FORWARD}\"\ntransparent = true\n\
         [[outgoing.forward]]\nlisten = \"[::1]:{FORWARD}\"\ntransparent = true\n"
    );
    let partner = Station::open_at(inside.host(0));
    // The address is one of the proxy's host, so that the rule has to name it.
    plan.proxy.outgoing = format!("allow = [\"{}\"]", partner.address());
    Some((plan.start(), inside, partner))
}

fn free_port(at: SocketAddr) -> u16 {
    TcpListener::bind(at).unwrap().local_addr().unwrap().port()
}

/// What a station hears that knows nothing of proxies, with bash alone.
fn call(inside: &Namespace, host: &str, port: u16) -> Option<String> {
    let script = format!("exec 3<>/dev/tcp/{host}/{port} && printf question >&3 && cat <&3");
    inside.run(&["timeout", "50", "bash", "-c", &script], "")
}

fn is_carried_to_where_it_was_going(firewall: Firewall) {
    let Some((chain, inside, partner)) = chain() else { return };
    let to = partner.address();
    if !firewall.redirect(&inside, to.port()) {
        return;
    }
    let heard = std::thread::scope(|scope| {
        let station = scope.spawn(|| call(&inside, &to.ip().to_string(), to.port()));
        let mut far: Peer = partner.accept();
        assert_eq!(far.receive(8), b"question");
        far.send(b"answer");
        drop(far);
        station.join().unwrap()
    });
    assert_eq!(heard.as_deref(), Some("answer"));
    let line = chain.client.wait(&[("event", "call"), ("direction", "out"), ("result", "ok")]);
    assert_eq!(line.field("destination"), to.to_string(), "{line:?}");
    // So is IPv6; whether the proxy may call there is another matter.
    assert_eq!(call(&inside, "fd00::1", to.port()).unwrap_or_default(), "");
    let destination = format!("[fd00::1]:{}", to.port());
    let line = chain.client.wait(&[("event", "call"), ("destination", &destination)]);
    assert_eq!(line.field("result"), "denied", "{line:?}");
    // Who connects to the port without the firewall was going nowhere.
    assert_eq!(call(&inside, "127.0.0.1", FORWARD).unwrap_or_default(), "");
    chain.client.wait_saying(0, "it was not redirected here by the firewall");
}

#[test]
fn what_nftables_redirects_is_carried_to_where_it_was_going() {
    is_carried_to_where_it_was_going(Firewall::Nftables);
}

#[test]
fn what_iptables_redirects_is_carried_to_where_it_was_going() {
    is_carried_to_where_it_was_going(Firewall::Iptables);
}
