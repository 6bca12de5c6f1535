//! Trap 11: the accept loop without descriptors. Alone in its process, because the limit is the process's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::soon;
use relay::accept::accept_loop;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Counts the lines of the log.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("relay")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Takes every descriptor that is left.
fn hoard() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
                return files;
            }
        }
    }
}

/// Time that this process has spent on a processor so far.
fn processor_time(schedstat: &File) -> Duration {
    let mut text = [0; 100];
    let count = schedstat.read_at(&mut text, 0).unwrap();
    let text = std::str::from_utf8(&text[..count]).unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Waits for the reset. The stream is given back, because its descriptor would be one more.
async fn is_reset(mut stream: TcpStream) -> TcpStream {
    let error = soon(stream.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    stream
}

#[tokio::test]
async fn the_loop_outlives_the_descriptors() {
    let lines = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::set_global_default(Lines(lines.clone())).unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let low = Rlimit { current: Some(128), maximum };
    setrlimit(Resource::Nofile, low).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, mut connections) = mpsc::unbounded_channel();
    tokio::spawn(async move { accept_loop(&listener, |stream, _| accepted.send(stream).unwrap()).await });
    let first = TcpStream::connect(address).await.unwrap();
    soon(connections.recv()).await.unwrap();

    // The sockets of those who will call are made while there are descriptors.
    let mut callers: Vec<TcpSocket> = (0..20).map(|_| TcpSocket::new_v4().unwrap()).collect();
    let schedstat = File::open("/proc/thread-self/schedstat").unwrap();
    let hoarded = hoard();
    assert!(hoarded.len() > 20);

    let mut turned_away = Vec::new();
    for caller in callers.drain(..10) {
        turned_away.push(is_reset(soon(caller.connect(address)).await.unwrap()).await);
    }
    let all_at_once: Vec<_> = callers
        .drain(..)
        .map(|caller| tokio::spawn(async move { is_reset(caller.connect(address).await.unwrap()).await }))
        .collect();
    for caller in all_at_once {
        turned_away.push(soon(caller).await.unwrap());
    }
    assert!(connections.is_empty(), "nobody was let in");

    // A loop that spins uses all the time there is; this one thread has nothing else to do.
    let (began, used) = (Instant::now(), processor_time(&schedstat));
    // not a wait: the time over which the processor is measured
    tokio::time::sleep(Duration::from_millis(700)).await;
    let share = (processor_time(&schedstat) - used).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.1, "{share:.2} of a processor while nothing happens");
    assert_eq!(lines.load(Ordering::Relaxed), 1, "lines in the log");

    drop((hoarded, turned_away));
    for _ in 0..5 {
        let caller = soon(TcpStream::connect(address)).await.unwrap();
        let accepted = soon(connections.recv()).await.unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), caller.local_addr().unwrap());
    }
    drop(first);

    // The reserve is whole again: the next shortage is met as the first was.
    let caller = TcpSocket::new_v4().unwrap();
    let _hoarded = hoard();
    is_reset(soon(caller.connect(address)).await.unwrap()).await;
    assert_eq!(lines.load(Ordering::Relaxed), 1, "lines in the log");
}
