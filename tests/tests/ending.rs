//! How calls end: in order and by reset, each as it was meant, and never the one as the other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Chain, Ending, Peer, Plan, Rest, Station, digest, pattern, wait_until};

/// A call whose both ends the test plays: the partner's and the station's.
fn open_call(chain: &Chain, station: &Station) -> [Peer; 2] {
    let mut partner = chain.call();
    let mut called = station.accept();
    // Once across and back, so that the call stands in both daemons.
    partner.send(b"?");
    assert_eq!(called.receive(1), b"?");
    called.send(b"!");
    assert_eq!(partner.receive(1), b"!");
    [partner, called]
}

fn start() -> (Chain, Station) {
    let (plan, station) = Plan::to(Station::open, Station::address);
    (plan.start(), station)
}

/// Both ways round: who begins, and the other.
fn both_ways(chain: &Chain, station: &Station, act: impl Fn(Peer, Peer, &str)) {
    let [partner, called] = open_call(chain, station);
    act(partner, called, "the partner begins");
    let [partner, called] = open_call(chain, station);
    act(called, partner, "the station begins");
}

#[test]
fn after_one_end_has_said_all_the_other_may_still_answer() {
    let (chain, station) = start();
    both_ways(&chain, &station, |mut first, mut second, who| {
        let (request, reply) = (pattern(1, 100_000), pattern(2, 3_000_000));
        let sent = thread::spawn({
            let (mut first, request) = (first.twin(), request.clone());
            move || {
                first.send(&request);
                first.finish();
            }
        });
        let seen = second.rest();
        assert_eq!((seen.digest, seen.ending), (digest(&request), Ending::Fin), "{who}");
        sent.join().unwrap();
        let replied = thread::spawn({
            let reply = reply.clone();
            move || {
                second.send(&reply);
                second.finish();
            }
        });
        let seen = first.rest();
        assert_eq!((seen.digest, seen.ending), (digest(&reply), Ending::Fin), "{who}");
        replied.join().unwrap();
    });
    for daemon in [&chain.proxy, &chain.client] {
        daemon.wait(&[("event", "call"), ("result", "ok"), ("ended_by", "partner")]);
        daemon.wait(&[("event", "call"), ("result", "ok"), ("ended_by", "target")]);
    }
}

#[test]
fn a_close_reaches_the_other_end() {
    let (chain, station) = start();
    both_ways(&chain, &station, |first, mut second, who| {
        drop(first);
        assert_eq!(second.ending(), Ending::Fin, "{who}");
    });
}

#[test]
fn a_reset_reaches_the_other_end_as_a_reset() {
    let (chain, station) = start();
    both_ways(&chain, &station, |first, mut second, who| {
        first.reset();
        assert_eq!(second.ending(), Ending::Reset, "{who}");
    });
    for daemon in [&chain.proxy, &chain.client] {
        daemon.wait(&[("event", "call"), ("result", "aborted"), ("ended_by", "partner")]);
        daemon.wait(&[("event", "call"), ("result", "aborted"), ("ended_by", "target")]);
    }
}

#[test]
fn a_reset_in_the_middle_of_a_transfer_is_one() {
    let (chain, station) = start();
    both_ways(&chain, &station, |mut first, mut second, who| {
        first.send(&[1; 3_000_000][..1_000_000]);
        second.receive(500_000);
        first.reset();
        assert_eq!(second.ending(), Ending::Reset, "{who}");
    });
}

#[test]
fn a_reset_reaches_an_end_that_does_not_read() {
    let (chain, station) = start();
    both_ways(&chain, &station, |mut first, mut second, who| {
        assert!(first.fill() > 0);
        first.reset();
        assert_eq!(second.ending(), Ending::Reset, "{who}");
    });
}

#[test]
fn a_reset_after_the_own_end_is_still_a_reset() {
    let (chain, station) = start();
    both_ways(&chain, &station, |first, mut second, _| {
        first.finish();
        assert_eq!(second.ending(), Ending::Fin);
        first.reset();
        wait_until("the other end is told of the reset", || second.try_send(b"more").is_err());
    });
}

#[test]
fn a_partner_that_resets_at_once_is_never_a_clean_end() {
    // Calls that the station heard of, resets, ends that looked orderly without a byte before, and with some.
    let counts: Arc<[AtomicUsize; 4]> = Arc::default();
    let serve = {
        let counts = counts.clone();
        move |mut peer: Peer| {
            counts[0].fetch_add(1, Ordering::Relaxed);
            let which = match peer.rest() {
                Rest { ending: Ending::Reset, .. } => 1,
                Rest { count: 0, .. } => 2,
                _ => 3,
            };
            counts[which].fetch_add(1, Ordering::Relaxed);
        }
    };
    let (plan, _station) = Plan::to(|site| Station::serving(site, serve), Station::address);
    let chain = plan.start();
    for number in 0..150 {
        let mut partner = chain.call();
        if number % 2 == 0 {
            partner.send(&[1; 20_000]);
        }
        partner.reset();
    }
    let calls = || chain.proxy.all(&[("event", "call"), ("result", "aborted")]).len();
    wait_until("all calls are over", || calls() == 150);
    let count = |which: usize| counts[which].load(Ordering::Relaxed);
    wait_until("the station knows it", || count(0) == count(1) + count(2) + count(3));
    assert_eq!(count(3), 0, "bytes of a call that was reset never come to an orderly end");
}

#[test]
fn a_refused_call_is_closed_at_once() {
    let chain = Plan::new().start();
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(chain.call().ending(), Ending::Reset);
        best = best.min(began.elapsed());
    }
    assert!(best < Duration::from_millis(100), "{best:?}");
    for daemon in [&chain.proxy, &chain.client] {
        let line = daemon.wait(&[("event", "call"), ("result", "refused"), ("ended_by", "target")]);
        assert!(line.field("reason").contains("refused"), "{}", line.raw);
    }
}

#[test]
fn a_target_that_resets_every_call_harms_no_other() {
    let mut plan = Plan::new();
    let resetting = Station::serving(&plan.site, Peer::reset);
    let healthy = Station::hashing(&plan.site);
    plan.client.aim(resetting.address());
    plan.add_listener("healthy", healthy.address());
    let chain = plan.start();
    for _ in 0..20 {
        assert_eq!(chain.call().ending(), Ending::Reset);
        let mut partner = Peer::call(chain.external_of("healthy"));
        partner.send(b"well?");
        partner.finish();
        assert_eq!(partner.receive_digest(), Some(digest(b"well?")));
    }
}

#[test]
fn an_idle_call_is_ended_by_either_daemon() {
    for which in ["proxy", "client"] {
        let (mut plan, station) = Plan::to(Station::open, Station::address);
        if which == "proxy" {
            plan.proxy.idle_s = 1;
        } else {
            plan.client.idle_s = 1;
        }
        let chain = plan.start();
        for mut end in open_call(&chain, &station) {
            assert_eq!(end.ending(), Ending::Reset, "{which}");
        }
        for daemon in [&chain.proxy, &chain.client] {
            daemon.wait(&[("event", "call"), ("result", "aborted"), ("ended_by", "idle")]);
        }
    }
}

#[test]
fn after_a_half_close_a_silent_call_is_reaped_but_a_dripping_one_is_not() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let chain = plan.step_s(2).start();
    let [mut silent, mut silent_called] = open_call(&chain, &station);
    let [mut partner, mut called] = open_call(&chain, &station);
    let [mut open, mut open_called] = open_call(&chain, &station);
    silent.finish();
    assert_eq!(silent_called.ending(), Ending::Fin);
    partner.finish();
    assert_eq!(called.ending(), Ending::Fin);
    for _ in 0..20 {
        // not a wait: a slow station, in all for twice as long as a silence may be
        thread::sleep(Duration::from_millis(200));
        called.send(b".");
    }
    called.finish();
    let seen = partner.rest();
    assert_eq!((seen.count, seen.ending), (20, Ending::Fin));
    assert_eq!(silent.ending(), Ending::Reset);
    // A call that is silent in both directions is not touched.
    open.send(b"still here");
    assert_eq!(open_called.receive(10), b"still here");
    let calls = |result| chain.proxy.all(&[("event", "call"), ("result", result)]).len();
    wait_until("both calls are in the log", || calls("ok") == 1 && calls("aborted") == 1);
}
