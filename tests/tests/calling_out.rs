//! The station calls its partners.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use testkit::{
    Chain, Ending, Peer, Plan, Signal, Station, digest, exchange, http_connect, pattern, socks5,
    socks5_request, socks5_to, wait_until,
};

fn ask(chain: &Chain, to: SocketAddr) -> (u8, Peer) {
    socks5_to(chain.outgoing(), to)
}

#[test]
fn bytes_pass_both_ways_and_the_ends_pass_as_they_are() {
    let plan = Plan::new().calling_here();
    let partner = Station::open(&plan.site);
    let chain = plan.start();
    let (code, station) = ask(&chain, partner.address());
    assert_eq!(code, 0);
    let bytes = [3, 4].map(|seed| pattern(seed, 16 << 20));
    let seen = exchange(&[station, partner.accept()], &bytes);
    for (seen, sent) in seen.iter().zip(bytes.iter().rev()) {
        assert_eq!((seen.count, seen.ending, seen.digest), (16 << 20, Ending::Fin, digest(sent)));
    }
    // A half-close is one, and the answer behind it arrives.
    let (_, mut station) = ask(&chain, partner.address());
    let mut far = partner.accept();
    station.send(b"a question");
    station.finish();
    assert_eq!(far.rest().head, b"a question");
    far.send(b"an answer");
    drop(far);
    assert_eq!(station.rest().head, b"an answer");
    // A reset is one, in both directions.
    let (_, station) = ask(&chain, partner.address());
    let mut far = partner.accept();
    station.reset();
    assert_eq!(far.ending(), Ending::Reset);
    let (_, mut station) = ask(&chain, partner.address());
    partner.accept().reset();
    assert_eq!(station.ending(), Ending::Reset);
}

#[test]
fn both_logs_name_both_ends_under_one_id() {
    let plan = Plan::new().calling_here();
    let partner = Station::open(&plan.site);
    let chain = plan.start();
    let (_, mut station) = ask(&chain, partner.address());
    let mut far = partner.accept();
    station.send(b"12345");
    far.send(b"123");
    assert_eq!((far.receive(5), station.receive(3)), (b"12345".to_vec(), b"123".to_vec()));
    let own = station.own_address().to_string();
    station.finish();
    assert_eq!(far.ending(), Ending::Fin);
    drop(far);
    assert_eq!(station.ending(), Ending::Fin);
    let outer = chain.proxy.wait(&[("event", "call"), ("direction", "out")]);
    let inner = chain.client.wait(&[("event", "call"), ("call", &outer.field("call"))]);
    for line in [&outer, &inner] {
        for (name, value) in [
            ("direction", "out"),
            ("listener", "outgoing"),
            ("partner", &partner.address().to_string()),
            ("target", &own),
            ("destination", &partner.address().to_string()),
            ("result", "ok"),
            ("ended_by", "target"),
            ("bytes_in", "3"),
            ("bytes_out", "5"),
        ] {
            assert_eq!(line.field(name), value, "{name} in {line:?}");
        }
    }
}

#[test]
fn a_partner_that_speaks_first_is_heard_and_what_comes_with_the_request_is_payload() {
    const READY: &[u8] = b"IODETTE FTP READY \r";
    let plan = Plan::new().calling_here();
    let greeting = Station::greeting(&plan.site, READY);
    let hashing = Station::hashing(&plan.site);
    let chain = plan.start();
    let (_, mut station) = ask(&chain, greeting.address());
    assert_eq!(station.receive(READY.len()), READY);
    // Greeting, request and payload in one piece, as a station may send them that knows the answers.
    let to = hashing.address();
    let payload = pattern(7, 5_000);
    let mut station = Peer::call(chain.outgoing());
    station.send(&[&[5, 1, 0], &socks5_request(&to.ip().to_string(), to.port())[..], &payload].concat());
    station.finish();
    assert_eq!(station.receive(12)[..3], [5, 0, 5]);
    assert_eq!(station.receive_digest(), Some(digest(&payload)));
}

#[test]
fn every_reason_has_its_code() {
    let plan = Plan::new();
    let here = format!("{}:*", plan.site.address());
    // 192.0.2.0/24 and 2001:db8::/32 are documentation (RFC 5737, RFC 3849): nobody has them.
    let plan = plan.calling_out(&[&here, "unknown.invalid:*", "[2001:db8::/32]:*"]);
    let closed = plan.site.free_port();
    let chain = plan.start();
    let cases = [
        ("refused", closed.ip().to_string(), closed.port(), 5, 502, "refused", "partner"),
        ("unknown", String::from("unknown.invalid"), 6619, 4, 502, "refused", "partner"),
        ("forbidden", String::from("192.0.2.7"), 6619, 2, 403, "denied", "tunnel"),
        ("this host", String::from("localhost"), 6619, 2, 403, "denied", "tunnel"),
    ];
    for (what, host, port, code, status, result, ended_by) in cases {
        let mark = chain.proxy.mark();
        let (reply, mut station) = socks5(chain.outgoing(), &host, port);
        assert_eq!(reply, code, "{what}");
        assert_eq!(station.ending(), Ending::Fin, "{what}: the answer is not lost behind a reset");
        let destination = format!("{host}:{port}");
        let line = chain.proxy.wait_after(mark, &[("event", "call"), ("destination", &destination)]);
        assert_eq!(
            (line.field("result"), line.field("ended_by")),
            (result.into(), ended_by.into()),
            "{line:?}"
        );
        let inner = chain.client.wait(&[("event", "call"), ("call", &line.field("call"))]);
        assert_eq!(inner.field("result"), result, "{inner:?}");
        assert_eq!(http_connect(chain.outgoing(), &destination).0, status, "{what}");
    }
    let (reply, _) = socks5(chain.outgoing(), "2001:db8::7", 6619);
    assert!([3, 4].contains(&reply), "there is no way to an address that nobody has: {reply}");
}

#[test]
fn without_a_proxy_a_station_is_told_so_at_once() {
    let plan = Plan::new().calling_here();
    let client = plan.client.start();
    let at = plan.client.outgoing.unwrap();
    assert_eq!(socks5(at, "192.0.2.7", 6619).0, 1);
    assert_eq!(http_connect(at, "192.0.2.7:6619").0, 503);
    let line = client.wait(&[("event", "call"), ("direction", "out")]);
    assert_eq!((line.field("result"), line.field("partner")), ("refused".into(), "-".into()), "{line:?}");
}

#[test]
fn a_forward_is_one_partner_each() {
    let mut plan = Plan::new().calling_here();
    let greetings: [&'static [u8]; 2] = [b"first", b"second"];
    let partners = greetings.map(|greeting| Station::greeting(&plan.site, greeting));
    let ports = [plan.site.free_port(), plan.site.free_port()];
    let closed = (plan.site.free_port(), plan.site.free_port());
    for (port, to) in ports.iter().zip(partners.iter().map(Station::address)).chain([(&closed.0, closed.1)]) {
        let forward = format!("[[outgoing.forward]]\nlisten = \"{port}\"\nto = \"{to}\"\n");
        plan.client.outgoing_lines.push_str(&forward);
    }
    let chain = plan.start();
    for (port, greeting) in ports.into_iter().zip(greetings) {
        assert_eq!(Peer::call(port).receive(greeting.len()), greeting);
    }
    assert_eq!(Peer::call(closed.0).ending(), Ending::Reset, "nobody can be told in other words");
    let name = format!("forward-{}", closed.0.port());
    chain.client.wait(&[("event", "call"), ("listener", &name), ("result", "refused")]);
}

#[test]
fn a_station_that_says_nothing_right_is_turned_away_and_costs_no_call() {
    let mut plan = Plan::new().calling_here();
    plan.client.outgoing_lines = String::from("users = { station = \"secret\" }");
    let chain = plan.start();
    let mut scanner = Peer::call(chain.outgoing());
    scanner.send(b"\x16\x03\x01\x02\x00\x01");
    assert_eq!(scanner.ending(), Ending::Fin);
    let mut stranger = Peer::call(chain.outgoing());
    stranger.send(&[5, 1, 0]);
    assert_eq!(stranger.rest().head, [5, 0xff]);
    let mut guesser = Peer::call(chain.outgoing());
    guesser.send(b"\x05\x01\x02\x01\x07station\x06secreT");
    assert_eq!(guesser.rest().head, [5, 2, 1, 1]);
    assert_eq!(http_connect(chain.outgoing(), "a.example:6619").0, 407);
    chain.client.wait_saying(0, "are not in [outgoing] users");
    assert!(chain.proxy.all(&[("event", "call")]).is_empty(), "nothing of it reached the proxy");
}

#[test]
fn a_station_that_is_not_listed_is_reset_and_logged() {
    let mut plan = Plan::new().calling_here();
    let partner = Station::greeting(&plan.site, b"ready");
    let port = plan.site.free_port().port();
    // Any device, and everybody on this host has the address of loopback or of this site.
    plan.client.outgoing = Some(SocketAddr::from(([0, 0, 0, 0], port)));
    plan.client.outgoing_lines = format!("from = [\"{}\"]", plan.site.address());
    let chain = plan.start();
    let here = SocketAddr::from((chain.plan.site.address(), port));
    let mut welcome = Peer::connect_from(chain.plan.site.address(), here).unwrap();
    welcome.send(
        &[&[5, 1, 0], &socks5_request(&partner.address().ip().to_string(), partner.address().port())[..]]
            .concat(),
    );
    assert_eq!(welcome.receive(12)[3], 0);
    let mut stranger = Peer::connect_from("127.0.0.1".parse().unwrap(), here).unwrap();
    assert_eq!(stranger.ending(), Ending::Reset);
    let line = chain.client.wait(&[("event", "turned_away"), ("listener", "outgoing")]);
    assert!(line.field("address").starts_with("127.0.0.1:"), "{line:?}");
}

#[test]
fn the_inside_decides_too() {
    let mut plan = Plan::new().calling_here();
    let partners = [Station::greeting(&plan.site, b"ready"), Station::greeting(&plan.site, b"ready")];
    plan.client.outgoing_lines = format!("allow = [\"{}\"]", partners[0].address());
    let chain = plan.start();
    assert_eq!(ask(&chain, partners[0].address()).0, 0);
    assert_eq!(ask(&chain, partners[1].address()).0, 2);
    let line = chain.client.wait(&[("event", "call"), ("result", "denied")]);
    assert!(line.field("reason").contains("of this client"), "{line:?}");
    assert!(chain.proxy.all(&[("event", "call"), ("result", "denied")]).is_empty());
}

#[test]
fn a_partner_is_called_from_the_address_that_it_expects() {
    let mut plan = Plan::new().calling_here();
    let partner = Station::serving(&plan.site, |mut peer| {
        let from = peer.peer_address().ip().to_string();
        // The station may have gone.
        let _ = peer.try_send(from.as_bytes());
    });
    let to = partner.address();
    plan.proxy.outgoing.push_str(&format!("\n[[outgoing.source]]\nto = \"{to}\"\nfrom = \"127.0.0.9\"\n"));
    let chain = plan.start();
    let (code, mut station) = ask(&chain, to);
    assert_eq!((code, station.rest().head), (0, b"127.0.0.9".to_vec()));
}

#[test]
fn each_role_can_be_switched_off() {
    // A pair that only calls out: no target, and so no external port.
    let mut plan = Plan::new().calling_here();
    let partner = Station::greeting(&plan.site, b"ready");
    plan.client.targets.clear();
    let proxy = plan.proxy.start();
    let client = plan.client.start();
    client.wait_saying(0, "attached");
    let (code, mut station) = socks5_to(plan.client.outgoing.unwrap(), partner.address());
    assert_eq!((code, station.receive(5)), (0, b"ready".to_vec()));
    let external = plan.proxy.listeners[0].address;
    assert!(Peer::connect(external).is_err(), "a port is open, and nobody would take its calls");
    // A client that gets a target opens it, and closes it again.
    let mark = proxy.mark();
    plan.client.aim(partner.address());
    plan.client.reload(&client);
    proxy.wait_after(mark, &[("event", "listening"), ("address", &external.to_string())]);
    assert_eq!(Peer::call(external).receive(5), b"ready");
    let mark = proxy.mark();
    plan.client.targets.clear();
    plan.client.reload(&client);
    proxy.wait_after(mark, &[("event", "closed"), ("address", &external.to_string())]);
    // A proxy that only receives.
    plan.proxy.outgoing = String::from("allow = []");
    plan.proxy.reload(&proxy);
    let to = partner.address();
    assert_eq!(socks5_to(plan.client.outgoing.unwrap(), to).0, 2);
}

#[test]
fn local_ports_follow_a_reload_and_running_calls_survive_it() {
    let mut plan = Plan::new().calling_here();
    let partner = Station::open(&plan.site);
    let chain = plan.start();
    let (_, mut station) = ask(&chain, partner.address());
    let mut far = partner.accept();
    plan = chain.plan;
    let (old, new) = (plan.client.outgoing.unwrap(), plan.site.free_port());
    plan.client.outgoing = Some(new);
    plan.client.reload(&chain.client);
    wait_until("the old port is closed", || Peer::connect(old).is_err());
    let (code, _second) = socks5_to(new, partner.address());
    assert_eq!(code, 0);
    station.send(b"still here");
    assert_eq!(far.receive(10), b"still here");
    // A port that is taken changes nothing.
    let taken = Station::open(&plan.site);
    plan.client.outgoing = Some(taken.address());
    plan.client.write();
    let mark = chain.client.mark();
    chain.client.signal(Signal::HUP);
    chain.client.wait_saying(mark, "address already in use");
    assert_eq!(socks5_to(new, partner.address()).0, 0);
}

#[test]
fn a_drain_lets_running_calls_end_and_takes_no_more() {
    let plan = Plan::new().calling_here();
    let partner = Station::open(&plan.site);
    let mut chain = plan.start();
    let (_, mut station) = ask(&chain, partner.address());
    let mut far = partner.accept();
    chain.client.signal(Signal::TERM);
    chain.client.wait(&[("event", "drain"), ("calls", "1")]);
    wait_until("the local port is closed", || Peer::connect(chain.outgoing()).is_err());
    station.send(b"the rest");
    station.finish();
    assert_eq!(far.rest().head, b"the rest");
    drop(far);
    assert_eq!(station.ending(), Ending::Fin);
    assert!(chain.client.wait_end().success());
}

#[test]
fn a_crowd_of_stations_leaves_descriptors_for_partners() {
    let mut plan = Plan::new().calling_here();
    let station = Station::greeting(&plan.site, b"ready");
    plan.client.aim(station.address());
    plan.client.room.open_files = Some(120);
    let chain = plan.start();
    // As many as say nothing; those beyond the places are reset at once.
    let crowd: Vec<Peer> = (0..60).filter_map(|_| Peer::connect(chain.outgoing()).ok()).collect();
    chain.client.wait_saying(0, "as many calls as the descriptors allow");
    assert_eq!(chain.call().receive(5), b"ready");
    drop(crowd);
}
