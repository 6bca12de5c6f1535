//! An abort arrives as an abort, never as an end of file (trap 10).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{
    Call, Medium, Side, Stream, UNBOUNDED, carry, read_until_fin, read_until_reset, reset_after_fin, soon,
    tcp_pair,
};
use relay::socket::reset;
use relay::{End, EndedBy, Incoming};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::SockRef;
use std::future::pending;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;
use wire::{AbortReason, Frame};

const RESET: End = End::Aborted(AbortReason::Reset);
const MEDIA: [Medium; 5] = [
    Medium::Tcp,
    Medium::Sealed,
    Medium::Unsealed,
    Medium::Memory(1000),
    Medium::Chopped { seed: 1, most: 5000 },
];

#[tokio::test]
async fn a_reset_of_an_idle_call_reaches_the_other_end() {
    for medium in MEDIA {
        let mut call = Call::over(medium).await;
        soon(common::move_byte(&mut call.partner, &mut call.station)).await;
        reset(call.partner);
        assert_eq!(read_until_reset(&mut call.station).await, b"");
        check(medium, call.proxy, call.client).await;

        let mut call = Call::over(medium).await;
        soon(common::move_byte(&mut call.partner, &mut call.station)).await;
        reset(call.station);
        assert_eq!(read_until_reset(&mut call.partner).await, b"");
        check(medium, call.client, call.proxy).await;
    }
}

/// The end whose socket was reset says so, the other hears it, and the link is ready for the next call.
async fn check(
    medium: Medium,
    near: tokio::task::JoinHandle<common::Outcome>,
    far: tokio::task::JoinHandle<common::Outcome>,
) {
    let ((near, near_link), (far, far_link)) = (soon(near).await.unwrap(), soon(far).await.unwrap());
    assert_eq!((near.end, near.ended_by), (RESET, EndedBy::Socket));
    assert_eq!((far.end, far.ended_by), (RESET, EndedBy::Peer));
    for link in [near_link, far_link] {
        assert_eq!(link.is_ok_and(|side| side.state.is_standby()), medium.is_used_again());
    }
}

#[tokio::test]
async fn a_reset_while_the_other_end_sends_reaches_it() {
    for medium in MEDIA {
        for partner_resets in [true, false] {
            let call = Call::over(medium).await;
            let (mut resets, mut sends, near, far) = if partner_resets {
                (call.partner, call.station, call.proxy, call.client)
            } else {
                (call.station, call.partner, call.client, call.proxy)
            };
            let sending = async {
                let piece = vec![1; 10_000];
                while sends.write_all(&piece).await.is_ok() {}
            };
            let resetting = async {
                resets.read_exact(&mut vec![0; 100_000]).await.unwrap();
                reset(resets);
            };
            soon(async { tokio::join!(sending, resetting) }).await;
            check(medium, near, far).await;
        }
    }
}

/// The sender is reset in the middle of its own payload: what arrives is a part, then a reset.
#[tokio::test]
async fn a_reset_in_the_middle_of_payload_is_not_its_end() {
    for medium in MEDIA {
        let mut call = Call::over(medium).await;
        let sending = async {
            call.partner.write_all(&vec![1; 100_000]).await.unwrap();
            reset(call.partner);
        };
        let (_, got) = tokio::join!(sending, read_until_reset(&mut call.station));
        assert!(got.len() <= 100_000);
        check(medium, call.proxy, call.client).await;
    }
}

#[tokio::test]
async fn both_ends_reset_at_once() {
    for _ in 0..20 {
        let call = Call::over(Medium::Tcp).await;
        reset(call.partner);
        reset(call.station);
        let ((proxy, proxy_link), (client, client_link)) =
            (soon(call.proxy).await.unwrap(), soon(call.client).await.unwrap());
        assert_eq!((proxy.end, client.end), (RESET, RESET));
        assert!(proxy_link.unwrap().state.is_standby() && client_link.unwrap().state.is_standby());
    }
}

/// The proxy's end of a call over a loopback link; the test plays everything beyond.
async fn over_tcp() -> (TcpStream, TcpStream, tokio::task::JoinHandle<common::Outcome>) {
    let ((partner, at_proxy), (near, far)) = (tcp_pair().await, tcp_pair().await);
    let proxy = carry(at_proxy, Side::accepted(Stream::from(near)), UNBOUNDED, pending());
    (partner, far, proxy)
}

#[tokio::test]
async fn a_link_that_stops_without_a_word_is_an_abort() {
    let (whole, part) = (data(b"payload"), [17, 0, 0, 9, 1, 2]);
    for by_reset in [true, false] {
        for said in [&[][..], &whole, &part, &whole[..2]] {
            let (mut partner, mut link, proxy) = over_tcp().await;
            link.write_all(said).await.unwrap();
            let payload = said.get(4..).unwrap_or_default();
            let mut got = vec![0; payload.len()];
            soon(partner.read_exact(&mut got)).await.unwrap();
            assert_eq!(got, payload);
            stop(link, by_reset);
            assert_eq!(read_until_reset(&mut partner).await, b"");
            broken(proxy).await;
        }
    }
}

#[tokio::test]
async fn a_link_that_stops_after_the_peers_end_is_an_abort() {
    for by_reset in [true, false] {
        let (mut partner, mut link, proxy) = over_tcp().await;
        link.write_all(&encoded(&Frame::End)).await.unwrap();
        assert_eq!(soon(partner.read(&mut [0])).await.unwrap(), 0);
        stop(link, by_reset);
        reset_after_fin(&partner).await;
        broken(proxy).await;
    }
}

#[tokio::test]
async fn a_link_that_stops_after_the_partners_end_is_an_abort() {
    for by_reset in [true, false] {
        let (mut partner, mut link, proxy) = over_tcp().await;
        partner.shutdown().await.unwrap();
        let mut end = [0; 4];
        soon(link.read_exact(&mut end)).await.unwrap();
        assert_eq!(end, encoded(&Frame::End)[..]);
        stop(link, by_reset);
        assert_eq!(read_until_reset(&mut partner).await, b"");
        broken(proxy).await;
    }
}

/// The link stops, by reset or by FIN.
fn stop(link: TcpStream, by_reset: bool) {
    if by_reset {
        reset(link);
    }
}

async fn broken(proxy: tokio::task::JoinHandle<common::Outcome>) {
    let (joined, link) = soon(proxy).await.unwrap();
    assert_eq!((joined.end, joined.ended_by), (End::LinkBroken, EndedBy::Ourselves));
    assert!(link.is_err(), "of no more use");
}

#[tokio::test]
async fn every_reason_arrives_and_is_answered() {
    for &reason in AbortReason::ALL {
        let (mut partner, mut link, proxy) = over_tcp().await;
        link.write_all(&data(b"payload")).await.unwrap();
        soon(partner.read_exact(&mut [0; 7])).await.unwrap();
        link.write_all(&encoded(&Frame::Abort(reason))).await.unwrap();
        assert_eq!(read_until_reset(&mut partner).await, b"");
        let (joined, side) = soon(proxy).await.unwrap();
        assert_eq!((joined.end, joined.ended_by), (End::Aborted(reason), EndedBy::Peer));
        assert_eq!(joined.to_socket, 7);
        assert!(side.unwrap().state.is_standby());
        assert_eq!(read_until_fin(&mut link).await, encoded(&Frame::Abort(AbortReason::Answer)));
    }
}

/// The link takes nothing, so that the socket is not read; its reset has to be noticed all the same.
#[tokio::test]
async fn a_reset_is_noticed_while_the_link_is_full() {
    let (near, far) = duplex(64);
    let (mut partner, at_proxy) = tcp_pair().await;
    let proxy = carry_only(at_proxy, Side::accepted(Stream::from(near)));
    partner.write_all(&vec![7; 50_000]).await.unwrap();
    let mut peer = relay::Link::new(far);
    assert!(matches!(soon(peer.reader.next()).await, Ok(Incoming::Payload(_))));
    reset(partner);
    let (end, mut side) = soon(proxy).await.unwrap();
    assert_eq!(end, RESET);

    // The frame that was cut short is completed before the abort, so that the peer still understands.
    let settling = relay::join::settle(&mut side.link, &mut side.state);
    let reading = async {
        loop {
            match peer.reader.next().await.unwrap() {
                Incoming::Payload(bytes) => assert!(bytes.iter().all(|&byte| byte == 7)),
                Incoming::Frame(frame) => {
                    assert!(matches!(frame, Frame::Abort(AbortReason::Reset)), "{frame:?}");
                    peer.writer.queue(&Frame::Abort(AbortReason::Answer));
                    return peer.writer.flush().await.unwrap();
                }
            }
        }
    };
    soon(async { tokio::join!(settling, reading) }).await.0.unwrap();
    assert!(side.state.is_standby());
}

/// The same where all payload went out and what does not is `End`: of 4 + 61 + 4 bytes the peer has read 4, and the
/// link holds 64.
#[tokio::test]
async fn a_reset_is_noticed_while_the_end_cannot_be_said() {
    let ((mut partner, at_proxy), (near, mut far)) = (tcp_pair().await, duplex(64));
    partner.write_all(&[7; 61]).await.unwrap();
    partner.shutdown().await.unwrap();
    let proxy = carry_only(at_proxy, Side::accepted(Stream::from(near)));
    soon(far.read_exact(&mut [0; 4])).await.unwrap();
    // The join has the thread for as long as it has something to do, and comes to rest with `End` in its hands.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    reset(partner);
    assert_eq!(soon(proxy).await.unwrap().0, RESET);
}

/// Joins without settling.
fn carry_only(socket: TcpStream, mut side: Side) -> tokio::task::JoinHandle<(End, Side)> {
    tokio::spawn(async move {
        let joined = relay::join(socket, &[], &mut side.link, &mut side.state, UNBOUNDED, pending()).await;
        (joined.end, side)
    })
}

/// The reset comes together with the last word of the peer, and before the runtime has heard of it.
#[tokio::test]
async fn a_reset_is_not_overlooked_when_the_peer_ends_at_the_same_time() {
    let ((mut partner, at_proxy), (near, mut far)) = (tcp_pair().await, duplex(64));
    let same = SockRef::from(&at_proxy).try_clone().unwrap();
    let proxy = carry_only(at_proxy, Side::accepted(Stream::from(near)));
    partner.shutdown().await.unwrap();
    soon(far.read_exact(&mut [0; 4])).await.unwrap();
    reset(partner);
    let mut errors = [PollFd::new(&same, PollFlags::empty())];
    assert_eq!(poll(&mut errors, None).unwrap(), 1);
    far.write_all(&encoded(&Frame::End)).await.unwrap();
    assert_eq!(soon(proxy).await.unwrap().0, RESET);
}

/// Whatever ends the task, a panic or the end of the runtime, ends the call by a reset at both ends.
#[tokio::test]
async fn a_join_that_is_dropped_is_an_abort() {
    for at_proxy in [true, false] {
        let mut call = Call::over(Medium::Tcp).await;
        soon(common::move_byte(&mut call.partner, &mut call.station)).await;
        if at_proxy { &call.proxy } else { &call.client }.abort();
        assert_eq!(read_until_reset(&mut call.partner).await, b"");
        assert_eq!(read_until_reset(&mut call.station).await, b"");
    }
}

/// A peer's abort is noticed while this end's own payload is stuck in the link.
#[tokio::test]
async fn an_abort_is_noticed_while_the_link_is_full() {
    let ((mut partner, at_proxy), (near, mut far)) = (tcp_pair().await, duplex(64));
    let proxy = carry_only(at_proxy, Side::accepted(Stream::from(near)));
    partner.write_all(&vec![7; 50_000]).await.unwrap();
    soon(far.read_exact(&mut [0; 4])).await.unwrap();
    far.write_all(&encoded(&Frame::Abort(AbortReason::Idle))).await.unwrap();
    assert_eq!(soon(proxy).await.unwrap().0, End::Aborted(AbortReason::Idle));
    read_until_reset(&mut partner).await;
}

/// A frame's bytes.
fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// The bytes of a `Data` frame.
fn data(payload: &[u8]) -> Vec<u8> {
    let mut bytes = wire::Header::data(payload.len()).encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}
