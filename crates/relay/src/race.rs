//! Waiting for the first of two things, or for both.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};

/// Which of two futures was ready first.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}

/// Waits for the first of two futures and drops the other. Where both are ready the left one wins.
pub async fn race<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> Either<A, B> {
    let mut left = pin!(left);
    let mut right = pin!(right);
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

/// Runs two directions side by side until both have succeeded or one has failed. Each may wait for what the other
/// does without leaving a waker: after either has moved, the other is asked again.
pub(crate) async fn both<E>(
    left: impl Future<Output = Result<(), E>>,
    right: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut left_done, mut right_done) = (false, false);
    poll_fn(|cx| {
        loop {
            if !right_done && let Poll::Ready(outcome) = right.as_mut().poll(cx) {
                outcome?;
                right_done = true;
            }
            if left_done {
                return if right_done { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            ready!(left.as_mut().poll(cx))?;
            left_done = true;
        }
    })
    .await
}
