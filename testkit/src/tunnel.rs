//! The wire between the daemons: it forwards connections, and can be cut, frozen and delayed.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::site::Site;

/// Accepts connections and forwards each to the same address.
pub struct Tunnel {
    address: SocketAddr,
    state: Arc<State>,
    /// Ends what runs in it when it is dropped.
    _runtime: Runtime,
}

struct State {
    to: SocketAddr,
    delay: watch::Sender<Duration>,
    connections: Mutex<Vec<Arc<Connection>>>,
}

/// One forwarded connection. Its sockets close when it is cut, or when both directions have ended.
struct Connection {
    frozen: watch::Sender<bool>,
    task: Mutex<Option<AbortHandle>>,
    ends: Mutex<Option<[Arc<TcpStream>; 2]>>,
}

impl Tunnel {
    /// A wire to `to`, on any port.
    ///
    /// # Panics
    /// When no port is free.
    pub fn open(site: &Site, to: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((site.address(), 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(State { to, delay: watch::Sender::new(Duration::ZERO), connections: Mutex::default() });
        runtime.spawn(accept(listener, state.clone()));
        Self { address, state, _runtime: runtime }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections have been forwarded so far. They are numbered from 0 in this order: the first of a
    /// client is its control link.
    pub fn count(&self) -> usize {
        self.state.lock().len()
    }

    /// How many connections stand.
    pub fn open_count(&self) -> usize {
        self.state.lock().iter().filter(|connection| connection.is_open()).count()
    }

    /// Resets the connections whose number `is_it`, at both ends.
    pub fn cut(&self, is_it: impl Fn(usize) -> bool) {
        self.each(is_it, Connection::cut);
    }

    /// From now on nothing passes on the connections whose number `is_it`, although they stand.
    pub fn freeze(&self, is_it: impl Fn(usize) -> bool) {
        self.each(is_it, |connection| connection.freeze(true));
    }

    /// Everything passes again.
    pub fn thaw(&self) {
        self.each(|_| true, |connection| connection.freeze(false));
    }

    /// Whatever passes is held back for so long.
    pub fn delay(&self, delay: Duration) {
        self.state.delay.send_replace(delay);
    }

    fn each(&self, is_it: impl Fn(usize) -> bool, act: impl Fn(&Connection)) {
        let connections = self.state.lock();
        connections.iter().enumerate().filter(|(number, _)| is_it(*number)).for_each(|(_, one)| act(one));
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn is_open(&self) -> bool {
        self.ends.lock().is_ok_and(|ends| ends.is_some())
    }

    fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    fn cut(&self) {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        for end in ends.iter().flatten() {
            // Fails only where the other side has reset the connection already.
            let _ = SockRef::from(&**end).set_linger(Some(Duration::ZERO));
        }
        // The sockets close when what forwards has gone as well.
        self.task.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(AbortHandle::abort);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((near, _)) = listener.accept().await {
        let connection = Arc::new(Connection {
            frozen: watch::Sender::new(false),
            task: Mutex::default(),
            ends: Mutex::default(),
        });
        let Ok(far) = TcpStream::connect(state.to).await else { continue };
        for socket in [&near, &far] {
            // Fails only where the connection has gone already.
            let _ = socket.set_nodelay(true);
        }
        let ends = [Arc::new(near), Arc::new(far)];
        // Whoever cuts or freezes finds the connection as a whole or not at all: it is known before a byte passes.
        let mut connections = state.lock();
        *connection.ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends.clone());
        let task = tokio::spawn(forward(ends, connection.clone(), state.delay.subscribe()));
        *connection.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        connections.push(connection);
    }
}

async fn forward(
    [near, far]: [Arc<TcpStream>; 2],
    connection: Arc<Connection>,
    delay: watch::Receiver<Duration>,
) {
    let frozen = || connection.frozen.subscribe();
    let mut ways = tokio::task::JoinSet::new();
    ways.spawn(one_way(near.clone(), far.clone(), frozen(), delay.clone()));
    ways.spawn(one_way(far, near, frozen(), delay));
    while let Some(ended) = ways.join_next().await {
        if !matches!(ended, Ok(Ok(()))) {
            return connection.cut();
        }
    }
    connection.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
}

async fn one_way(
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    mut frozen: watch::Receiver<bool>,
    delay: watch::Receiver<Duration>,
) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        from.readable().await?;
        let thawed = frozen.wait_for(|frozen| !frozen).await.is_ok();
        assert!(thawed, "the connection holds the sender");
        let count = match from.try_read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            other => other?,
        };
        let pause = *delay.borrow();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if count == 0 {
            return SockRef::from(&*to).shutdown(Shutdown::Write);
        }
        let mut bytes = &buffer[..count];
        while !bytes.is_empty() {
            to.writable().await?;
            match to.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => bytes = &bytes[other?..],
            }
        }
    }
}
