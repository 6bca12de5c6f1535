//! One end of a call: a partner, or a station that has been called.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use socket2::{Domain, SockRef, Socket, Type};

use crate::DEADLINE;
use crate::payload::Digest;

/// How a stream of bytes ended, as its reader saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order, by FIN.
    Fin,
    /// By a reset.
    Reset,
}

/// What came until the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// How many bytes.
    pub count: u64,
    /// Their digest.
    pub digest: Digest,
    /// The first of them, 4 KiB at most.
    pub head: Vec<u8>,
    /// How it ended.
    pub ending: Ending,
}

/// As many bytes of a [`Rest`] are kept.
const HEAD_BYTES_MAX: usize = 4_096;

/// One end of a call.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Calls an address.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::connected(TcpStream::connect(address))
    }

    /// Calls an address where somebody answers.
    ///
    /// # Panics
    /// When nobody does.
    pub fn call(address: SocketAddr) -> Self {
        match Self::connect(address) {
            Ok(peer) => peer,
            Err(error) => panic!("{address} cannot be called: {error}"),
        }
    }

    /// Calls an address from a given one.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn connect_from(own: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((own, 0)).into())?;
        Self::connected(socket.connect(&address.into()).map(|()| socket.into()))
    }

    /// Who is fast resets a connection before its caller knows that it stood. That is no other end than a reset
    /// afterwards, and is made one.
    fn connected(stream: io::Result<TcpStream>) -> io::Result<Self> {
        match stream {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let stream = TcpStream::connect(listener.local_addr()?)?;
                Self::new(listener.accept()?.0).reset();
                Ok(Self::new(stream))
            }
            // Where nobody listens at a port that the kernel also gives to callers, one may get to itself.
            // One that was reset meanwhile has no peer any more.
            Ok(stream)
                if stream.peer_addr().is_ok_and(|peer| stream.local_addr().is_ok_and(|own| own == peer)) =>
            {
                Err(ErrorKind::ConnectionRefused.into())
            }
            other => other.map(Self::new),
        }
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// The same connection once more, for another thread.
    ///
    /// # Panics
    /// When descriptors are short.
    pub fn twin(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap() }
    }

    /// The address of this end.
    ///
    /// # Panics
    /// When the connection has gone.
    pub fn own_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// The address of the other end.
    ///
    /// # Panics
    /// When the connection has gone.
    pub fn peer_address(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The connection has been reset.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When they are not taken.
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_send(bytes) {
            panic!("{} bytes were not taken: {error}", bytes.len());
        }
    }

    /// Sends as much as is taken without waiting, until nothing more is, and says how much that was: the other end
    /// does not read.
    ///
    /// # Panics
    /// When the connection fails.
    pub fn fill(&mut self) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut count = 0;
        let error = loop {
            match self.stream.write(&[b'x'; 65_536]) {
                Ok(taken) => count += taken,
                Err(error) => break error,
            }
        };
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        self.stream.set_write_timeout(Some(DEADLINE)).unwrap();
        count
    }

    /// Receives so many bytes.
    ///
    /// # Panics
    /// When they do not come.
    pub fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        if let Err(error) = self.stream.read_exact(&mut bytes) {
            panic!("{count} bytes did not come: {error}");
        }
        bytes
    }

    /// Receives the digest that a hashing station answers with, if the answer is complete and ends in order.
    pub fn receive_digest(&mut self) -> Option<Digest> {
        let rest = self.rest();
        (rest.ending == Ending::Fin).then(|| rest.head.try_into().ok()).flatten()
    }

    /// Ends this direction in order.
    ///
    /// # Panics
    /// When the connection has gone.
    pub fn finish(&self) {
        self.try_finish().unwrap();
    }

    /// Ends this direction in order, if the connection still stands.
    ///
    /// # Errors
    /// It has been reset.
    pub fn try_finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Closes the connection by a reset.
    ///
    /// # Panics
    /// When the connection has gone.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads to the end and says what was seen.
    ///
    /// # Panics
    /// When there is no end.
    pub fn rest(&mut self) -> Rest {
        let mut hash = Sha256::new();
        let mut head = Vec::new();
        let mut count = 0;
        let mut buffer = vec![0; 262_144];
        let ending = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break Ending::Fin,
                Ok(length) => {
                    let bytes = &buffer[..length];
                    count += length as u64;
                    hash.update(bytes);
                    head.extend_from_slice(&bytes[..length.min(HEAD_BYTES_MAX - head.len())]);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break Ending::Reset,
                Err(error) => panic!("neither bytes nor an end after {count} bytes: {error}"),
            }
        };
        Rest { count, digest: hash.finalize().into(), head, ending }
    }

    /// Reads to the end, of which nothing more than how it was is of interest.
    ///
    /// # Panics
    /// When there is no end.
    pub fn ending(&mut self) -> Ending {
        self.rest().ending
    }
}

/// Both ends of a call send at the same time and end in order; what each of them saw.
///
/// # Panics
/// When bytes are not taken, or do not come.
pub fn exchange(ends: &[Peer; 2], bytes: &[Vec<u8>; 2]) -> [Rest; 2] {
    thread::scope(|scope| {
        let readers = ends.each_ref().map(|end| scope.spawn(|| end.twin().rest()));
        for (end, bytes) in ends.iter().zip(bytes) {
            scope.spawn(|| {
                end.twin().send(bytes);
                end.finish();
            });
        }
        readers.map(|reader| reader.join().unwrap())
    })
}
