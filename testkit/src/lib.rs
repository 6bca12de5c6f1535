//! What whole-system tests are made of: the real daemons as processes, doubles of partners and stations, and a wire
//! between the daemons that can be cut, frozen and delayed.
//!
//! A test makes a [`Plan`], changes what it is about, starts it as a [`Chain`], and then plays partner and station
//! with [`Peer`] and [`Station`]. It waits for events in the logs and for what the far end sees, never for time to
//! pass; [`DEADLINE`] is there for the case that nothing comes. When a test fails, the logs of its daemons are
//! printed.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod chain;
mod command;
mod daemon;
mod front;
mod limit;
mod log;
mod namespace;
mod payload;
mod peer;
mod setup;
mod site;
mod station;
mod tunnel;

use std::time::Duration;

pub use chain::{Chain, Plan};
pub use command::{Background, Outcome, run};
pub use daemon::{Daemon, Program, Room};
pub use front::{http_connect, socks5, socks5_request, socks5_to};
pub use limit::open_files_for;
pub use log::{Line, Log};
pub use namespace::Namespace;
pub use payload::{Digest, Random, digest, pattern};
pub use peer::{Ending, Peer, Rest, exchange};
pub use rustix::process::Signal;
pub use setup::{ClientSetup, Listener, ProxySetup};
pub use site::Site;
pub use station::{Mute, Station};
pub use tunnel::Tunnel;

/// How long a test waits for what has to come. Far more than it takes on a loaded machine: it is only reached when
/// something is broken.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Whether this process may do what only root may. A test that needs it says so and passes where it does not.
pub fn is_root(what_for: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: {what_for} needs root");
    }
    is_root
}

/// Waits until `is_so`, for the few things of which nobody sends word.
///
/// # Panics
/// When it is not so within [`DEADLINE`].
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
