//! What the log says of strangers, at a bounded rate: they cost us lines only as fast as we let them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::rate::{HeldBack, RateLimit, Verdict};

/// Lines about strangers, of each kind and minute.
const COMPLAINTS_PER_MINUTE: u32 = 60;

/// Counts lines about strangers.
#[derive(Clone, Debug)]
pub struct Complaints(Arc<Mutex<RateLimit>>);

impl Default for Complaints {
    /// Nothing has been said yet.
    fn default() -> Self {
        let limit = RateLimit::new(COMPLAINTS_PER_MINUTE, Duration::from_secs(60));
        Self(Arc::new(Mutex::new(limit)))
    }
}

impl Complaints {
    /// Whether another line of this kind may be written, and how many like it were not.
    pub fn may_say(&self, kind: &'static str) -> Option<HeldBack> {
        // Nothing in here panics half-way through a change.
        let mut limit = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match limit.on_line(kind, Instant::now()) {
            Verdict::Write(held_back) => Some(held_back),
            Verdict::HoldBack => None,
        }
    }
}
