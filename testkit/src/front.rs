//! Doubles of stations that call out.

use std::net::SocketAddr;

use crate::peer::Peer;

/// Asks for a host by SOCKS5, without a password; gives the code of the reply.
///
/// # Panics
/// When the rules of the protocol are broken.
pub fn socks5(at: SocketAddr, host: &str, port: u16) -> (u8, Peer) {
    let mut peer = Peer::call(at);
    peer.send(&[5, 1, 0]);
    assert_eq!(peer.receive(2), [5, 0]);
    peer.send(&socks5_request(host, port));
    let reply = peer.receive(10);
    assert_eq!((reply[0], reply[3]), (5, 1), "{reply:?}");
    (reply[1], peer)
}

/// The same for an address.
///
/// # Panics
/// When the rules of the protocol are broken.
pub fn socks5_to(at: SocketAddr, to: SocketAddr) -> (u8, Peer) {
    socks5(at, &to.ip().to_string(), to.port())
}

/// The request that follows the greeting.
///
/// # Panics
/// When the name is too long.
pub fn socks5_request(host: &str, port: u16) -> Vec<u8> {
    let mut request = vec![5, 1, 0, 3, u8::try_from(host.len()).unwrap()];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    request
}

/// Asks for a host by HTTP CONNECT; gives the status, and the connection behind the head of the answer.
///
/// # Panics
/// When the answer is none.
pub fn http_connect(at: SocketAddr, authority: &str) -> (u16, Peer) {
    let mut peer = Peer::call(at);
    peer.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(peer.receive(1));
    }
    let head = String::from_utf8(head).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), peer)
}
