use std::future::poll_fn;
use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use super::*;
use crate::record::COPIED_BYTES_MAX;
use crate::{Acceptor, Authorized, Connector, IdentityKey};

/// Both ends of a sealed connection through memory that holds so many bytes.
async fn sealed(bytes: usize) -> (SealedStream<DuplexStream>, SealedStream<DuplexStream>) {
    sealed_by(TLS13_AES_128_GCM_SHA256, bytes).await
}

async fn sealed_by(
    suite: SupportedCipherSuite,
    bytes: usize,
) -> (SealedStream<DuplexStream>, SealedStream<DuplexStream>) {
    let [proxy, client] = [(); 2].map(|()| IdentityKey::generate_for_tests());
    let trusting = |key: &IdentityKey| Arc::new(Authorized::of_keys([key.public_key()]));
    let acceptor = Acceptor::new(&proxy, trusting(&client)).unwrap();
    let connector = Connector::of_suite_for_tests(&client, trusting(&proxy), suite);
    let (near, far) = duplex(bytes);
    let (near, far) = tokio::join!(acceptor.accept(near), connector.connect(far, "dmz1"));
    (near.unwrap().stream, far.unwrap().stream)
}

/// Keys last 100 records in this build.
#[tokio::test]
async fn keys_are_changed_in_time_in_both_directions() {
    let (mut from, mut to) = sealed(9_000).await;
    for _ in 0..2 {
        for number in 0_u32..1_000 {
            from.write_u32(number).await.unwrap();
            from.flush().await.unwrap();
            assert_eq!(to.read_u32().await.unwrap(), number);
        }
        assert!(from.outgoing.sealer.as_ref().unwrap().number_for_tests() < 100);
        std::mem::swap(&mut from, &mut to);
    }
}

/// What we seal, rustls opens.
#[tokio::test]
async fn every_suite_seals_records_of_every_length() {
    for suite in [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256] {
        let (mut from, mut to) = sealed_by(suite, 1 << 18).await;
        let bounds = [COPIED_BYTES_MAX, PLAIN_BYTES_MAX, 4 * PLAIN_BYTES_MAX, BUFFER_BYTES];
        let lengths: Vec<_> =
            (1..40).chain(bounds.into_iter().flat_map(|bound| bound - 1..bound + 2)).collect();
        for length in lengths.repeat(4) {
            let sent: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            from.write_all(&sent).await.unwrap();
            from.flush().await.unwrap();
            let mut got = vec![0; length];
            to.read_exact(&mut got).await.unwrap();
            assert!(got == sent, "{suite:?}, {length} bytes");
            std::mem::swap(&mut from, &mut to);
        }
    }
}

#[tokio::test]
async fn bytes_pass_whatever_room_the_reader_has() {
    let (mut near, mut far) = sealed(9_000).await;
    let sent: Vec<u8> = (0..400_000_u32).map(|number| (number % 251) as u8).collect();
    let write = async {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
    };
    let read = async {
        let mut got = Vec::new();
        for room in [1, 7, 16_000, 17_000, 40_000, 200_000].into_iter().cycle() {
            let mut piece = vec![0; room];
            match far.read(&mut piece).await.unwrap() {
                0 => break,
                count => got.extend_from_slice(&piece[..count]),
            }
        }
        got
    };
    let ((), got) = tokio::join!(write, read);
    assert!(got == sent);
}

#[tokio::test]
async fn what_is_behind_the_goodbye_is_not_opened() {
    let (near, far) = sealed(1 << 16).await;
    let (_near_reader, mut near) = near.split(split);
    let (mut far, _far_writer) = far.split(split);
    near.write_all(b"sealed").await.unwrap();
    poll_fn(|cx| near.poll_goodbye(cx)).await.unwrap();
    assert!(near.write_all(b"sealed").await.is_err(), "nothing is sealed any more");
    // As like a record as can be.
    let bare = [23, 3, 3, 0, 2, 1, 2];
    near.io.write_all(&bare).await.unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"sealed");
    let mut rest = far.take_rest();
    near.io.shutdown().await.unwrap();
    far.io.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, bare);
}

#[tokio::test]
async fn a_record_that_was_changed_ends_the_connection() {
    let (near, mut far) = sealed(1 << 16).await;
    let (_near_reader, mut near) = near.split(split);
    near.io.write_all(&[23, 3, 3, 0, 17]).await.unwrap();
    near.io.write_all(&[0; 17]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(far.read(&mut [0; 20_000]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let (mut near, mut far) = sealed(1 << 20).await;
    near.write_all(&[7; 100_000]).await.unwrap();
    near.flush().await.unwrap();
    far.read_exact(&mut vec![0; 100_000]).await.unwrap();
    assert_eq!((far.incoming.kept.capacity(), far.incoming.plain.capacity()), (0, 0));
    assert!(near.outgoing.records.is_none());
    assert_eq!((near.outgoing.start, near.outgoing.end), (0, 0));
}
