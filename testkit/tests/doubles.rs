//! The doubles tell apart what the tests of the system rely on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::{Ending, Peer, Site, Station, Tunnel, digest, pattern};

fn pair() -> (Site, Peer, Peer) {
    let site = Site::new();
    let station = Station::open(&site);
    let caller = Peer::call(station.address());
    let called = station.accept();
    (site, caller, called)
}

#[test]
fn an_end_is_one_and_a_reset_is_one() {
    let (_site, mut caller, called) = pair();
    drop(called);
    assert_eq!(caller.ending(), Ending::Fin);
    let (_site, mut caller, called) = pair();
    called.reset();
    assert_eq!(caller.ending(), Ending::Reset);
}

#[test]
fn what_came_before_a_reset_is_counted() {
    let (_site, mut caller, mut called) = pair();
    let bytes = pattern(1, 10_000);
    called.send(&bytes);
    assert_eq!(caller.receive(4_000), bytes[..4_000]);
    called.finish();
    let rest = caller.rest();
    assert_eq!((rest.count, rest.ending, rest.digest), (6_000, Ending::Fin, digest(&bytes[4_000..])));
    assert_eq!(rest.head, bytes[4_000..8_096]);
}

#[test]
fn a_free_port_is_closed_and_stays_so() {
    let site = Site::new();
    let address = site.free_port();
    for _ in 0..100 {
        let error = Peer::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    assert_ne!(site.address(), Site::new().address());
}

fn through_a_tunnel() -> (Tunnel, Peer, Peer) {
    let site = Site::new();
    let station = Station::open(&site);
    let tunnel = Tunnel::open(&site, station.address());
    let caller = Peer::call(tunnel.address());
    let called = station.accept();
    (tunnel, caller, called)
}

#[test]
fn a_wire_passes_bytes_ends_and_resets() {
    let (tunnel, mut caller, mut called) = through_a_tunnel();
    let bytes = pattern(2, 1_000_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            caller.send(&bytes);
            caller.finish();
        });
        let rest = called.rest();
        assert_eq!((rest.digest, rest.ending), (digest(&bytes), Ending::Fin));
    });
    called.send(b"reply");
    assert_eq!(caller.receive(5), b"reply");
    called.reset();
    assert_eq!(caller.ending(), Ending::Reset);
    assert_eq!(tunnel.count(), 1);
    testkit::wait_until("the connection is forgotten", || tunnel.open_count() == 0);
}

#[test]
fn a_wire_that_is_cut_is_a_reset_at_both_ends() {
    let (tunnel, mut caller, mut called) = through_a_tunnel();
    caller.send(b"!");
    called.receive(1);
    tunnel.cut(|number| number == 1);
    caller.send(b"!");
    called.receive(1);
    tunnel.cut(|number| number == 0);
    assert_eq!((caller.ending(), called.ending()), (Ending::Reset, Ending::Reset));
}

#[test]
fn a_frozen_wire_passes_nothing_until_it_thaws() {
    let site = Site::new();
    let station = Station::open(&site);
    let tunnel = Tunnel::open(&site, station.address());
    let mut caller = TcpStream::connect(tunnel.address()).unwrap();
    let mut called = station.accept();
    called.send(b"!");
    caller.read_exact(&mut [0]).unwrap();
    tunnel.freeze(|_| true);
    called.send(b"late");
    caller.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let kind = caller.read(&mut [0]).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind}");
    tunnel.thaw();
    caller.set_read_timeout(Some(testkit::DEADLINE)).unwrap();
    let mut bytes = [0; 4];
    caller.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"late");
}

#[test]
fn a_slow_wire_takes_its_time() {
    let (tunnel, mut caller, mut called) = through_a_tunnel();
    tunnel.delay(Duration::from_millis(50));
    let began = Instant::now();
    caller.send(b"?");
    called.receive(1);
    called.send(b"!");
    caller.receive(1);
    assert!(began.elapsed() >= Duration::from_millis(100));
}
