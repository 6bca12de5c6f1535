//! A call leaves the seal while its bytes go on: when it may, when it may not, and that no byte is lost or doubled.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::future::pending;

use common::{
    CLIENT_HELLO, Call, Medium, Random, UNBOUNDED, assert_same, carry, payload, read_until_fin,
    read_until_reset, soon, standby, tcp_pair, write_and_end,
};
use relay::{End, JoinLimits, Path, socket::reset};
use seal::Buffer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::limits::UNSEAL_AFTER_BYTES;
use wire::{Kind, LinkState, Role};

/// So many bytes that begin like TLS.
fn tls(seed: u64, count: usize) -> Vec<u8> {
    [&CLIENT_HELLO[..], &payload(seed, count)].concat()
}

/// Carries bytes each way to the end, and says how they travelled.
async fn exchange(limits: [JoinLimits; 2], from_partner: &[u8], from_station: &[u8]) -> [Path; 2] {
    let mut call = Call::bounded(Medium::Sealed, limits[0], limits[1]).await;
    let (_, _, at_station, at_partner) = {
        let (mut from, mut to) = call.partner.split();
        let (mut far_from, mut far_to) = call.station.split();
        let (mut at_station, mut at_partner) = (Vec::new(), Vec::new());
        let (a, b, c, d) = soon(async {
            tokio::join!(
                write_and_end(&mut to, from_partner),
                write_and_end(&mut far_to, from_station),
                far_from.read_to_end(&mut at_station),
                from.read_to_end(&mut at_partner),
            )
        })
        .await;
        (c.unwrap(), d.unwrap(), (a, at_station).1, (b, at_partner).1)
    };
    assert_same(&at_station, from_partner, "to the station");
    assert_same(&at_partner, from_station, "to the partner");
    let ((proxy, _), (client, _)) = call.outcomes().await;
    assert_eq!((proxy.end, client.end), (End::Orderly, End::Orderly));
    assert_eq!((proxy.from_socket, client.to_socket), (from_partner.len() as u64, from_partner.len() as u64));
    assert_eq!((client.from_socket, proxy.to_socket), (from_station.len() as u64, from_station.len() as u64));
    [proxy.path, client.path]
}

const FAR_BEYOND: usize = 8 * UNSEAL_AFTER_BYTES as usize;

#[tokio::test]
async fn enough_payload_that_is_tls_leaves_the_seal() {
    let mut call = Call::over(Medium::Sealed).await;
    call.leave_the_seal().await;
    let ((proxy, _), (client, _)) = call.outcomes().await;
    assert_eq!([proxy.path, client.path], [Path::Kernel; 2]);
    // The direction of the permission may have ended before it was due; the answer counts for both.
    let paths = exchange([UNBOUNDED; 2], &tls(3, 1_000), &payload(4, 1_000)).await;
    assert_eq!(paths, [Path::Sealed; 2]);
}

#[tokio::test]
async fn plain_payload_stays_sealed_however_much_it_is() {
    let paths = exchange([UNBOUNDED; 2], &payload(1, FAR_BEYOND), &tls(2, FAR_BEYOND)).await;
    assert_eq!(paths, [Path::Sealed; 2], "it is the caller's first bytes that count");
}

#[tokio::test]
async fn either_end_can_forbid_it() {
    let always = JoinLimits { unseal: false, ..UNBOUNDED };
    for limits in [[UNBOUNDED, always], [always, UNBOUNDED]] {
        let paths = exchange(limits, &tls(1, FAR_BEYOND), &payload(2, FAR_BEYOND)).await;
        assert_eq!(paths, [Path::Sealed; 2]);
    }
}

/// The mirror: the station calls, and the client still is who permits.
#[tokio::test]
async fn a_call_outward_leaves_the_seal() {
    let (mut proxy, mut client) = standby(Medium::Sealed).await;
    (proxy.state, client.state) = (LinkState::outward(Role::Proxy), LinkState::outward(Role::Client));
    client.state.on_sent(Kind::Dial);
    proxy.state.on_received(Kind::Dial).unwrap();
    proxy.state.on_sent(Kind::Connected);
    client.state.on_received(Kind::Connected).unwrap();
    let ((mut partner, at_proxy), (mut station, at_client)) = (tcp_pair().await, tcp_pair().await);
    let (proxy, client) =
        (carry(at_proxy, proxy, UNBOUNDED, pending()), carry(at_client, client, UNBOUNDED, pending()));
    let bytes = tls(1, FAR_BEYOND);
    let (_, got) = tokio::join!(write_and_end(&mut station, &bytes), read_until_fin(&mut partner));
    assert_same(&got, &bytes, "to the partner");
    write_and_end(&mut partner, b"reply").await;
    assert_eq!(read_until_fin(&mut station).await, b"reply");
    for (joined, link) in [soon(proxy).await.unwrap(), soon(client).await.unwrap()] {
        assert_eq!((joined.end, joined.path, link.is_err()), (End::Orderly, Path::Kernel, true));
    }
}

/// Writes in random pieces, with random pauses, and ends.
async fn write_in_pieces(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8], mut random: Random) {
    let mut at = 0;
    while at < bytes.len() {
        let most = [7, 500, 20_000, 300_000][random.below(4)];
        let count = (1 + random.below(most)).min(bytes.len() - at);
        stream.write_all(&bytes[at..at + count]).await.unwrap();
        at += count;
        for _ in 0..random.below(4) {
            tokio::task::yield_now().await;
        }
    }
    stream.shutdown().await.unwrap();
}

async fn read_in_pieces(stream: &mut (impl AsyncReadExt + Unpin), mut random: Random) -> Vec<u8> {
    let mut got = Vec::new();
    loop {
        let most = [50, 3_000, 200_000][random.below(3)];
        let mut piece = vec![0; 1 + random.below(most)];
        match stream.read(&mut piece).await.unwrap() {
            0 => return got,
            count => got.extend_from_slice(&piece[..count]),
        }
        for _ in 0..random.below(3) {
            tokio::task::yield_now().await;
        }
    }
}

/// The moments at which each direction switches, and what is under way then, follow from the seed.
#[tokio::test]
async fn a_stream_survives_the_switch_at_any_point() {
    let first = std::env::var("RELAY_UNSEAL_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    for seed in first..first + 40 {
        println!("RELAY_UNSEAL_SEED={seed}");
        let mut random = Random(seed);
        let mut count = || random.below(3 * UNSEAL_AFTER_BYTES as usize);
        let (from_partner, from_station) = (tls(seed, count()), payload(seed + 1, count()));
        let mut call = Call::over(Medium::Sealed).await;
        let (mut partner_from, mut partner_to) = call.partner.split();
        let (mut station_from, mut station_to) = call.station.split();
        let ((), (), at_station, at_partner) = soon(async {
            tokio::join!(
                write_in_pieces(&mut partner_to, &from_partner, Random(seed + 10)),
                write_in_pieces(&mut station_to, &from_station, Random(seed + 20)),
                read_in_pieces(&mut station_from, Random(seed + 30)),
                read_in_pieces(&mut partner_from, Random(seed + 40)),
            )
        })
        .await;
        assert_same(&at_station, &from_partner, "to the station");
        assert_same(&at_partner, &from_station, "to the partner");
        let ((proxy, _), (client, _)) = call.outcomes().await;
        assert_eq!((proxy.end, client.end, proxy.path), (End::Orderly, End::Orderly, client.path));
        assert_eq!(Buffer::held(), 0);
    }
}

/// Whoever resets at whatever point: the other end hears a reset, never an end.
#[tokio::test]
async fn a_reset_at_any_point_is_a_reset() {
    for seed in 0..30 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let bytes = tls(seed, 2 * UNSEAL_AFTER_BYTES as usize);
        let mut call = Call::over(Medium::Sealed).await;
        let sent = random.below(bytes.len());
        let sending = async {
            call.partner.write_all(&bytes[..sent]).await.unwrap();
            reset(call.partner);
        };
        let (_, got) = tokio::join!(sending, read_until_reset(&mut call.station));
        assert!(got.len() <= sent && bytes.starts_with(&got));
        assert!(matches!(soon(call.proxy).await.unwrap().0.end, End::Aborted(_)));
        let client = soon(call.client).await.unwrap().0.end;
        assert!(client != End::Orderly, "{client:?}");
    }
}

#[tokio::test]
async fn an_unsealed_call_that_is_idle_holds_nothing_and_still_answers() {
    let mut call = Call::over(Medium::Unsealed).await;
    assert_eq!(Buffer::held(), 0);
    for _ in 0..10 {
        for (from, to) in [(true, false), (false, true)] {
            let ends: [&mut TcpStream; 2] = [&mut call.partner, &mut call.station];
            let [partner, station] = ends;
            let (from, to) = if from && !to { (partner, station) } else { (station, partner) };
            soon(common::move_byte(from, to)).await;
        }
    }
    call.partner.shutdown().await.unwrap();
    assert!(read_until_fin(&mut call.station).await.is_empty());
    call.station.write_all(b"reply").await.unwrap();
    call.station.shutdown().await.unwrap();
    assert_eq!(read_until_fin(&mut call.partner).await, b"reply");
    let ((proxy, _), (client, _)) = call.outcomes().await;
    assert_eq!((proxy.end, client.end, proxy.to_socket), (End::Orderly, End::Orderly, 15));
}
