//! The wish that running calls end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::watch;

use crate::registered::Registered;

/// Whether running calls have to end. Once they do they always do.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// No wish yet; sending `true` makes it one.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Returns once running calls have to end, or nobody is there any more to say so: then the daemon itself has ended.
    pub fn wished(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut wish, mut asked) = (self.0.clone(), self.0.clone());
        async move {
            asked.mark_unchanged();
            let mut wish = pin!(wish.wait_for(|stop| *stop));
            let mut registered = Registered::default();
            poll_fn(|cx| match asked.has_changed() {
                Ok(false) if registered.is_for(cx) => Poll::Pending,
                _ => registered.ask(cx, |cx| wish.as_mut().poll(cx)).map(|_| ()),
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;

    /// Counts how often a task would have been woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_waits_is_woken_however_often_it_was_asked() {
        for asked in [1, 2, 100] {
            let (sender, stop) = Stop::new();
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(woken.clone());
            let mut wished = pin!(stop.wished());
            for _ in 0..asked {
                assert!(wished.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            sender.send_replace(true);
            assert_eq!(woken.0.load(Ordering::SeqCst), 1, "asked {asked} times");
            assert!(wished.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        }
    }

    #[test]
    fn another_task_that_goes_on_waiting_is_woken() {
        let (sender, stop) = Stop::new();
        let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let mut wished = pin!(stop.wished());
        for woken in [&first, &second] {
            let waker = Waker::from(woken.clone());
            assert!(wished.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(sender);
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_task_that_was_sent_away_at_the_end_of_its_turn_is_woken_all_the_same() {
        let (sender, stop) = Stop::new();
        let waiting = tokio::spawn(async move {
            // Nothing is left of this turn once that much was waited for at once.
            while tokio::task::coop::has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            stop.wished().await;
        });
        tokio::task::yield_now().await;
        sender.send_replace(true);
        waiting.await.expect("it ends");
    }

    #[tokio::test]
    async fn a_wish_that_is_there_already_counts() {
        let (sender, stop) = Stop::new();
        sender.send_replace(true);
        stop.wished().await;
    }
}
