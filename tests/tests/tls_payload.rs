//! A listener that is there for TLS alone: others are turned away before the station hears of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{Chain, Ending, Plan, Station, digest, pattern};

fn start(step_s: u64) -> (Chain, Station) {
    let (mut plan, station) = Plan::to(Station::open, Station::address);
    plan.proxy.listeners[0].tls = true;
    (plan.step_s(step_s).start(), station)
}

/// What begins as a ClientHello does (RFC 8446, sections 4 and 5.1), and goes on as it likes.
fn hello(count: usize) -> Vec<u8> {
    let mut bytes = pattern(5, count);
    bytes[..6].copy_from_slice(&[22, 3, 1, 2, 0, 1]);
    bytes
}

#[test]
fn who_begins_with_a_client_hello_gets_through_to_the_byte() {
    let (chain, station) = start(180);
    for count in [6, 517, 16_380, 16_381, 3_000_000] {
        let bytes = hello(count);
        let mut partner = chain.call();
        // The beginning in pieces, as a slow network may deliver it.
        for byte in &bytes[..6] {
            partner.send(&[*byte]);
        }
        let mut called = std::thread::scope(|scope| {
            scope.spawn(|| {
                partner.twin().send(&bytes[6..]);
                partner.finish();
            });
            let mut called = station.accept();
            let seen = called.rest();
            assert_eq!((seen.count, seen.ending), (count as u64, Ending::Fin));
            assert_eq!(seen.digest, digest(&bytes));
            called
        });
        called.send(b"ServerHello");
        drop(called);
        assert_eq!(partner.rest().head, b"ServerHello");
        let count = count.to_string();
        chain.proxy.wait(&[("event", "call"), ("result", "ok"), ("bytes_in", &count)]);
    }
}

#[test]
fn who_begins_otherwise_is_turned_away_and_the_station_hears_nothing() {
    let (chain, station) = start(180);
    let plain_oftp = [0x10, 0, 0, 0x17, b'I', b'O'];
    let server_hello = [22, 3, 3, 0, 80, 2, 0];
    for wrong in [&b"GET / HTTP/1.1\r\n\r\n"[..], &plain_oftp, &server_hello] {
        let mut partner = chain.call();
        let address = partner.own_address().to_string();
        partner.send(wrong);
        assert_eq!(partner.ending(), Ending::Reset);
        let line = chain.proxy.wait(&[("event", "call"), ("partner", &address)]);
        assert_eq!(line.field("result"), "denied", "{}", line.raw);
        assert!(line.field("reason").contains("ClientHello"), "{}", line.raw);
    }
    // Too short to tell, and over.
    let mut partner = chain.call();
    partner.send(&hello(6)[..5]);
    partner.finish();
    assert_eq!(partner.ending(), Ending::Reset);
    assert!(station.is_quiet());
    assert!(chain.client.all(&[("event", "call")]).is_empty());
}

#[test]
fn who_does_not_begin_in_time_is_turned_away() {
    let (chain, station) = start(1);
    let mut silent = chain.call();
    let mut halting = chain.call();
    halting.send(&hello(6)[..3]);
    assert_eq!((silent.ending(), halting.ending()), (Ending::Reset, Ending::Reset));
    for partner in [&silent, &halting] {
        let address = partner.own_address().to_string();
        let line = chain.proxy.wait(&[("event", "call"), ("partner", &address), ("result", "denied")]);
        assert!(line.field("reason").contains("in time"), "{}", line.raw);
    }
    assert!(station.is_quiet());
}
