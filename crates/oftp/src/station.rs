//! The station: sessions over any byte stream.

mod drive;
mod hear;
mod link;
mod listen;
mod sink;
mod source;
mod speak;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use listen::{ListenEvent, listen};

use crate::command::Command;
use crate::error::{OftpError, PeerFault};
use crate::report::{Event, SessionReport};
use crate::settings::{FileToSend, Settings};
use drive::Drive;
use link::Link;

/// Serves one call as the called side (responder, section 4.2): says it is ready, takes any number of files,
/// answers them with EERP as soon as it is given the turn, and disconnects after ESID.
///
/// The stream is ready for the protocol: connected, and through its TLS handshake if there is one.
///
/// # Errors
///
/// When the session did not end in order. Files received before are kept and were told of by events.
pub async fn serve_call<S, F>(stream: S, settings: &Settings, on_event: F) -> Result<SessionReport, OftpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: FnMut(Event) + Send,
{
    Drive::new(stream, settings, &[], on_event).answer().await
}

/// Sends files as the calling side (initiator, section 4.2): waits for the ready message, introduces itself, sends
/// the files in order, gives the turn away, takes responses (and files, if there is an inbox) until it has the turn
/// again, ends the session and waits for the disconnect. Without files it is a call that only asks what there is.
///
/// The stream is ready for the protocol: connected, and through its TLS handshake if there is one.
///
/// # Errors
///
/// When the session did not end in order. A file the other station refused is no error, but is in the report.
pub async fn send_files<S, F>(
    stream: S,
    settings: &Settings,
    files: &[FileToSend],
    on_event: F,
) -> Result<SessionReport, OftpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: FnMut(Event) + Send,
{
    Drive::new(stream, settings, files, on_event).call().await
}

/// Waits for the ready message of a called station, disconnects, and gives the message without its carriage return:
/// "ODETTE FTP READY".
///
/// # Errors
///
/// When something else comes, nothing comes in time, or the connection ends.
pub async fn probe<S>(stream: S, answer_wait: Duration) -> Result<String, OftpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut link = Link::new(stream, answer_wait, answer_wait.min(PROBE_CLOSE_WAIT));
    let range = link.exchange_buffer("the ready message (SSRM)").await?;
    let octets = link.octets(range).to_vec();
    let result = match Command::decode(&octets) {
        Ok(Command::Ready) => Ok(String::from_utf8_lossy(&octets[1..]).trim_end().to_owned()),
        Ok(Command::EndSession(end)) => {
            Err(PeerFault::EndedSession { reason: end.reason, text: end.text }.into())
        }
        Ok(other) => {
            let awaiting = "the ready message (SSRM)";
            Err(PeerFault::Unexpected { command: other.kind(), awaiting }.into())
        }
        Err(error) => Err(PeerFault::Malformed(error).into()),
    };
    link.disconnect().await;
    result
}

/// A station that was only asked whether it is there is not waited for long.
const PROBE_CLOSE_WAIT: Duration = Duration::from_secs(2);
