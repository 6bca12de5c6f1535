//! What a station says on `-Q`, in pieces of every length.

use super::*;

/// Plays a station whose bytes come in pieces of `piece`; returns what it hears, what is left, and the end.
fn play(users: &Users, said: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, Result<Destination, Rejection>) {
    let (mut front, mut heard, mut held) = (Front::Unknown, Vec::new(), Vec::new());
    let mut pieces = said.chunks(piece);
    loop {
        match front.on_bytes(&held, users) {
            Step::More => match pieces.next() {
                Some(piece) => held.extend_from_slice(piece),
                None => panic!("{front:?} asks for more after {said:?}"),
            },
            Step::Say(used, reply) => {
                held.drain(..used);
                heard.extend(reply);
            }
            Step::Ask(used, destination) => {
                held.drain(..used);
                pieces.for_each(|piece| held.extend_from_slice(piece));
                heard.extend(front.connected());
                return (heard, held, Ok(destination));
            }
            Step::Reject(reply, rejection) => {
                heard.extend(reply);
                return (heard, held, Err(rejection));
            }
        }
    }
}

/// However the bytes are cut, the same comes of it. Returns what a station heard, and whom it asked for.
fn asks(users: &Users, said: &[u8]) -> (Vec<u8>, Result<String, Rejection>) {
    let (heard, left, outcome) = play(users, said, said.len().max(1));
    for piece in 1..said.len() {
        let again = play(users, said, piece);
        assert_eq!((&again.0, &again.2), (&heard, &outcome), "in pieces of {piece}: {said:?}");
        if outcome.is_ok() {
            assert_eq!(again.1, left, "in pieces of {piece}: {said:?}");
        }
    }
    if outcome.is_ok() {
        assert_eq!(left, PAYLOAD, "what follows is payload");
    }
    (heard, outcome.map(|destination| destination.to_string()))
}

const PAYLOAD: &[u8] = b"\x16\x03\x01 and so on";

fn with_payload(said: &[u8]) -> Vec<u8> {
    [said, PAYLOAD].concat()
}

fn nobody() -> Users {
    Users::default()
}

fn alice() -> Users {
    Users::try_from(vec![String::from("alice:se:cret")]).unwrap()
}

#[test]
fn socks5_by_name_and_by_address() {
    let by_name = with_payload(b"\x05\x02\x00\x02\x05\x01\x00\x03\x0fpartner.example\x19\xdb");
    let (heard, asked) = asks(&nobody(), &by_name);
    assert_eq!(asked.unwrap(), "partner.example:6619");
    assert_eq!(heard, b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0");
    let v4 = with_payload(b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x0c\xe9");
    assert_eq!(asks(&nobody(), &v4).1.unwrap(), "192.0.2.7:3305");
    let v6 = with_payload(b"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x0c\xe9");
    assert_eq!(asks(&nobody(), &v6).1.unwrap(), "[2001:db8::7]:3305");
}

#[test]
fn socks5_with_users() {
    let login = b"\x05\x02\x00\x02\x01\x05alice\x07se:cret\x05\x01\x00\x01\xc0\x00\x02\x07\x0c\xe9";
    let (heard, asked) = asks(&alice(), &with_payload(login));
    assert_eq!(asked.unwrap(), "192.0.2.7:3305");
    assert!(heard.starts_with(b"\x05\x02\x01\x00\x05\x00"), "{heard:?}");
    let wrong = b"\x05\x01\x02\x01\x05alice\x06se:cre";
    assert_eq!(asks(&alice(), wrong), (b"\x05\x02\x01\x01".to_vec(), Err(Rejection::WrongPassword)));
    assert_eq!(asks(&alice(), b"\x05\x01\x00"), (b"\x05\xff".to_vec(), Err(Rejection::NoMethod)));
    assert_eq!(asks(&nobody(), b"\x05\x01\x02"), (b"\x05\xff".to_vec(), Err(Rejection::NoMethod)));
}

#[test]
fn socks5_that_asks_for_something_else() {
    let bind = b"\x05\x01\x00\x05\x02\x00\x01\xc0\x00\x02\x07\x0c\xe9";
    let (heard, asked) = asks(&nobody(), bind);
    assert_eq!((heard[3], asked), (7, Err(Rejection::UnknownCommand)));
    let kind = b"\x05\x01\x00\x05\x01\x00\x09\xc0\x00\x02\x07\x0c\xe9";
    let (heard, asked) = asks(&nobody(), kind);
    assert_eq!((heard[3], asked), (8, Err(Rejection::NoDestination)));
    for host in
        [&b"\x05\x01\x00\x05\x01\x00\x03\x00\x0c\xe9"[..], b"\x05\x01\x00\x05\x01\x00\x03\x03a b\x0c\xe9"]
    {
        assert_eq!(asks(&nobody(), host).1, Err(Rejection::NoDestination));
    }
    assert_eq!(
        asks(&nobody(), b"\x05\x01\x00\x05\x01\x00\x01\xc0\0\x02\x07\0\0").1,
        Err(Rejection::NoDestination)
    );
    assert_eq!(asks(&nobody(), b"\x05\x01\x00\x04\x01\x00\x01").1, Err(Rejection::Malformed));
}

#[test]
fn socks4_and_4a() {
    let plain = with_payload(b"\x04\x01\x0c\xe9\xc0\x00\x02\x07station\x00");
    let (heard, asked) = asks(&nobody(), &plain);
    assert_eq!((heard, asked.unwrap()), (b"\x00\x5a\0\0\0\0\0\0".to_vec(), String::from("192.0.2.7:3305")));
    let by_name = with_payload(b"\x04\x01\x19\xdb\x00\x00\x00\x01\x00partner.example\x00");
    assert_eq!(asks(&nobody(), &by_name).1.unwrap(), "partner.example:6619");
    let (heard, asked) = asks(&nobody(), b"\x04\x02\x0c\xe9\xc0\x00\x02\x07\x00");
    assert_eq!((heard[1], asked), (0x5b, Err(Rejection::UnknownCommand)));
    assert_eq!(asks(&alice(), b"\x04\x01\x0c\xe9\xc0\x00\x02\x07\x00").1, Err(Rejection::NoMethod));
}

#[test]
fn http_connect() {
    let head =
        b"CONNECT partner.example:6619 HTTP/1.1\r\nHost: partner.example:6619\r\nUser-Agent: x\r\n\r\n";
    let (heard, asked) = asks(&nobody(), &with_payload(head));
    assert_eq!(asked.unwrap(), "partner.example:6619");
    assert_eq!(heard, b"HTTP/1.1 200 Connection established\r\n\r\n");
    let v6 = with_payload(b"CONNECT [2001:db8::7]:3305 HTTP/1.0\r\n\r\n");
    assert_eq!(asks(&nobody(), &v6).1.unwrap(), "[2001:db8::7]:3305");
    for (said, status, rejection) in [
        (&b"GET http://partner.example/ HTTP/1.1\r\n\r\n"[..], "405", Rejection::UnknownCommand),
        (b"CONNECT partner.example HTTP/1.1\r\n\r\n", "400", Rejection::NoDestination),
        (b"CONNECT partner.example:0 HTTP/1.1\r\n\r\n", "400", Rejection::NoDestination),
        (b"CONNECT user@partner.example:1 HTTP/1.1\r\n\r\n", "400", Rejection::NoDestination),
        (b"CONNECT a:1 HTTP/9.9\r\n\r\n", "400", Rejection::Malformed),
        (b"CONNECT a:1 HTTP/1.1\r\nno header\r\n\r\n", "400", Rejection::Malformed),
    ] {
        let (heard, asked) = asks(&nobody(), said);
        assert_eq!(asked, Err(rejection), "{said:?}");
        assert!(heard.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{said:?}");
    }
}

#[test]
fn http_connect_with_users() {
    // "alice:se:cret", as RFC 7617, section 2 has it.
    let head = b"CONNECT a.example:1 HTTP/1.1\r\nproxy-authorization: basic YWxpY2U6c2U6Y3JldA==\r\n\r\n";
    assert_eq!(asks(&alice(), &with_payload(head)).1.unwrap(), "a.example:1");
    let (heard, asked) = asks(&alice(), b"CONNECT a.example:1 HTTP/1.1\r\n\r\n");
    assert_eq!(asked, Err(Rejection::WrongPassword));
    assert!(heard.starts_with(b"HTTP/1.1 407 ") && heard.windows(18).any(|w| w == b"Proxy-Authenticate"));
    let wrong = b"CONNECT a.example:1 HTTP/1.1\r\nProxy-Authorization: Basic YWxpY2U6\r\n\r\n";
    assert_eq!(asks(&alice(), wrong).1, Err(Rejection::WrongPassword));
}

#[test]
fn nothing_is_held_beyond_the_bound() {
    let endless = [&b"CONNECT a:1 HTTP/1.1\r\nx: "[..], &[b'y'; FRONT_BYTES_MAX]].concat();
    let (heard, _, outcome) = play(&nobody(), &endless, 100);
    assert_eq!(outcome, Err(Rejection::TooLong));
    assert!(heard.starts_with(b"HTTP/1.1 431 "));
    let user = [&b"\x04\x01\x0c\xe9\xc0\x00\x02\x07"[..], &[b'u'; 300]].concat();
    assert_eq!(play(&nobody(), &user, 7).2, Err(Rejection::Malformed));
    assert_eq!(asks(&nobody(), b"\x16\x03\x01\x02").1, Err(Rejection::UnknownProtocol));
}

#[test]
fn every_failure_has_its_code() {
    use FailReason::*;
    for (failure, socks5_code, status) in [
        (Failure::Reason(NotAllowed), 2, "403"),
        (Failure::Reason(NetworkUnreachable), 3, "502"),
        (Failure::Reason(HostUnreachable), 4, "502"),
        (Failure::Reason(UnknownName), 4, "502"),
        (Failure::Reason(Refused), 5, "502"),
        (Failure::Reason(TimedOut), 6, "504"),
        (Failure::Reason(Draining), 1, "503"),
        (Failure::Reason(NoResources), 1, "503"),
        (Failure::NoProxy, 1, "503"),
    ] {
        let socks5 = Front::Socks5(Socks5::default()).failed(failure);
        assert_eq!((socks5[0], socks5[1], socks5.len()), (5, socks5_code, 10), "{failure:?}");
        assert_eq!(Front::Socks4(Socks4).failed(failure)[1], 0x5b);
        let http = Front::Http(HttpConnect).failed(failure);
        assert!(http.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{failure:?}");
    }
}
