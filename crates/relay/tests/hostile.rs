//! A peer that knows the link and means harm: the call is aborted, the link is given up, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::future::pending;

use common::stream::Io;
use common::{
    FRAMED, Medium, Outcome, Random, Side, UNBOUNDED, carry, raw, read_until_reset, reset_after_fin, soon,
    tcp_pair,
};
use relay::{End, EndedBy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use wire::{AbortReason, Frame};

const END: [u8; 4] = [18, 0, 0, 0];
const DATA: [u8; 5] = [17, 0, 0, 1, 7];
const MAY_UNSEAL: [u8; 4] = [24, 0, 0, 0];

/// The proxy's end of a call: the partner, the peer's end of the link in bytes, and the join.
async fn victim(medium: Medium) -> (TcpStream, Box<dyn Io>, JoinHandle<Outcome>) {
    let ((partner, at_proxy), (near, far)) = (tcp_pair().await, raw(medium).await);
    let side = Side::accepted(near);
    (partner, far, carry(at_proxy, side, UNBOUNDED, pending()))
}

/// Every item over every medium that carries frames.
fn over_each<T>(items: &[T]) -> impl Iterator<Item = (Medium, &T)> {
    FRAMED.into_iter().flat_map(move |medium| items.iter().map(move |item| (medium, item)))
}

/// A seal keeps what it is given until it is flushed. The victim may have had enough already.
async fn send(peer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    if peer.write_all(bytes).await.is_ok() {
        let _ = peer.flush().await;
    }
}

async fn is_given_up(proxy: JoinHandle<Outcome>, what: &[u8]) {
    let (joined, link) = soon(proxy).await.unwrap();
    assert_eq!((joined.end, joined.ended_by), (End::LinkBroken, EndedBy::Ourselves), "{what:?}");
    assert!(link.is_err(), "{what:?}: the link must not be used again");
}

#[tokio::test]
async fn what_is_no_frame_ends_the_call() {
    let bodies: [&[u8]; 10] = [
        &[0, 0, 0, 0],
        &[20, 0, 0, 0],
        &[255, 255, 255, 255],
        &[17, 0, 0, 0],
        &[17, 0, 255, 253],
        &[17, 255, 255, 255],
        &[18, 0, 0, 1, 0],
        &[19, 0, 0, 0],
        &[19, 0, 0, 1, 99],
        &[16, 255, 255, 255],
    ];
    for (medium, bytes) in over_each(&bodies) {
        for before in [&[][..], &DATA] {
            let (mut partner, mut peer, proxy) = victim(medium).await;
            send(&mut peer, before).await;
            send(&mut peer, bytes).await;
            let got = read_until_reset(&mut partner).await;
            assert!(got.len() <= before.len() / 5);
            is_given_up(proxy, bytes).await;
        }
    }
}

#[tokio::test]
async fn frames_out_of_turn_end_the_call() {
    let name = "plain".parse().unwrap();
    let frames = [
        Frame::Offer { call: wire::CallId(1), listener: name, partner: "192.0.2.1:1".parse().unwrap() },
        Frame::Accept(wire::CallId(1)),
        Frame::Ringing(wire::CallId(1)),
        Frame::Refuse(wire::CallId(1), wire::RefuseReason::Refused),
        Frame::Gone(wire::CallId(1)),
        Frame::Heartbeat,
        Frame::Drain,
        Frame::Listeners(vec![name]),
        Frame::Standby(wire::SessionId(1)),
        Frame::Unseal,
    ];
    for (medium, frame) in over_each(&frames) {
        let (mut partner, mut peer, proxy) = victim(medium).await;
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        send(&mut peer, &bytes).await;
        assert_eq!(read_until_reset(&mut partner).await, b"", "{frame:?}");
        is_given_up(proxy, &bytes).await;
    }
}

/// After its end a direction is silent until the next call, whatever comes.
#[tokio::test]
async fn nothing_may_follow_the_end() {
    let mut abort = Vec::new();
    Frame::Abort(AbortReason::Reset).encode(&mut abort);
    for (medium, &after) in over_each(&[&END[..], &DATA, &abort, &[0; 4], &[17, 0, 0, 100], &MAY_UNSEAL]) {
        // In one piece with the end, and long after it.
        for apart in [false, true] {
            let (mut partner, mut peer, proxy) = victim(medium).await;
            if apart {
                send(&mut peer, &END).await;
                assert_eq!(soon(partner.read(&mut [0])).await.unwrap(), 0);
                send(&mut peer, after).await;
            } else {
                send(&mut peer, &[&END, after].concat()).await;
            }
            if after == [17, 0, 0, 100] {
                // A header of payload only is nothing yet; its first byte is.
                send(&mut peer, &[0]).await;
            }
            reset_after_fin(&partner).await;
            is_given_up(proxy, after).await;
        }
    }
}

/// Nothing but noise, from many seeds: every call ends as one that is aborted, and no task panics.
#[tokio::test]
async fn noise_ends_the_call() {
    for seed in 0..200 {
        println!("seed {seed}");
        let (partner, mut peer, proxy) = victim(FRAMED[seed as usize % FRAMED.len()]).await;
        let mut random = Random(seed);
        let mut noise = Vec::new();
        for _ in 0..random.below(200) {
            match random.below(4) {
                0 => noise.extend_from_slice(&DATA),
                1 => noise.extend_from_slice(&[17, 0, 0, 3, 1, 2, 3]),
                2 => noise.extend_from_slice(&random.next().to_be_bytes()[..1 + random.below(8)]),
                _ => noise.extend_from_slice(&[random.below(21) as u8, 0, 0, random.below(3) as u8]),
            }
        }
        send(&mut peer, &noise).await;
        drop(peer);
        let (joined, _) = soon(proxy).await.unwrap();
        assert_ne!(joined.end, End::Orderly);
        drop(partner);
    }
}

/// Frames of one byte of payload are lawful, however many. They arrive, and cost no memory.
#[tokio::test]
async fn endless_tiny_frames_are_carried() {
    for medium in FRAMED {
        let (mut partner, mut peer, proxy) = victim(medium).await;
        let tiny = DATA.repeat(1000);
        let mut got = vec![0; 1000];
        for _ in 0..50 {
            send(&mut peer, &tiny).await;
            soon(partner.read_exact(&mut got)).await.unwrap();
            assert!(got.iter().all(|&byte| byte == 7));
        }
        tokio::task::yield_now().await;
        assert_eq!(seal::Buffer::held(), 0);
        send(&mut peer, &[1, 0, 0, 0]).await;
        read_until_reset(&mut partner).await;
        is_given_up(proxy, &[1, 0, 0, 0]).await;
    }
}
