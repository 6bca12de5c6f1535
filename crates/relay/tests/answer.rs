//! An answer that may wait a little travels with what the station says, and waits for nothing else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::future::pending;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use common::{HeldClock, Side, UNBOUNDED, soon, tcp_pair};
use relay::join;
use relay::socket::reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::time::{Instant, advance};
use wire::limits::{ANSWER_WAITS_MS, FRAME_HEADER_BYTES};
use wire::{AbortReason, CallId, Frame, Header, Kind, Role};

const ACCEPT: Frame = Frame::Accept(CallId(7));

/// A client that has just reached its station; the test is the station, and the proxy at the other end of the link.
struct Accepting {
    station: TcpStream,
    proxy: DuplexStream,
    began: Instant,
    _clock: HeldClock,
}

impl Accepting {
    /// Needs a paused clock.
    async fn begin() -> Self {
        let clock = HeldClock::new();
        let (near, proxy) = duplex(1 << 16);
        let (socket, station) = tcp_pair().await;
        tokio::spawn(async move {
            let mut client = Side::new(near.into(), Role::Client);
            client.state.on_received(Kind::Offer).unwrap();
            client.link.writer.queue_to_wait(&ACCEPT);
            client.state.on_sent(Kind::Accept);
            let stop = pin!(pending());
            join(socket, &[], &mut client.link, &mut client.state, UNBOUNDED, stop).await;
            client.link.writer.flush().await.unwrap();
            pending::<()>().await;
        });
        let mut accepting = Self { station, proxy, began: Instant::now(), _clock: clock };
        accepting.assert_silent().await;
        accepting
    }

    /// What the client has had many turns to say it has not said.
    async fn assert_silent(&mut self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut byte = [0];
        let mut read = pin!(self.proxy.read(&mut byte));
        let silent = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await;
        assert!(silent, "it has not waited");
    }

    /// What the client says next is the answer and `more`, at this time.
    async fn assert_said(&mut self, more: &[u8], after: Duration) {
        let mut expected = Vec::new();
        ACCEPT.encode(&mut expected);
        expected.extend_from_slice(more);
        let mut said = vec![0; expected.len()];
        soon(self.proxy.read_exact(&mut said)).await.unwrap();
        assert_eq!(said, expected);
        assert_eq!(self.began.elapsed(), after);
    }
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

#[tokio::test(start_paused = true)]
async fn what_the_station_says_takes_it_along() {
    let mut call = Accepting::begin().await;
    call.station.write_all(b"hello").await.unwrap();
    call.assert_said(&[&Header::data(5).encode()[..], b"hello"].concat(), Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn so_does_the_end_of_a_station_that_says_nothing() {
    let mut call = Accepting::begin().await;
    call.station.shutdown().await.unwrap();
    call.assert_said(&encoded(&Frame::End), Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn so_does_the_abort_of_a_station_that_resets() {
    let mut call = Accepting::begin().await;
    reset(std::mem::replace(&mut call.station, tcp_pair().await.0));
    call.assert_said(&encoded(&Frame::Abort(AbortReason::Reset)), Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_station_does_not_hold_it_back_for_long() {
    let mut call = Accepting::begin().await;
    let wait = Duration::from_millis(ANSWER_WAITS_MS);
    advance(wait - Duration::from_millis(1)).await;
    call.assert_silent().await;
    // The clock of the runtime has ticks of a millisecond, and none before its time.
    advance(Duration::from_millis(2)).await;
    call.assert_said(&[], wait + Duration::from_millis(1)).await;
    call.station.write_all(b"at last").await.unwrap();
    let mut later = [0; FRAME_HEADER_BYTES + 7];
    soon(call.proxy.read_exact(&mut later)).await.unwrap();
    assert!(later.ends_with(b"at last"));
}

#[tokio::test(start_paused = true)]
async fn a_partner_who_goes_on_speaking_is_answered_at_once() {
    let mut call = Accepting::begin().await;
    call.proxy.write_all(&[&Header::data(4).encode()[..], b"more"].concat()).await.unwrap();
    let mut heard = [0; 4];
    soon(call.station.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"more");
    call.assert_said(&[], Duration::ZERO).await;
}
