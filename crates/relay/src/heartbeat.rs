//! Heartbeats on a link without a call. The end at which calls begin sends them, and the other answers each
//! by one, so that both know a link that has died in silence before a call meets it.

use std::time::Duration;

use tokio::time::Instant;
use wire::limits::OFFER_SIGN_MS;
use wire::{Frame, Kind, LinkState};

use crate::alarm::or_silence;
use crate::link::{Link, LinkError};
use crate::stream::Stream;

/// Sends a heartbeat on a link whose calls begin at this end.
///
/// # Errors
/// The last one is still unanswered, or this one cannot be sent: the link is dead.
pub async fn probe<S: Stream>(link: &mut Link<S>, state: &mut LinkState) -> Result<(), LinkError> {
    if state.is_unanswered() {
        return Err(LinkError::silence());
    }
    beat(link, state).await
}

/// Answers a heartbeat that has just come.
///
/// # Errors
/// The answer cannot be sent: the link is dead.
pub async fn answer<S: Stream>(link: &mut Link<S>, state: &mut LinkState) -> Result<(), LinkError> {
    beat(link, state).await
}

/// It goes into a buffer that is empty, or nearly so. A peer that does not read holds nobody up for longer
/// than an offer that it does not read.
async fn beat<S: Stream>(link: &mut Link<S>, state: &mut LinkState) -> Result<(), LinkError> {
    state.on_sent(Kind::Heartbeat);
    let Link { writer, alarm, .. } = link;
    writer.queue(&Frame::Heartbeat);
    let until = Instant::now() + Duration::from_millis(OFFER_SIGN_MS);
    or_silence(alarm.within(until, writer.flush()).await)
}
