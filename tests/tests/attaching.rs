//! Who may attach, and that external ports are open only while somebody is attached.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::ErrorKind;

use testkit::{Ending, Peer, Plan, Signal, Station, digest};

fn is_closed(address: std::net::SocketAddr) -> bool {
    Peer::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Lines by which a proxy says that a client is attached.
const ATTACHED: [(&str, &str); 1] = [("event", "attached")];
const LOST: [(&str, &str); 1] = [("event", "lost")];

#[test]
fn external_ports_are_open_while_a_client_is_attached() {
    let (mut plan, _station) = Plan::to(Station::hashing, Station::address);
    plan.add_listener("second", plan.site.free_port());
    let externals = [plan.proxy.listeners[0].address, plan.proxy.listeners[1].address];
    let proxy = plan.proxy.start();
    assert!(externals.map(is_closed).iter().all(|&closed| closed), "nobody is attached yet");
    for round in 0..3 {
        let mark = proxy.mark();
        let mut client = plan.client.start();
        let attached = proxy.wait_after(mark, &ATTACHED);
        assert_eq!(attached.field("session"), client.wait(&ATTACHED).field("session"), "round {round}");
        for address in externals {
            proxy.wait_after(mark, &[("event", "listening"), ("address", &address.to_string())]);
            Peer::call(address);
        }
        client.kill();
        proxy.wait_after(mark, &LOST);
        for address in externals {
            proxy.wait_after(mark, &[("event", "closed"), ("address", &address.to_string())]);
            assert!(is_closed(address), "round {round}");
        }
    }
}

#[test]
fn ports_that_the_system_chooses_are_told() {
    let (mut plan, _station) = Plan::to(Station::hashing, Station::address);
    plan.proxy.internal.set_port(0);
    plan.proxy.listeners[0].address.set_port(0);
    let proxy = plan.proxy.start();
    let address = |line: testkit::Line| line.field("address").parse().unwrap();
    plan.client.proxies = vec![address(proxy.wait(&[("event", "listening"), ("door", "internal")]))];
    let _client = plan.client.start();
    let external = address(proxy.wait(&[("event", "listening"), ("listener", "default")]));
    let mut partner = Peer::call(external);
    partner.finish();
    assert_eq!(partner.receive_digest(), Some(digest(b"")));
}

#[test]
fn a_running_call_outlives_the_control_link() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.with_tunnel().start();
    let mut partner = chain.call();
    let mut called = station.accept();
    partner.send(b"before");
    assert_eq!(called.receive(6), b"before");
    let (mark, client_mark) = (chain.proxy.mark(), chain.client.mark());
    chain.tunnel().cut(|number| number == 0);
    chain.proxy.wait_after(mark, &LOST);
    chain.client.wait_after(client_mark, &LOST);
    called.send(b"after");
    assert_eq!(partner.receive(5), b"after");
    chain.wait_open(mark);
    chain.client.wait_after(client_mark, &ATTACHED);
    partner.send(b"and with the next session");
    partner.finish();
    let seen = called.rest();
    assert_eq!((&seen.head[..], seen.ending), (&b"and with the next session"[..], Ending::Fin));
    let mut other = chain.call();
    other.send(b"!");
    assert_eq!(station.accept().receive(1), b"!");
}

#[test]
fn an_unknown_client_is_named_with_the_line_that_admits_it() {
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let external = plan.proxy.listeners[0].address;
    let (own, file) = (plan.client.public_key(), plan.proxy.path("authorized"));
    let friend = testkit::ClientSetup::new(&plan.site, "friend").public_key();
    plan.proxy.trust(&[&friend]);
    let proxy = plan.proxy.start();
    let client = plan.client.start();
    let line = proxy.wait(&[("event", "turned_away")]).field("reason");
    assert!(line.contains(&format!("\"{own}\" to {}", file.display())), "{line}");
    let line = client.wait(&[("event", "not_attached")]).field("reason");
    assert!(
        line.contains(&format!("add the line \"{own}\" to the --authorized file of the proxy")),
        "{line}"
    );
    assert!(proxy.all(&ATTACHED).is_empty() && is_closed(external));
    // The operator does what the log says.
    plan.proxy.trust(&[&friend, &own]);
    plan.proxy.reload(&proxy);
    client.wait(&ATTACHED);
    proxy.wait(&[("event", "listening"), ("listener", "default")]);
    let mut partner = Peer::call(external);
    partner.finish();
    assert_eq!(partner.receive_digest(), Some(digest(b"")));
}

#[test]
fn an_unknown_proxy_is_named_with_the_line_that_admits_it() {
    let plan = Plan::new();
    let (key, file) = (plan.proxy.public_key(), plan.client.path("authorized"));
    plan.client.trust(&[&plan.client.public_key()]);
    let proxy = plan.proxy.start();
    let client = plan.client.start();
    let line = client.wait(&[("event", "not_attached")]).field("reason");
    let host = plan.site.address();
    assert!(line.contains(&format!("\"{host} {key}\" to {}", file.display())), "{line}");
    assert!(proxy.all(&ATTACHED).is_empty());
    plan.client.trust(&[&format!("{host} {key}")]);
    plan.client.reload(&client);
    client.wait(&ATTACHED);
}

#[test]
fn without_a_list_nobody_is_trusted() {
    for which in ["empty", "missing"] {
        let plan = Plan::new();
        match which {
            "empty" => plan.proxy.trust(&["# nobody yet"]),
            _ => std::fs::remove_file(plan.proxy.path("authorized")).unwrap(),
        }
        let proxy = plan.proxy.start();
        let client = plan.client.start();
        let file = plan.proxy.path("authorized").display().to_string();
        assert!(proxy.wait_saying(0, "no client is trusted yet").raw.contains(&file), "{which}");
        proxy.wait_saying(0, "with the unknown key");
        client.wait(&[("event", "not_attached")]);
        assert!(proxy.all(&ATTACHED).is_empty() && is_closed(plan.proxy.listeners[0].address), "{which}");
    }
    let plan = Plan::new();
    std::fs::remove_file(plan.client.path("authorized")).unwrap();
    let proxy = plan.proxy.start();
    let client = plan.client.start();
    client.wait_saying(0, "no proxy is trusted yet");
    client.wait_saying(0, "showed the unknown key");
    assert!(proxy.all(&ATTACHED).is_empty());
}

#[test]
fn a_key_that_was_taken_off_the_list_ends_its_session_but_no_call() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.start();
    let mut partner = chain.call();
    let mut called = station.accept();
    partner.send(b"a");
    called.receive(1);
    let mark = chain.proxy.mark();
    chain.plan.proxy.trust(&[]);
    chain.plan.proxy.reload(&chain.proxy);
    chain.proxy.wait_after(mark, &LOST);
    chain.proxy.wait_after(mark, &[("event", "closed")]);
    chain.client.wait(&LOST);
    assert!(is_closed(chain.external()));
    chain.client.wait_saying(0, "does not know this client");
    called.send(b"still running");
    assert_eq!(partner.receive(13), b"still running");
}

#[test]
fn a_file_that_cannot_be_trusted_changes_nothing() {
    let plan = Plan::new();
    let chain = plan.start();
    let mark = chain.proxy.mark();
    chain.plan.proxy.trust(&["this is no key"]);
    chain.proxy.signal(Signal::HUP);
    let line = chain.proxy.wait_saying(mark, "not reloaded");
    let file = chain.plan.proxy.path("authorized").display().to_string();
    assert!(line.raw.contains(&format!("{file}:1: ")), "{}", line.raw);
    assert_eq!(chain.call().ending(), Ending::Reset, "the client is still asked");
    chain.client.wait(&[("event", "call"), ("result", "refused")]);
}

/// A ClientHello of TLS 1.2 (RFC 5246, section 7.4.1.2) with one cipher suite and no extensions.
fn tls_1_2_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xC0, 0x2F, 1, 0]);
    let mut hello = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    hello.extend(body);
    hello
}

#[test]
fn strangers_at_the_internal_port_get_nothing_but_its_end() {
    let plan = Plan::new();
    let proxy = plan.proxy.start();
    let http = b"GET / HTTP/1.1\r\nHost: dmz\r\n\r\n".to_vec();
    let visits = [
        ("HTTP", http),
        ("TLS 1.2", tls_1_2_hello()),
        ("OFTP", vec![0x10, 0, 0, 0x17]),
        ("zeros", vec![0; 64]),
    ];
    for (what, bytes) in visits {
        let mut stranger = Peer::call(plan.proxy.internal);
        let own = stranger.own_address().to_string();
        stranger.send(&bytes);
        let seen = stranger.rest();
        // A TLS alert is all that TLS itself says: one record of two bytes (RFC 8446, section 6).
        let is_alert = seen.count == 7 && seen.head.starts_with(&[21, 3]);
        assert!(seen.count == 0 || is_alert, "{what}: {:02x?}", seen.head);
        proxy.wait(&[("event", "turned_away"), ("address", &own)]);
    }
}

#[test]
fn who_says_nothing_at_the_internal_port_is_closed_in_time() {
    let plan = Plan::new().step_s(1);
    let proxy = plan.proxy.start();
    let mut silent = Peer::call(plan.proxy.internal);
    let mut halting = Peer::call(plan.proxy.internal);
    halting.send(&tls_1_2_hello()[..7]);
    assert_eq!((silent.rest().count, halting.rest().count), (0, 0));
    proxy.wait_saying(0, "did not finish the handshake in time");
}
