//! Several clients at one proxy, and several proxies at one client.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{Chain, ClientSetup, Daemon, Ending, Peer, Plan, ProxySetup, Station, digest};

const ATTACHED: [(&str, &str); 1] = [("event", "attached")];
const LOST: [(&str, &str); 1] = [("event", "lost")];

/// A second client at the proxy of a chain, with a target of its own.
fn second_client(chain: &Chain, target: std::net::SocketAddr) -> (ClientSetup, Daemon) {
    let mut setup = ClientSetup::new(&chain.plan.site, "second");
    setup.proxies = vec![chain.plan.proxy.internal];
    setup.trust(&[&chain.plan.proxy.public_key()]);
    setup.aim(target);
    chain.plan.proxy.trust(&[&chain.plan.client.public_key(), &setup.public_key()]);
    chain.plan.proxy.reload(&chain.proxy);
    let client = setup.start();
    client.wait(&ATTACHED);
    (setup, client)
}

/// A call that is greeted by this station and is held open.
fn greeted(chain: &Chain) -> (Peer, u8) {
    let mut partner = chain.call();
    let greeting = partner.receive(1)[0];
    (partner, greeting)
}

#[test]
fn the_least_busy_client_is_asked_first() {
    let (plan, _first) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let chain = plan.start();
    let second = Station::greeting(&chain.plan.site, b"2");
    let (_setup, _client) = second_client(&chain, second.address());
    let (mut calls, mut greetings) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let (partner, greeting) = greeted(&chain);
        calls.push(partner);
        greetings.push(greeting);
    }
    greetings.sort_unstable();
    assert_eq!(greetings, b"111222");
}

#[test]
fn where_one_target_is_down_the_other_client_is_asked() {
    let chain = Plan::new().start();
    let healthy = Station::hashing(&chain.plan.site);
    let (_setup, _client) = second_client(&chain, healthy.address());
    for _ in 0..10 {
        let mut partner = chain.call();
        partner.send(b"is anybody there?");
        partner.finish();
        assert_eq!(partner.receive_digest(), Some(digest(b"is anybody there?")));
    }
    chain.client.wait(&[("event", "call"), ("result", "refused")]);
    assert!(chain.proxy.all(&[("event", "call"), ("result", "refused")]).is_empty());
}

#[test]
fn where_all_targets_are_down_the_partner_is_refused() {
    let chain = Plan::new().start();
    let (_setup, second) = second_client(&chain, chain.plan.site.free_port());
    assert_eq!(chain.call().ending(), Ending::Reset);
    let id = chain.proxy.wait(&[("event", "call"), ("result", "refused")]).field("call");
    for client in [&chain.client, &second] {
        client.wait(&[("event", "call"), ("result", "refused"), ("call", &id)]);
    }
}

#[test]
fn calls_of_a_killed_client_end_and_new_ones_go_to_the_other() {
    let (plan, _first) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let mut chain = plan.start();
    let second = Station::greeting(&chain.plan.site, b"2");
    let (_setup, _client) = second_client(&chain, second.address());
    let calls: Vec<_> = (0..4).map(|_| greeted(&chain)).collect();
    let mark = chain.proxy.mark();
    chain.client.kill();
    // Whether it has been noticed already or not.
    let after: Vec<_> = (0..4).map(|_| greeted(&chain)).collect();
    assert!(after.iter().all(|(_, greeting)| *greeting == b'2'));
    chain.proxy.wait_after(mark, &LOST);
    for (mut partner, greeting) in calls {
        if greeting == b'1' {
            assert_eq!(partner.ending(), Ending::Reset);
        } else {
            partner.finish();
            assert_eq!(partner.ending(), Ending::Fin);
        }
    }
    assert!(chain.proxy.all(&[("event", "closed")]).is_empty());
}

#[test]
fn a_client_serves_several_proxies_and_none_waits_for_another() {
    let (plan, station) = Plan::to(Station::hashing, Station::address);
    let mut plan = plan;
    let second = ProxySetup::new(&plan.site, "second");
    second.trust(&[&plan.client.public_key()]);
    plan.client.trust(&[&plan.proxy.public_key(), &second.public_key()]);
    // The third is not there at all.
    plan.client.proxies.extend([second.internal, plan.site.free_port()]);
    let mut chain = plan.start();
    chain.client.wait_saying(0, "cannot connect to the proxy");
    let mark = chain.client.mark();
    let proxy = second.start();
    chain.client.wait_after(mark, &[("event", "attached"), ("proxy", &second.internal.to_string())]);
    proxy.wait(&[("event", "listening"), ("listener", "default")]);
    let works = |address| {
        let mut partner = Peer::call(address);
        partner.send(b"hello");
        partner.finish();
        assert_eq!(partner.receive_digest(), Some(digest(b"hello")));
    };
    works(chain.external());
    works(second.listeners[0].address);
    let mark = chain.client.mark();
    chain.proxy.kill();
    chain.client.wait_after(mark, &LOST);
    works(second.listeners[0].address);
    assert!(proxy.all(&LOST).is_empty());
    drop(station);
}
