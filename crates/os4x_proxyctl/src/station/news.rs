//! What a station prints of what happens to it.

use oftp::{Event, ListenEvent, OftpError, ReceivedFile, SentFile, SessionReport};

use crate::figure::{Bytes, Rate, Time};

/// The line for something that happened at a listener, if it is worth one.
pub(crate) fn of_listener(news: &ListenEvent) -> Option<String> {
    match news {
        ListenEvent::Call { call, peer } => Some(format!("call {call} from {peer}")),
        ListenEvent::Session { call, event } => Some(format!("call {call} {}", of_session(event)?)),
        ListenEvent::Ended { call, result } => Some(format!("call {call} {}", of_end(result))),
        ListenEvent::Refused { call, peer } => {
            Some(format!("call {call} from {peer} was closed at once: too many calls are being served"))
        }
        ListenEvent::AcceptFailed { error } => {
            Some(format!("a call could not be accepted: {error}; going on (see `ulimit -n`)"))
        }
    }
}

/// The words for something that happened in a session, if it is worth some.
pub(crate) fn of_session(event: &Event) -> Option<String> {
    Some(match event {
        Event::Started { peer, buffer_bytes, credit } => {
            format!("in session with \"{peer}\": buffer {}, credit {credit}", Bytes(*buffer_bytes as u64))
        }
        Event::Received(file) => of_received(file),
        Event::ReceiveRefused { name, reason, text } => {
            format!("refused {name} with reason {reason}: {}", text.escape_debug())
        }
        Event::Sent(file) => of_sent(file),
        Event::ResponseReceived { name, response } => match response {
            oftp::Response::Delivered { .. } => format!("EERP for {name}: {response}"),
            oftp::Response::NotDelivered { .. } => format!("NERP for {name}: {response}"),
        },
        Event::ResponseSent { name } => format!("answered {name} with EERP"),
        Event::Receiving { .. } | Event::Sending { .. } | Event::Progress { .. } => return None,
    })
}

fn of_received(file: &ReceivedFile) -> String {
    let ReceivedFile { name, originator, path, bytes, sha256, duration, .. } = file;
    let (bytes, time) = (Bytes(*bytes), Time(*duration));
    let place = path.as_ref().map(|path| format!(", {}", path.display())).unwrap_or_default();
    let rate = Rate(bytes, time);
    format!("received {name} of \"{originator}\": {bytes} in {time}{rate}{place}\n  SHA-256 {sha256}")
}

fn of_sent(file: &SentFile) -> String {
    let SentFile { name, bytes, sha256, duration, outcome, .. } = file;
    if !file.is_accepted() {
        return format!("{name} was {outcome}");
    }
    let (bytes, time) = (Bytes(*bytes), Time(*duration));
    format!("sent {name}: {bytes} in {time}{}, {outcome}\n  SHA-256 {sha256}", Rate(bytes, time))
}

fn of_end(result: &Result<SessionReport, OftpError>) -> String {
    match result {
        Ok(report) => {
            let files = match report.received.len() {
                1 => String::from("1 file"),
                count => format!("{count} files"),
            };
            format!("ended in order after {}, {files} received", Time(report.duration))
        }
        Err(error) => format!("ended badly: {error}"),
    }
}
