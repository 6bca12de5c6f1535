//! Silence, the time to drain, and a peer that does not answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::future::pending;
use std::time::Duration;

use common::{
    Call, HeldClock, PATHS, Side, Stop, Stream, UNBOUNDED, carry, move_byte, never, read_until_reset, soon,
    tcp_pair,
};
use relay::join::{abort, settle};
use relay::{End, EndedBy, Incoming, JoinLimits, LinkError};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::time::{Instant, advance};
use wire::limits::{DATA_BYTES_MAX, SETTLE_MS};
use wire::{AbortReason, Frame};

const MINUTE: JoinLimits =
    JoinLimits { idle: Some(Duration::from_secs(60)), reap: Duration::from_secs(5), unseal: true };

#[tokio::test(start_paused = true)]
async fn a_call_is_ended_after_silence_and_no_sooner() {
    let _clock = HeldClock::new();
    for (medium, at_proxy) in PATHS.into_iter().flat_map(|medium| [(medium, true), (medium, false)]) {
        let (proxy, client) = if at_proxy { (MINUTE, UNBOUNDED) } else { (UNBOUNDED, MINUTE) };
        let mut call = Call::bounded(medium, proxy, client).await;
        for _ in 0..5 {
            advance(Duration::from_secs(59)).await;
            move_byte(&mut call.partner, &mut call.station).await;
            advance(Duration::from_secs(59)).await;
            move_byte(&mut call.station, &mut call.partner).await;
        }
        assert!(!call.proxy.is_finished() && !call.client.is_finished());
        advance(Duration::from_millis(60_001)).await;
        assert_eq!(read_until_reset(&mut call.partner).await, b"");
        assert_eq!(read_until_reset(&mut call.station).await, b"");
        let ((proxy, proxy_link), (client, client_link)) = call.outcomes().await;
        let (near, far) = if at_proxy { (proxy, client) } else { (client, proxy) };
        assert_eq!((near.end, near.ended_by), (End::Aborted(AbortReason::Idle), EndedBy::Ourselves));
        assert_eq!((far.end, far.ended_by), (medium.heard(AbortReason::Idle), EndedBy::Peer));
        assert_eq!([proxy_link.is_ok(), client_link.is_ok()], [medium.is_used_again(); 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_bound_a_call_may_be_silent_for_ever() {
    let _clock = HeldClock::new();
    let limits = JoinLimits { idle: None, reap: Duration::from_secs(1), unseal: true };
    let boundless = JoinLimits { idle: Some(Duration::MAX), ..limits };
    for (medium, limits) in PATHS.into_iter().flat_map(|medium| [(medium, limits), (medium, boundless)]) {
        let mut call = Call::bounded(medium, limits, limits).await;
        for _ in 0..3 {
            advance(Duration::from_secs(30 * 86_400)).await;
            move_byte(&mut call.partner, &mut call.station).await;
            move_byte(&mut call.station, &mut call.partner).await;
        }
    }
}

/// On the real clock: the reaper is armed by the first end and ends the call.
#[tokio::test]
async fn the_reaper_runs_on_a_real_clock() {
    let limits = JoinLimits { idle: None, reap: Duration::from_millis(200), unseal: true };
    for medium in PATHS {
        let mut call = Call::bounded(medium, UNBOUNDED, limits).await;
        let began = Instant::now();
        call.partner.shutdown().await.unwrap();
        read_until_reset(&mut call.partner).await;
        assert!(began.elapsed() >= limits.reap);
        let ((proxy, _), (client, _)) = call.outcomes().await;
        assert_eq!(client.end, End::Aborted(AbortReason::Idle));
        assert_eq!(proxy.end, medium.heard(AbortReason::Idle));
    }
}

/// A reader that takes a little now and then is alive, though the piece that is being written is not done yet.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_a_silent_one() {
    let _clock = HeldClock::new();
    let (near, far) = duplex(10);
    let (mut partner, at_proxy) = tcp_pair().await;
    let proxy = carry(at_proxy, Side::accepted(Stream::from(near)), MINUTE, pending());
    partner.write_all(&[7; 200]).await.unwrap();
    let mut peer = relay::Link::new(far);
    let mut got = 0;
    while got < 200 {
        advance(Duration::from_secs(50)).await;
        match peer.reader.next().await.unwrap() {
            Incoming::Payload(bytes) => got += bytes.len(),
            Incoming::Frame(frame) => assert_eq!(got, 200, "{frame:?} in the middle of the payload"),
        }
    }
    assert!(!proxy.is_finished());
}

/// The same at the other end of a call: a station that takes one piece of payload bit by bit.
#[tokio::test(start_paused = true)]
async fn a_slow_station_is_not_a_silent_one() {
    let _clock = HeldClock::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let (station, accepted) = tokio::join!(socket.connect(listener.local_addr().unwrap()), listener.accept());
    let (mut station, (at_daemon, _)) = (station.unwrap(), accepted.unwrap());
    SockRef::from(&at_daemon).set_send_buffer_size(4096).unwrap();

    let (near, far) = duplex(1 << 20);
    let joined = carry(at_daemon, Side::accepted(Stream::from(near)), MINUTE, pending());
    let mut peer = relay::Link::new(far);
    peer.writer.queue_payload(seal::Buffer::take(), DATA_BYTES_MAX);
    peer.writer.flush().await.unwrap();
    // So much at a time is more than the kernel holds: every time the join has had to write some of it.
    let mut bits = vec![0; 20_000];
    for _ in 0..3 {
        station.read_exact(&mut bits).await.unwrap();
        advance(Duration::from_secs(50)).await;
    }
    station.read_exact(&mut bits[..DATA_BYTES_MAX - 60_000]).await.unwrap();
    assert!(!joined.is_finished());
}

#[tokio::test]
async fn the_end_of_the_time_to_drain_aborts() {
    for (medium, at_proxy) in PATHS.into_iter().flat_map(|medium| [(medium, true), (medium, false)]) {
        let (drain, stop) = oneshot::channel::<()>();
        let stop: Stop = Box::pin(async move { stop.await.unwrap() });
        let stops = if at_proxy { [stop, never()] } else { [never(), stop] };
        let mut call = Call::stoppable(medium, [UNBOUNDED; 2], stops).await;
        soon(move_byte(&mut call.partner, &mut call.station)).await;
        drain.send(()).unwrap();
        read_until_reset(&mut call.partner).await;
        read_until_reset(&mut call.station).await;
        let (proxy, client) = call.outcomes().await;
        let ((near, near_link), (far, far_link)) = if at_proxy { (proxy, client) } else { (client, proxy) };
        assert_eq!((near.end, near.ended_by), (End::Aborted(AbortReason::Drain), EndedBy::Ourselves));
        assert_eq!((far.end, far.ended_by), (medium.heard(AbortReason::Drain), EndedBy::Peer));
        assert_eq!([near_link.is_ok(), far_link.is_ok()], [medium.is_used_again(); 2]);
    }
}

/// The peer neither answers the abort nor goes: the link is given up within its bound, and not at once.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_an_abort_costs_the_link() {
    let (near, _far) = duplex(1000);
    let mut side = Side::accepted(Stream::from(near));
    abort(&mut side.link, &mut side.state, AbortReason::GivenUp);
    let began = Instant::now();
    let outcome = settle(&mut side.link, &mut side.state).await;
    assert!(
        matches!(&outcome, Err(LinkError::Broken(error)) if error.kind() == std::io::ErrorKind::TimedOut)
    );
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(SETTLE_MS) && took <= Duration::from_millis(SETTLE_MS + 10));
}

/// The same where the link takes nothing, or where the peer goes on sending instead of answering.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_or_only_talks_costs_the_link() {
    let (near, _far) = duplex(3);
    let mut side = Side::accepted(Stream::from(near));
    abort(&mut side.link, &mut side.state, AbortReason::GivenUp);
    assert!(settle(&mut side.link, &mut side.state).await.is_err());

    let (near, far) = duplex(1000);
    let mut side = Side::accepted(Stream::from(near));
    abort(&mut side.link, &mut side.state, AbortReason::GivenUp);
    let mut peer = relay::Link::new(far);
    let talk = async {
        loop {
            let buffer = seal::Buffer::take();
            peer.writer.queue_payload(buffer, 10);
            peer.writer.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let outcome = relay::race(settle(&mut side.link, &mut side.state), talk).await;
    assert!(matches!(outcome, relay::Either::Left(Err(_))), "{outcome:?}");
}

/// What was on its way when the call was aborted is discarded up to the peer's answer.
#[tokio::test]
async fn what_was_on_its_way_is_discarded() {
    let (near, far) = duplex(100);
    let mut side = Side::accepted(Stream::from(near));
    let mut peer = relay::Link::new(far);
    abort(&mut side.link, &mut side.state, AbortReason::GivenUp);
    let answer = async {
        peer.writer.queue_payload(seal::Buffer::take(), 50_000);
        peer.writer.queue(&Frame::Abort(AbortReason::Answer));
        peer.writer.flush().await.unwrap();
        peer.receive().await.unwrap()
    };
    let (settled, frame) =
        soon(async { tokio::join!(settle(&mut side.link, &mut side.state), answer) }).await;
    settled.unwrap();
    assert!(matches!(frame, Frame::Abort(AbortReason::GivenUp)));
    assert!(side.state.is_standby());
}
