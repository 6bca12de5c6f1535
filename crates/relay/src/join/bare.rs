//! A call that has left the seal: what it does differently from there on.
//!
//! A direction ends by FIN on the connection itself, and a call is aborted by a reset of it.

use std::io;
use std::net::Shutdown;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tracing::debug;
use wire::{AbortReason, Frame, Kind};

use super::call::{Call, link_failure};
use super::{End, EndedBy};
use crate::gather;
use crate::link::{LinkError, LinkReader, LinkWriter};
use crate::pump::{Failed, Pump, failure_of};
use crate::race::{Either, race};
use crate::stream::{Sink, Source};

impl Call {
    /// The direction from the socket leaves the seal, and goes on to its end.
    pub(super) async fn unseal<W: Sink>(
        &self,
        socket: &TcpStream,
        link: &mut LinkWriter<W>,
        pump: &mut Pump,
    ) -> Result<(), End> {
        self.shared().state.on_sent(Kind::Unseal);
        link.queue(&Frame::Unseal);
        self.written(link, socket, LinkWriter::poll_unseal).await?;
        let bare = link.bare().ok_or(End::LinkBroken)?;
        self.tally.note_pumped_outward();
        self.socket_to_bare(socket, bare, pump).await
    }

    /// The direction to the socket has left the seal: hands over what has come already, and goes on to its end.
    pub(super) async fn go_on_bare<R: Source>(
        &self,
        link: &mut LinkReader<R>,
        socket: &TcpStream,
        pump: &mut Pump,
    ) -> Result<(), End> {
        let rest = link.unseal().await.map_err(|error| self.link_failed(&error))?;
        self.write(socket, &rest).await?;
        drop(rest);
        let bare = link.bare().ok_or(End::LinkBroken)?;
        self.tally.note_pumped_inward();
        self.bare_to_socket(bare, socket, pump).await
    }

    /// Without the seal, from wherever this direction stands.
    pub(super) async fn socket_to_bare(
        &self,
        socket: &TcpStream,
        bare: &TcpStream,
        pump: &mut Pump,
    ) -> Result<(), End> {
        if self.shared().state.is_sending() {
            let moved = |count| {
                self.tally.note_read(count);
                gather::note_read(count);
            };
            let pumped = pump.run(socket, bare, moved).await;
            pumped.map_err(|failed| match failed {
                Failed::From(_) => self.socket_failure(),
                Failed::To(error) => self.bare_failed(&error),
            })?;
            SockRef::from(bare).shutdown(Shutdown::Write).map_err(|error| self.bare_failed(&error))?;
            self.tally.note_end(EndedBy::Socket);
            self.shared().state.on_fin_sent();
        }
        self.watch_socket(socket).await
    }

    /// Likewise to the socket.
    pub(super) async fn bare_to_socket(
        &self,
        bare: &TcpStream,
        socket: &TcpStream,
        pump: &mut Pump,
    ) -> Result<(), End> {
        if self.shared().state.is_receiving() {
            let pumped = pump.run(bare, socket, |count| self.tally.note_written(count)).await;
            pumped.map_err(|failed| match failed {
                Failed::From(error) => self.bare_failed(&error),
                Failed::To(_) => self.socket_failure(),
            })?;
            self.shared().state.on_fin_received();
            self.pass_on_end(socket)?;
        }
        self.watch_bare(bare).await
    }

    /// The peer has ended its direction. Until this end has ended its own, a reset still has to be noticed.
    async fn watch_bare(&self, bare: &TcpStream) -> Result<(), End> {
        match race(self.this_direction(), bare.ready(Interest::ERROR)).await {
            Either::Left(()) => Ok(()),
            Either::Right(_) => Err(self.bare_failed(&failure_of(bare))),
        }
    }

    /// The link has failed. Once a direction has left the seal, a reset is how the peer aborts.
    pub(super) fn link_failed(&self, error: &LinkError) -> End {
        match error {
            LinkError::Broken(error) if self.shared().state.is_unsealed() => self.bare_failed(error),
            error => link_failure(error),
        }
    }

    fn bare_failed(&self, error: &io::Error) -> End {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                self.shared().aborted_by_peer = true;
                End::Aborted(AbortReason::Reset)
            }
            _ => {
                debug!("the link of a call is given up: {error}");
                End::LinkBroken
            }
        }
    }
}
