//! A standing call through both joins: partner, link, station.

use divan::Bencher;
use divan::counter::BytesCount;
use micro::{Call, Pair, connected, runtime};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// Whether the link is sealed.
const LINKS: [&str; 2] = ["clear", "sealed"];

/// Bulk, one direction.
#[divan::bench(args = LINKS)]
fn bulk(bencher: Bencher, link: &str) {
    const BYTES: usize = 16 << 20;
    let runtime = runtime();
    let mut call = standing(&runtime, link);
    bencher.counter(BytesCount::new(BYTES)).bench_local(|| runtime.block_on(call.push(BYTES)));
}

/// A hundred bytes to and fro.
#[divan::bench(args = LINKS)]
fn round_trip(bencher: Bencher, link: &str) {
    let runtime = runtime();
    let mut call = standing(&runtime, link);
    bencher.bench_local(|| runtime.block_on(call.ping()));
}

fn standing(runtime: &Runtime, link: &str) -> Call {
    runtime.block_on(async {
        if link == "sealed" {
            let (proxy, client) = Pair::new().sealed().await;
            Call::over(proxy, client).await
        } else {
            let (proxy, client) = connected().await;
            Call::over(proxy, client).await
        }
    })
}
