//! Two stations of this crate against each other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{called, caller, file, generated, names_in, settings};
use oftp::command::{BufferBytes, Credit};
use oftp::tls::{self, Identity, Trust};
use oftp::{
    Content, FileToSend, Inbox, LinkFault, ListenEvent, OftpError, SendOutcome, SessionReport, Settings,
    listen, send_files, serve_call,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// A stream that hands over pieces of pseudo-random size, or of one octet.
struct Chopped<S> {
    inner: S,
    state: u32,
    bytes_max: usize,
}

impl<S> Chopped<S> {
    fn piece(&mut self) -> usize {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.state >> 8) as usize % self.bytes_max + 1
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Chopped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let piece = self.piece().min(out.remaining());
        let mut part = ReadBuf::new(out.initialize_unfilled_to(piece));
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let filled = part.filled().len();
        out.advance(filled);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Chopped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let piece = self.piece().min(data.len());
        Pin::new(&mut self.inner).poll_write(cx, &data[..piece])
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

async fn both(
    calling: &Settings,
    called: &Settings,
    files: &[FileToSend],
    bytes_max: usize,
) -> (SessionReport, SessionReport) {
    let (one, other) = duplex(1 << 16);
    let one = Chopped { inner: one, state: 1, bytes_max };
    let other = Chopped { inner: other, state: 2, bytes_max };
    let (sent, received) =
        tokio::join!(send_files(one, calling, files, |_| ()), serve_call(other, called, |_| ()));
    (sent.unwrap(), received.unwrap())
}

fn with(settings: Settings, buffer_bytes: usize, credit: usize) -> Settings {
    Settings {
        buffer_bytes: BufferBytes::new(buffer_bytes).unwrap(),
        credit: Credit::new(credit).unwrap(),
        ..settings
    }
}

#[tokio::test]
async fn sizes_around_every_edge() {
    let inbox = tempfile::tempdir().unwrap();
    // 128: 125 octets a buffer, 1,024: 1,007. Batches are 4,194 and 520 buffers, so 524,250 and 523,640 octets.
    for (buffer_bytes, credit, edges) in
        [(128, 3, [125, 375, 524_250]), (1024, 999, [1_007, 523_640, 1_005_993])]
    {
        let sizes: Vec<u64> =
            [0, 1, 62, 63, 64].into_iter().chain(edges.iter().flat_map(|edge| edge - 1..edge + 2)).collect();
        let files: Vec<_> =
            sizes.iter().map(|&bytes| generated(&format!("F{buffer_bytes}.{bytes}"), bytes)).collect();
        let called = with(called(inbox.path()), buffer_bytes, 999);
        let calling = with(caller(), 99_999, credit);
        let (sent, received) = both(&calling, &called, &files, 1 << 16).await;
        assert_eq!((sent.buffer_bytes, sent.credit), (buffer_bytes, credit as u16));
        assert_eq!((received.buffer_bytes, received.credit), (buffer_bytes, credit as u16));
        for ((bytes, sent), received) in sizes.iter().zip(&sent.sent).zip(&received.received) {
            assert_eq!((sent.bytes, received.bytes), (*bytes, *bytes));
            assert_eq!(sent.sha256, received.sha256);
            assert!(sent.is_delivered());
            assert_eq!(std::fs::metadata(received.path.as_ref().unwrap()).unwrap().len(), *bytes);
        }
        assert_eq!(sent.sent.len(), sizes.len());
    }
}

#[tokio::test]
async fn one_octet_at_a_time() {
    let inbox = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..20_000_u32).map(|octet| (octet * 7 / 3) as u8).collect();
    let path = folder.path().join("data.bin");
    std::fs::write(&path, &data).unwrap();
    for bytes_max in [1, 2, 700] {
        let files = [FileToSend::from_path(&path), generated("ZERO", 0)];
        let (sent, received) = both(&with(caller(), 500, 7), &called(inbox.path()), &files, bytes_max).await;
        assert!(sent.sent.iter().all(oftp::SentFile::is_delivered));
        assert_eq!(received.received[0].name.as_str(), "DATA.BIN");
        assert_eq!(std::fs::read(received.received[0].path.as_ref().unwrap()).unwrap(), data);
    }
    // Nothing was overwritten: three of each.
    assert_eq!(names_in(inbox.path()).len(), 6);
}

#[tokio::test]
async fn no_files_no_responses_no_space() {
    let inbox = tempfile::tempdir().unwrap();
    let (sent, _) = both(&caller(), &called(inbox.path()), &[], 9).await;
    assert!(sent.sent.is_empty());

    let quiet = Settings { responds: false, ..called(inbox.path()) };
    let (sent, received) = both(&caller(), &quiet, &[generated("A", 5)], 9).await;
    assert!(sent.sent[0].is_accepted() && sent.sent[0].response.is_none() && received.received.len() == 1);

    let small = Settings { file_bytes_max: Some(1_500), ..called(inbox.path()) };
    let files = [generated("B", 1_500), generated("C", 1_501), generated("D", 99_999)];
    let (sent, _) = both(&caller(), &small, &files, 999).await;
    assert!(matches!(sent.sent[0].outcome, SendOutcome::Accepted));
    assert!(matches!(sent.sent[1].outcome, SendOutcome::RefusedAtEnd { .. }));
    assert!(matches!(sent.sent[2].outcome, SendOutcome::RefusedAtStart { retry: false, .. }));

    let nowhere = settings("O0013000002CALLED", Inbox::Folder(inbox.path().join("missing")));
    let (sent, _) = both(&caller(), &nowhere, &[generated("A", 5)], 99).await;
    assert!(matches!(sent.sent[0].outcome, SendOutcome::RefusedAtStart { retry: true, .. }));
    assert_eq!(names_in(inbox.path()), ["A", "B"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_ends_the_session_on_both_sides() {
    let inbox = tempfile::tempdir().unwrap();
    let (one, other) = duplex(1 << 16);
    let files = [generated("FIRST", 5), file("GONE", Content::File(inbox.path().join("missing")))];
    let (calling, called) = (caller(), called(inbox.path()));
    let (sent, received) =
        tokio::join!(send_files(one, &calling, &files, |_| ()), serve_call(other, &called, |_| ()));
    assert!(matches!(sent, Err(OftpError::Local(_))), "{sent:?}");
    let text = received.unwrap_err().to_string();
    assert!(text.contains("99 (unspecified abort code): \"local file error\""), "{text}");
    assert_eq!(names_in(inbox.path()), ["FIRST"]);
}

#[tokio::test]
async fn tls_with_and_without_a_pin() {
    let inbox = tempfile::tempdir().unwrap();
    let identity = Identity::self_made(&["localhost"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (events, mut heard) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let listening = tokio::spawn(listen(
        listener,
        Arc::new(called(inbox.path())),
        Some(identity.clone()),
        async { stopped.await.unwrap_or_default() },
        move |event| events.send(event).unwrap_or_default(),
    ));
    let wait = Duration::from_secs(30);
    let other = Identity::self_made(&["localhost"]).unwrap();
    for (trust, welcome) in [
        (Trust::pinned(other.certificate().clone()).unwrap(), false),
        (Trust::pinned(identity.certificate().clone()).unwrap(), true),
        (Trust::anyone().unwrap(), true),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        match tls::connect(stream, &trust, "localhost", wait).await {
            Ok(stream) => {
                assert!(welcome);
                let report =
                    send_files(stream, &caller(), &[generated("T", 3_000_000)], |_| ()).await.unwrap();
                assert!(report.sent[0].is_delivered());
            }
            Err(error) => {
                assert!(!welcome, "{error}");
                assert!(matches!(error, OftpError::Link(LinkFault::Handshake(_))));
            }
        }
    }
    let mut ended = Vec::new();
    while ended.len() < 3 {
        if let Some(ListenEvent::Ended { call, result }) = heard.recv().await {
            ended.push((call, result.is_ok()));
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [(1, false), (2, true), (3, true)]);
    stop.send(()).unwrap();
    listening.await.unwrap();
}

#[tokio::test]
async fn bad_callers_do_not_disturb_the_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let settings = Arc::new(settings("O0013000002CALLED", Inbox::Discard));
    let listening =
        tokio::spawn(listen(listener, settings, None, async { stopped.await.unwrap_or_default() }, |_| ()));
    let silent = TcpStream::connect(address).await.unwrap();
    drop(TcpStream::connect(address).await.unwrap());
    for _ in 0..3 {
        let stream = TcpStream::connect(address).await.unwrap();
        let report = send_files(stream, &caller(), &[generated("A", 100_000)], |_| ()).await.unwrap();
        assert!(report.sent[0].is_delivered());
    }
    stop.send(()).unwrap();
    listening.await.unwrap();
    drop(silent);
}
