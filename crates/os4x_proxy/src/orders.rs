//! Orders for one link: a queue of a few.
//!
//! The runtime's own channel has room for 32 orders from its beginning, more than a kilobyte. Every link has orders, the
//! link of a call that stands for hours included, and they are hardly ever two.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Orders that may wait for a link: a claim that is gone, and the offer that follows on the same link, twice.
const ORDERS_MAX: usize = 4;

/// Where orders are given. When the last of its clones has gone, so has the queue.
pub(crate) struct Orders<T>(Arc<Giver<T>>);

/// Where they are taken.
pub(crate) struct Ordered<T>(Arc<Queue<T>>);

struct Giver<T>(Arc<Queue<T>>);

struct Queue<T>(Mutex<State<T>>);

struct State<T> {
    waiting: VecDeque<T>,
    taker: Option<Waker>,
    /// Until either end has gone.
    is_open: bool,
}

/// A queue, and both of its ends.
pub(crate) fn orders<T>() -> (Orders<T>, Ordered<T>) {
    let state = State { waiting: VecDeque::new(), taker: None, is_open: true };
    let queue = Arc::new(Queue(Mutex::new(state)));
    (Orders(Arc::new(Giver(queue.clone()))), Ordered(queue))
}

impl<T> Orders<T> {
    /// Gives an order. It comes back where nobody takes it any more, or too many wait.
    pub(crate) fn try_give(&self, order: T) -> Result<(), T> {
        let mut state = self.0.0.lock();
        if !state.is_open || state.waiting.len() == ORDERS_MAX {
            return Err(order);
        }
        state.waiting.push_back(order);
        state.wake();
        Ok(())
    }

    /// Whether no order waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.0.lock().waiting.is_empty()
    }
}

impl<T> Clone for Orders<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Ordered<T> {
    /// Waits for the next order; `None` when there can be no more. Nothing is lost by giving up waiting.
    pub(crate) async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if let Some(order) = state.waiting.pop_front() {
            return Poll::Ready(Some(order));
        }
        if !state.is_open {
            return Poll::Ready(None);
        }
        match &mut state.taker {
            Some(taker) => taker.clone_from(cx.waker()),
            taker => *taker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes no more: whoever gives an order from now on gets it back. Returns what waits.
    pub(crate) fn close(&mut self) -> VecDeque<T> {
        self.0.close();
        std::mem::take(&mut self.0.lock().waiting)
    }
}

impl<T> Drop for Ordered<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.is_open = false;
        state.wake();
    }
}

impl<T> State<T> {
    fn wake(&mut self) {
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_come_in_order_and_end_with_their_givers() {
        let (orders, mut ordered) = orders();
        let other = orders.clone();
        let taking = tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Some(order) = ordered.next().await {
                taken.push(order);
            }
            taken
        });
        for order in 0..100 {
            let giver = if order % 2 == 0 { &orders } else { &other };
            while giver.try_give(order).is_err() {
                tokio::task::yield_now().await;
            }
        }
        drop(orders);
        tokio::task::yield_now().await;
        assert!(!taking.is_finished(), "one giver is left");
        drop(other);
        assert_eq!(taking.await.unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_taken_comes_back() {
        let (orders, mut ordered) = orders();
        assert!(orders.is_empty());
        assert_eq!((0..6).map(|order| orders.try_give(order)).filter(Result::is_err).count(), 2);
        assert!(!orders.is_empty());
        assert_eq!(ordered.close(), [0, 1, 2, 3]);
        assert_eq!(orders.try_give(7), Err(7));
        let (orders, ordered) = super::orders();
        drop(ordered);
        assert_eq!(orders.try_give(7), Err(7));
    }
}
