//! Who gets through to a sealed link, and what those hear who do not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it expects")]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::{NamedGroup, ProtocolVersion};
use seal::{Acceptor, Authorized, Connector, HandshakeError, IdentityKey, PublicKey, Sealed, refusal_in};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

/// Two installations. Each trusts whom the test says.
struct Pair {
    proxy: IdentityKey,
    client: IdentityKey,
}

type Outcome<IO> = Result<Sealed<IO>, HandshakeError>;

impl Pair {
    fn new() -> Self {
        Self { proxy: IdentityKey::generate_for_tests(), client: IdentityKey::generate_for_tests() }
    }

    fn acceptor(&self, trusted: impl IntoIterator<Item = PublicKey>) -> Acceptor {
        Acceptor::new(&self.proxy, Arc::new(Authorized::of_keys(trusted))).unwrap()
    }

    fn connector(&self, list: &str) -> Connector {
        Connector::new(&self.client, Arc::new(Authorized::parse(list).unwrap())).unwrap()
    }

    /// Both ends of a link where each side trusts the other.
    async fn meet<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        near: IO,
        far: IO,
    ) -> (Outcome<IO>, Outcome<IO>) {
        let acceptor = self.acceptor([self.client.public_key()]);
        let connector = self.connector(&self.proxy.public_key().to_string());
        tokio::join!(acceptor.accept(near), connector.connect(far, "dmz1"))
    }

    async fn sealed(&self) -> (Sealed<DuplexStream>, Sealed<DuplexStream>) {
        let (near, far) = duplex(64 * 1024);
        let (accepted, connected) = self.meet(near, far).await;
        (accepted.unwrap(), connected.unwrap())
    }
}

#[tokio::test]
async fn both_know_each_other() {
    let pair = Pair::new();
    let (mut accepted, mut connected) = pair.sealed().await;
    assert_eq!(accepted.peer, pair.client.public_key());
    assert_eq!(connected.peer, pair.proxy.public_key());
    for agreed in [accepted.agreed, connected.agreed] {
        assert_eq!(agreed.suite.version().version, ProtocolVersion::TLSv1_3);
        assert_eq!(agreed.group, NamedGroup::X25519MLKEM768);
    }
    connected.stream.write_all(b"ping").await.unwrap();
    connected.stream.flush().await.unwrap();
    let mut buffer = [0; 4];
    accepted.stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"ping");
}

#[tokio::test]
async fn an_unknown_client_is_named_and_told() {
    let pair = Pair::new();
    let (near, far) = duplex(64 * 1024);
    let acceptor = pair.acceptor([IdentityKey::generate_for_tests().public_key()]);
    let connector = pair.connector(&pair.proxy.public_key().to_string());
    let client = async {
        // Done before it is judged: the refusal comes with the first read, whatever was written meanwhile.
        let mut connected = connector.connect(far, "dmz1").await.unwrap();
        connected.stream.write_all(&[7; 1000]).await.unwrap();
        connected.stream.flush().await.unwrap();
        connected.stream.read(&mut [0]).await.unwrap_err()
    };
    let (accepted, heard) = tokio::join!(acceptor.accept(near), client);
    match accepted {
        Err(HandshakeError::UnknownKey(key)) => assert_eq!(key, pair.client.public_key()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(refusal_in(&heard), Some(HandshakeError::NotTrustedByPeer)), "{heard:?}");
}

#[tokio::test]
async fn the_empty_list_lets_nobody_in() {
    let pair = Pair::new();
    let (near, far) = duplex(64 * 1024);
    let acceptor = Acceptor::new(&pair.proxy, Arc::new(Authorized::default())).unwrap();
    let connector = pair.connector(&pair.proxy.public_key().to_string());
    let client = async { drop(connector.connect(far, "dmz1").await) };
    let (accepted, ()) = tokio::join!(acceptor.accept(near), client);
    assert!(matches!(accepted, Err(HandshakeError::UnknownKey(_))), "{accepted:?}");
}

#[tokio::test]
async fn an_unknown_proxy_is_named_and_told() {
    let pair = Pair::new();
    let (near, far) = duplex(64 * 1024);
    let acceptor = pair.acceptor([pair.client.public_key()]);
    let connector = pair.connector("");
    let (accepted, connected) = tokio::join!(acceptor.accept(near), connector.connect(far, "dmz1"));
    match connected {
        Err(HandshakeError::UnknownKey(key)) => assert_eq!(key, pair.proxy.public_key()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(accepted, Err(HandshakeError::NotTrustedByPeer)), "{accepted:?}");
}

#[tokio::test]
async fn a_key_holds_for_its_host_only() {
    let pair = Pair::new();
    let list = format!("dmz1.example.com {0}\n192.0.2.7 {0}\n2001:db8::7 {0}\n", pair.proxy.public_key());
    let connector = pair.connector(&list);
    let acceptor = pair.acceptor([pair.client.public_key()]);
    let hosts = [
        ("DMZ1.example.com.", true),
        ("192.0.2.7", true),
        ("2001:DB8:0::7", true),
        ("[2001:db8::7]", true),
        ("dmz2.example.com", false),
        ("192.0.2.8", false),
    ];
    for (host, trusted) in hosts {
        let (near, far) = duplex(64 * 1024);
        let (_, connected) = tokio::join!(acceptor.accept(near), connector.connect(far, host));
        match connected {
            Ok(_) => assert!(trusted, "{host}"),
            Err(HandshakeError::UnknownKey(_)) => assert!(!trusted, "{host}"),
            Err(other) => panic!("{host}: {other}"),
        }
    }
    let (_near, far) = duplex(64);
    let outcome = connector.connect(far, "no host").await;
    assert!(matches!(outcome, Err(HandshakeError::BadHost(_))), "{outcome:?}");
}

#[tokio::test]
async fn plain_bytes_are_refused_on_both_sides() {
    let pair = Pair::new();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSRM\x10IODETTE FTP READY \r", b"SSH-2.0-x\r\n"] {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(bytes).await.unwrap();
        let outcome = pair.acceptor([pair.client.public_key()]).accept(near).await;
        assert!(matches!(outcome, Err(HandshakeError::NotOurProtocol(_))), "{outcome:?}");
        let (mut near, far) = duplex(64 * 1024);
        near.write_all(bytes).await.unwrap();
        let outcome = pair.connector(&pair.proxy.public_key().to_string()).connect(far, "dmz1").await;
        assert!(matches!(outcome, Err(HandshakeError::NotOurProtocol(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn closing_in_the_middle_is_told_apart() {
    let pair = Pair::new();
    for sent in [0, 1, 5, 100] {
        // A record header that promises more than follows.
        let bytes = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 100]].concat();
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(&bytes[..sent]).await.unwrap();
        drop(far);
        let outcome = pair.acceptor([]).accept(near).await;
        assert!(matches!(outcome, Err(HandshakeError::Closed)), "{sent}: {outcome:?}");
    }
    let (near, far) = duplex(64 * 1024);
    drop(near);
    let outcome = pair.connector("").connect(far, "dmz1").await;
    assert!(matches!(outcome, Err(HandshakeError::Closed)), "{outcome:?}");
}

#[tokio::test]
async fn the_end_is_said_never_inferred() {
    let pair = Pair::new();
    let (mut accepted, mut connected) = pair.sealed().await;
    connected.stream.write_all(b"all").await.unwrap();
    connected.stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    accepted.stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"all");
    // Half-closed: the other direction goes on.
    accepted.stream.write_all(b"reply").await.unwrap();
    accepted.stream.flush().await.unwrap();
    let mut reply = [0; 5];
    connected.stream.read_exact(&mut reply).await.unwrap();
    drop(accepted);
    let error = connected.stream.read(&mut reply).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(refusal_in(&error).is_none());
}

#[tokio::test]
async fn a_transport_of_single_bytes_is_good_enough() {
    let pair = Pair::new();
    // Room for the client's 6-byte change_cipher_spec (RFC 8446 §D.4), which it sends in the middle of the proxy's
    // flight, while rustls does not read before its own flight is out. Every socket has that room.
    let (near, far) = duplex(16);
    let (accepted, connected) = pair.meet(SingleBytes(near), SingleBytes(far)).await;
    let (mut accepted, mut connected) = (accepted.unwrap(), connected.unwrap());
    let write = async {
        connected.stream.write_all(&[42; 5000]).await.unwrap();
        connected.stream.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, ()) = tokio::join!(accepted.stream.read_to_end(&mut got), write);
    assert_eq!(got, [42; 5000]);
}

/// Takes and gives one byte at a time.
struct SingleBytes(DuplexStream);

impl AsyncRead for SingleBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        let result = Pin::new(&mut self.0).poll_read(cx, &mut one);
        buf.put_slice(one.filled());
        result
    }
}

impl AsyncWrite for SingleBytes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &buf[..buf.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
