//! How fast one file goes over loopback. Run by hand:
//! `cargo test --release -p oftp --test throughput -- --ignored --nocapture`, `OFTP_MIB` for another size than 1 GiB.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

mod common;

use std::time::Duration;

use common::{called, caller, file, generated, settings};
use oftp::tls::{self, Identity, Trust};
use oftp::{Content, FileToSend, Inbox, Settings, send_files, serve_call};
use tokio::net::{TcpListener, TcpStream};

async fn run(label: &str, file: FileToSend, called: Settings, encrypted: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let wait = Duration::from_secs(30);
    let identity = Identity::self_made(&["localhost"]).unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        if encrypted {
            let stream = tls::accept(stream, &identity, wait).await.unwrap();
            serve_call(stream, &called, |_| ()).await.unwrap()
        } else {
            serve_call(stream, &called, |_| ()).await.unwrap()
        }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let report = if encrypted {
        let stream = tls::connect(stream, &Trust::anyone().unwrap(), "localhost", wait).await.unwrap();
        send_files(stream, &caller(), &[file], |_| ()).await.unwrap()
    } else {
        send_files(stream, &caller(), &[file], |_| ()).await.unwrap()
    };
    let received = serving.await.unwrap();
    let sent = &report.sent[0];
    assert_eq!(sent.sha256, received.received[0].sha256);
    assert!(sent.is_delivered());
    let rate = sent.bytes as f64 / sent.duration.as_secs_f64() / 1e6;
    println!("{label}: {} octets in {:.2} s, {rate:.0} MB/s", sent.bytes, sent.duration.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long and tells nothing in a debug build"]
async fn one_large_file() {
    let bytes = std::env::var("OFTP_MIB").map_or(1024, |mib| mib.parse().unwrap()) << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let discard = || settings("O0013000002CALLED", Inbox::Discard);
    run("generated, discarded, plain", generated("A", bytes), discard(), false).await;
    run("generated, discarded, TLS", generated("A", bytes), discard(), true).await;
    // Make the file the next runs read, by receiving it.
    run("generated, disk, plain", generated("LARGE", bytes), called(folder.path()), false).await;
    std::fs::rename(folder.path().join("LARGE"), &path).unwrap();
    for encrypted in [false, true] {
        let label = if encrypted { "disk, disk, TLS" } else { "disk, disk, plain" };
        run(label, file("COPY", Content::File(path.clone())), called(folder.path()), encrypted).await;
        std::fs::remove_file(folder.path().join("COPY")).unwrap();
    }
}
