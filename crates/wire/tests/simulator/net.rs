//! The network: connections that keep their own order, and no order among each other; that break, and that
//! sometimes do so without telling anyone.

use wire::limits::FRAME_HEADER_BYTES;
use wire::{Frame, Header, Kind, LinkId, Malformed};

use super::{Check, Event, World};

/// A connection, numbered once for the whole run.
pub(crate) type ConnId = u64;

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The end in the DMZ, which accepted it.
    Proxy,
    /// The inner end, which dialled it.
    Client,
}

/// Who accepted a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyEnd {
    /// A proxy of ours, by index.
    Honest(usize),
    /// The proxy that talks nonsense.
    Hostile,
}

/// Who dialled a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientEnd {
    /// A client of ours, and for which of its proxies.
    Honest {
        /// Index of the client.
        client: usize,
        /// Index of the proxy among those of the client.
        at: usize,
    },
    /// A hostile client, by index.
    Hostile(usize),
}

/// What the dialling end wants with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The control link.
    Control,
    /// A link, as the client numbers it.
    Link(LinkId),
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) proxy: ProxyEnd,
    pub(crate) client: ClientEnd,
    pub(crate) purpose: Use,
    /// Whether it was accepted.
    pub(crate) up: bool,
    /// Whether the network lost it: nothing is delivered any more.
    broken: bool,
    ends: [Half; 2],
}

/// What one end holds of a connection.
struct Half {
    open: bool,
    last_arrival: u64,
    inbox: Vec<u8>,
    /// Whether it has said goodbye to the seal: no frame of it may follow.
    bare: bool,
    /// Whether it has sent FIN: nothing may follow.
    fin: bool,
}

/// What a connection delivers.
pub(crate) enum Incoming {
    /// A frame other than `Data`.
    Frame(Frame),
    /// Payload.
    Data(Vec<u8>),
}

impl Conn {
    /// Whether the network has lost it.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a client of ours has dialled it.
    pub(crate) fn is_honest_client(&self) -> bool {
        matches!(self.client, ClientEnd::Honest { .. })
    }
}

impl End {
    fn other(self) -> Self {
        if self == Self::Proxy { Self::Client } else { Self::Proxy }
    }
}

impl World {
    /// Begins to open a connection; the dialling end hears of it later.
    pub(crate) fn dial(&mut self, proxy: ProxyEnd, client: ClientEnd, purpose: Use) -> ConnId {
        self.last_conn += 1;
        let half = || Half { open: true, last_arrival: self.now, inbox: Vec::new(), bare: false, fin: false };
        let ends = [half(), half()];
        self.conns.insert(self.last_conn, Conn { proxy, client, purpose, up: false, broken: false, ends });
        let conn = self.last_conn;
        let delay = self.delay() + self.delay() + 1;
        if !self.healing && self.rng.chance(self.scenario.open_failures) {
            // Either it is refused, or nobody answers.
            let late = if self.rng.chance(50) { 0 } else { 10_000 };
            self.after(delay + late, Event::Opened { conn, well: false });
        } else {
            self.after(delay, Event::Opened { conn, well: true });
        }
        conn
    }

    /// The connection, if this end still holds it.
    pub(crate) fn conn(&self, conn: ConnId, end: End) -> Option<&Conn> {
        self.conns.get(&conn).filter(|held| held.ends[end as usize].open)
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, conn: ConnId, from: End, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.expect_sealed(conn, from);
        self.send_bytes(conn, from, bytes);
    }

    /// Sends payload in one frame.
    pub(crate) fn send_data(&mut self, conn: ConnId, from: End, payload: &[u8]) {
        self.expect_sealed(conn, from);
        self.send_bytes(conn, from, [&Header::data(payload.len()).encode()[..], payload].concat());
    }

    /// What this end sends from here on are no frames.
    pub(crate) fn goodbye(&mut self, conn: ConnId, from: End) {
        if let Some(held) = self.conns.get_mut(&conn) {
            held.ends[from as usize].bare = true;
        }
    }

    fn expect_sealed(&self, conn: ConnId, from: End) {
        let is_bare = self.conns.get(&conn).is_some_and(|held| held.ends[from as usize].bare);
        assert!(!is_bare, "a frame on connection {conn}, which has left the seal");
    }

    /// Ends this direction of the connection, and no other.
    pub(crate) fn send_fin(&mut self, conn: ConnId, from: End) {
        let delay = self.delay();
        let (now, to) = (self.now, from.other());
        let Some(held) = self.conns.get_mut(&conn).filter(|held| !held.broken) else { return };
        let half = &mut held.ends[from as usize];
        assert!(half.bare && !half.fin, "FIN on connection {conn}");
        half.fin = true;
        let half = &mut held.ends[to as usize];
        half.last_arrival = half.last_arrival.max(now + delay);
        let at = half.last_arrival;
        self.at(at, Event::Fin { conn, to });
    }

    /// Sends bytes, in one segment or two.
    pub(crate) fn send_bytes(&mut self, conn: ConnId, from: End, mut bytes: Vec<u8>) {
        if self.rng.chance(20) {
            let tail = bytes.split_off(self.rng.below(bytes.len() as u64) as usize);
            self.segment(conn, from, bytes);
            bytes = tail;
        }
        self.segment(conn, from, bytes);
    }

    fn segment(&mut self, conn: ConnId, from: End, bytes: Vec<u8>) {
        let delay = self.delay();
        let to = from.other();
        let now = self.now;
        let Some(held) = self.conns.get_mut(&conn) else {
            return;
        };
        if held.broken || !held.ends[from as usize].open || bytes.is_empty() {
            return;
        }
        assert!(!held.ends[from as usize].fin, "bytes behind FIN on connection {conn}");
        let half = &mut held.ends[to as usize];
        half.last_arrival = half.last_arrival.max(now + delay);
        let at = half.last_arrival;
        self.at(at, Event::Deliver { conn, to, bytes });
    }

    /// This end lets go of a connection; the other end hears of it after everything that was sent.
    pub(crate) fn close(&mut self, conn: ConnId, from: End) {
        let delay = self.delay();
        let now = self.now;
        let Some(held) = self.conns.get_mut(&conn) else {
            return;
        };
        if !std::mem::replace(&mut held.ends[from as usize].open, false) {
            return;
        }
        self.closed_now.push(conn);
        let to = from.other();
        let half = &held.ends[to as usize];
        if !half.open {
            self.conns.remove(&conn);
        } else if !held.broken {
            let at = half.last_arrival.max(now + delay);
            self.at(at, Event::Closed { conn, to });
        }
    }

    /// The network loses a connection. What is under way is lost; both ends hear of it soon, or, if it dies
    /// in silence, when their own patience is over.
    pub(crate) fn break_conn(&mut self, conn: ConnId, silent: bool) {
        let Some(held) = self.conns.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut held.broken, true) {
            return;
        }
        for to in [End::Proxy, End::Client] {
            let wait = if silent { self.rng.between(5_000, 20_000) } else { self.delay() };
            self.after(wait, Event::Closed { conn, to });
        }
    }

    /// Bytes arrive. Returns whether the end is there to read them.
    pub(crate) fn arrive(&mut self, conn: ConnId, to: End, bytes: &[u8]) -> bool {
        let Some(held) = self.conns.get_mut(&conn) else {
            return false;
        };
        let half = &mut held.ends[to as usize];
        if held.broken || !half.open {
            return false;
        }
        half.inbox.extend_from_slice(bytes);
        true
    }

    /// Whether more arrives at this very moment: then it is read in one piece.
    pub(crate) fn more_arrives(&self, conn: ConnId, end: End) -> bool {
        let now = self.queue.range((self.now, 0)..=(self.now, u64::MAX));
        now.map(|(_, event)| event).any(
            |event| matches!(event, Event::Deliver { conn: other, to, .. } if (*other, *to) == (conn, end)),
        )
    }

    /// Takes everything that has arrived, which is no frames.
    pub(crate) fn take_bare(&mut self, conn: ConnId, end: End) -> Vec<u8> {
        let half = self.conns.get_mut(&conn).map(|held| &mut held.ends[end as usize]);
        half.filter(|half| half.open).map(|half| std::mem::take(&mut half.inbox)).unwrap_or_default()
    }

    /// Takes the next whole frame from what has arrived.
    pub(crate) fn next_frame(&mut self, conn: ConnId, end: End) -> Result<Option<Incoming>, Malformed> {
        let Some(held) = self.conns.get_mut(&conn) else {
            return Ok(None);
        };
        let half = &mut held.ends[end as usize];
        if !half.open {
            return Ok(None);
        }
        let Some(header) = half.inbox.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::decode(*header)?;
        let length = FRAME_HEADER_BYTES + header.length;
        if half.inbox.len() < length {
            return Ok(None);
        }
        let body: Vec<u8> = half.inbox.drain(..length).skip(FRAME_HEADER_BYTES).collect();
        if header.kind == Kind::Data {
            return Ok(Some(Incoming::Data(body)));
        }
        Frame::decode(header.kind, &body).map(|frame| Some(Incoming::Frame(frame)))
    }

    /// A dial has come to its end. A connection of a client that has gone meanwhile is forgotten.
    pub(crate) fn on_opened(&mut self, conn: ConnId, well: bool) -> Check {
        if self.conn(conn, End::Client).is_none() {
            self.conns.remove(&conn);
            return Ok(());
        }
        let held = &self.conns[&conn];
        let (proxy, client, purpose) = (held.proxy, held.client, held.purpose);
        let well = well
            && !held.broken
            && match proxy {
                ProxyEnd::Honest(index) => self.is_welcome(index, client),
                ProxyEnd::Hostile => true,
            };
        if well {
            if let Some(held) = self.conns.get_mut(&conn) {
                held.up = true;
            }
            match proxy {
                ProxyEnd::Honest(index) => self.proxy_opens_door(index, conn),
                ProxyEnd::Hostile => self.nonsense(conn),
            }
        } else {
            self.conns.remove(&conn);
        }
        match client {
            ClientEnd::Honest { client, at } => self.client_opened(client, at, conn, purpose, well),
            ClientEnd::Hostile(index) => self.hostile_opened(index, conn, well),
        }
    }

    /// How long a segment travels.
    fn delay(&mut self) -> u64 {
        self.rng.below(self.scenario.delay_ms_max + 1)
    }
}
