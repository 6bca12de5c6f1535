//! A partner's connection until its call is joined.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use relay::buffer::Buffer;
use relay::call_event::{CallEvent, CallResult, Direction, Ender};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wire::limits::FRAME_HEADER_BYTES;
use wire::{CallId, Name};

/// A partner that has been accepted.
#[derive(Debug)]
pub(crate) struct Partner {
    /// Its connection.
    pub(crate) socket: TcpStream,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Where it came in.
    pub(crate) listener: Name,
    /// When.
    pub(crate) arrived: Instant,
    /// Where the client that was asked last takes the call, for the log.
    pub(crate) target: Arc<str>,
    /// Its share of the descriptors, which is free again when the call is over.
    pub(crate) _place: OwnedSemaphorePermit,
    /// What it has said already. It was sent along with an offer, and is kept for the next one until a client
    /// accepts.
    pub(crate) early: Vec<u8>,
}

impl Partner {
    /// Reads early payload, `room` bytes at most. A count of 0 is the end of the partner's stream.
    pub(crate) async fn read_early(&mut self, room: usize) -> io::Result<(Buffer, usize)> {
        loop {
            self.socket.readable().await?;
            let mut buffer = Buffer::take();
            match self.socket.try_read(&mut buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + room]) {
                Ok(count) => {
                    self.early.extend_from_slice(&buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + count]);
                    return Ok((buffer, count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns when the connection has been reset or has failed. Its orderly end is none of this: a partner may
    /// have said all it has to say.
    pub(crate) async fn failed(&self) {
        // An error here is the failure that is waited for.
        let _ = self.socket.ready(Interest::ERROR).await;
    }

    /// Closes the connection by a reset and logs the call, which was never joined.
    pub(crate) fn turn_away(self, call: CallId, result: CallResult, ended_by: Ender, reason: &str) {
        let event = CallEvent {
            call,
            direction: Direction::In,
            listener: self.listener,
            partner: self.address,
            target: &self.target,
            result,
            ended_by,
            bytes_in: self.early.len() as u64,
            bytes_out: 0,
            setup: None,
            duration: self.arrived.elapsed(),
            reason,
        };
        relay::socket::reset(self.socket);
        event.log();
    }
}
