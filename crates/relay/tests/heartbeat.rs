//! Links without a call are asked whether they live, and a call may begin before the answer is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{FRAMED, Medium, Side, soon, standby, tcp_pair};
use relay::heartbeat::{answer, probe};
use relay::{Answer, Caller};
use tokio::time::Instant;
use wire::limits::OFFER_SIGN_MS;
use wire::{CallId, Frame, Kind};

/// The end at which calls end reads a heartbeat and answers it.
async fn is_asked(callee: &mut Side) {
    let frame = soon(callee.link.receive()).await.unwrap();
    callee.state.on_received(frame.kind()).unwrap();
    answer(&mut callee.link, &mut callee.state).await.unwrap();
}

#[tokio::test]
async fn a_link_lives_as_long_as_it_answers() {
    for medium in FRAMED {
        let (mut proxy, mut client) = standby(medium).await;
        for _ in 0..3 {
            probe(&mut proxy.link, &mut proxy.state).await.unwrap();
            is_asked(&mut client).await;
            let frame = soon(proxy.link.receive()).await.unwrap();
            proxy.state.on_received(frame.kind()).unwrap();
        }
        probe(&mut proxy.link, &mut proxy.state).await.unwrap();
        assert!(probe(&mut proxy.link, &mut proxy.state).await.unwrap_err().is_silence());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_as_dead() {
    let (mut proxy, _client) = standby(Medium::Memory(2)).await;
    let began = Instant::now();
    assert!(probe(&mut proxy.link, &mut proxy.state).await.unwrap_err().is_silence());
    assert_eq!(began.elapsed(), Duration::from_millis(OFFER_SIGN_MS));
}

/// Offers a call while a heartbeat is unanswered; `and_then` is what the client does when it has read both.
async fn offered(and_then: impl AsyncFnOnce(&mut Side)) -> Answer {
    let (mut proxy, mut client) = standby(Medium::Memory(1 << 20)).await;
    let (_partner, socket) = tcp_pair().await;
    probe(&mut proxy.link, &mut proxy.state).await.unwrap();
    let partner = "192.0.2.1:3305".parse().unwrap();
    let offer = Frame::Offer { call: CallId(7), listener: "plain".parse().unwrap(), partner };
    let mut caller = Caller::new(socket);
    let deadline = Instant::now() + Duration::from_millis(3 * OFFER_SIGN_MS);
    let answering = async {
        is_asked(&mut client).await;
        let frame = client.link.receive().await.unwrap();
        client.state.on_received(frame.kind()).unwrap();
        and_then(&mut client).await;
        client
    };
    tokio::join!(caller.offer(&mut proxy.link, &mut proxy.state, &offer, deadline), answering).0
}

async fn say(client: &mut Side, frame: Frame) {
    client.state.on_sent(frame.kind());
    client.link.send(&frame).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_heartbeat_is_no_sign_that_an_offer_has_arrived() {
    let began = Instant::now();
    match offered(async |_| {}).await {
        Answer::LinkDead(error) => assert!(error.is_silence(), "{error}"),
        other => unreachable!("{other:?}"),
    }
    assert_eq!(began.elapsed(), Duration::from_millis(OFFER_SIGN_MS));
    assert!(matches!(
        offered(async |client| say(client, Frame::Ringing(CallId(7))).await).await,
        Answer::TimedOut
    ));
}

#[tokio::test]
async fn a_call_that_crosses_the_answer_to_a_heartbeat_is_accepted() {
    let answer = offered(async |client| say(client, Frame::Accept(CallId(7))).await).await;
    assert!(matches!(answer, Answer::Accepted(frame) if frame.kind() == Kind::Accept));
}
