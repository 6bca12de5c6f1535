//! Calls that go well: bytes, listeners, and what is said of a call.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread;
use std::time::Duration;

use testkit::{Daemon, Digest, Ending, Line, Peer, Plan, Station, digest, exchange, pattern, wait_until};

/// Sends bytes to a hashing station and gives back the digest that it answers with.
fn send(mut partner: Peer, bytes: &[u8]) -> Option<Digest> {
    partner.send(bytes);
    partner.finish();
    partner.receive_digest()
}

#[test]
fn payloads_of_every_size_arrive_as_they_were() {
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let chain = plan.start();
    // Around the bounds of a record, a frame and an early payload, and what is far above.
    for size in [0, 1, 16_379, 16_380, 16_381, 65_532, 65_533, 1_000_000, 8 << 20] {
        let bytes = pattern(size as u64, size);
        assert_eq!(send(chain.call(), &bytes), Some(digest(&bytes)), "{size} bytes");
    }
}

#[test]
fn sixty_four_mebibytes_each_way_at_once() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.start();
    let bytes = [1, 2].map(|seed| pattern(seed, 64 << 20));
    let seen = exchange(&[chain.call(), station.accept()], &bytes);
    for (seen, sent) in seen.iter().zip(bytes.iter().rev()) {
        assert_eq!((seen.count, seen.ending), (64 << 20, Ending::Fin));
        assert_eq!(seen.digest, digest(sent));
    }
}

#[test]
fn a_silent_partner_hears_the_station_first() {
    const READY: &[u8] = b"IODETTE FTP READY \r";
    let (plan, _station) = Plan::to(|site| Station::greeting(site, READY), Station::address);
    let chain = plan.start();
    for _ in 0..5 {
        let mut partner = chain.call();
        assert_eq!(partner.receive(READY.len()), READY);
        partner.finish();
        assert_eq!(partner.ending(), Ending::Fin);
    }
}

#[test]
fn every_listener_has_its_own_target() {
    let mut plan = Plan::new();
    let greetings: [&'static [u8]; 3] = [b"first", b"second", b"third"];
    let stations = greetings.map(|greeting| Station::greeting(&plan.site, greeting));
    plan.client.aim(stations[0].address());
    plan.add_listener("plant-2", stations[1].address());
    plan.add_listener("plant-3", stations[2].address());
    let chain = plan.start();
    for (name, greeting) in ["default", "plant-2", "plant-3"].into_iter().zip(greetings) {
        let mut partner = Peer::call(chain.external_of(name));
        assert_eq!(partner.receive(greeting.len()), greeting, "{name}");
    }
}

#[test]
fn a_listener_without_a_target_refuses_at_once_and_both_logs_say_so() {
    let (mut plan, _station) = Plan::to(Station::hashing, Station::address);
    plan.add_listener("orphan", plan.site.free_port());
    plan.client.targets.pop();
    let chain = plan.start();
    chain.client.wait_saying(0, "there is no --target here");
    assert_eq!(Peer::call(chain.external_of("orphan")).ending(), Ending::Reset);
    for daemon in [&chain.proxy, &chain.client] {
        let line = daemon.wait(&[("event", "call"), ("listener", "orphan"), ("result", "refused")]);
        assert_eq!(line.field("ended_by"), "target", "{}", line.raw);
        assert!(line.field("reason").contains("target"), "{}", line.raw);
    }
    let bytes = pattern(1, 1_000);
    assert_eq!(send(chain.call(), &bytes), Some(digest(&bytes)), "the other listener is not touched");
}

#[test]
fn a_call_has_one_line_with_the_same_id_in_both_logs() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.start();
    let mut partner = chain.call();
    let address = partner.own_address().to_string();
    partner.send(&[7; 1_000]);
    let mut called = station.accept();
    called.receive(1_000);
    called.send(&[8; 50]);
    partner.receive(50);
    partner.finish();
    assert_eq!(called.ending(), Ending::Fin);
    drop(called);
    assert_eq!(partner.ending(), Ending::Fin);
    let lines = [&chain.proxy, &chain.client].map(|daemon| daemon.wait(&[("event", "call")]));
    assert_eq!(lines[0].field("call"), lines[1].field("call"));
    for line in &lines {
        check_line(line, &address);
    }
    for line in &lines {
        assert_eq!(line.field("target"), station.address().to_string(), "{}", line.raw);
    }
    for daemon in [&chain.proxy, &chain.client] {
        assert_eq!(daemon.all(&[("event", "call")]).len(), 1);
    }
}

fn check_line(line: &Line, partner: &str) {
    let wanted = [
        ("level", "info"),
        ("direction", "in"),
        ("listener", "default"),
        ("partner", partner),
        ("result", "ok"),
        ("ended_by", "partner"),
        ("bytes_in", "1000"),
        ("bytes_out", "50"),
    ];
    for (name, value) in wanted {
        assert_eq!(line.field(name), value, "{name} in {}", line.raw);
    }
    assert!(line.number("setup_ms") <= line.number("duration_ms"), "{}", line.raw);
    for name in ["call", "target", "reason", "time"] {
        assert!(!line.field(name).is_empty(), "{name} in {}", line.raw);
    }
}

#[test]
fn the_text_log_says_the_same() {
    let (mut plan, _station) = Plan::to(Station::hashing, Station::address);
    (plan.proxy.log_format, plan.client.log_format) = ("text", "text");
    let chain = plan.start();
    let partner = chain.call();
    let address = partner.own_address();
    assert!(send(partner, b"abc").is_some());
    for daemon in [&chain.proxy, &chain.client] {
        let line = daemon.wait_saying(0, "event=\"call\"").raw;
        let order = ["INFO ", " call=", " direction=in ", " listener=default ", " target=", " result=ok "];
        let positions = order.map(|part| line.find(part).unwrap_or_else(|| panic!("{part} in {line}")));
        assert!(positions.is_sorted(), "{line}");
        assert!(line.contains(&format!(" partner={address} ")), "{line}");
        assert!(line.contains(" ended_by=partner bytes_in=3 bytes_out=32 setup_ms="), "{line}");
    }
}

#[test]
fn many_calls_one_after_the_other_and_at_once_keep_apart() {
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let chain = plan.start();
    let external = chain.external();
    let send_many = |first: u64, count: u64| {
        for seed in first..first + count {
            let bytes = pattern(seed, (seed * 997 % 50_000) as usize);
            assert_eq!(send(Peer::call(external), &bytes), Some(digest(&bytes)), "call {seed}");
        }
    };
    send_many(0, 100);
    thread::scope(|scope| {
        for caller in 1..=20 {
            scope.spawn(move || send_many(caller * 1_000, 10));
        }
    });
    let all = |daemon: &Daemon| daemon.all(&[("event", "call"), ("result", "ok")]).len() == 300;
    wait_until("all calls are in both logs", || all(&chain.proxy) && all(&chain.client));
}

#[test]
fn a_station_that_does_not_read_holds_the_partner_back() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.start();
    let mut partner = chain.call();
    let mut called = station.accept();
    let count = partner.fill();
    // Six kernel buffers of at most some MiB are on the way, and nothing to speak of in the daemons.
    assert!(count < 64 << 20, "{count} bytes were taken");
    for daemon in [&chain.proxy, &chain.client] {
        assert!(daemon.memory_bytes() < 64 << 20, "{} bytes", daemon.memory_bytes());
    }
    partner.finish();
    let seen = called.rest();
    assert_eq!((seen.count, seen.ending), (count as u64, Ending::Fin));
}

#[test]
fn the_daemons_wait_for_a_call_without_a_time_limit() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.start();
    let _call = chain.running_call(&station);
    for daemon in [&chain.proxy, &chain.client] {
        if daemon.waits_for_sockets_alone().is_none() {
            eprintln!("skipped: the system call of another process may not be seen here");
            return;
        }
        // A timer of the runtime that stood while calls do would be one for each of their messages.
        wait_until("a daemon waits for its sockets alone", || daemon.waits_for_sockets_alone() == Some(true));
    }
}

#[test]
fn a_slow_wire_changes_nothing_but_the_time() {
    let (plan, _station) = Plan::to(Station::hashing, Station::address);
    let chain = plan.with_tunnel().start();
    chain.tunnel().delay(Duration::from_millis(20));
    thread::scope(|scope| {
        for seed in 0..8 {
            let partner = chain.call();
            scope.spawn(move || {
                let bytes = pattern(seed, 300_000);
                assert_eq!(send(partner, &bytes), Some(digest(&bytes)));
            });
        }
    });
}
