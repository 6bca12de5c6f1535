//! Names are looked up anew at every connection.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;

use testkit::{Daemon, Ending, Peer, Plan, Program, Room, Site, Station, socks5};

/// A client that is told its target and its proxy by names, and sees `hosts` as `/etc/hosts`.
fn client_with_names(plan: &Plan, target_port: u16, hosts: PathBuf) -> Daemon {
    let proxy = format!("proxy.test:{}", plan.proxy.internal.port());
    let target = format!("station.test:{target_port}");
    let (key, authorized) = (plan.client.path("key"), plan.client.path("authorized"));
    let (key, authorized) = (key.to_str().unwrap(), authorized.to_str().unwrap());
    let flags =
        ["-f", "--log-format", "json", "-c", "/dev/null", "--status", "off", "-k", key, "-a", authorized];
    let flags = flags.into_iter().chain(["-e", &proxy, "-i", &target]);
    Daemon::start("client", Program::Client, flags, &Room { hosts: Some(hosts), ..Room::default() })
}

#[test]
fn a_name_that_moves_is_followed_without_a_restart() {
    if !testkit::is_root("another /etc/hosts for one process") {
        return;
    }
    let plan = Plan::new();
    let here = Station::open(&plan.site);
    let other_site = Site::new();
    let there = Station::open_at((other_site.address(), here.address().port()).into());
    let path = plan.site.path("hosts");
    let hosts = |station: &Station| {
        let (proxy, station) = (plan.proxy.internal.ip(), station.address().ip());
        // Into the file that is there: the client's view of it is bound to that.
        std::fs::write(&path, format!("{proxy} proxy.test\n{station} station.test\n")).unwrap();
    };
    hosts(&here);
    let proxy = plan.proxy.start();
    let client = client_with_names(&plan, here.address().port(), path.clone());
    client.wait(&[("event", "attached")]);
    let external = proxy.wait(&[("event", "listening"), ("listener", "default")]).field("address");

    for station in [&here, &there, &here] {
        hosts(station);
        let mut partner = Peer::call(external.parse().unwrap());
        let mut called = station.accept();
        partner.send(b"hello");
        assert_eq!(called.receive(5), b"hello");
        partner.finish();
        assert_eq!(called.ending(), Ending::Fin);
    }
}

#[test]
fn a_name_that_points_at_the_dmz_host_itself_is_no_way_in() {
    if !testkit::is_root("an /etc/hosts of its own for the proxy") {
        return;
    }
    let mut plan = Plan::new().calling_out(&["*:*"]);
    let hosts = [
        ("127.0.0.1", "loopback.example"),
        ("::1", "loopback6.example"),
        ("::ffff:127.0.0.1", "mapped.example"),
        ("2002:7f00:1::1", "sixtofour.example"),
        ("64:ff9b::7f00:1", "nat64.example"),
        ("0.0.0.0", "unspecified.example"),
        ("169.254.169.254", "metadata.example"),
        ("ff02::1", "multicast.example"),
    ];
    let text: String = hosts.iter().map(|(ip, name)| format!("{ip} {name}\n")).collect();
    plan.proxy.room.hosts = Some(plan.site.write("hosts", &text));
    let port = plan.proxy.internal.port();
    let chain = plan.start();
    for (ip, name) in hosts {
        assert_eq!(socks5(chain.outgoing(), name, port).0, 2, "{name}");
        assert_eq!(socks5(chain.outgoing(), ip, port).0, 2, "{ip}");
    }
    assert_eq!(
        socks5(chain.outgoing(), "2130706433", port).0,
        1,
        "no host name, and nobody takes it for an address"
    );
}
