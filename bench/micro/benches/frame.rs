//! Frames to bytes and back. No I/O.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to measure")]

use divan::{Bencher, black_box};
use wire::limits::{FRAME_HEADER_BYTES, NAMES_MAX};
use wire::{CallId, Frame, Header, Hello, Target};

fn main() {
    divan::main();
}

#[divan::bench(args = ["accept", "offer", "hello"])]
fn encode(bencher: Bencher, name: &str) {
    let frame = frame(name);
    let mut bytes = Vec::with_capacity(16_384);
    bencher.bench_local(|| {
        bytes.clear();
        black_box(&frame).encode(&mut bytes);
    });
}

#[divan::bench(args = ["accept", "offer", "hello"])]
fn decode(bencher: Bencher, name: &str) {
    let mut bytes = Vec::new();
    frame(name).encode(&mut bytes);
    bencher.bench_local(|| {
        let (header, body) = black_box(&bytes).split_first_chunk::<FRAME_HEADER_BYTES>().unwrap();
        let header = Header::decode(*header).unwrap();
        Frame::decode(header.kind, body).unwrap()
    });
}

/// The one thing that is decoded for every piece of payload.
#[divan::bench]
fn decode_data_header(bencher: Bencher) {
    let bytes = Header::data(65_532).encode();
    bencher.bench_local(|| Header::decode(black_box(bytes)));
}

fn frame(name: &str) -> Frame {
    match name {
        "accept" => Frame::Accept(CallId(7)),
        "offer" => micro::offer(),
        _ => {
            let target = |index| {
                let name = format!("listener-{index}").parse().unwrap();
                Target::new(name, "station.example.com:6619").unwrap()
            };
            let targets = (0..NAMES_MAX).map(target).collect();
            Frame::Hello(Hello { version: 1, capabilities: 0, silence_ms: 45_000, targets })
        }
    }
}
