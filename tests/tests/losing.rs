//! What is lost, and what comes back by itself: killed daemons, frozen ones, dead wires.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{Chain, Ending, Log, Namespace, Peer, Plan, Station, digest, pattern, wait_until};

const ATTACHED: [(&str, &str); 1] = [("event", "attached")];
const LOST: [(&str, &str); 1] = [("event", "lost")];

/// Lines of the debug log.
const LINK_STANDS: &[(&str, &str)] = &[("message", "link stands")];
const LINK_ENDS: &[(&str, &str)] = &[("message", "link ends")];
const LINK_IS_SILENT: &[(&str, &str)] = &[("message", "nothing was heard on a link on standby for too long")];

/// Waits until a daemon has written so many lines that have these fields.
fn wait_for_lines(what: &str, log: &Log, fields: &[(&str, &str)], count: usize) {
    wait_until(what, || log.all(fields).len() >= count);
}

/// Shows that calls work.
fn call_works(chain: &Chain, station: &Station) {
    let [mut partner, mut called] = chain.running_call(station);
    let bytes = pattern(3, 50_000);
    partner.send(&bytes);
    partner.finish();
    let seen = called.rest();
    assert_eq!((seen.digest, seen.ending), (digest(&bytes), Ending::Fin));
    drop(called);
    assert_eq!(partner.ending(), Ending::Fin);
}

#[test]
fn a_killed_client_is_a_reset_for_the_partner_and_comes_back() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let mut chain = plan.start();
    let [mut silent, _called] = chain.running_call(&station);
    let [mut receiving, mut sending] = chain.running_call(&station);
    let [mut finished, mut hearing] = chain.running_call(&station);
    sending.send(&pattern(1, 100_000));
    receiving.receive(50_000);
    finished.finish();
    assert_eq!(hearing.ending(), Ending::Fin);
    let mark = chain.proxy.mark();
    chain.client.kill();
    for partner in [&mut silent, &mut receiving, &mut finished] {
        assert_eq!(partner.ending(), Ending::Reset);
    }
    chain.proxy.wait_after(mark, &[("event", "closed")]);
    chain.proxy.wait_after(mark, &[("event", "call"), ("result", "aborted"), ("ended_by", "tunnel")]);
    let mark = chain.proxy.mark();
    chain.client = chain.plan.client.start();
    chain.wait_open(mark);
    call_works(&chain, &station);
}

#[test]
fn a_killed_proxy_is_a_reset_for_the_station_and_the_client_returns_to_it() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let mut chain = plan.start();
    let [_partner, mut silent] = chain.running_call(&station);
    let [mut sending, mut receiving] = chain.running_call(&station);
    sending.send(&pattern(1, 100_000));
    receiving.receive(50_000);
    for _ in 0..2 {
        let mark = chain.client.mark();
        chain.proxy.kill();
        chain.client.wait_after(mark, &LOST);
        chain.proxy = chain.plan.proxy.start();
        chain.client.wait_after(mark, &ATTACHED);
        chain.wait_open(0);
        call_works(&chain, &station);
    }
    assert_eq!(silent.ending(), Ending::Reset);
    assert_eq!(receiving.ending(), Ending::Reset);
    chain.client.wait(&[("event", "call"), ("result", "aborted"), ("ended_by", "tunnel")]);
}

#[test]
fn a_frozen_client_is_noticed_and_returns_when_it_wakes() {
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let chain = plan.step_s(2).start();
    let mark = chain.proxy.mark();
    chain.client.freeze();
    let mut waiting = chain.call();
    let lost = chain.proxy.wait_after(mark, &LOST);
    assert!(lost.field("reason").contains("nothing was heard"), "{}", lost.raw);
    chain.proxy.wait_after(mark, &[("event", "closed")]);
    assert!(Peer::connect(chain.external()).is_err());
    assert_eq!(waiting.ending(), Ending::Reset, "nobody has taken the call");
    let mark = chain.proxy.mark();
    chain.client.wake();
    chain.wait_open(mark);
    let mut partner = chain.call();
    partner.send(b"awake?");
    partner.finish();
    assert_eq!(partner.receive_digest(), Some(digest(b"awake?")));
}

#[test]
fn a_frozen_proxy_is_noticed() {
    let plan = Plan::new().step_s(2);
    let chain = plan.start();
    let mark = chain.client.mark();
    chain.proxy.freeze();
    let lost = chain.client.wait_after(mark, &LOST);
    assert!(lost.field("reason").contains("nothing was heard"), "{}", lost.raw);
    let mark = chain.client.mark();
    chain.proxy.wake();
    chain.client.wait_after(mark, &ATTACHED);
}

#[test]
fn a_dead_wire_is_noticed_at_both_ends_and_the_ghost_hinders_nobody() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.step_s(2).with_tunnel().start();
    let (mark, client_mark) = (chain.proxy.mark(), chain.client.mark());
    let before = chain.tunnel().count();
    chain.tunnel().freeze(|_| true);
    chain.client.wait_after(client_mark, &LOST);
    chain.client.wait_after(client_mark, &ATTACHED);
    chain.proxy.wait_after(mark, &LOST);
    assert!(chain.tunnel().count() > before);
    wait_until("the external port is open", || {
        Peer::connect(chain.external()).is_ok_and(|partner| {
            // The station hears of it as well.
            drop(partner);
            station.accept().ending() == Ending::Fin
        })
    });
    call_works(&chain, &station);
}

#[test]
fn a_wire_that_acknowledges_nothing_ends_running_calls_by_resets() {
    let Some(namespace) = Namespace::new() else { return };
    let (mut plan, station) = Plan::to(Station::open, Station::address);
    plan.proxy.room.namespace = Some(namespace.name().to_owned());
    plan.proxy.internal = namespace.internal(65_432);
    plan.proxy.listeners[0].address = namespace.external(6_619);
    plan.client.proxies = vec![plan.proxy.internal];
    let chain = plan.step_s(2).start();
    let [mut silent, mut silent_called] = chain.running_call(&station);
    let [mut sending, mut receiving] = chain.running_call(&station);
    let (mark, client_mark) = (chain.proxy.mark(), chain.client.mark());
    namespace.kill_wire_of_clients();
    sending.send(b"into the void");
    receiving.send(b"into the void");
    for end in [&mut silent, &mut silent_called, &mut sending, &mut receiving] {
        assert_eq!(end.ending(), Ending::Reset);
    }
    chain.proxy.wait_after(mark, &LOST);
    chain.proxy.wait_after(mark, &[("event", "closed")]);
    chain.client.wait_after(client_mark, &LOST);
}

#[test]
fn a_client_that_returns_does_not_wait_for_its_ghost() {
    let (mut plan, station) = Plan::to(Station::open, Station::address);
    // The proxy would take this long to notice that the first session is dead.
    plan.proxy.step_s = 30;
    plan.client.step_s = 1;
    let chain = plan.with_tunnel().start();
    let (mark, client_mark) = (chain.proxy.mark(), chain.client.mark());
    chain.tunnel().freeze(|_| true);
    chain.client.wait_after(client_mark, &ATTACHED);
    chain.proxy.wait_after(mark, &ATTACHED);
    assert!(chain.proxy.all(&LOST).is_empty(), "the proxy still believes in the ghost");
    // The first call may be put to the ghost first; its partner notices nothing but some seconds.
    for _ in 0..3 {
        call_works(&chain, &station);
    }
}

#[test]
fn two_clients_with_one_key_do_not_evict_each_other() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let twin = plan.client.clone();
    let mut chain = plan.step_s(2).start();
    let mark = chain.proxy.mark();
    let twin = twin.start();
    chain.proxy.wait_after(mark, &ATTACHED);
    twin.wait(&ATTACHED);
    // As long as it takes for eviction to be noticed and answered: a silent call that -T does not end.
    let mut dripping = chain.running_call(&station);
    dripping[0].finish();
    assert_eq!(dripping[1].ending(), Ending::Fin);
    assert_eq!(dripping[0].ending(), Ending::Reset, "reaped after -T");
    assert!(chain.proxy.all(&LOST).is_empty());
    let mark = chain.proxy.mark();
    chain.client.kill();
    chain.proxy.wait_after(mark, &LOST);
    assert!(chain.proxy.all(&[("event", "closed")]).is_empty(), "the other one is still there");
    call_works(&chain, &station);
    assert!(twin.all(&LOST).is_empty());
}

#[test]
fn standby_links_that_were_cut_are_not_noticed_by_partners() {
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let chain = plan.with_tunnel().start();
    for seed in 0..40 {
        let bytes = pattern(seed, 30_000);
        let mut partner = chain.call();
        partner.send(&bytes);
        partner.finish();
        assert_eq!(partner.receive_digest(), Some(digest(&bytes)), "call {seed}");
        chain.tunnel().cut(|number| number != 0);
    }
    assert!(chain.proxy.all(&LOST).is_empty());
    assert!(chain.proxy.all(&[("event", "call"), ("result", "refused")]).is_empty());
}

#[test]
fn standby_links_that_went_silent_are_replaced_before_a_call_meets_them() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.step_s(2).with_tunnel().debugging().start();
    wait_for_lines("links stand by", &chain.proxy, LINK_STANDS, 2);
    chain.tunnel().freeze(|number| number != 0);
    // Each end finds out by itself, and the client opens others.
    wait_for_lines("the proxy misses its answers", &chain.proxy, LINK_ENDS, 2);
    wait_for_lines("the client hears nothing", &chain.client, LINK_IS_SILENT, 2);
    wait_for_lines("other links stand by", &chain.proxy, LINK_STANDS, 4);
    call_works(&chain, &station);
    assert_eq!(chain.proxy.all(LINK_ENDS).len(), 2, "the call has met no dead link");
    assert!(chain.proxy.all(&LOST).is_empty() && chain.client.all(&LOST).is_empty());
}

#[test]
fn standby_links_that_live_are_kept() {
    let (plan, _station) = Plan::to(Station::open, Station::address);
    let chain = plan.step_s(2).with_tunnel().debugging().start();
    wait_for_lines("links stand by", &chain.proxy, LINK_STANDS, 2);
    // One of them dies and is found. The other has been asked as often meanwhile.
    chain.tunnel().freeze(|number| number == 1);
    wait_for_lines("the proxy misses an answer", &chain.proxy, LINK_ENDS, 1);
    wait_for_lines("another link stands by", &chain.proxy, LINK_STANDS, 3);
    assert_eq!(chain.proxy.all(LINK_ENDS).len(), 1);
    assert_eq!(chain.client.all(LINK_IS_SILENT).len(), 1);
}

/// The same before a heartbeat has found them.
#[test]
fn standby_links_that_went_silent_cost_time_and_no_call() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.with_tunnel().debugging().start();
    call_works(&chain, &station);
    wait_for_lines("links stand by", &chain.proxy, LINK_STANDS, 3);
    chain.tunnel().freeze(|number| number != 0);
    call_works(&chain, &station);
    assert!(!chain.proxy.all(LINK_ENDS).is_empty(), "the call has met dead links");
    assert!(chain.proxy.all(&LOST).is_empty());
}

#[test]
fn heartbeats_are_not_starved_by_big_transfers() {
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let chain = plan.step_s(2).start();
    let bytes = pattern(9, 48 << 20);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut partner = chain.call();
                partner.send(&bytes);
                partner.finish();
                assert_eq!(partner.receive_digest(), Some(digest(&bytes)));
            });
        }
    });
    assert!(chain.proxy.all(&LOST).is_empty() && chain.client.all(&LOST).is_empty());
}
