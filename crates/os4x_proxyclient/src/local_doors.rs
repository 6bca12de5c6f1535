//! The local ports at which stations call out.

use std::net::SocketAddr;

use daemon::address::ListenAddress;
use daemon::bind::BACKLOG;
use daemon::failure::Failure;
use policy::Clients;
use relay::accept::accept_tuned;
use relay::socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::info;

use crate::options::LocalDoor;
use crate::outbound_call::{self, Exits, turn_away};

/// The ports that are open.
#[derive(Default)]
pub(crate) struct LocalDoors(Vec<Open>);

struct Open {
    listen: ListenAddress,
    /// What is done with connections; it may change while the port is open.
    door: watch::Sender<LocalDoor>,
    task: AbortHandle,
}

impl LocalDoors {
    /// Opens these ports and closes all others; one that is open already stays so. Nothing changes where one of them
    /// cannot be opened.
    ///
    /// # Errors
    /// The port that cannot be opened, and why.
    pub(crate) fn open(&mut self, doors: &[LocalDoor], exits: &Exits) -> Result<(), Failure> {
        let is_open = |door: &&LocalDoor| self.0.iter().any(|open| open.listen == door.listen);
        let (old, new): (Vec<&LocalDoor>, Vec<&LocalDoor>) = doors.iter().partition(is_open);
        let bound = new.into_iter().map(|door| bind(door).map(|listener| (door, listener)));
        let bound = bound.collect::<Result<Vec<_>, Failure>>()?;
        self.0.retain(|open| {
            let stays = doors.iter().any(|door| door.listen == open.listen);
            if !stays {
                open.task.abort();
            }
            stays
        });
        for door in old {
            for open in self.0.iter().filter(|open| open.listen == door.listen) {
                open.door.send_replace(door.clone());
            }
        }
        for (door, listener) in bound {
            let (sender, seen) = watch::channel(door.clone());
            let task = tokio::spawn(serve(listener, seen, exits.clone())).abort_handle();
            self.0.push(Open { listen: door.listen, door: sender, task });
        }
        Ok(())
    }

    /// Closes all.
    pub(crate) fn close(&mut self) {
        self.0.drain(..).for_each(|open| open.task.abort());
    }
}

fn bind(door: &LocalDoor) -> Result<TcpListener, Failure> {
    let listener = door.listen.bind(BACKLOG).map_err(Failure::operator)?;
    TcpListener::from_std(listener).map_err(Failure::operator)
}

async fn serve(listener: TcpListener, door: watch::Receiver<LocalDoor>, exits: Exits) {
    let address = listener.local_addr().map_or_else(|_| String::from("?"), |address| address.to_string());
    let name = door.borrow().name;
    info!(event = "listening", listener = %name, address);
    let _closing = Closing { name: name.to_string(), address };
    let take = |socket: TcpStream, address: SocketAddr| {
        let station = SocketAddr::new(address.ip().to_canonical(), address.port());
        let door = door.borrow().clone();
        if !admits(&door, &exits, station) {
            socket::reset(socket);
            return turn_away(&exits.complaints, station, &door, "its address is not in [outgoing] from");
        }
        let Ok(place) = exits.places.clone().try_acquire_owned() else {
            socket::reset(socket);
            let reason = "as many calls as the descriptors allow; raise the limit (ulimit -n, LimitNOFILE=)";
            return turn_away(&exits.complaints, station, &door, reason);
        };
        tokio::spawn(outbound_call::serve(socket, station, door, exits.clone(), place));
    };
    accept_tuned(&listener, exits.config.clone(), |config| config.step, take).await;
}

/// Whether a station may use a port at all.
fn admits(door: &LocalDoor, exits: &Exits, station: SocketAddr) -> bool {
    if door.is_local() {
        return true;
    }
    match &exits.config.borrow().outgoing.from {
        Some(from) => from.admit(station.ip()),
        None => Clients::private().admit(station.ip()),
    }
}

/// Says that a port is closed.
struct Closing {
    name: String,
    address: String,
}

impl Drop for Closing {
    fn drop(&mut self) {
        info!(event = "closed", listener = self.name, address = self.address);
    }
}
