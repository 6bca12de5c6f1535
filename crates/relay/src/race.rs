//! Waiting for the first of two things, or for both.
//!
//! Futures of their own and not `async` functions: those keep what they are given twice, once as an argument and once
//! where it is pinned, and waits within waits would double with every level. What a call waits for is its memory.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

/// Which of two futures was ready first.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}

/// Waits for the first of two futures and drops the other. Where both are ready the left one wins.
pub const fn race<L: Future, R: Future>(left: L, right: R) -> Race<L, R> {
    Race { left, right }
}

pin_project! {
    /// See [`race`].
    #[must_use = "nothing is waited for unless this is"]
    #[derive(Debug)]
    pub struct Race<L, R> {
        #[pin]
        left: L,
        #[pin]
        right: R,
    }
}

impl<L: Future, R: Future> Future for Race<L, R> {
    type Output = Either<L::Output, R::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.left.poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        this.right.poll(cx).map(Either::Right)
    }
}

/// What a future gives at once, if it does; it is dropped either way.
pub(crate) async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Runs two directions side by side until both have succeeded or one has failed. Each may wait for what the other
/// does without leaving a waker: after either has moved, the other is asked again.
pub(crate) const fn both<L, R>(left: L, right: R) -> Both<L, R> {
    Both { left, right, left_done: false, right_done: false }
}

pin_project! {
    /// See [`both`].
    #[must_use = "nothing is waited for unless this is"]
    pub(crate) struct Both<L, R> {
        #[pin]
        left: L,
        #[pin]
        right: R,
        left_done: bool,
        right_done: bool,
    }
}

impl<E, L, R> Future for Both<L, R>
where
    L: Future<Output = Result<(), E>>,
    R: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if !*this.right_done
                && let Poll::Ready(outcome) = this.right.as_mut().poll(cx)
            {
                outcome?;
                *this.right_done = true;
            }
            if *this.left_done {
                return if *this.right_done { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            ready!(this.left.as_mut().poll(cx))?;
            *this.left_done = true;
        }
    }
}
