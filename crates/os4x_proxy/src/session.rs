//! One attached client: its control link.

use std::net::SocketAddr;
use std::time::Duration;

use relay::{Either, Link, LinkError, Stream, race};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, warn};
use wire::{Frame, Hello, PeerKey};

use crate::switchboard::{Event, OUTBOX_FRAMES_MAX, Switchboard};

/// Serves a control link whose client has said hello, until one of the two sides ends it.
pub(crate) async fn serve<S: Stream>(
    mut link: Link<S>,
    key: PeerKey,
    address: SocketAddr,
    hello: Hello,
    board: Switchboard,
    step: Duration,
) {
    let (outbox, mut frames) = mpsc::channel(OUTBOX_FRAMES_MAX);
    let (answer, answered) = oneshot::channel();
    board.tell(Event::Hello { key, hello, outbox, answer }).await;
    let welcome = match answered.await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err(reason)) => {
            warn!(%address, "a client was rejected: {reason}");
            let farewell = async {
                link.send(&Frame::Reject(reason)).await?;
                link.writer.close().await
            };
            // The client learns the reason if it is still there.
            let _ = timeout(step, farewell).await;
            return;
        }
        Err(_) => return,
    };
    let session = welcome.session;
    link.writer.queue(&Frame::Welcome(welcome));
    let reason = loop {
        match timeout(step, link.writer.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => break error.to_string(),
            Err(_) => break String::from("the client does not read its control link"),
        }
        match race(link.reader.next(), frames.recv()).await {
            Either::Left(Ok(relay::Incoming::Frame(frame))) => board.tell(Event::Frame(session, frame)).await,
            Either::Left(Ok(relay::Incoming::Payload(_))) => {
                break LinkError::Malformed(wire::Malformed::Kind).to_string();
            }
            Either::Left(Err(error)) => break error.to_string(),
            Either::Right(Some(frame)) => {
                link.writer.queue(&frame);
                while let Ok(frame) = frames.try_recv() {
                    link.writer.queue(&frame);
                }
            }
            // The session has ended, and the switchboard has said so.
            Either::Right(None) => break String::from("ended by this proxy"),
        }
    };
    debug!(%session, %address, reason, "control link ends");
    board.tell(Event::SessionLost(session, reason)).await;
    // A goodbye for the client's log; it may be gone.
    let _ = timeout(step, link.writer.close()).await;
}
