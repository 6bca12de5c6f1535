//! Whom something will wake once it is ready.
//!
//! A call is one task: whatever wakes it, all that it waits for is asked again, and most of that has nothing to say. What
//! knows already whom to wake need not be asked until it has.

use std::io;
use std::task::{Context, Poll, Waker};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;

/// The waker that something was given when it was asked last and was not ready.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    waker: Option<Waker>,
    is_held: bool,
}

impl Registered {
    /// Whether it will wake this task.
    pub(crate) fn is_for(&self, cx: &Context<'_>) -> bool {
        self.is_held && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Asks it by `poll`, and remembers whom it will wake.
    pub(crate) fn ask<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // A task whose turn is over is sent away without being noted.
        let is_noted = has_budget_remaining();
        let outcome = poll(cx);
        self.is_held = is_noted && outcome.is_pending();
        if self.is_held {
            match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        outcome
    }

    /// Waits until something has come on a connection since it was read empty, as far as the runtime has heard. Asks the
    /// kernel nothing, so that there may be nothing to read after all.
    pub(crate) fn poll_readable(
        &mut self,
        cx: &mut Context<'_>,
        connection: &TcpStream,
    ) -> Poll<io::Result<()>> {
        if connection.try_io(Interest::READABLE, || Ok(())).is_ok() {
            // Whoever was to be woken has been.
            self.is_held = false;
            return Poll::Ready(Ok(()));
        }
        if self.is_for(cx) {
            return Poll::Pending;
        }
        self.ask(cx, |cx| connection.poll_read_ready(cx))
    }
}
