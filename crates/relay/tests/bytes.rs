//! Every byte arrives, once, in order, whatever the link does to them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use common::{
    Call, Medium, PATHS, Side, Stream, UNBOUNDED, assert_same, carry, never, payload, read_until_fin, soon,
    tcp_pair, write_and_end,
};
use relay::{End, EndedBy};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, duplex};
use tokio::task::yield_now;
use wire::limits::{DATA_BYTES_MAX, FRAME_HEADER_BYTES};

/// Both stations send at once, each reads at the same time, and both end in order.
async fn exchange(medium: Medium, from_partner: &[u8], from_station: &[u8]) {
    let mut call = Call::over(medium).await;
    let (mut partner_reads, mut partner_writes) = call.partner.split();
    let (mut station_reads, mut station_writes) = call.station.split();
    let (mut at_partner, mut at_station) = (Vec::new(), Vec::new());
    let reads = async {
        tokio::join!(partner_reads.read_to_end(&mut at_partner), station_reads.read_to_end(&mut at_station))
    };
    let (_, _, (partner_read, station_read)) = soon(async {
        tokio::join!(
            write_and_end(&mut partner_writes, from_partner),
            write_and_end(&mut station_writes, from_station),
            reads
        )
    })
    .await;
    partner_read.unwrap();
    station_read.unwrap();
    assert_same(&at_station, from_partner, "partner to station");
    assert_same(&at_partner, from_station, "station to partner");

    let ((proxy, proxy_link), (client, client_link)) = call.outcomes().await;
    assert_eq!(proxy.end, End::Orderly);
    assert_eq!(proxy.from_socket, from_partner.len() as u64);
    assert_eq!(proxy.to_socket, from_station.len() as u64);
    assert_eq!(client.end, End::Orderly);
    assert_eq!(client.from_socket, from_station.len() as u64);
    assert_eq!(client.to_socket, from_partner.len() as u64);
    for link in [proxy_link, client_link] {
        assert_eq!(link.is_ok_and(|side| side.state.is_standby()), medium.is_used_again());
    }
}

#[tokio::test]
async fn payload_around_the_size_of_a_frame() {
    let sizes = [0, 1, 2, DATA_BYTES_MAX - 1, DATA_BYTES_MAX, DATA_BYTES_MAX + 1, 3 * DATA_BYTES_MAX];
    for medium in
        [Medium::Tcp, Medium::Sealed, Medium::Unsealed, Medium::Memory(1 << 16), Medium::Memory(509)]
    {
        for (index, size) in sizes.into_iter().enumerate() {
            let bytes = payload(1, size);
            exchange(medium, &bytes, &[]).await;
            exchange(medium, &[], &bytes).await;
            exchange(medium, &bytes, &payload(2, sizes[sizes.len() - 1 - index])).await;
        }
    }
}

#[tokio::test]
async fn megabytes_both_ways_at_once() {
    let (a, b) = (payload(3, 9 << 20), payload(4, (7 << 20) + 1));
    for medium in [Medium::Tcp, Medium::Sealed, Medium::Unsealed, Medium::Memory(1 << 16)] {
        exchange(medium, &a, &b).await;
    }
}

/// Trap 8: both directions are full and the link holds next to nothing; neither may wait for the other.
#[tokio::test]
async fn both_directions_full_over_a_tiny_link() {
    let (a, b) = (payload(5, 2 << 20), payload(6, 2 << 20));
    exchange(Medium::Memory(61), &a, &b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_on_several_threads() {
    let (a, b) = (payload(7, 5 << 20), payload(8, 5 << 20));
    for medium in PATHS {
        exchange(medium, &a, &b).await;
    }
}

#[tokio::test]
async fn a_link_that_moves_one_byte_at_a_time() {
    let (a, b) = (payload(9, DATA_BYTES_MAX + 1), payload(10, 30_000));
    exchange(Medium::Chopped { seed: 11, most: 1 }, &a, &b).await;
}

#[tokio::test]
async fn a_link_that_cuts_frames_anywhere() {
    for seed in 0..4 {
        let most = [3, 7, 1000, 70_000][seed as usize];
        let (a, b) = (payload(seed, 140_000), payload(seed + 100, 70_001));
        exchange(Medium::Chopped { seed, most }, &a, &b).await;
    }
}

/// The called station speaks first (RFC 5024, section 8.2), in 23 bytes, and they go out at once.
#[tokio::test]
async fn the_called_end_speaks_first_and_small_pieces_are_not_held_back() {
    for medium in PATHS {
        let mut call = Call::over(medium).await;
        let (mut at_partner, mut at_station) = ([0; 23], [0; 7]);
        for _ in 0..50 {
            call.station.write_all(&[b'R'; 23]).await.unwrap();
            soon(call.partner.read_exact(&mut at_partner)).await.unwrap();
            call.partner.write_all(&[b'C'; 7]).await.unwrap();
            soon(call.station.read_exact(&mut at_station)).await.unwrap();
        }
        call.station.shutdown().await.unwrap();
        assert!(read_until_fin(&mut call.partner).await.is_empty());
        call.partner.shutdown().await.unwrap();
        assert!(read_until_fin(&mut call.station).await.is_empty());
        let ((proxy, _), (client, _)) = call.outcomes().await;
        assert_eq!((proxy.end, proxy.ended_by, proxy.to_socket), (End::Orderly, EndedBy::Peer, 50 * 23));
        assert_eq!((client.end, client.ended_by, client.to_socket), (End::Orderly, EndedBy::Socket, 50 * 7));
    }
}

/// A stream that keeps what it is given until it is flushed, as a seal does (trap 8).
#[tokio::test]
async fn what_is_queued_is_flushed() {
    let (near, mut far) = duplex(1 << 16);
    let stream = tokio::io::BufWriter::with_capacity(1 << 20, near);
    let mut link = relay::Link::new(Stream::from(stream));
    link.writer.queue(&wire::Frame::End);
    assert!(!link.writer.is_flushed());
    link.writer.flush().await.unwrap();
    assert!(link.writer.is_flushed());
    let mut header = [0; 4];
    far.read_exact(&mut header).await.unwrap();
    assert_eq!(header[0], wire::Kind::End as u8);
}

/// Looks at what has come, as often as it is the looker's turn, until it was `bytes`: the most that there was at a time.
async fn most_at_a_look(stream: &mut (impl AsyncRead + Unpin), bytes: usize) -> usize {
    let (mut seen, mut most, mut room) = (0, 0, vec![0; bytes]);
    soon(async {
        while seen < bytes {
            let count = poll_fn(|cx| {
                let mut room = ReadBuf::new(&mut room);
                let read = Pin::new(&mut *stream).poll_read(cx, &mut room);
                assert!(!matches!(read, Poll::Ready(Err(_))), "{read:?}");
                Poll::Ready(room.filled().len())
            })
            .await;
            (seen, most) = (seen + count, most.max(count));
            yield_now().await;
        }
    })
    .await;
    most
}

/// A short message of another call would wait for all that can be moved at once, at both daemons.
#[tokio::test]
async fn a_call_that_moves_much_lets_others_go_first() {
    // A turn is two frames of payload, and the kernel may hand over a part of one a look later.
    const TURN_BYTES_MAX: usize = 2 * 2 * (FRAME_HEADER_BYTES + DATA_BYTES_MAX);

    let (partner, at_proxy) = tcp_pair().await;
    let (near, mut far) = duplex(1 << 24);
    // As much as the kernel keeps for a reader.
    let mut filled = 0;
    while let Ok(count) = partner.try_write(&[7; 1 << 16]) {
        filled += count;
    }
    assert!(filled > 2 * TURN_BYTES_MAX, "{filled} bytes tell nothing");
    let _outward = carry(at_proxy, Side::accepted(Stream::from(near)), UNBOUNDED, never());
    let most = most_at_a_look(&mut far, filled).await;
    assert!(most <= TURN_BYTES_MAX, "{most} bytes in one turn");

    let (mut station, at_client) = tcp_pair().await;
    let (near, far) = duplex(1 << 24);
    let mut peer = relay::Link::new(Stream::from(far));
    for _ in 0..16 {
        peer.writer.queue_payload(seal::Buffer::take(), DATA_BYTES_MAX);
        peer.writer.flush().await.unwrap();
    }
    let _inward = carry(at_client, Side::accepted(Stream::from(near)), UNBOUNDED, never());
    let most = most_at_a_look(&mut station, 16 * DATA_BYTES_MAX).await;
    assert!(most <= TURN_BYTES_MAX, "{most} bytes in one turn");
}
