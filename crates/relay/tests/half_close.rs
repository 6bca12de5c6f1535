//! An end of file is a half-close and not the end (traps 5, 6, 7).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{
    Call, HeldClock, Medium, UNBOUNDED, assert_same, payload, read_until_fin, read_until_reset,
    reset_after_fin, soon, write_and_end,
};
use relay::socket::reset;
use relay::{End, EndedBy, JoinLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::advance;
use wire::AbortReason;

const MEDIA: [Medium; 5] = [
    Medium::Tcp,
    Medium::Sealed,
    Medium::Unsealed,
    Medium::Memory(1000),
    Medium::Chopped { seed: 1, most: 5000 },
];

#[tokio::test]
async fn the_partner_ends_first_and_the_reply_comes_whole() {
    let (request, reply) = (payload(1, 300_001), payload(2, 400_003));
    for medium in MEDIA {
        let mut call = Call::over(medium).await;
        let (_, got) =
            tokio::join!(write_and_end(&mut call.partner, &request), read_until_fin(&mut call.station));
        assert_same(&got, &request, "request");
        let (_, got) =
            tokio::join!(write_and_end(&mut call.station, &reply), read_until_fin(&mut call.partner));
        assert_same(&got, &reply, "reply");
        let ((proxy, proxy_link), (client, client_link)) = call.outcomes().await;
        assert_eq!((proxy.end, proxy.ended_by), (End::Orderly, EndedBy::Socket));
        assert_eq!((client.end, client.ended_by), (End::Orderly, EndedBy::Peer));
        assert_eq!([proxy_link.is_ok(), client_link.is_ok()], [medium.is_used_again(); 2]);
    }
}

#[tokio::test]
async fn the_station_ends_first_and_the_partner_goes_on() {
    let (request, reply) = (payload(3, 300_001), payload(4, 400_003));
    for medium in MEDIA {
        let mut call = Call::over(medium).await;
        let (_, got) =
            tokio::join!(write_and_end(&mut call.station, &reply), read_until_fin(&mut call.partner));
        assert_same(&got, &reply, "reply");
        let (_, got) =
            tokio::join!(write_and_end(&mut call.partner, &request), read_until_fin(&mut call.station));
        assert_same(&got, &request, "request");
        let ((proxy, _), (client, _)) = call.outcomes().await;
        assert_eq!((proxy.end, proxy.ended_by), (End::Orderly, EndedBy::Peer));
        assert_eq!((client.end, client.ended_by), (End::Orderly, EndedBy::Socket));
    }
}

/// Trap 7: what is bounded after the half-close is silence, not the time until the reply is complete.
#[tokio::test(start_paused = true)]
async fn a_reply_may_take_longer_than_the_reaper_allows_for_silence() {
    let _clock = HeldClock::new();
    let limits = JoinLimits { idle: None, reap: Duration::from_secs(30), unseal: true };
    let mut call = Call::bounded(Medium::Memory(100), limits, limits).await;
    advance(Duration::from_secs(86_400)).await;
    call.partner.shutdown().await.unwrap();
    assert_eq!(call.station.read(&mut [0]).await.unwrap(), 0, "the half-close arrives");
    for _ in 0..10 {
        advance(Duration::from_secs(29)).await;
        common::move_byte(&mut call.station, &mut call.partner).await;
    }
    call.station.shutdown().await.unwrap();
    assert_eq!(call.partner.read(&mut [0]).await.unwrap(), 0);
    let (proxy, client) = (call.proxy.await.unwrap(), call.client.await.unwrap());
    assert_eq!((proxy.0.end, proxy.0.to_socket), (End::Orderly, 10));
    assert_eq!(client.0.end, End::Orderly);
}

/// Trap 6. The client's reaper fires; its own direction is open, so that it can say so, and the link survives.
#[tokio::test(start_paused = true)]
async fn silence_after_a_half_close_is_reaped_by_the_end_that_can_still_speak() {
    let _clock = HeldClock::new();
    let limits = JoinLimits { idle: None, reap: Duration::from_secs(30), unseal: true };
    let mut call = Call::bounded(Medium::Memory(100), UNBOUNDED, limits).await;
    common::move_byte(&mut call.partner, &mut call.station).await;
    advance(Duration::from_secs(3_000)).await;
    call.partner.shutdown().await.unwrap();
    assert_eq!(call.station.read(&mut [0]).await.unwrap(), 0);
    advance(Duration::from_secs(29)).await;
    common::move_byte(&mut call.station, &mut call.partner).await;
    advance(Duration::from_millis(30_001)).await;
    assert_eq!(read_until_reset(&mut call.partner).await, b"", "the partner has sent FIN and hears of it");
    let ((proxy, proxy_link), (client, client_link)) = call.outcomes().await;
    assert_eq!((proxy.end, proxy.ended_by), (End::Aborted(AbortReason::Idle), EndedBy::Peer));
    assert_eq!((client.end, client.ended_by), (End::Aborted(AbortReason::Idle), EndedBy::Ourselves));
    assert!(proxy_link.unwrap().state.is_standby() && client_link.unwrap().state.is_standby());
}

/// Trap 6. The proxy's reaper fires; it has said `End` and can only cut the link.
#[tokio::test(start_paused = true)]
async fn silence_after_a_half_close_is_reaped_by_the_end_that_has_ended() {
    let _clock = HeldClock::new();
    let limits = JoinLimits { idle: None, reap: Duration::from_secs(5), unseal: true };
    let mut call = Call::bounded(Medium::Memory(100), limits, UNBOUNDED).await;
    call.partner.shutdown().await.unwrap();
    assert_eq!(call.station.read(&mut [0]).await.unwrap(), 0);
    advance(Duration::from_millis(5_001)).await;
    read_until_reset(&mut call.partner).await;
    reset_after_fin(&call.station).await;
    let ((proxy, proxy_link), (client, client_link)) = call.outcomes().await;
    assert_eq!((proxy.end, proxy.ended_by), (End::Aborted(AbortReason::Idle), EndedBy::Ourselves));
    assert_eq!((client.end, client.ended_by), (End::LinkBroken, EndedBy::Ourselves));
    assert!(proxy_link.is_err() && client_link.is_err());
}

/// An abort after the half-close is an abort: the station must not take its reply for delivered (trap 10).
#[tokio::test]
async fn a_reset_after_the_half_close_reaches_the_other_end() {
    for medium in MEDIA {
        let mut call = Call::over(medium).await;
        call.partner.shutdown().await.unwrap();
        assert_eq!(soon(call.station.read(&mut [0])).await.unwrap(), 0);
        reset(call.partner);
        reset_after_fin(&call.station).await;
        let (proxy, link) = soon(call.proxy).await.unwrap();
        assert_eq!((proxy.end, proxy.ended_by), (End::Aborted(AbortReason::Reset), EndedBy::Socket));
        assert!(link.is_err(), "only the end of the link could tell");
        // Without the seal the end of the link is a reset, and means one.
        let heard = if medium.is_used_again() { End::LinkBroken } else { End::Aborted(AbortReason::Reset) };
        assert_eq!(soon(call.client).await.unwrap().0.end, heard);
    }
}

/// The other way round the station's end can still speak, and the link survives.
#[tokio::test]
async fn a_reset_instead_of_the_reply_reaches_the_other_end() {
    for medium in MEDIA {
        let mut call = Call::over(medium).await;
        call.partner.shutdown().await.unwrap();
        assert_eq!(soon(call.station.read(&mut [0])).await.unwrap(), 0);
        call.station.write_all(b"half of the rep").await.unwrap();
        soon(call.partner.read_exact(&mut [0; 15])).await.unwrap();
        reset(call.station);
        read_until_reset(&mut call.partner).await;
        let (proxy, link) = soon(call.proxy).await.unwrap();
        assert_eq!((proxy.end, proxy.ended_by), (End::Aborted(AbortReason::Reset), EndedBy::Peer));
        let links = [link.is_ok(), soon(call.client).await.unwrap().1.is_ok()];
        assert_eq!(links, [medium.is_used_again(); 2]);
    }
}
