//! Crowds at the internal port, and more calls than there are descriptors.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use testkit::{Ending, Peer, Plan, Station, digest, open_files_for, pattern, wait_until};

/// Connections to `address` from so many addresses in turn.
fn crowd(address: SocketAddr, count: usize, addresses: usize) -> Vec<Peer> {
    let own = |number: usize| Ipv4Addr::new(127, 255, 1, 1 + (number % addresses) as u8);
    (0..count).map(|number| Peer::connect_from(own(number), address).unwrap()).collect()
}

#[test]
fn a_crowd_at_the_internal_port_does_not_delay_a_genuine_login() {
    let each = open_files_for(2_000) / 2;
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let proxy = plan.proxy.start();
    let mut dripping = crowd(plan.proxy.internal, each, 20);
    // From the address that the client has as well.
    let silent: Vec<Peer> = (0..each).map(|_| Peer::call(plan.proxy.internal)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // The beginning of a TLS record, byte by byte, on all of them; those that were closed are replaced.
            for byte in [22, 3, 1, 1, 0].into_iter().chain(std::iter::repeat(0)) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                for (number, peer) in dripping.iter_mut().enumerate() {
                    if peer.try_send(&[byte]).is_err() {
                        let own = Ipv4Addr::new(127, 255, 2, 1 + (number % 20) as u8);
                        *peer = Peer::connect_from(own, plan.proxy.internal).unwrap();
                    }
                }
            }
        });
        let client = plan.client.start();
        client.wait(&[("event", "attached")]);
        proxy.wait(&[("event", "listening"), ("listener", "default")]);
        for seed in 0..10 {
            let bytes = pattern(seed, 20_000);
            let mut partner = Peer::call(plan.proxy.listeners[0].address);
            partner.send(&bytes);
            partner.finish();
            assert_eq!(partner.receive_digest(), Some(digest(&bytes)));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    // There is a complaint for few of the visits: their rate is bounded.
    let complaints = proxy.all(&[("event", "turned_away")]).len();
    assert!(complaints * 4 < 2 * each, "{complaints} lines");
    drop(silent);
    wait_until("the descriptors are free again", || proxy.open_files() < 100);
}

/// What a partner hears that says nothing but its end.
fn hears(mut partner: Peer) -> (Vec<u8>, Ending) {
    // It may have been turned away already.
    let _ = partner.try_finish();
    let rest = partner.rest();
    (rest.head, rest.ending)
}

#[test]
fn more_calls_than_descriptors_are_survived() {
    let (mut plan, _station) = Plan::to(|site| Station::greeting(site, b"!"), Station::address);
    plan.proxy.room.open_files = Some(64);
    let chain = plan.start();
    let greeted = (b"!".to_vec(), Ending::Fin);
    for _ in 0..2 {
        let mark = chain.proxy.mark();
        let partners: Vec<Peer> = (0..200).map(|_| chain.call()).collect();
        let heard: Vec<_> = partners.into_iter().map(hears).collect();
        let reset = heard.iter().filter(|(_, ending)| *ending == Ending::Reset).count();
        let whole = heard.iter().filter(|heard| **heard == greeted).count();
        assert_eq!(whole + reset, 200, "nobody is left hanging or sees an end that was none");
        assert!(reset > 0, "descriptors were short");
        wait_until("calls work again", || hears(chain.call()) == greeted);
        assert!(chain.proxy.all(&[("event", "lost")]).is_empty());
        // A line for every call that was one, and for few of those that found no place.
        let besides = chain.proxy.mark() - mark - chain.proxy.all_after(mark, &[("event", "call")]).len();
        assert!(besides < 100, "{besides} lines");
    }
}
