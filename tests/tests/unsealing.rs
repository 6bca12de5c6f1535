//! Calls whose payload is TLS already leave the seal once it is worth it; all others stay.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{Chain, Ending, Peer, Plan, Station, digest, pattern};

/// Far beyond what it takes.
const MUCH: usize = 6 << 20;

fn start(seal: &'static str) -> (Chain, Station) {
    let (mut plan, station) = Plan::to(Station::open, Station::address);
    plan.client.seal = seal;
    (plan.start(), station)
}

/// So many bytes that begin as a ClientHello does.
fn tls(count: usize) -> Vec<u8> {
    let mut bytes = pattern(5, count);
    bytes[..6].copy_from_slice(&[22, 3, 1, 2, 0, 1]);
    bytes
}

/// Sends all of it from the partner to the station, which reads to the end; then the reply.
fn exchange(chain: &Chain, station: &Station, bytes: &[u8], reply: &[u8]) {
    let mut partner = chain.call();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            partner.twin().send(bytes);
            partner.finish();
        });
        let mut called = station.accept();
        let seen = called.rest();
        assert_eq!((seen.count, seen.ending), (bytes.len() as u64, Ending::Fin));
        assert_eq!(seen.digest, digest(bytes));
        called.send(reply);
    });
    let seen = partner.rest();
    assert_eq!((seen.digest, seen.ending), (digest(reply), Ending::Fin));
}

fn path_in_both_logs(chain: &Chain, bytes: usize, path: &str) {
    let bytes = bytes.to_string();
    for daemon in [&chain.proxy, &chain.client] {
        daemon.wait(&[("event", "call"), ("result", "ok"), ("bytes_in", &bytes), ("path", path)]);
    }
}

#[test]
fn a_large_call_that_is_tls_goes_on_in_the_kernel() {
    let (chain, station) = start("auto");
    exchange(&chain, &station, &tls(MUCH), &pattern(6, 3 << 20));
    path_in_both_logs(&chain, MUCH, "kernel");
    exchange(&chain, &station, &tls(100_000), &pattern(6, 1_000));
    path_in_both_logs(&chain, 100_000, "sealed");
    exchange(&chain, &station, &tls(MUCH + 1), b"");
    path_in_both_logs(&chain, MUCH + 1, "kernel");
}

#[test]
fn a_large_call_that_is_plain_stays_sealed() {
    let (chain, station) = start("auto");
    exchange(&chain, &station, &pattern(5, MUCH), &tls(MUCH));
    path_in_both_logs(&chain, MUCH, "sealed");
}

#[test]
fn seal_always_means_always() {
    let (chain, station) = start("always");
    exchange(&chain, &station, &tls(MUCH), &pattern(6, 1_000));
    path_in_both_logs(&chain, MUCH, "sealed");
}

/// A call that has been in the kernel for a while: the ends of it.
fn under_way(chain: &Chain, station: &Station) -> (Peer, Peer) {
    let partner = chain.call();
    let bytes = tls(MUCH);
    let called = std::thread::scope(|scope| {
        scope.spawn(|| partner.twin().send(&bytes));
        let mut called = station.accept();
        assert_eq!(digest(&called.receive(MUCH)), digest(&bytes));
        called
    });
    (partner, called)
}

#[test]
fn a_reset_of_either_end_reaches_the_other() {
    let (chain, station) = start("auto");
    let (mut partner, called) = under_way(&chain, &station);
    called.reset();
    assert_eq!(partner.ending(), Ending::Reset);
    let (partner, mut called) = under_way(&chain, &station);
    partner.reset();
    assert_eq!(called.ending(), Ending::Reset);
    for daemon in [&chain.proxy, &chain.client] {
        for ender in ["target", "partner"] {
            daemon.wait(&[("event", "call"), ("result", "aborted"), ("ended_by", ender), ("path", "kernel")]);
        }
    }
    // And the next call is none the worse.
    exchange(&chain, &station, b"hello", b"welcome");
}
