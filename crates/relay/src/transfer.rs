//! Bytes between a connection and memory.
//!
//! The runtime notes what the kernel has told it of each connection. Its own way to read and write also prepares to wait,
//! every time, which a call has done already or need not do: here nothing but the note stands before the system call.

use std::io;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::coop::poll_proceed;

/// Reads what has come. A count of 0 is the end of the stream, provided that there is room.
pub(crate) fn poll_read(
    cx: &mut Context<'_>,
    connection: &TcpStream,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    // Whoever is given more and more lets others have their turn all the same.
    let budget = ready!(poll_proceed(cx));
    loop {
        let moved = transfer(connection, Interest::READABLE, room.len(), || {
            recv(connection, &mut *room, RecvFlags::empty()).map(|(_, count)| count)
        });
        if moved.is_ready() {
            budget.made_progress();
            return moved;
        }
        ready!(connection.poll_read_ready(cx))?;
    }
}

/// Writes as much as there is room for. It is reading that is counted: what is written has been read.
pub(crate) fn poll_write(
    cx: &mut Context<'_>,
    connection: &TcpStream,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        let moved = transfer(connection, Interest::WRITABLE, bytes.len(), || {
            send(connection, bytes, SendFlags::NOSIGNAL)
        });
        if moved.is_ready() {
            return moved;
        }
        ready!(connection.poll_write_ready(cx))?;
    }
}

/// Moves up to `wanted` bytes by `system_call`, unless the connection is known not to be ready for it. Where fewer have moved
/// there is no more to be had, which is noted: the kernel is not asked again until it has said otherwise.
fn transfer(
    connection: &TcpStream,
    interest: Interest,
    wanted: usize,
    system_call: impl FnOnce() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    let mut moved = None;
    let outcome = connection.try_io(interest, || {
        let count = *moved.insert(system_call()?);
        if count == 0 || count == wanted { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    match (moved, outcome) {
        (Some(count), _) => Poll::Ready(Ok(count)),
        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        (None, outcome) => Poll::Ready(outcome.map(|()| 0)),
    }
}
