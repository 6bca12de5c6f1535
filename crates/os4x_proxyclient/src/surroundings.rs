//! What the sessions and links of one proxy have in common.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemon::address::HostPort;
use relay::connect::ConnectError;
use relay::{JoinLimits, Link, Stop, connect, socket};
use seal::{Connector, HandshakeError, PublicKey, Sealed, SealedStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use wire::{Name, RefuseReason};

use crate::options::Outgoing;

/// A sealed link to the proxy.
pub(crate) type ProxyLink = Link<SealedStream<TcpStream>>;

/// What the operator may change while the daemon runs.
#[derive(Clone)]
pub(crate) struct Config {
    /// Begins handshakes with the key and the list in force.
    pub(crate) connector: Connector,
    /// Our own key, for what the log says.
    pub(crate) own_key: PublicKey,
    /// The file in which trusted proxies are listed, for what the log says.
    pub(crate) authorized_path: PathBuf,
    /// Where the calls of each listener go.
    pub(crate) targets: HashMap<Name, HostPort>,
    /// Calls of stations.
    pub(crate) outgoing: Outgoing,
    /// `-T`.
    pub(crate) step: Duration,
    /// What a joined call may do.
    pub(crate) join: JoinLimits,
    /// Whether the daemon is ending and takes no new calls.
    pub(crate) draining: bool,
}

/// What all links to one proxy need.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The proxy.
    pub(crate) proxy: HostPort,
    /// The configuration in force.
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// Whether running calls have to end.
    pub(crate) stop: Stop,
    /// Calls that are being set up or are running, with any proxy.
    pub(crate) calls: Arc<watch::Sender<usize>>,
    /// Calls of partners that are being set up.
    pub(crate) set_ups: SetUps,
}

impl Surroundings {
    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// Counts a call for as long as the value lives.
    pub(crate) fn count_call(&self) -> CallCount {
        CallCount::begin(&self.calls)
    }

    /// Opens a sealed connection to the proxy, within `-T` for each of connecting and sealing.
    pub(crate) async fn dial(&self) -> Result<ProxyLink, DialError> {
        let config = self.config();
        let host = self.proxy.host.to_string();
        let stream = connect(&host, self.proxy.port, config.step).await.map_err(DialError::Connect)?;
        socket::tune(&stream, config.step).map_err(DialError::Tune)?;
        match timeout(config.step, config.connector.connect(stream, &host)).await {
            Ok(Ok(Sealed { stream, .. })) => Ok(Link::new(stream)),
            Ok(Err(error)) => Err(DialError::Handshake(error)),
            Err(_) => Err(DialError::Slow(config.step)),
        }
    }

    /// What the operator is told of a failed dial.
    pub(crate) fn explain(&self, error: &DialError) -> String {
        let config = self.config();
        let host = self.proxy.host.to_string();
        match error {
            DialError::Connect(error) => format!("cannot connect to the proxy {}: {error}", self.proxy),
            DialError::Handshake(HandshakeError::UnknownKey(key)) => {
                seal::unknown_proxy(key, &host, &config.authorized_path)
            }
            DialError::Handshake(HandshakeError::NotTrustedByPeer) => {
                seal::not_trusted_by_proxy(&config.own_key, &host)
            }
            DialError::Handshake(error) => format!("no sealed link to the proxy {}: {error}", self.proxy),
            DialError::Tune(error) => format!("the connection to the proxy {} failed: {error}", self.proxy),
            DialError::Slow(step) => {
                format!("the proxy {} did not finish the handshake within {} s", self.proxy, step.as_secs())
            }
        }
    }
}

/// Why there is no link to the proxy.
#[derive(Debug)]
pub(crate) enum DialError {
    /// No connection.
    Connect(ConnectError),
    /// The connection ended at once.
    Tune(io::Error),
    /// No seal.
    Handshake(HandshakeError),
    /// The handshake took too long.
    Slow(Duration),
}

/// One call, counted.
pub(crate) struct CallCount(Arc<watch::Sender<usize>>);

impl CallCount {
    /// One more.
    pub(crate) fn begin(calls: &Arc<watch::Sender<usize>>) -> Self {
        calls.send_modify(|calls| *calls += 1);
        Self(calls.clone())
    }
}

impl Drop for CallCount {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

/// Calls that are being set up.
#[derive(Clone, Default)]
pub(crate) struct SetUps(Arc<AtomicUsize>);

impl SetUps {
    /// One more, for as long as the value lives.
    pub(crate) fn begin(&self) -> SetUp {
        self.0.fetch_add(1, Ordering::Relaxed);
        SetUp(self.0.clone())
    }
}

/// One call that is being set up.
pub(crate) struct SetUp(Arc<AtomicUsize>);

impl SetUp {
    /// Whether no other call is.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 1
    }
}

impl Drop for SetUp {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The reason that the proxy is told, and the sentence for our own log, when a target was not reached.
pub(crate) fn refusal(target: &HostPort, error: &ConnectError) -> (RefuseReason, String) {
    let reason = match error {
        ConnectError::UnknownName(_) => RefuseReason::UnknownName,
        ConnectError::Refused => RefuseReason::Refused,
        ConnectError::TimedOut(_) => RefuseReason::TimedOut,
        ConnectError::Exhausted(_) => RefuseReason::NoLink,
        _ => RefuseReason::Unreachable,
    };
    (reason, format!("the target {target}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_alone_until_another_is_set_up_and_once_that_is_over() {
        let set_ups = SetUps::default();
        let first = set_ups.begin();
        assert!(first.is_alone());
        let second = set_ups.clone().begin();
        assert!(!first.is_alone() && !second.is_alone());
        drop(first);
        assert!(second.is_alone());
    }
}
