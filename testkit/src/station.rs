//! Doubles of stations.

use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::DEADLINE;
use crate::payload::Digest;
use crate::peer::{Ending, Peer};
use crate::site::Site;

/// A station: either the test plays it, call by call ([`Station::open`], [`Station::accept`]), or it does always
/// the same ([`Station::serving`]).
pub struct Station {
    address: SocketAddr,
    calls: Mutex<Receiver<Peer>>,
}

impl Station {
    /// A station whose calls the test takes.
    ///
    /// # Panics
    /// When no port is free.
    pub fn open(site: &Site) -> Self {
        Self::open_at((site.address(), 0).into())
    }

    /// The same at a given address.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn open_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::channel();
        thread::spawn(move || {
            let peers = listener.incoming().map_while(Result::ok).map(Peer::new);
            // Ends with the first call after the station has gone.
            peers.map(|peer| sender.send(peer)).take_while(Result::is_ok).for_each(drop);
        });
        Self { address, calls: Mutex::new(calls) }
    }

    /// A station that does the same with every call, in a thread of its own.
    ///
    /// # Panics
    /// When no port is free.
    pub fn serving(site: &Site, serve: impl Fn(Peer) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind((site.address(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serve = serve.clone();
                thread::spawn(move || serve(Peer::new(stream)));
            }
        });
        let (_, calls) = mpsc::channel();
        Self { address, calls: Mutex::new(calls) }
    }

    /// A station that answers a call that ended in order with the digest of what it heard, and ends it in order.
    ///
    /// # Panics
    /// When no port is free.
    pub fn hashing(site: &Site) -> Self {
        Self::serving(site, |mut peer| {
            let rest = peer.rest();
            if rest.ending == Ending::Fin {
                let answer: Digest = rest.digest;
                // The partner may have gone.
                let _ = peer.try_send(&answer);
            }
        })
    }

    /// A station that greets first, as OFTP's does with its ready message (RFC 5024, section 5.3.1), and ends every
    /// call in order when the partner has.
    ///
    /// # Panics
    /// When no port is free.
    pub fn greeting(site: &Site, greeting: &'static [u8]) -> Self {
        Self::serving(site, move |mut peer| {
            // The partner may have gone.
            let _ = peer.try_send(greeting);
            peer.ending();
        })
    }

    /// Where it is called.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next call.
    ///
    /// # Panics
    /// When none comes.
    pub fn accept(&self) -> Peer {
        match self.calls.lock().unwrap().recv_timeout(DEADLINE) {
            Ok(peer) => peer,
            Err(_) => panic!("nobody has called the station"),
        }
    }

    /// Whether nobody has called that was not taken.
    pub fn is_quiet(&self) -> bool {
        self.calls.lock().is_ok_and(|calls| calls.try_recv().is_err())
    }
}

/// A port that answers nothing: what calls it is neither accepted nor refused.
pub struct Mute {
    address: SocketAddr,
    /// The one that listens, and those that fill its queue.
    _sockets: Vec<Socket>,
}

impl Mute {
    /// Any port.
    ///
    /// # Panics
    /// When its queue cannot be filled.
    pub fn new(site: &Site) -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((site.address(), 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut sockets = vec![listener];
        // One more than the queue takes gets no answer any more.
        while sockets.len() < QUEUE_MAX {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let answered = socket.connect_timeout(&address.into(), Duration::from_millis(300));
            sockets.push(socket);
            if answered.is_err() {
                return Self { address, _sockets: sockets };
            }
        }
        panic!("{QUEUE_MAX} connections in a queue of none");
    }

    /// How many connections are on their way to it, the own one included that fills its queue.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn callers(&self) -> usize {
        // Remote address and port, then the state: 02 is SYN-SENT (proc_net_tcp.txt of the kernel).
        let dialling = format!(":{:04X} 02 ", self.address.port());
        std::fs::read_to_string("/proc/net/tcp")
            .unwrap()
            .lines()
            .filter(|line| line.contains(&dialling))
            .count()
    }

    /// Where it does not answer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Far more than a queue of none takes.
const QUEUE_MAX: usize = 32;
