//! A call is put to the other end of a link with what its caller has said, if the caller is still there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{FRAMED, Side, soon, standby, tcp_pair};
use relay::{Answer, Caller, Incoming, socket};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::time::Instant;
use wire::{CallId, Frame, Kind};

fn opening(call: u64) -> Frame {
    let partner = "192.0.2.1:3305".parse().unwrap();
    Frame::Offer { call: CallId(call), listener: "plain".parse().unwrap(), partner }
}

async fn offer(caller: &mut Caller, call: u64, proxy: &mut Side) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(60);
    caller.offer(&mut proxy.link, &mut proxy.state, &opening(call), deadline).await
}

/// The client takes the call and returns its id, and what came with it.
async fn accept(client: &mut Side, bytes: usize) -> (CallId, Vec<u8>) {
    let Frame::Offer { call, .. } = soon(client.link.receive()).await.unwrap() else { panic!("no offer") };
    client.state.on_received(Kind::Offer).unwrap();
    let mut early = Vec::new();
    while early.len() < bytes {
        match soon(client.link.reader.next()).await.unwrap() {
            Incoming::Payload(piece) => early.extend_from_slice(piece),
            Incoming::Frame(frame) => panic!("{frame:?}"),
        }
    }
    client.state.on_sent(Kind::Accept);
    client.link.send(&Frame::Accept(call)).await.unwrap();
    (call, early)
}

#[tokio::test]
async fn a_caller_that_was_reset_is_offered_to_nobody() {
    for medium in FRAMED {
        let (mut proxy, mut client) = standby(medium).await;
        let (partner, socket) = tcp_pair().await;
        socket::reset(partner);
        soon(socket.ready(Interest::ERROR)).await.unwrap();
        let mut caller = Caller::new(socket);
        assert!(matches!(offer(&mut caller, 1, &mut proxy).await, Answer::CallerLeft));
        assert!(proxy.state.is_standby());
        // The next one is the first of which the client hears.
        let (_partner, socket) = tcp_pair().await;
        let mut caller = Caller::new(socket);
        let (answer, (call, _)) = tokio::join!(offer(&mut caller, 2, &mut proxy), accept(&mut client, 0));
        assert!(matches!(answer, Answer::Accepted(_)), "{answer:?}");
        assert_eq!(call, CallId(2));
    }
}

#[tokio::test]
async fn what_a_caller_has_said_already_travels_with_the_offer_and_is_kept() {
    for medium in FRAMED {
        let (mut proxy, mut client) = standby(medium).await;
        let (mut partner, socket) = tcp_pair().await;
        partner.write_all(b"at once").await.unwrap();
        partner.shutdown().await.unwrap();
        soon(socket.readable()).await.unwrap();
        let mut caller = Caller::new(socket);
        let (answer, (_, early)) = tokio::join!(offer(&mut caller, 1, &mut proxy), accept(&mut client, 7));
        assert!(matches!(answer, Answer::Accepted(_)), "{answer:?}");
        assert_eq!((&*early, &*caller.early), (&b"at once"[..], &b"at once"[..]));
    }
}
