//! A bound on how often the same thing is logged (a full disk helps nobody).

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Lets a number of lines of each kind through per interval, and counts the rest.
///
/// Reads no clock. Call [`RateLimit::on_line`] before writing a line; now and then take
/// [`RateLimit::poll_held_back`], so that the count is told also when no further line comes.
#[derive(Debug)]
pub struct RateLimit {
    lines_max: u32,
    interval: Duration,
    kinds: BTreeMap<&'static str, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    held_back: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write it, with the number of those like it that were held back since the last one.
    Write(HeldBack),
    /// Hold it back.
    HoldBack,
}

/// How many lines were held back; writes itself as `… and 512 more like it`, and as nothing for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBack(pub u64);

impl RateLimit {
    /// At most `lines_max` lines of a kind in any `interval`, counted from the first of them.
    pub const fn new(lines_max: u32, interval: Duration) -> Self {
        Self { lines_max, interval, kinds: BTreeMap::new() }
    }

    /// A line of `kind` wants to be written.
    pub fn on_line(&mut self, kind: &'static str, now: Instant) -> Verdict {
        let window = self.kinds.entry(kind).or_insert(Window { began: now, written: 0, held_back: 0 });
        if now.saturating_duration_since(window.began) >= self.interval {
            window.began = now;
            window.written = 0;
        }
        if window.written < self.lines_max {
            window.written += 1;
            Verdict::Write(HeldBack(std::mem::take(&mut window.held_back)))
        } else {
            window.held_back += 1;
            Verdict::HoldBack
        }
    }

    /// The kinds whose interval is over with lines held back. Each is reported once.
    pub fn poll_held_back(&mut self, now: Instant) -> Vec<(&'static str, HeldBack)> {
        let interval = self.interval;
        let over = |window: &Window| now.saturating_duration_since(window.began) >= interval;
        let told = self
            .kinds
            .iter()
            .filter(|(_, window)| over(window) && window.held_back > 0)
            .map(|(kind, window)| (*kind, HeldBack(window.held_back)))
            .collect();
        self.kinds.retain(|_, window| !over(window));
        told
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            lines => write!(f, "… and {lines} more like it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Verdict = Verdict::Write(HeldBack(0));
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rest_is_counted_and_told_with_the_next_line() {
        let now = Instant::now();
        let mut limit = RateLimit::new(2, SECOND);
        assert_eq!(limit.on_line("a", now), NOTHING);
        assert_eq!(limit.on_line("a", now), NOTHING);
        for _ in 0..512 {
            assert_eq!(limit.on_line("a", now), Verdict::HoldBack);
        }
        assert_eq!(limit.on_line("b", now), NOTHING);
        assert_eq!(limit.on_line("a", now + SECOND), Verdict::Write(HeldBack(512)));
        assert_eq!(limit.on_line("a", now + SECOND), NOTHING);
        assert_eq!(HeldBack(512).to_string(), "… and 512 more like it");
        assert_eq!(HeldBack(0).to_string(), "");
    }

    #[test]
    fn the_rest_is_told_when_no_further_line_comes() {
        let now = Instant::now();
        let mut limit = RateLimit::new(1, SECOND);
        limit.on_line("a", now);
        limit.on_line("a", now);
        assert_eq!(limit.poll_held_back(now), []);
        assert_eq!(limit.poll_held_back(now + SECOND), [("a", HeldBack(1))]);
        assert_eq!(limit.poll_held_back(now + SECOND), []);
    }
}
