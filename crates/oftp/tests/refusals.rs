//! Sessions that go wrong, the other station played by hand: what it is told, and what is left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail like tests do")]

mod common;

use std::time::Duration;

use common::{READY, call, called, caller, generated, names_in, peer_fault, serve, sfid, ssid};
use oftp::command::{BufferBytes, Code, Credit, EndReason, Password};
use oftp::{LinkFault, OftpError, Partner, PeerFault, Settings};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn wrong_byte_count_is_refused_and_nothing_is_kept() {
    let inbox = tempfile::tempdir().unwrap();
    let (mut caller, running) = serve(called(inbox.path()));
    caller.hear().await;
    caller.say(&ssid("O0013000001CALLER", 1024, 'B', 9)).await;
    caller.hear().await;
    caller.say(&sfid("DATA", 1)).await;
    caller.hear().await;
    caller.say(b"D\x83abc").await;
    caller.say(b"T0000000000000000000000000000000004").await;
    caller.expect(b"5110263 octets came, 4 were sent").await;
    caller.say(b"F00000\r").await;
    caller.expect_disconnect().await;
    drop(caller);
    assert!(running.await.unwrap().unwrap().received.is_empty());
    assert!(names_in(inbox.path()).is_empty());
}

#[tokio::test]
async fn records_are_counted_and_secured_files_refused() {
    let inbox = tempfile::tempdir().unwrap();
    let (mut caller, running) = serve(called(inbox.path()));
    caller.hear().await;
    caller.say(&ssid("O0013000001CALLER", 1024, 'B', 9)).await;
    caller.hear().await;
    let mut start = sfid("../V", 1);
    start[106] = b'V';
    caller.say(&start).await;
    caller.hear().await;
    caller.say(b"D\x83abc\x80\x82de").await;
    caller.say(b"T0000000000000000300000000000000005").await;
    caller.expect(b"4N").await;
    for (position, octet, answer) in [
        (156, b'1', &b"316N026encrypted file not allowed"[..]),
        (156, b'2', b"319N023signed file not allowed"),
        (159, b'1', b"318N023compression not allowed"),
    ] {
        let mut start = sfid("X", 1);
        start[position] = octet;
        caller.say(&start).await;
        caller.expect(answer).await;
    }
    caller.say(b"R").await;
    caller.hear().await;
    caller.say(b"F00000\r").await;
    caller.expect_disconnect().await;
    drop(caller);
    assert!(running.await.unwrap().is_err(), "the end came while RTR was due");
    assert_eq!(names_in(inbox.path()), ["_._V"]);
}

#[tokio::test]
async fn who_may_not_enter_is_told_why() {
    let inbox = tempfile::tempdir().unwrap();
    let partner = |code: &str, password: &str| Partner {
        code: Code::new(code).unwrap(),
        password: Password::new(password).unwrap(),
    };
    let auth = |mut ssid: Vec<u8>, position: usize, octet: u8| {
        ssid[position] = octet;
        ssid
    };
    let plain = || ssid("O0013000001CALLER", 1024, 'B', 9);
    let good = || vec![partner("O0013000001CALLER", "SECRET")];
    for (partners, ssid, reason) in [
        (vec![partner("OTHER", "SECRET")], plain(), EndReason::USER_CODE_NOT_KNOWN),
        (vec![partner("O0013000001CALLER", "secret")], plain(), EndReason::INVALID_PASSWORD),
        (good(), auth(plain(), 47, b'Y'), EndReason::AUTHENTICATION_INCOMPATIBLE),
        (good(), auth(plain(), 1, b'4'), EndReason::INCOMPATIBLE),
        (good(), auth(plain(), 44, b'x'), EndReason::INVALID_DATA),
        (good(), plain()[..60].to_vec(), EndReason::BUFFER_SIZE_ERROR),
        (good(), b"Zap".to_vec(), EndReason::COMMAND_NOT_RECOGNISED),
        (good(), b"J".to_vec(), EndReason::PROTOCOL_VIOLATION),
        (good(), b"R".to_vec(), EndReason::PROTOCOL_VIOLATION),
    ] {
        let (mut caller, running) = serve(Settings { partners, ..called(inbox.path()) });
        caller.hear().await;
        caller.say(&ssid).await;
        let text = reason.text();
        caller.expect(format!("F{:02}{:03}{text}\r", reason.code(), text.len()).as_bytes()).await;
        drop(caller);
        assert_eq!(peer_fault(running.await.unwrap()).end_reason(), Some(reason));
    }
}

#[tokio::test]
async fn the_calling_side_checks_the_answer() {
    for (answer, credit, reason) in [
        (ssid("O0013000002CALLED", 1024, 'S', 9), 9, EndReason::INCOMPATIBLE),
        (ssid("O0013000002CALLED", 1024, 'B', 10), 9, EndReason::PROTOCOL_VIOLATION),
    ] {
        let settings = Settings { credit: Credit::new(credit).unwrap(), ..caller() };
        let (mut called, running) = call(settings, vec![generated("A", 1)]);
        called.say(READY).await;
        called.hear().await;
        called.say(&answer).await;
        assert_eq!(called.hear().await[..3], *format!("F{:02}", reason.code()).as_bytes());
        drop(called);
        assert_eq!(peer_fault(running.await.unwrap()).end_reason(), Some(reason));
    }
}

#[tokio::test]
async fn an_end_that_is_none_in_order_is_an_error_with_its_reason() {
    let (mut called, running) = call(caller(), vec![generated("A", 1)]);
    called.say(READY).await;
    called.hear().await;
    called.say(b"F03003who\r").await;
    called.expect_disconnect().await;
    drop(called);
    let fault = peer_fault(running.await.unwrap());
    let text = "the other station ended the session with reason 03 (user code not known): \"who\"";
    assert_eq!(fault.to_string(), text);
}

#[tokio::test]
async fn buffers_beyond_what_was_agreed_end_the_session() {
    let inbox = tempfile::tempdir().unwrap();
    let settings = Settings { buffer_bytes: BufferBytes::new(128).unwrap(), ..called(inbox.path()) };
    let (mut caller, running) = serve(settings);
    caller.hear().await;
    caller.say(&ssid("O0013000001CALLER", 1024, 'B', 9)).await;
    caller.expect(&ssid("O0013000002CALLED", 128, 'B', 9)).await;
    caller.say(&sfid("DATA", 1)).await;
    caller.hear().await;
    caller.say(&[b'D'; 129]).await;
    caller.expect(b"F07026exchange buffer size error\r").await;
    drop(caller);
    let expected = PeerFault::BufferTooLarge { bytes: 129, bytes_max: 128 };
    assert_eq!(peer_fault(running.await.unwrap()), expected);
    assert!(names_in(inbox.path()).is_empty());
}

#[tokio::test]
async fn a_cut_in_the_middle_leaves_nothing() {
    let inbox = tempfile::tempdir().unwrap();
    let (mut caller, running) = serve(called(inbox.path()));
    caller.hear().await;
    caller.say(&ssid("O0013000001CALLER", 99_999, 'B', 999)).await;
    caller.hear().await;
    caller.say(&sfid("DATA", 4096)).await;
    caller.hear().await;
    for _ in 0..20 {
        caller.say(&[b"D", &[0x3f; 64 * 1500][..]].concat()).await;
    }
    assert_eq!(names_in(inbox.path()).len(), 1, "the temporary file");
    drop(caller);
    let result = running.await.unwrap();
    assert!(
        matches!(result, Err(OftpError::Link(LinkFault::Closed { .. } | LinkFault::Io(_)))),
        "{result:?}"
    );
    // The last chunk may still be on its way to disk; the file goes when it is done.
    while !names_in(inbox.path()).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_wait_has_an_end() {
    let inbox = tempfile::tempdir().unwrap();
    let (mut silent, running) = serve(called(inbox.path()));
    silent.hear().await;
    let result = running.await.unwrap();
    assert!(matches!(result, Err(OftpError::Link(LinkFault::TimedOut { .. }))), "{result:?}");
    silent.expect_disconnect().await;
    // One that drips does not live longer.
    let (mut dripping, running) = serve(called(inbox.path()));
    dripping.hear().await;
    dripping.0.write_all(b"\x10\x00\x00\x41X").await.unwrap();
    while !running.is_finished() {
        tokio::time::advance(Duration::from_secs(20)).await;
        let _ = dripping.0.write_all(b"5").await;
        tokio::task::yield_now().await;
    }
    assert!(matches!(running.await.unwrap(), Err(OftpError::Link(LinkFault::TimedOut { .. }))));
}
