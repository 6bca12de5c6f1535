//! A link by itself: frames and payload through memory and over loopback, and what the seal costs.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to measure")]

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use micro::{Pair, connected, read, runtime, write};
use relay::{Incoming, Link, Stream};
use seal::Buffer;
use tokio::io::duplex;
use tokio::runtime::Runtime;
use wire::limits::DATA_BYTES_MAX;
use wire::{CallId, Frame};

fn main() {
    divan::main();
}

/// Small frames, one flush each, through memory.
#[divan::bench]
fn frames_through_memory(bencher: Bencher) {
    const FRAMES: usize = 1_000;
    let runtime = runtime();
    let (near, far) = duplex(65_536);
    let (mut near, mut far) = (Link::new(near), Link::new(far));
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        runtime.block_on(async {
            for _ in 0..FRAMES {
                near.send(&Frame::Ringing(CallId(7))).await.unwrap();
                far.receive().await.unwrap();
            }
        });
    });
}

/// Full `Data` frames through memory that holds two of them.
#[divan::bench]
fn payload_through_memory(bencher: Bencher) {
    payload(bencher, &runtime(), duplex(2 * (DATA_BYTES_MAX + 4)));
}

/// The same over loopback, in the clear.
#[divan::bench]
fn payload_over_loopback(bencher: Bencher) {
    let runtime = runtime();
    let ends = runtime.block_on(connected());
    payload(bencher, &runtime, ends);
}

/// The same over loopback, sealed.
#[divan::bench]
fn payload_sealed(bencher: Bencher) {
    let runtime = runtime();
    let ends = runtime.block_on(Pair::new().sealed());
    payload(bencher, &runtime, ends);
}

/// The seal alone: no frames, bytes in pieces of 64 KiB.
#[divan::bench]
fn seal_alone(bencher: Bencher) {
    let runtime = runtime();
    let (mut near, mut far) = runtime.block_on(Pair::new().sealed());
    bencher.counter(BytesCount::new(BYTES)).bench_local(|| {
        let (written, read) =
            runtime.block_on(async { tokio::join!(write(&mut near, BYTES), read(&mut far, BYTES)) });
        written.and(read).unwrap();
    });
}

/// One full handshake, both ends, with the connection under it.
#[divan::bench]
fn handshake(bencher: Bencher) {
    let runtime = runtime();
    let pair = Pair::new();
    bencher.bench_local(|| runtime.block_on(pair.sealed()));
}

fn payload<S: Stream>(bencher: Bencher, runtime: &Runtime, ends: (S, S)) {
    const FRAMES: usize = BYTES / DATA_BYTES_MAX;
    let (mut near, mut far) = (Link::new(ends.0), Link::new(ends.1));
    bencher.counter(BytesCount::new(FRAMES * DATA_BYTES_MAX)).bench_local(|| {
        let send = async {
            for _ in 0..FRAMES {
                near.writer.queue_payload(Buffer::take(), DATA_BYTES_MAX);
                near.writer.flush().await.unwrap();
            }
        };
        let receive = async {
            let mut left = FRAMES * DATA_BYTES_MAX;
            while left > 0 {
                match far.reader.next().await.unwrap() {
                    Incoming::Payload(bytes) => left -= bytes.len(),
                    Incoming::Frame(frame) => unreachable!("no frame was sent, {frame:?} came"),
                }
            }
        };
        runtime.block_on(async { tokio::join!(send, receive) });
    });
}

const BYTES: usize = 16 << 20;
