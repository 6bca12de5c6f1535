//! Under load, bytes come together before a thread looks for them again.
//!
//! A stream that is pumped as fast as it comes wakes its thread for every piece, and the thread takes the processor from the
//! very sender that it waits for. Where much has just been moved, much will come: a moment later one look finds what would
//! have been many, as a network card holds back its interrupts for the same reason. Nobody who says little waits for it.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

thread_local! {
    /// What was pumped since this thread has waited last, in bytes.
    static PUMPED: Cell<usize> = const { Cell::new(0) };
}

/// Bytes were pumped by this thread.
pub(crate) fn note_pumped(count: usize) {
    PUMPED.set(PUMPED.get().saturating_add(count));
}

/// To be called whenever this thread has nothing to do and is about to wait for its sockets: lets bytes come together for
/// [`GATHERING`] where much was pumped since the last time.
pub fn gather() {
    if is_due() {
        thread::sleep(GATHERING);
    }
}

fn is_due() -> bool {
    PUMPED.take() >= MUCH_BYTES
}

/// How long. The kernel adds 50 µs of its own (`timerslack_ns`). Measured with 8 streams: 0.18 CPU seconds per GB without,
/// 0.14 with 20 µs, 0.12 with 100 µs, 0.11 with 300 µs, at which nothing more is won with one.
const GATHERING: Duration = Duration::from_micros(100);
/// What is much. It has come while the thread did its last turn: at that pace the wait costs nobody more than such a turn. Nor
/// does a sender fill it that stops for an answer every few pieces.
const MUCH_BYTES: usize = 256 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_once_after_much_and_never_after_little() {
        note_pumped(MUCH_BYTES / 2);
        assert!(!is_due());
        note_pumped(MUCH_BYTES / 2);
        assert!(!is_due(), "what was there before the last wait does not count");
        note_pumped(MUCH_BYTES / 2);
        note_pumped(MUCH_BYTES / 2);
        assert!(is_due());
        assert!(!is_due());
    }
}
