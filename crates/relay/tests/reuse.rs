//! One link carries call after call, however each of them ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{
    Call, Medium, Random, Side, UNBOUNDED, assert_same, payload, read_until_fin, read_until_reset, soon,
    standby, write_and_end,
};
use relay::socket::reset;
use relay::{End, EndedBy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::AbortReason;

const RESET: End = End::Aborted(AbortReason::Reset);

#[derive(Clone, Copy, Debug)]
enum Kind {
    BothAtOnce,
    RequestThenReply,
    OneResets,
    BothReset,
    ResetInsteadOfReply,
    ResetAmidPayload,
}

const KINDS: [Kind; 6] = [
    Kind::BothAtOnce,
    Kind::RequestThenReply,
    Kind::OneResets,
    Kind::BothReset,
    Kind::ResetInsteadOfReply,
    Kind::ResetAmidPayload,
];

/// Runs `calls` calls of random kinds on one link.
async fn run(medium: Medium, seed: u64, calls: usize, size_max: usize) {
    println!("seed {seed}, {medium:?}");
    let mut random = Random(seed);
    let (mut proxy, mut client) = standby(medium).await;
    for number in 0..calls {
        let kind = KINDS[random.below(KINDS.len())];
        let partner_acts = random.below(2) == 0;
        let sizes = [random.below(size_max), random.below(size_max)];
        println!("call {number}: {kind:?}, partner acts: {partner_acts}, {sizes:?}");
        let Call { partner, station, proxy: at_proxy, client: at_client, .. } =
            Call::on((proxy, UNBOUNDED), (client, UNBOUNDED)).await;
        let (acts, other) = if partner_acts { (partner, station) } else { (station, partner) };
        let bytes = [payload(random.next(), sizes[0]), payload(random.next(), sizes[1])];
        let orderly = soon(drive(kind, acts, other, &bytes)).await;

        let (proxy_outcome, client_outcome) = (soon(at_proxy).await.unwrap(), soon(at_client).await.unwrap());
        for joined in [&proxy_outcome.0, &client_outcome.0] {
            assert_eq!(joined.end, if orderly { End::Orderly } else { RESET });
            assert_ne!(joined.ended_by, EndedBy::Ourselves);
        }
        (proxy, client) = (on_standby(proxy_outcome.1), on_standby(client_outcome.1));
    }
}

fn on_standby(link: Result<Side, relay::LinkError>) -> Side {
    let side = link.unwrap();
    assert!(side.state.is_standby() && side.link.writer.is_flushed());
    side
}

/// Plays both stations; whether the call ends in order.
async fn drive(kind: Kind, mut acts: TcpStream, mut other: TcpStream, bytes: &[Vec<u8>; 2]) -> bool {
    let [there, back] = bytes;
    match kind {
        Kind::BothAtOnce => {
            let (mut acts_read, mut acts_write) = acts.into_split();
            let (mut other_read, mut other_write) = other.into_split();
            let (mut got_there, mut got_back) = (Vec::new(), Vec::new());
            let (_, _, one, two) = tokio::join!(
                write_and_end(&mut acts_write, there),
                write_and_end(&mut other_write, back),
                other_read.read_to_end(&mut got_there),
                acts_read.read_to_end(&mut got_back),
            );
            assert!(one.is_ok() && two.is_ok());
            assert_same(&got_there, there, "there");
            assert_same(&got_back, back, "back");
            true
        }
        Kind::RequestThenReply => {
            let (_, got) = tokio::join!(write_and_end(&mut acts, there), read_until_fin(&mut other));
            assert_same(&got, there, "there");
            let (_, got) = tokio::join!(write_and_end(&mut other, back), read_until_fin(&mut acts));
            assert_same(&got, back, "back");
            true
        }
        Kind::OneResets => {
            let mut got = vec![0; there.len()];
            let (written, read) = tokio::join!(acts.write_all(there), other.read_exact(&mut got));
            assert!(written.is_ok() && read.is_ok());
            assert_same(&got, there, "there");
            reset(acts);
            assert_eq!(read_until_reset(&mut other).await, b"");
            false
        }
        Kind::BothReset => {
            reset(acts);
            reset(other);
            false
        }
        Kind::ResetInsteadOfReply => {
            let (_, got) = tokio::join!(write_and_end(&mut acts, there), read_until_fin(&mut other));
            assert_same(&got, there, "there");
            reset(other);
            assert_eq!(read_until_reset(&mut acts).await, b"");
            false
        }
        Kind::ResetAmidPayload => {
            let sending = async {
                acts.write_all(there).await.unwrap();
                reset(acts);
            };
            // The other end sends as well; what it sent is lost with the call.
            let (mut other_read, mut other_write) = other.into_split();
            let mut got = Vec::new();
            let (_, written, read) =
                tokio::join!(sending, other_write.write_all(back), other_read.read_to_end(&mut got));
            // The kernel tells a reset once: to the writer or to the reader.
            assert!(written.is_err() || read.is_err(), "a reset, not FIN");
            assert!(there.starts_with(&got));
            false
        }
    }
}

#[tokio::test]
async fn a_hundred_calls_on_one_loopback_link() {
    run(Medium::Tcp, 1, 100, 200_000).await;
}

#[tokio::test]
async fn a_hundred_calls_on_one_sealed_link() {
    run(Medium::Sealed, 5, 100, 200_000).await;
}

#[tokio::test]
async fn a_hundred_calls_on_one_small_link() {
    run(Medium::Memory(97), 2, 100, 20_000).await;
}

#[tokio::test]
async fn a_hundred_calls_on_one_link_that_cuts_frames_anywhere() {
    run(Medium::Chopped { seed: 3, most: 3000 }, 3, 100, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_calls_on_several_threads() {
    run(Medium::Tcp, 4, 100, 100_000).await;
}
