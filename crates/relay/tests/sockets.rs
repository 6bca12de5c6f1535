//! Connecting, the options of a socket, and its reset.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::{read_until_reset, soon, tcp_pair};
use relay::accept::accept_tuned;
use relay::socket::{reset, reset_on_close, tune};
use relay::{ConnectError, Either, connect, race};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const STEP: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_closed_port_is_refused_at_once() {
    // Bound but not listening: nobody else can come to listen there meanwhile.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let began = Instant::now();
    let refused = connect("127.0.0.1", port, STEP).await;
    assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
    assert!(began.elapsed() < STEP / 2);
}

#[tokio::test]
async fn the_second_address_is_tried_when_the_first_refuses() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return println!("no IPv6 on this host");
    };
    let port = listener.local_addr().unwrap().port();
    // "localhost" is 127.0.0.1 first; whatever listens there is not ours to know, hence a port that is ours.
    let blocker = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if blocker.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).is_err() {
        return println!("port {port} is taken on the other family");
    }
    let stream = connect("localhost", port, STEP).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    // RFC 6761, section 6.3: in any case of letters.
    assert!(connect("LocalHost", port, STEP).await.is_ok());
}

#[tokio::test]
async fn no_way_and_no_name() {
    // A broadcast address is never the end of a TCP connection (RFC 9293, section 3.9.2.3).
    let nowhere = connect("255.255.255.255", 9, STEP).await;
    assert!(
        matches!(nowhere, Err(ConnectError::NetworkUnreachable(_) | ConnectError::HostUnreachable(_))),
        "{nowhere:?}"
    );
    for name in ["does-not-exist.invalid", "", "a b", "[::1]"] {
        let unknown = connect(name, 9, STEP).await;
        assert!(matches!(unknown, Err(ConnectError::UnknownName(_))), "{name:?}: {unknown:?}");
    }
}

/// A listener whose backlog is full lets connections wait, and the deadline bounds that.
#[tokio::test]
async fn a_host_that_does_not_answer_costs_one_deadline() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let port = listener.local_addr().unwrap().as_socket().unwrap().port();
    let step = Duration::from_millis(400);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        match connect("127.0.0.1", port, step).await {
            Ok(stream) => waiting.push(stream),
            Err(ConnectError::TimedOut(time)) => {
                assert_eq!(time, step);
                return assert!(began.elapsed() >= step);
            }
            Err(error) => unreachable!("{error}"),
        }
    }
    unreachable!("{} connections in a backlog of none", waiting.len());
}

#[tokio::test]
async fn a_tuned_socket_has_its_options() {
    let (stream, _peer) = tcp_pair().await;
    stream.set_nodelay(false).unwrap();
    let socket = SockRef::from(&stream);
    for (step, idle, interval) in [(30, 15, 3), (1, 1, 1), (600, 300, 60), (1 << 22, 32_767, 32_767)] {
        tune(&stream, Duration::from_secs(step)).unwrap();
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(step).min(Duration::from_millis(i32::MAX as u64)))
        );
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(idle));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(interval));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 5);
    }
}

#[tokio::test]
async fn what_is_accepted_inherits_the_options_of_its_listener_also_after_a_reload() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    reset_on_close(&listener, true);
    let (settings, seen) = watch::channel(STEP);
    let (accepted, mut arrivals) = mpsc::unbounded_channel();
    let accepting = accept_tuned(&listener, seen, |&step| step, |stream, _| drop(accepted.send(stream)));
    let calling = async {
        for step in [STEP, 2 * STEP] {
            settings.send_replace(step);
            // The settings are taken over before the next connection is accepted, which may have come before.
            let _early = TcpStream::connect(address).await.unwrap();
            arrivals.recv().await.unwrap();
            let _caller = TcpStream::connect(address).await.unwrap();
            let stream = arrivals.recv().await.unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(step));
            assert_eq!(socket.tcp_keepalive_time().unwrap(), step / 2);
            assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
        }
    };
    assert!(matches!(soon(race(accepting, calling)).await, Either::Right(())));
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    // Idle, with bytes on their way, with bytes unread, and after this end's FIN.
    for case in 0..4 {
        let (mut stream, mut peer) = tcp_pair().await;
        match case {
            1 => stream.write_all(&[1; 1000]).await.unwrap(),
            2 => peer.write_all(&[1; 1000]).await.unwrap(),
            3 => peer.shutdown().await.unwrap(),
            _ => {}
        }
        reset(stream);
        let got = soon(read_until_reset(&mut peer)).await;
        assert!(got.len() <= 1000);
    }
}
