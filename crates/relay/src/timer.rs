//! Timers that cost nothing while nothing is due.
//!
//! While one of the runtime's timers stands, its thread waits for its sockets with a time limit: for every such wait the
//! kernel sets a timer, and cancels it as soon as something comes. A timer that is a file (timerfd_create(2)) stays set
//! however often the thread waits, and is one more thing to wait for: one of these serves all that stand while calls do,
//! and what every call waits for. What is waited for now and then uses the runtime's.
//!
//! A thread that has not begun to [keep them in the kernel](keep_timers_in_kernel) has the runtime's: one of several threads,
//! and a test whose clock is paused.

mod queue;

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

pub use queue::keep_timers_in_kernel;
use queue::{Place, Queue, with_queue};

/// Ready once its time has come.
#[derive(Debug)]
pub(crate) struct Timer(Kind);

#[derive(Debug)]
enum Kind {
    /// Has this place in the queue of its thread while it waits.
    Queued(Place),
    /// Kept by the runtime.
    OfRuntime(Pin<Box<Sleep>>),
}

impl Timer {
    /// One that goes off at a time.
    pub(crate) fn at(deadline: Instant) -> Self {
        Self(match with_queue(Queue::number) {
            Some(number) => Kind::Queued((deadline, number)),
            None => Kind::OfRuntime(Box::pin(sleep_until(deadline))),
        })
    }

    /// When it goes off.
    pub(crate) fn deadline(&self) -> Instant {
        match &self.0 {
            Kind::Queued((deadline, _)) => *deadline,
            Kind::OfRuntime(sleep) => sleep.deadline(),
        }
    }

    /// Whether it has woken whom it was to wake. Does not look at the clock.
    pub(crate) fn has_gone_off(&self) -> bool {
        match &self.0 {
            Kind::Queued((deadline, _)) => with_queue(|queue| queue.is_over(*deadline)).unwrap_or(true),
            Kind::OfRuntime(sleep) => sleep.is_elapsed(),
        }
    }

    /// Sets it to another time. Wakes nobody before it has been polled again.
    pub(crate) fn reset(&mut self, to: Instant) {
        self.leave_queue();
        match &mut self.0 {
            Kind::Queued((deadline, _)) => *deadline = to,
            Kind::OfRuntime(sleep) => sleep.as_mut().reset(to),
        }
    }

    fn leave_queue(&self) {
        if let Kind::Queued(place) = &self.0 {
            drop(with_queue(|queue| queue.remove(place)));
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let place = match &mut self.0 {
            Kind::Queued(place) => *place,
            Kind::OfRuntime(sleep) => return sleep.as_mut().poll(cx),
        };
        let now = Instant::now();
        if place.0 <= now {
            self.leave_queue();
            return Poll::Ready(());
        }
        drop(with_queue(|queue| queue.insert(place, cx.waker().clone(), now)));
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.leave_queue();
    }
}
