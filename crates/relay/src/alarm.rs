//! One timer for whatever is waited for on a link, one thing after the other.
//!
//! A timer that is set to an earlier time than all others costs a system call, and every timer costs a place in the queue of
//! its thread. Hardly one of a link's deadlines is ever reached. So the timer of a link is not set again for every
//! deadline: as long as it goes off early enough it is left as it is, and once it has gone off too early it is set to what
//! is due then.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use crate::link::LinkError;
use crate::race::{Either, Race, race};
use crate::registered::Registered;
use crate::timer::Timer;

/// A timer that is made when it is first needed, and kept.
#[derive(Default)]
pub struct Alarm {
    timer: Option<Timer>,
    registered: Registered,
}

impl Alarm {
    /// Ready once `until` has passed. Needs a Tokio runtime.
    pub fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Timer::at(until));
        if timer.deadline() <= until && self.registered.is_for(cx) && !timer.has_gone_off() {
            return Poll::Pending;
        }
        loop {
            if until < timer.deadline() {
                timer.reset(until);
            }
            ready!(self.registered.ask(cx, |cx| Pin::new(&mut *timer).poll(cx)));
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            timer.reset(until);
        }
    }

    /// Waits until `until` has passed.
    pub async fn wait(&mut self, until: Instant) {
        poll_fn(|cx| self.poll(cx, until)).await;
    }

    /// What a future gives before `until` has passed.
    pub fn within<F: Future>(&mut self, until: Instant, future: F) -> Race<F, impl Future<Output = ()>> {
        race(future, self.wait(until))
    }
}

/// What came of a wait [within](Alarm::within) a time: a link that lets it pass is dead.
pub(crate) fn or_silence<T>(outcome: Either<Result<T, LinkError>, ()>) -> Result<T, LinkError> {
    match outcome {
        Either::Left(outcome) => outcome,
        Either::Right(()) => Err(LinkError::silence()),
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm").field(&self.timer.as_ref().map(Timer::deadline)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_each_deadline_and_no_sooner_whichever_comes_first() {
        let mut alarm = Alarm::default();
        let began = Instant::now();
        for seconds in [3, 5, 4, 9, 9] {
            // Deadlines that are not reached: a later one, an earlier one.
            for other in [20, 15] {
                let unreached = poll_fn(|cx| Poll::Ready(alarm.poll(cx, began + other * SECOND))).await;
                assert!(unreached.is_pending());
            }
            alarm.wait(began + seconds * SECOND).await;
            let reached = began.elapsed().as_secs();
            assert!(reached >= seconds.into() && reached <= 9, "{reached}");
        }
        assert_eq!(began.elapsed().as_secs(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_early_enough_is_not_touched() {
        let mut alarm = Alarm::default();
        let first = Instant::now() + SECOND;
        for seconds in 1..100 {
            let later = first + seconds * SECOND;
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, later))).await.is_pending());
            if seconds == 1 {
                assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, first))).await.is_pending());
            }
            assert_eq!(alarm.timer.as_ref().map(Timer::deadline), Some(first));
        }
    }
}
