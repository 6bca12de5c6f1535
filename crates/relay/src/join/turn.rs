//! When a call lets others go first.
//!
//! A thread carries many calls. One whose bytes come as fast as they leave would go on for as long as the runtime lets it,
//! which counts what a task asks for and not how long that takes; a short message of another call waits meanwhile, at both
//! daemons, there and back.

use tokio::task::yield_now;
use wire::limits::DATA_BYTES_MAX;

/// What one direction of a call has moved of its turn, in bytes.
#[derive(Default)]
pub(super) struct Turn(usize);

impl Turn {
    /// So much more has moved. Once that is a turn, whoever else is ready goes first.
    pub(super) async fn moved(&mut self, bytes: usize) {
        self.0 += bytes;
        if self.0 >= TURN_BYTES {
            self.0 = 0;
            yield_now().await;
        }
    }
}

/// What is sealed or opened in a turn. Measured beside 8 streams that are as fast as they can be: a message of 100 bytes takes
/// 1.6 ms there and back. 2.5 ms with twice as much, for 1 % less CPU; 27 ms where the runtime alone sees to it.
const TURN_BYTES: usize = 2 * DATA_BYTES_MAX;
