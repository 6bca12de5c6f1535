//! Ending on request: no new calls, running ones go on, and not for ever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{Chain, Daemon, Ending, Peer, Plan, Signal, Station, digest, pattern};

/// Runs a test once for the proxy and once for the client.
fn for_each_daemon(change: impl Fn(&mut Plan), test: impl Fn(&mut Chain, &Station, Which)) {
    for which in [Which::Proxy, Which::Client] {
        let (mut plan, station) = Plan::to(Station::open, Station::address);
        change(&mut plan);
        test(&mut plan.start(), &station, which);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Proxy,
    Client,
}

impl Which {
    fn of(self, chain: &mut Chain) -> &mut Daemon {
        match self {
            Self::Proxy => &mut chain.proxy,
            Self::Client => &mut chain.client,
        }
    }
}

#[test]
fn a_running_call_is_finished_and_no_new_one_is_taken() {
    for_each_daemon(
        |_| {},
        |chain, station, which| {
            let [mut partner, mut called] = chain.running_call(station);
            let mark = chain.proxy.mark();
            which.of(chain).signal(Signal::TERM);
            which.of(chain).wait(&[("event", "drain"), ("calls", "1")]);
            chain.proxy.wait_after(mark, &[("event", "closed")]);
            assert!(Peer::connect(chain.external()).is_err(), "{which:?}: no new call");
            let (request, reply) = (pattern(1, 400_000), pattern(2, 300_000));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    partner.twin().send(&request);
                    partner.finish();
                });
                let seen = called.rest();
                assert_eq!((seen.digest, seen.ending), (digest(&request), Ending::Fin), "{which:?}");
                called.send(&reply);
                drop(called);
            });
            let seen = partner.rest();
            assert_eq!((seen.digest, seen.ending), (digest(&reply), Ending::Fin), "{which:?}");
            assert!(which.of(chain).wait_end().success(), "{which:?}");
            which.of(chain).wait(&[("event", "call"), ("result", "ok")]);
            assert_eq!(which.of(chain).all(&[("event", "ended")]).len(), 1, "{which:?}");
        },
    );
}

#[test]
fn an_idle_daemon_ends_at_once_and_tells_the_other() {
    for_each_daemon(
        |_| {},
        |chain, _, which| {
            which.of(chain).signal(if which == Which::Proxy { Signal::TERM } else { Signal::INT });
            assert!(which.of(chain).wait_end().success());
            which.of(chain).wait(&[("event", "ended")]);
            let other = if which == Which::Proxy { &chain.client } else { &chain.proxy };
            other.wait(&[("event", "lost")]);
        },
    );
}

#[test]
fn a_call_that_does_not_end_is_aborted_when_the_time_is_over() {
    let short = |plan: &mut Plan| (plan.proxy.drain_s, plan.client.drain_s) = (1, 1);
    for_each_daemon(short, |chain, station, which| {
        let [mut partner, mut called] = chain.running_call(station);
        which.of(chain).signal(Signal::TERM);
        assert_eq!((partner.ending(), called.ending()), (Ending::Reset, Ending::Reset), "{which:?}");
        assert!(which.of(chain).wait_end().success(), "{which:?}");
        for daemon in [&chain.proxy, &chain.client] {
            daemon.wait(&[("event", "call"), ("result", "aborted"), ("ended_by", "drain")]);
        }
    });
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for_each_daemon(
        |_| {},
        |chain, station, which| {
            let [mut partner, mut called] = chain.running_call(station);
            which.of(chain).signal(Signal::TERM);
            which.of(chain).wait(&[("event", "drain")]);
            which.of(chain).signal(Signal::TERM);
            assert_eq!((partner.ending(), called.ending()), (Ending::Reset, Ending::Reset), "{which:?}");
            assert!(which.of(chain).wait_end().success(), "{which:?}");
        },
    );
}

#[test]
fn a_draining_client_leaves_the_calls_to_the_other() {
    let (plan, station) = Plan::to(Station::open, Station::address);
    let twin = plan.client.clone();
    let mut chain = plan.start();
    let [mut partner, mut called] = chain.running_call(&station);
    let mark = chain.proxy.mark();
    let twin = twin.start();
    chain.proxy.wait_after(mark, &[("event", "attached")]);
    chain.client.signal(Signal::TERM);
    chain.client.wait(&[("event", "drain")]);
    for _ in 0..5 {
        chain.running_call(&station);
    }
    partner.send(b"still");
    assert_eq!(called.receive(5), b"still");
    drop((partner, called));
    assert!(chain.client.wait_end().success());
    for _ in 0..5 {
        chain.running_call(&station);
    }
    assert!(chain.proxy.all(&[("event", "closed")]).is_empty());
    assert!(twin.all(&[("event", "lost")]).is_empty());
}
