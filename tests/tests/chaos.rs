//! Daemons that are killed at any moment under load: nobody ever takes a broken call for a good one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use testkit::{Chain, Ending, Peer, Plan, Random, Station, digest, pattern, wait_until};

/// Callers at the same time.
const CALLERS: u64 = 4;
/// Times that a daemon is killed, or the wire cut.
const ROUNDS: u64 = 9;
/// Bytes of a call before its payload: the length of it.
const LENGTH_BYTES: usize = 8;

/// What went well, and what must never happen.
#[derive(Default)]
struct Score {
    good: AtomicUsize,
    broken: AtomicUsize,
    lies: Mutex<Vec<String>>,
}

impl Score {
    fn lie(&self, what: String) {
        self.lies.lock().unwrap().push(what);
    }
}

/// A station that knows how long every payload is, and answers those that are whole with their digest.
fn counting_station(plan: &Plan, score: &Arc<Score>) -> Station {
    let score = score.clone();
    Station::serving(&plan.site, move |mut peer| {
        let rest = peer.rest();
        // A client that is killed the moment its connection stands leaves one behind that carries nothing.
        if rest.ending == Ending::Reset || rest.count == 0 {
            return;
        }
        let length = rest.head.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        if rest.count != length.saturating_add(LENGTH_BYTES as u64) {
            return score.lie(format!("the station saw a clean end after {} bytes of {length}", rest.count));
        }
        // The partner may have gone.
        let _ = peer.try_send(&rest.digest);
    })
}

/// Calls again and again until it is over.
fn call_on(external: SocketAddr, seed: u64, score: &Score, is_over: &AtomicBool) {
    let mut random = Random::new(seed);
    while !is_over.load(Ordering::Relaxed) {
        let length = random.below(600_000) as usize;
        let mut bytes = (length as u64).to_le_bytes().to_vec();
        bytes.extend(pattern(random.next_u64(), length));
        let Ok(mut partner) = Peer::connect(external) else {
            thread::yield_now();
            continue;
        };
        if partner.try_send(&bytes).is_err() || partner.try_finish().is_err() {
            score.broken.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let rest = partner.rest();
        match rest.ending {
            Ending::Reset => drop(score.broken.fetch_add(1, Ordering::Relaxed)),
            Ending::Fin if rest.head == digest(&bytes) => drop(score.good.fetch_add(1, Ordering::Relaxed)),
            Ending::Fin => score.lie(format!("a partner saw a clean end after {} bytes of 32", rest.count)),
        }
    }
}

/// Does something evil, and waits until the chain is whole again.
fn harm(chain: &mut Chain, round: u64) {
    let (mark, client_mark) = (chain.proxy.mark(), chain.client.mark());
    match round % 3 {
        0 => {
            chain.client.kill();
            chain.client = chain.plan.client.start();
            chain.proxy.wait_after(mark, &[("event", "attached")]);
        }
        1 => {
            chain.proxy.kill();
            chain.proxy = chain.plan.proxy.start();
            chain.client.wait_after(client_mark, &[("event", "attached")]);
        }
        _ => chain.tunnel().cut(|number| number % 2 == 1),
    }
}

#[test]
fn daemons_that_are_killed_at_any_moment_never_make_a_clean_end() {
    let seed = 20_260_701;
    println!("seed {seed}");
    let score = Arc::new(Score::default());
    let mut plan = Plan::new().with_tunnel();
    let station = counting_station(&plan, &score);
    plan.client.aim(station.address());
    let mut chain = plan.start();
    let external = chain.external();
    let is_over = AtomicBool::new(false);
    let mut random = Random::new(seed);
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (score, is_over) = (&score, &is_over);
            scope.spawn(move || call_on(external, seed + caller, score, is_over));
        }
        let harmed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..ROUNDS {
                let good = score.good.load(Ordering::Relaxed);
                wait_until("calls work", || score.good.load(Ordering::Relaxed) > good);
                // not a wait: the moment is random
                thread::sleep(Duration::from_millis(random.below(100)));
                harm(&mut chain, round);
            }
            let good = score.good.load(Ordering::Relaxed);
            wait_until("calls work at the end", || score.good.load(Ordering::Relaxed) > good + 10);
        }));
        is_over.store(true, Ordering::Relaxed);
        harmed.unwrap();
    });
    assert_eq!(*score.lies.lock().unwrap(), [] as [String; 0]);
    assert!(score.broken.load(Ordering::Relaxed) > 0, "no call was hit");
}
