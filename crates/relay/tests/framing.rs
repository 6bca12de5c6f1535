//! The framed link by itself: whoever waits for a frame, or for the way to be free, may stop waiting at any point.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;

use common::{FRAMED, Medium, Random, Stream, assert_same, payload, raw, soon, standby, write_and_end};
use relay::{Either, Incoming, Link, LinkError, race};
use seal::Buffer;
use tokio::io::duplex;
use wire::limits::{DATA_BYTES_MAX, FRAME_HEADER_BYTES};
use wire::{AbortReason, CallId, Frame, Header, Malformed};

/// Lets one future run until it has waited `turns` times, then gives it up.
async fn for_turns<T>(future: impl Future<Output = T>, turns: usize) -> Option<T> {
    let turns = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    };
    match race(future, turns).await {
        Either::Left(value) => Some(value),
        Either::Right(()) => None,
    }
}

/// Writes the pieces as `Data` frames with a frame after each, giving up and coming back all the time.
async fn write_all(link: &mut Link<Stream>, pieces: &[Vec<u8>], mut random: Random) {
    for (number, piece) in pieces.iter().enumerate() {
        let mut buffer = Buffer::take();
        buffer[FRAME_HEADER_BYTES..][..piece.len()].copy_from_slice(piece);
        link.writer.queue_payload(buffer, piece.len());
        link.writer.queue(&Frame::Withdraw(CallId(number as u64)));
        assert!(!link.writer.is_flushed());
        while !link.writer.is_flushed() {
            if let Some(outcome) = for_turns(link.writer.flush(), random.below(5)).await {
                outcome.unwrap();
                assert!(link.writer.is_flushed());
            }
        }
    }
}

/// Reads what [`write_all`] writes, in the same manner.
async fn read_all(link: &mut Link<Stream>, pieces: &[Vec<u8>], mut random: Random) {
    let mut got = Vec::new();
    let mut number = 0;
    while number < pieces.len() {
        match for_turns(link.reader.next(), random.below(5)).await {
            None => {}
            Some(Ok(Incoming::Payload(bytes))) => got.extend_from_slice(bytes),
            Some(Ok(Incoming::Frame(Frame::Withdraw(call)))) => {
                assert_eq!(call.0, number as u64);
                assert_same(&got, &pieces[number], "payload of one frame");
                got.clear();
                number += 1;
            }
            other => unreachable!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn waiting_may_be_given_up_at_any_point() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let chopped = Medium::Chopped { seed, most: 1 + random.below(9000) };
        let (near, far) = standby([chopped, chopped, Medium::Tcp, Medium::Sealed][seed as usize % 4]).await;
        let (mut near, mut far) = (near.link, far.link);
        let pieces: Vec<Vec<u8>> = (0..20)
            .map(|_| match random.below(8) {
                0 => payload(random.next(), DATA_BYTES_MAX),
                1 => payload(random.next(), 1),
                _ => payload(random.next(), 1 + random.below(5_000)),
            })
            .collect();
        soon(async {
            tokio::join!(
                write_all(&mut near, &pieces, Random(seed + 50)),
                read_all(&mut far, &pieces, Random(seed + 60))
            )
        })
        .await;
        assert_eq!(Buffer::held(), 0);
    }
}

/// What is in a buffer, in payload or in a frame under way never shows in a log.
#[tokio::test]
async fn nothing_of_a_call_shows_in_debug() {
    let secret = [0x53; 5000];
    let (near, far) = duplex(100);
    let (mut near, mut far) = (Link::new(near), Link::new(far));
    let mut buffer = Buffer::take();
    buffer[FRAME_HEADER_BYTES..][..secret.len()].copy_from_slice(&secret);
    let mut shown = format!("{buffer:?}");
    near.writer.queue_payload(buffer, secret.len());
    assert!(for_turns(near.writer.flush(), 1).await.is_none());
    shown += &format!("{:?}", far.reader.next().await.unwrap());
    shown += &format!("{near:?}{far:?}");
    assert!(shown.contains("Payload(96 bytes)"), "{shown}");
    assert!(!shown.contains("83, 83") && shown.len() < 1000, "{shown}");
}

#[tokio::test]
async fn the_end_of_a_link_is_in_order_only_between_frames() {
    let mut abort = Vec::new();
    Frame::Abort(AbortReason::Idle).encode(&mut abort);
    let data = [&Header::data(3).encode()[..], b"abc"].concat();
    for (medium, whole) in FRAMED.into_iter().flat_map(|medium| [(medium, &abort), (medium, &data)]) {
        for length in 0..=whole.len() {
            let (stream, mut peer) = raw(medium).await;
            write_and_end(&mut peer, &whole[..length]).await;
            let mut link = Link::new(stream);
            let error = loop {
                if let Err(error) = link.reader.next().await {
                    break error;
                }
            };
            let is_whole = length == 0 || length == whole.len();
            assert_eq!(matches!(error, LinkError::Closed), is_whole, "{length} bytes: {error}");
            if !is_whole {
                assert!(
                    matches!(error, LinkError::Broken(error) if error.kind() == io::ErrorKind::UnexpectedEof)
                );
            }
        }
    }
}

#[tokio::test]
async fn a_frame_is_received_where_no_payload_can_come() {
    for medium in FRAMED {
        let (near, far) = standby(medium).await;
        let (mut near, mut far) = (near.link, far.link);
        near.send(&Frame::Heartbeat).await.unwrap();
        assert!(matches!(far.receive().await, Ok(Frame::Heartbeat)));
        near.writer.queue_payload(Buffer::take(), 1);
        near.writer.flush().await.unwrap();
        assert!(matches!(far.receive().await, Err(LinkError::Malformed(Malformed::Kind))));
        near.writer.close().await.unwrap();
        assert!(matches!(far.receive().await, Err(LinkError::Closed)));
        assert!(near.send(&Frame::Heartbeat).await.is_err(), "nothing can be sent after the goodbye");
    }
}
