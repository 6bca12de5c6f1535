//! Runs the protocol's state machines against each other through a network that fails, in virtual time.
//!
//! `WIRE_SIM_SEED` and `WIRE_SIM_STEPS` choose the run; without them the seed is random and the steps are
//! 120,000, over all scenarios. `WIRE_SIM_SCENARIO` picks one scenario by name, `WIRE_SIM_SHOW=1` prints every
//! event. A failure says how it is replayed.

#[path = "simulator/mod.rs"]
mod simulator;

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use simulator::{Flaw, Rng, Scenario, World};

const STEPS_ORDINARY: u64 = 120_000;

/// A number from the environment, in decimal or with `0x`.
fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(parsed.expect("a number in decimal or with 0x"))
}

#[test]
fn whatever_happens_no_call_is_lost_and_everything_heals() {
    let seed = number("WIRE_SIM_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let steps = number("WIRE_SIM_STEPS").unwrap_or(STEPS_ORDINARY);
    let only = env::var("WIRE_SIM_SCENARIO").ok();
    let shows = env::var("WIRE_SIM_SHOW").is_ok();
    println!("WIRE_SIM_SEED={seed:#x} WIRE_SIM_STEPS={steps}");
    let scenarios = Scenario::all();
    let each = steps.div_ceil(scenarios.len() as u64);
    for (index, scenario) in scenarios.into_iter().enumerate() {
        let name = scenario.name;
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let began = Instant::now();
        let own_seed = Rng::new(seed.wrapping_add(index as u64)).next();
        let mut world = World::new(Scenario { shows, ..scenario }, own_seed);
        if let Err(what) = world.run(each) {
            panic!(
                "scenario {name:?}, {what}\nreplay: WIRE_SIM_SEED={seed:#x} WIRE_SIM_STEPS={steps} \
                 WIRE_SIM_SCENARIO={name:?} cargo test -p wire --test simulator whatever -- --nocapture"
            );
        }
        let (steps, took) = (world.step, began.elapsed());
        println!("{name:>16}: {steps:>6} steps in {:>5} ms, {:?}", took.as_millis(), world.tally);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let digest = |seed| World::new(Scenario::all()[6].clone(), seed).run(4_000).unwrap();
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn the_checks_see_what_a_daemon_could_do_wrong() {
    for (flaw, trace) in [
        (Flaw::EndsOnLoss, "an end after"),
        (Flaw::AnswersTwice, "is in two places"),
        (Flaw::ReusesTokens, "was announced before"),
        (Flaw::ForgetsPartner, "calls, waiting, sessions"),
        (Flaw::LeaksLinks, "links on standby of"),
        (Flaw::DropsEarlyPayload, "wrong payload"),
        (Flaw::KeepsPortsOpen, "ports (true, false)"),
        (Flaw::KeepsSpentLinks, "Idle in LinkState"),
        (Flaw::LosesWhatFollows, "wrong payload"),
        (Flaw::KeepsDeadLinks, "has been dead since"),
        (Flaw::AnswersNoHeartbeat, "was taken for dead and lives"),
        (Flaw::HearsNoHeartbeat, "was taken for dead and lives"),
    ] {
        let faulty = Scenario { flaw: Some(flaw), fault_ms: 300, ..Scenario::all()[7].clone() };
        // A mistake has several traces; one of these runs has to see the plain one.
        let mut runs = (1..=20).filter_map(|seed| World::new(faulty.clone(), seed).run(8_000).err());
        let seen = runs.find(|what| what.contains(trace));
        println!("{flaw:?}: {}", seen.as_deref().unwrap_or("not seen"));
        assert!(seen.is_some(), "{flaw:?} was not seen for what it is");
    }
}
