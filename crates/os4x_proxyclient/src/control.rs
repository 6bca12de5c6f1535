//! The control link to one proxy, as a task that the session starts for every attempt to attach.

use std::time::Duration;

use relay::{Either, Incoming, LinkError, race};
use tokio::sync::mpsc;
use tokio::time::timeout;
use wire::limits::WAITING_CALLS_MAX;
use wire::{Frame, Malformed};

use crate::session::{Attempt, Event, Session};
use crate::surroundings::{DialError, ProxyLink, Surroundings};

/// Frames that may wait for the proxy to read its control link: an answer to every announced call, twice.
const OUTBOX_FRAMES_MAX: usize = 2 * WAITING_CALLS_MAX + 64;

/// Dials the proxy and passes frames both ways until one of the two sides ends it. Tells the session `Dialled`
/// with the way to send frames, and at the end `Lost` with the reason.
pub(crate) async fn serve(attempt: Attempt, session: Session, around: Surroundings) {
    let mut link = match around.dial().await {
        Ok(link) => link,
        Err(error) => {
            let reason = around.explain(&error);
            return session.tell(Event::Lost(attempt, reason)).await;
        }
    };
    let (outbox, mut frames) = mpsc::channel(OUTBOX_FRAMES_MAX);
    session.tell(Event::Dialled(attempt, outbox)).await;
    let step = around.config().step;
    let error = loop {
        match timeout(step, link.writer.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => break Some(last_words(&mut link, step).await.unwrap_or(error)),
            Err(_) => break Some(LinkError::Broken(std::io::ErrorKind::TimedOut.into())),
        }
        match race(link.reader.next(), frames.recv()).await {
            Either::Left(Ok(Incoming::Frame(frame))) => session.tell(Event::Frame(attempt, frame)).await,
            Either::Left(Ok(Incoming::Payload(_))) => break Some(LinkError::Malformed(Malformed::Kind)),
            Either::Left(Err(error)) => break Some(error),
            Either::Right(Some(frame)) => queue_all(&mut link.writer, &frame, &mut frames),
            // The session wants no more of it.
            Either::Right(None) => break None,
        }
    };
    if let Some(error) = error {
        session.tell(Event::Lost(attempt, explain(&around, error))).await;
    }
    // A goodbye for the proxy's log; it may be gone.
    let _ = timeout(step, link.writer.close()).await;
}

/// Where writing fails the reason may be waiting to be read.
async fn last_words(link: &mut ProxyLink, step: Duration) -> Option<LinkError> {
    timeout(step, link.reader.next()).await.ok()?.err()
}

fn queue_all<W: relay::stream::Sink>(
    writer: &mut relay::link::LinkWriter<W>,
    first: &Frame,
    frames: &mut mpsc::Receiver<Frame>,
) {
    writer.queue(first);
    while let Ok(frame) = frames.try_recv() {
        writer.queue(&frame);
    }
}

/// A proxy that does not know this client says so only when the control link is read first.
fn explain(around: &Surroundings, error: LinkError) -> String {
    match error {
        LinkError::Broken(error) => match seal::refusal_in(&error) {
            Some(refusal) => around.explain(&DialError::Handshake(refusal)),
            None => LinkError::Broken(error).to_string(),
        },
        other => other.to_string(),
    }
}
