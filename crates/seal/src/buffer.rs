//! Buffers that are held only while bytes are in them.
//!
//! A reader takes one before it polls and gives it back when there is nothing to read, and a writer until its records are
//! written, so that an idle call holds none. Each thread keeps a few; more than that go back to the allocator.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::record::{OVERHEAD_BYTES, PLAIN_BYTES_MAX};

/// A full record, sealed: header, inner type and tag are 22 bytes (RFC 8446, section 5.2).
const SEALED_BYTES: usize = 16_384 + 22;
const _: () = assert!(SEALED_BYTES == PLAIN_BYTES_MAX + OVERHEAD_BYTES);
/// Size of every buffer: five full records. A relay's piece of 64 KiB is four of them; one is to spare, so that what comes
/// behind it does not cost a system call of its own.
pub const BUFFER_BYTES: usize = 5 * SEALED_BYTES;
/// Buffers that a thread keeps: a reader and a writer of each direction of a few calls that are busy at once.
const KEPT_PER_THREAD: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// A buffer of [`BUFFER_BYTES`], given back when it is dropped. What it holds at first is arbitrary.
pub struct Buffer(Box<[u8]>);

impl Buffer {
    /// Takes a buffer of this thread, or a new one.
    pub fn take() -> Self {
        HELD.set(HELD.get() + 1);
        let kept = KEPT.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice()))
    }

    /// Buffers that this thread has taken less those that it has given back: over all threads, those in use.
    pub fn held() -> i64 {
        HELD.get()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        // A thread that is ending has no store any more.
        let _ = HELD.try_with(|held| held.set(held.get() - 1));
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_PER_THREAD {
                kept.push(bytes);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it holds is a call's payload, or what is left of another's.
        f.write_str("Buffer(..)")
    }
}
