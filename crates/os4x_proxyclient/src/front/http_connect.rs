//! HTTP CONNECT (RFC 9110, section 9.3.6), with `Basic` (RFC 7617) where there are users.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use httparse::{EMPTY_HEADER, Request, Status};
use wire::FailReason;

use super::{Failure, Rejection, Step, Users, destination};

/// Lines of a request.
const HEADERS_MAX: usize = 64;

/// There is one request and nothing to remember.
#[derive(Debug)]
pub struct HttpConnect;

impl HttpConnect {
    pub(super) fn on_bytes(&mut self, bytes: &[u8], users: &Users) -> Step {
        // Only a whole head is looked at, so that the same comes of it however it is cut.
        if !bytes.windows(4).any(|end| end == b"\r\n\r\n") && !bytes.windows(2).any(|end| end == b"\n\n") {
            return Step::More;
        }
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut request = Request::new(&mut headers);
        let used = match request.parse(bytes) {
            Ok(Status::Complete(used)) => used,
            Ok(Status::Partial) => return Step::More,
            Err(_) => return Step::Reject(answer("400 Bad Request", "", ""), Rejection::Malformed),
        };
        if request.method != Some("CONNECT") {
            let body = "This port connects stations to their partners. It takes CONNECT and nothing else.\n";
            let step = answer("405 Method Not Allowed", "Allow: CONNECT\r\n", body);
            return Step::Reject(step, Rejection::UnknownCommand);
        }
        if !users.is_empty() && !is_admitted(&request, users) {
            let challenge = "Proxy-Authenticate: Basic realm=\"os4x_proxyclient\", charset=\"UTF-8\"\r\n";
            let step = answer("407 Proxy Authentication Required", challenge, "");
            return Step::Reject(step, Rejection::WrongPassword);
        }
        match request.path.and_then(read_authority) {
            Some(destination) => Step::Ask(used, destination),
            None => {
                Step::Reject(answer("400 Bad Request", "", "Whom? HOST:PORT.\n"), Rejection::NoDestination)
            }
        }
    }
}

/// `host:port` and nothing else (RFC 9112, section 3.2.3).
fn read_authority(text: &str) -> Option<wire::Destination> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()?;
    // An IPv6 address without its brackets is one that the port was cut from.
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    destination(host.as_bytes(), port)
}

fn is_admitted(request: &Request<'_, '_>, users: &Users) -> bool {
    let mut headers = request.headers.iter();
    let header = headers.find(|header| header.name.eq_ignore_ascii_case("Proxy-Authorization"));
    let proof = header.and_then(|header| std::str::from_utf8(header.value).ok()).and_then(|value| {
        let (scheme, proof) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("Basic").then(|| BASE64_STANDARD.decode(proof.trim()).ok()).flatten()
    });
    let Some(proof) = proof else { return false };
    let Some(colon) = proof.iter().position(|&byte| byte == b':') else { return false };
    users.admit(&proof[..colon], &proof[colon + 1..])
}

pub(super) fn connected() -> Vec<u8> {
    b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec()
}

pub(super) fn too_long() -> Vec<u8> {
    answer("431 Request Header Fields Too Large", "", "")
}

pub(super) fn failed(failure: Failure) -> Vec<u8> {
    let (status, body) = match failure {
        Failure::Reason(reason @ FailReason::NotAllowed) => ("403 Forbidden", reason.to_string()),
        Failure::Reason(reason @ FailReason::TimedOut) => ("504 Gateway Timeout", reason.to_string()),
        Failure::Reason(reason @ (FailReason::Draining | FailReason::NoResources)) => {
            ("503 Service Unavailable", reason.to_string())
        }
        Failure::Reason(reason) => ("502 Bad Gateway", reason.to_string()),
        Failure::NoProxy => ("503 Service Unavailable", String::from("no proxy is attached")),
    };
    answer(status, "", &format!("{body}\n"))
}

fn answer(status: &str, header: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: text/plain\r\n" };
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{header}{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
