//! Calls whose payload is TLS already leave the seal once it is worth it; all others stay.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{Chain, Ending, Peer, Plan, Station, digest, pattern, socks5_to};

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

/// The same, where stations call.
fn start_outward() -> (Chain, Station) {
    let plan = Plan::new().calling_here();
    let partner = Station::open(&plan.site);
    (plan.start(), partner)
}

/// A station that calls the partner.
fn station(chain: &Chain, partner: &Station) -> Peer {
    let to = partner.address();
    let (code, station) = socks5_to(chain.outgoing(), to);
    assert_eq!(code, 0);
    station
}

/// Bytes each way behind which a call has left the seal if it is to.
const ROUNDS: usize = 3;

/// Begins a call with so much payload, and goes on byte for byte. A direction that ends before its turn has come stays
/// sealed; so each end hears here what the other has to say of it, however the daemons are scheduled.
fn begin(caller: &mut Peer, callee: &Station, bytes: &[u8]) -> Peer {
    let mut called = callee.accept();
    std::thread::scope(|scope| {
        scope.spawn(|| caller.twin().send(bytes));
        assert_eq!(digest(&called.receive(bytes.len())), digest(bytes));
    });
    for _ in 0..ROUNDS {
        called.send(b"x");
        assert_eq!(caller.receive(1), b"x");
        caller.send(b"x");
        assert_eq!(called.receive(1), b"x");
    }
    called
}

/// Sends all of it from the caller to the other end, which reads to the end; then the reply.
fn exchange(mut caller: Peer, callee: &Station, bytes: &[u8], reply: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut called = begin(&mut caller, callee, first);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            caller.twin().send(rest);
            caller.finish();
        });
        let seen = called.rest();
        assert_eq!((seen.digest, seen.ending), (digest(rest), Ending::Fin));
        called.send(reply);
        called.finish();
    });
    let seen = caller.rest();
    assert_eq!((seen.digest, seen.ending), (digest(reply), Ending::Fin));
}

fn path_in_both_logs(chain: &Chain, bytes: usize, path: &str) {
    both_say(chain, &[("result", "ok"), ("bytes_in", &(bytes + ROUNDS).to_string()), ("path", path)]);
}

fn both_say(chain: &Chain, fields: &[(&str, &str)]) {
    let fields = [&[("event", "call")], fields].concat();
    for daemon in [&chain.proxy, &chain.client] {
        daemon.wait(&fields);
    }
}

#[test]
fn a_large_call_that_is_tls_goes_on_in_the_kernel() {
    let (chain, station) = start("auto");
    exchange(chain.call(), &station, &tls(MUCH), &pattern(6, 3 << 20));
    path_in_both_logs(&chain, MUCH, "kernel");
    exchange(chain.call(), &station, &tls(100_000), &pattern(6, 1_000));
    path_in_both_logs(&chain, 100_000, "sealed");
    exchange(chain.call(), &station, &tls(MUCH + 1), b"");
    path_in_both_logs(&chain, MUCH + 1, "kernel");
}

#[test]
fn a_large_call_that_is_plain_stays_sealed() {
    let (chain, station) = start("auto");
    exchange(chain.call(), &station, &pattern(5, MUCH), &tls(MUCH));
    path_in_both_logs(&chain, MUCH, "sealed");
}

#[test]
fn seal_always_means_always() {
    let (chain, station) = start("always");
    exchange(chain.call(), &station, &tls(MUCH), &pattern(6, 1_000));
    path_in_both_logs(&chain, MUCH, "sealed");
}

/// Both ends of a call reset it, one call each, and both logs say who.
fn resets_arrive(chain: &Chain, call: impl Fn() -> Peer, callee: &Station) {
    let bytes = tls(MUCH);
    let mut caller = call();
    begin(&mut caller, callee, &bytes).reset();
    assert_eq!(caller.ending(), Ending::Reset);
    let mut caller = call();
    let mut called = begin(&mut caller, callee, &bytes);
    caller.reset();
    assert_eq!(called.ending(), Ending::Reset);
    for ender in ["target", "partner"] {
        both_say(chain, &[("result", "aborted"), ("ended_by", ender), ("path", "kernel")]);
    }
    // And the next call is none the worse.
    exchange(call(), callee, b"hello", b"welcome");
}

#[test]
fn a_reset_of_either_end_reaches_the_other() {
    let (chain, station) = start("auto");
    resets_arrive(&chain, || chain.call(), &station);
}

#[test]
fn a_large_call_of_a_station_goes_on_in_the_kernel() {
    let (chain, partner) = start_outward();
    let out = |bytes: usize, path| {
        let bytes = (bytes + ROUNDS).to_string();
        both_say(&chain, &[("direction", "out"), ("result", "ok"), ("bytes_out", &bytes), ("path", path)]);
    };
    exchange(station(&chain, &partner), &partner, &tls(MUCH), &pattern(6, 3 << 20));
    out(MUCH, "kernel");
    exchange(station(&chain, &partner), &partner, &pattern(5, MUCH + 1), &tls(MUCH));
    out(MUCH + 1, "sealed");
    // Both ends send at once.
    let (first, bytes) = (tls(1 << 20), [pattern(7, MUCH), pattern(6, MUCH)]);
    let mut caller = station(&chain, &partner);
    let called = begin(&mut caller, &partner, &first);
    let seen = testkit::exchange(&[caller, called], &bytes);
    for (seen, sent) in seen.iter().zip(bytes.iter().rev()) {
        assert_eq!((seen.ending, seen.digest), (Ending::Fin, digest(sent)));
    }
    out(MUCH + (1 << 20), "kernel");
}

#[test]
fn a_reset_of_either_end_of_a_call_of_a_station_reaches_the_other() {
    let (chain, partner) = start_outward();
    resets_arrive(&chain, || station(&chain, &partner), &partner);
}
