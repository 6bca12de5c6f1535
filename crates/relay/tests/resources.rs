//! What a call costs: no buffer while it is idle, and a bounded number of bytes while nobody reads (trap 16).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::ErrorKind;

use common::{Call, FRAMED, PATHS, UNBOUNDED, move_byte, read_until_fin, soon, standby};
use relay::End;
use seal::Buffer;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;

#[tokio::test]
async fn calls_that_are_idle_hold_no_buffer() {
    for medium in PATHS {
        let mut calls = Vec::new();
        for number in 0..50 {
            let mut call = Call::over(medium).await;
            soon(move_byte(&mut call.partner, &mut call.station)).await;
            soon(move_byte(&mut call.station, &mut call.partner)).await;
            // A third of them is half-closed on either side.
            if number % 3 == 1 {
                call.partner.shutdown().await.unwrap();
                assert_eq!(soon(call.station.read(&mut [0])).await.unwrap(), 0);
            }
            if number % 3 == 2 {
                call.station.shutdown().await.unwrap();
                assert_eq!(soon(call.partner.read(&mut [0])).await.unwrap(), 0);
            }
            calls.push(call);
        }
        // All of them run on this thread, and have come to rest when this goes on.
        yield_now().await;
        assert_eq!(Buffer::held(), 0);
    }
}

#[tokio::test]
async fn links_on_standby_hold_no_buffer() {
    let mut links = Vec::new();
    for number in 0..60 {
        let (proxy, client) = standby(FRAMED[number % FRAMED.len()]).await;
        let mut call = Call::on((proxy, UNBOUNDED), (client, UNBOUNDED)).await;
        soon(move_byte(&mut call.partner, &mut call.station)).await;
        call.partner.shutdown().await.unwrap();
        call.station.shutdown().await.unwrap();
        let ((_, proxy), (_, client)) = call.outcomes().await;
        links.push((proxy.unwrap(), client.unwrap()));
    }
    assert_eq!(Buffer::held(), 0);
}

/// Keeps the kernel's part of what a call holds small, so that ours shows.
fn small(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.set_send_buffer_size(32 * 1024).unwrap();
}

/// Writes until nothing is taken any more, though everybody has had many turns.
async fn write_until_stopped(stream: &TcpStream) -> u64 {
    let (mut written, mut turns) = (0, 0);
    while turns < 1000 {
        match stream.try_write(&[9; 4096]) {
            Ok(count) => {
                written += count as u64;
                turns = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                turns += 1;
                yield_now().await;
            }
        }
        // The kernel's part of it: two sockets to the call and, where there are any, two between the daemons.
        assert!(written < 64 << 20, "the writer is not stopped");
    }
    written
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_writer() {
    for (medium, to_station) in PATHS.into_iter().flat_map(|medium| [(medium, true), (medium, false)]) {
        let mut call = Call::over(medium).await;
        small(&call.partner);
        small(&call.station);
        let (from, to) = if to_station {
            (&mut call.partner, &mut call.station)
        } else {
            (&mut call.station, &mut call.partner)
        };
        let written = write_until_stopped(from).await;
        let held = Buffer::held();
        assert!(held <= 2, "{held} buffers in a call that is stuck in one direction");

        // The other direction is free all the while.
        soon(move_byte(to, from)).await;
        // And once the reader reads, everything arrives.
        from.shutdown().await.unwrap();
        let got = read_until_fin(to).await;
        assert_eq!(got.len() as u64, written);
        to.shutdown().await.unwrap();
        assert!(read_until_fin(from).await.is_empty());
        let ((proxy, _), (client, _)) = call.outcomes().await;
        assert_eq!([proxy.end, client.end], [End::Orderly; 2]);
        assert_eq!(Buffer::held(), 0);
    }
}
