//! What the two directions of a call know of each other.

use tokio::time::Instant;
use wire::LinkState;

use super::EndedBy;
use crate::beginning::Beginning;

/// What is known of a call while its two directions run side by side in one task.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    pub(super) state: LinkState,
    pub(super) from_socket: u64,
    pub(super) to_socket: u64,
    pub(super) first_end: Option<EndedBy>,
    pub(super) socket_failed: bool,
    pub(super) aborted_by_peer: bool,
    /// Whether the direction from the socket has left the seal, and is pumped.
    pub(super) is_pumped_outward: bool,
    /// Whether the direction to the socket is.
    pub(super) is_pumped_inward: bool,
    /// Whether a byte has moved since the clock was last looked at.
    pub(super) has_moved: bool,
    /// When a byte has moved last, as far as the clock was looked at.
    pub(super) last_byte: Instant,
    /// What the caller has said first.
    pub(super) beginning: Beginning,
}

impl Shared {
    /// A call of which `begun` was said before it was joined.
    pub(super) fn new(state: LinkState, begun: &[u8]) -> Self {
        let mut beginning = Beginning::default();
        beginning.note(begun);
        Self {
            state,
            from_socket: 0,
            to_socket: 0,
            // The peer may have ended its direction before the call was joined.
            first_end: (!state.may_receive()).then_some(EndedBy::Peer),
            socket_failed: false,
            aborted_by_peer: false,
            is_pumped_outward: false,
            is_pumped_inward: false,
            has_moved: false,
            last_byte: Instant::now(),
            beginning,
        }
    }

    /// Bytes have come from the socket.
    pub(super) fn note_read(&mut self, count: usize) {
        self.from_socket += count as u64;
        self.has_moved = true;
    }
}
