//! The timers of one thread, and the kernel's that goes off for the first of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

thread_local! {
    static QUEUE: RefCell<Option<Queue>> = const { RefCell::new(None) };
}

/// From now on the timers of this thread are kept by one of the kernel's. To be called inside a Tokio runtime that has no
/// other thread.
///
/// # Errors
/// The kernel gives none, having no memory or no more file descriptors.
pub fn keep_timers_in_kernel() -> io::Result<()> {
    let none = |error| io::Error::other(format!("cannot have a timer: {error}"));
    let kernel = Arc::new(kernel_timer().map_err(none)?);
    QUEUE.set(Some(Queue::new(Arc::clone(&kernel))));
    tokio::spawn(async move {
        // Until the runtime ends.
        while kernel.readable().await.is_ok() {
            // It has not gone off when it has been set to another time since.
            if kernel.try_read(&mut [0; 8]).is_ok() {
                wake_due();
            }
        }
    });
    Ok(())
}

/// It is read as a pipe is: some bytes have come whenever it has gone off.
fn kernel_timer() -> io::Result<Receiver> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    Receiver::from_owned_fd_unchecked(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

fn wake_due() {
    let now = Instant::now();
    while let Some(waker) = with_queue(|queue| queue.next_due(now)).flatten() {
        waker.wake();
    }
}

/// What an action gives for the queue of this thread, if it has one. Wakers are woken and dropped outside: with its last
/// one a task goes, and with it its timers, which leave the queue.
pub(super) fn with_queue<T>(action: impl FnOnce(&mut Queue) -> T) -> Option<T> {
    QUEUE.with_borrow_mut(|queue| queue.as_mut().map(action))
}

/// When, and which of those for the same time.
pub(super) type Place = (Instant, u64);

/// The timers that wait.
pub(super) struct Queue {
    kernel: Arc<Receiver>,
    /// When the kernel's goes off, which is not after the first that waits.
    set_to: Option<Instant>,
    waiting: BTreeMap<Place, Waker>,
    /// Whatever was for this time or an earlier one has been woken.
    woken_until: Instant,
    last_number: u64,
}

impl Queue {
    fn new(kernel: Arc<Receiver>) -> Self {
        let woken_until = Instant::now();
        Self { kernel, set_to: None, waiting: BTreeMap::new(), woken_until, last_number: 0 }
    }

    /// A number that no other timer has.
    pub(super) fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Has a task woken at a time to come. Gives the waker that was in this place.
    pub(super) fn insert(&mut self, place: Place, waker: Waker, now: Instant) -> Option<Waker> {
        let replaced = self.waiting.insert(place, waker);
        self.set_kernel(now);
        replaced
    }

    /// Nobody is to be woken any longer. The kernel's may go off for nothing then, once.
    pub(super) fn remove(&mut self, place: &Place) -> Option<Waker> {
        self.waiting.remove(place)
    }

    /// Whether those for this time have been woken.
    pub(super) fn is_over(&self, deadline: Instant) -> bool {
        deadline <= self.woken_until
    }

    /// Whom to wake next, now that the kernel's has gone off. After the last it is set to what comes then.
    fn next_due(&mut self, now: Instant) -> Option<Waker> {
        if let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            return Some(first.remove());
        }
        self.woken_until = now;
        self.set_to = None;
        self.set_kernel(now);
        None
    }

    /// Sets the kernel's to the first, unless it goes off early enough.
    fn set_kernel(&mut self, now: Instant) {
        let Some((&(first, _), _)) = self.waiting.first_key_value() else { return };
        if self.set_to.is_some_and(|set_to| set_to <= first) {
            return;
        }
        let wait = first.saturating_duration_since(now);
        let value = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                // A wait of nothing at all would switch it off.
                tv_nsec: wait.subsec_nanos().max(1).into(),
            },
        };
        timerfd_settime(&self.kernel, TimerfdTimerFlags::empty(), &value).expect("it is a timer");
        self.set_to = Some(first);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Wake};
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::sync::mpsc::unbounded_channel;

    use super::super::Timer;
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    /// Runs a test on a thread whose timers are the kernel's. One of the runtime's would panic: it has none.
    fn in_kernel<T>(test: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            keep_timers_in_kernel().expect("a timer");
            test.await
        })
    }

    fn after(milliseconds: u64) -> Timer {
        Timer::at(Instant::now() + Duration::from_millis(milliseconds))
    }

    /// Asks a timer once, for somebody who is not heard of again.
    fn ask(timer: &mut Timer) -> Poll<()> {
        Pin::new(timer).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn waiting() -> usize {
        with_queue(|queue| queue.waiting.len()).expect("there is a queue")
    }

    #[test]
    fn timers_go_off_in_their_order_and_none_before_its_time() {
        in_kernel(async {
            let (gone_off, mut heard) = unbounded_channel();
            let began = Instant::now();
            // Set in this order, so that the kernel's is set to an earlier time, left alone, and set to a later one.
            for (name, milliseconds) in [(1, 30), (0, 10), (2, 50), (1, 30)] {
                let gone_off = gone_off.clone();
                let timer = Timer::at(began + Duration::from_millis(milliseconds));
                tokio::spawn(async move {
                    timer.await;
                    let is_early = began.elapsed() < Duration::from_millis(milliseconds);
                    gone_off.send((name, is_early)).expect("somebody listens");
                });
            }
            for name in [0, 1, 1, 2] {
                assert_eq!(heard.recv().await, Some((name, false)));
            }
            assert_eq!(waiting(), 0);
        });
    }

    #[test]
    fn a_timer_that_is_set_anew_goes_off_at_the_new_time_only() {
        in_kernel(async {
            let mut timer = Timer::at(Instant::now() + YEAR);
            assert!(ask(&mut timer).is_pending());
            timer.reset(Instant::now() + Duration::from_millis(10));
            (&mut timer).await;
            assert!(timer.has_gone_off());
            timer.reset(Instant::now() + YEAR);
            assert!(ask(&mut timer).is_pending());
            after(10).await;
            assert!(!timer.has_gone_off());
            assert_eq!(waiting(), 1);
            // Its time has come already.
            timer.reset(Instant::now());
            assert!(ask(&mut timer).is_ready());
            assert_eq!(waiting(), 0);
        });
    }

    #[test]
    fn whoever_asked_last_is_woken() {
        in_kernel(async {
            let mut timer = pin!(after(10));
            let asked = Arc::new(Task::default());
            let waker = Waker::from(Arc::clone(&asked));
            assert!(timer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            timer.await;
            assert_eq!(Arc::strong_count(&asked), 2, "it is not held any longer");
        });
    }

    #[test]
    fn the_queue_forgets_a_timer_that_is_dropped_and_what_is_dropped_with_it() {
        in_kernel(async {
            let mut inner = Timer::at(Instant::now() + YEAR);
            assert!(ask(&mut inner).is_pending());
            let mut outer = Timer::at(Instant::now() + YEAR);
            let task = Waker::from(Arc::new(Task(Some(inner))));
            assert!(Pin::new(&mut outer).poll(&mut Context::from_waker(&task)).is_pending());
            drop(task);
            assert_eq!(waiting(), 2);
            // The last waker of a task that has a timer.
            drop(outer);
            assert_eq!(waiting(), 0);
        });
    }

    /// A task, which may have a timer, and must not be woken.
    #[derive(Default)]
    struct Task(#[expect(dead_code, reason = "it is dropped with the task")] Option<Timer>);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            unreachable!("somebody else has asked since");
        }
    }
}
