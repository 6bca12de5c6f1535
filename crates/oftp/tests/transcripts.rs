//! Whole sessions in order, the other station played by hand from the RFC.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

mod common;

use std::time::Duration;

use common::{READY, Script, call, called, caller, file, generated, names_in, serve, sfid, ssid};
use oftp::command::FileReason;
use oftp::{Content, Event, Response, SendOutcome, probe, send_files};
use tokio::io::{AsyncWriteExt, duplex};

const EERP: &[u8] = b"EDATA                         202611222050310001        \
    O0013000001CALLER        O0013000002CALLED        \0\0\0\0";

#[tokio::test]
async fn called_side_takes_a_file_and_responds() {
    let inbox = tempfile::tempdir().unwrap();
    let (mut caller, running) = serve(called(inbox.path()));
    caller.expect(READY).await;
    caller.say(&ssid("O0013000001CALLER", 1024, 'B', 2)).await;
    caller.expect(&ssid("O0013000002CALLED", 1024, 'B', 2)).await;
    caller.say(&sfid("DATA", 1)).await;
    caller.expect(b"200000000000000000").await;
    caller.say(b"D\x03abc").await;
    caller.say(b"D\x41-").await;
    caller.expect(b"C  ").await;
    caller.say(b"D\x83xyz").await;
    caller.say(b"T0000000000000000000000000000000007").await;
    caller.expect(b"4N").await;
    caller.say(b"R").await;
    caller.expect(EERP).await;
    caller.say(b"P").await;
    caller.expect(b"R").await;
    caller.say(b"F00000\r").await;
    caller.expect_disconnect().await;
    drop(caller);

    let report = running.await.unwrap().unwrap();
    assert_eq!((report.peer.as_str(), report.buffer_bytes, report.credit), ("O0013000001CALLER", 1024, 2));
    assert_eq!((report.received.len(), report.received[0].bytes, report.responses_owed), (1, 7, 0));
    assert_eq!(names_in(inbox.path()), ["DATA"]);
    assert_eq!(std::fs::read(inbox.path().join("DATA")).unwrap(), b"abc-xyz");
}

#[tokio::test]
async fn calling_side_sends_a_file_and_takes_the_response() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    std::fs::write(&path, [b'a'; 300]).unwrap();
    let (mut called, running) = call(caller(), vec![file("DATA", Content::File(path))]);
    called.say(READY).await;
    called.expect(&ssid("O0013000001CALLER", 99_999, 'S', 999)).await;
    called.say(&ssid("O0013000002CALLED", 128, 'R', 2)).await;
    let start = called.hear().await;
    assert_eq!(start[..30], sfid("DATA", 1)[..30]);
    assert_eq!(start[48..], sfid("DATA", 1)[48..]);
    called.say(b"200000000000000000").await;
    // 300 octets: 125, 125 and 50; credit for two.
    let full = [b"D\x3f", &[b'a'; 63][..], b"\x3e", &[b'a'; 62]].concat();
    called.expect(&full).await;
    called.expect(&full).await;
    called.say(b"C  ").await;
    called.expect(&[b"D\xb2", &[b'a'; 50][..]].concat()).await;
    called.expect(b"T0000000000000000000000000000000300").await;
    called.say(b"4N").await;
    called.expect(b"R").await;
    let mut response = EERP.to_vec();
    response[30..48].copy_from_slice(&start[30..48]);
    response.truncate(106);
    called.say(&[&response[..], b"\x00\x02\xab\xcd\x00\x01s"].concat()).await;
    called.expect(b"P").await;
    called.say(b"R").await;
    called.expect(b"F00000\r").await;
    called.0.shutdown().await.unwrap();
    called.expect_disconnect().await;

    let report = running.await.unwrap().unwrap();
    assert!(report.is_all_accepted() && report.sent[0].is_delivered());
    assert_eq!(report.sent[0].response, Some(Response::Delivered { hash: vec![0xab, 0xcd], signed: true }));
    assert_eq!(report.sent[0].sha256.to_string(), sha256_of(&[b'a'; 300]));
}

fn sha256_of(data: &[u8]) -> String {
    use sha2::Digest;
    oftp::Sha256(sha2::Sha256::digest(data).into()).to_string()
}

#[tokio::test]
async fn credit_that_ends_with_the_file_is_awaited_before_efid() {
    let (mut called, running) = call(caller(), vec![generated("EMPTY", 0), generated("TWO", 250)]);
    called.say(READY).await;
    called.hear().await;
    called.say(&ssid("O0013000002CALLED", 128, 'B', 1)).await;
    called.hear().await;
    called.say(b"200000000000000000").await;
    called.expect(b"D\x80").await;
    called.say(b"C  ").await;
    called.expect(b"T0000000000000000000000000000000000").await;
    called.say(b"4N").await;
    called.hear().await;
    called.say(b"200000000000000000").await;
    for _ in 0..2 {
        assert_eq!(called.hear().await.len(), 128);
        called.say(b"C  ").await;
    }
    called.expect(b"T0000000000000000000000000000000250").await;
    // The listener wants the turn.
    called.say(b"4Y").await;
    called.expect(b"R").await;
    called.say(b"F00000\r").await;
    called.expect_disconnect().await;
    drop(called);
    assert!(running.await.unwrap().unwrap().is_all_accepted());
}

#[tokio::test]
async fn refusals_are_reported_and_the_next_file_follows() {
    let files = vec![generated("A", 1), generated("B", 1), generated("C", 1)];
    let (mut called, running) = call(caller(), files);
    called.say(READY).await;
    called.hear().await;
    called.say(&ssid("O0013000002CALLED", 128, 'B', 9)).await;
    called.hear().await;
    called.say(b"306Y004full").await;
    called.hear().await;
    called.say(b"200000000000000000").await;
    called.hear().await;
    called.hear().await;
    called.say(b"511000").await;
    called.hear().await;
    called.say(b"313N000").await;
    called.expect(b"R").await;
    called.say(b"F00000\r").await;
    called.expect_disconnect().await;
    drop(called);
    let report = running.await.unwrap().unwrap();
    let outcomes: Vec<_> = report.sent.iter().map(|sent| sent.outcome.to_string()).collect();
    assert_eq!(
        outcomes,
        [
            "refused with reason 06 (file size is too big), may be tried later: \"full\"",
            "refused after transfer with reason 11 (invalid byte count)",
            "refused with reason 13 (duplicate file), not to be tried again",
        ]
    );
    let expected = SendOutcome::RefusedAtEnd { reason: FileReason::INVALID_BYTE_COUNT, text: String::new() };
    assert_eq!(report.sent[1].outcome, expected);
}

#[tokio::test]
async fn probing() {
    let (ours, theirs) = duplex(100);
    let mut theirs = Script(theirs);
    theirs.say(READY).await;
    theirs.0.shutdown().await.unwrap();
    let message = probe(ours, Duration::from_secs(5)).await.unwrap();
    assert_eq!(message, "ODETTE FTP READY");

    let (ours, mut theirs) = duplex(100);
    theirs.write_all(b"SSH-2.0-").await.unwrap();
    drop(theirs);
    let error = probe(ours, Duration::from_secs(5)).await.unwrap_err();
    assert!(error.to_string().contains("is this an OFTP station?"), "{error}");
}

#[tokio::test]
async fn negative_responses_are_taken() {
    let (ours, theirs) = duplex(1 << 16);
    let mut called = Script(theirs);
    let running = tokio::spawn(async move {
        let mut heard = Vec::new();
        let report = send_files(ours, &caller(), &[], |event| heard.push(event)).await;
        (report, heard)
    });
    called.say(READY).await;
    called.hear().await;
    called.say(&ssid("O0013000002CALLED", 1024, 'B', 9)).await;
    called.expect(b"R").await;
    let code = "O0013000002CALLED";
    let nerp = format!("N{:<26}      202611222050310001{code:<25}{code:<25}{code:<25}35000\0\0\0\0", "OLD");
    called.say(nerp.as_bytes()).await;
    called.expect(b"P").await;
    called.say(b"R").await;
    called.expect(b"F00000\r").await;
    drop(called);
    let (report, heard) = running.await.unwrap();
    let _ = report.unwrap();
    assert!(heard.iter().any(|event| matches!(
        event,
        Event::ResponseReceived { name, response: Response::NotDelivered { .. } } if name.as_str() == "OLD"
    )));
}
