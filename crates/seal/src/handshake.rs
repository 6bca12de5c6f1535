//! From an open connection to a sealed link, or to the reason why not.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, CommonState, NamedGroup, OtherError, ServerConfig,
    SupportedCipherSuite,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::authorized::canonical_host;
use crate::driver::{Handshake, shake};
use crate::record::{Opener, Sealer};
use crate::stream::SealedStream;
use crate::tls::{ALPN, client_config, provider, server_config};
use crate::verify::UnknownKey;
use crate::{Authorized, IdentityKey, PublicKey};

/// A link whose peer has proved its key, and whose key is on the list.
#[derive(Debug)]
pub struct Sealed<IO> {
    /// Everything that goes in and out from here on.
    pub stream: SealedStream<IO>,
    /// Who the peer is.
    pub peer: PublicKey,
    /// What the two agreed on.
    pub agreed: Agreed,
}

/// What the two ends of a link agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// How what is sent is sealed.
    pub suite: SupportedCipherSuite,
    /// How the keys came about.
    pub group: NamedGroup,
}

/// The proxy's end: answers handshakes. Cheap to clone; make a new one to reload.
#[derive(Clone)]
pub struct Acceptor(Arc<ServerConfig>);

/// The client's end: begins handshakes. Cheap to clone; make a new one to reload.
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

impl Acceptor {
    /// An acceptor that proves itself with `key` and lets in who is in `authorized`.
    ///
    /// # Errors
    /// [`SetupError`] when the cryptographic library refuses its settings: our fault, not the operator's.
    pub fn new(key: &IdentityKey, authorized: Arc<Authorized>) -> Result<Self, SetupError> {
        let config = server_config(key, authorized).map_err(SetupError)?;
        Ok(Self(Arc::new(config)))
    }

    /// Answers one handshake. The caller sets the deadline by dropping the future.
    ///
    /// # Errors
    /// [`HandshakeError`]. An unknown client is told so by an alert before the connection goes.
    pub async fn accept<IO>(&self, io: IO) -> Result<Sealed<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let mut io = io;
        let session = UnbufferedServerConnection::new(self.0.clone())
            .map_err(|error| HandshakeError::from_tls(&error))?;
        match seal(&mut io, session).await {
            Ok(halves) => Ok(halves.over(io)),
            Err(error) => {
                if matches!(error, HandshakeError::UnknownKey(_)) {
                    let _ = tokio::time::timeout(FAREWELL_MAX, say_farewell(io)).await;
                }
                Err(error)
            }
        }
    }
}

impl Connector {
    /// A connector that proves itself with `key` and talks to who is in `authorized`.
    ///
    /// # Errors
    /// [`SetupError`] when the cryptographic library refuses its settings: our fault, not the operator's.
    pub fn new(key: &IdentityKey, authorized: Arc<Authorized>) -> Result<Self, SetupError> {
        let config = client_config(key, authorized, provider()).map_err(SetupError)?;
        Ok(Self(Arc::new(config)))
    }

    /// One that offers no other suite.
    #[cfg(test)]
    pub(crate) fn of_suite_for_tests(
        key: &IdentityKey,
        authorized: Arc<Authorized>,
        suite: SupportedCipherSuite,
    ) -> Self {
        let provider = rustls::crypto::CryptoProvider { cipher_suites: vec![suite], ..provider() };
        Self(Arc::new(client_config(key, authorized, provider).expect("it is one of ours")))
    }

    /// Begins one handshake with the proxy that was dialled as `host` (a name or an address, without port).
    /// The caller sets the deadline by dropping the future.
    ///
    /// In TLS 1.3 the client is done before the proxy has judged the client's key (RFC 8446 §4.4.2.4): a proxy
    /// that does not know this client makes the first *read* fail. Give that error to [`refusal_in`].
    ///
    /// # Errors
    /// [`HandshakeError`]. An unknown proxy never sees the key of this client.
    pub async fn connect<IO>(&self, io: IO, host: &str) -> Result<Sealed<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(canonical_host(without_zone(host)))
            .map_err(|_| HandshakeError::BadHost(host.to_owned()))?;
        let mut io = io;
        let session = UnbufferedClientConnection::new(self.0.clone(), name)
            .map_err(|error| HandshakeError::from_tls(&error))?;
        Ok(seal(&mut io, session).await?.over(io))
    }
}

/// What an error on a link says about trust: `Some` when the peer refused this side's key, or when the link
/// stopped for another reason of the handshake; `None` for an ordinary failure of a link.
pub fn refusal_in(error: &io::Error) -> Option<HandshakeError> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(HandshakeError::from_tls(inner))
}

/// Why the cryptographic library refused its settings.
#[derive(Debug)]
pub struct SetupError(rustls::Error);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set up TLS: {}; please report this", self.0)
    }
}

impl std::error::Error for SetupError {}

/// Why a connection did not become a sealed link.
#[derive(Debug)]
pub enum HandshakeError {
    /// The peer proved nothing yet and its key is not in our list. See [`crate::unknown_client`] and
    /// [`crate::unknown_proxy`] for what to tell the operator.
    UnknownKey(PublicKey),
    /// The peer's alert says that our key is not in its list. See [`crate::not_trusted_by_proxy`].
    NotTrustedByPeer,
    /// Plain bytes, another TLS version, certificates, another application: not one of our daemons, or not one
    /// that this one understands.
    NotOurProtocol(rustls::Error),
    /// The peer went away before the handshake was over.
    Closed,
    /// What was dialled can be no host.
    BadHost(String),
    /// The connection failed.
    Io(io::Error),
}

impl HandshakeError {
    fn from_io(error: io::Error) -> Self {
        if let Some(refusal) = refusal_in(&error) {
            return refusal;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }

    fn from_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                match inner.downcast_ref::<UnknownKey>() {
                    Some(UnknownKey(key)) => Self::UnknownKey(*key),
                    None => Self::NotOurProtocol(error.clone()),
                }
            }
            rustls::Error::AlertReceived(alert) if says_unknown_key(*alert) => Self::NotTrustedByPeer,
            _ => Self::NotOurProtocol(error.clone()),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(f, "the peer's key {key} is not in the --authorized file"),
            Self::NotTrustedByPeer => {
                f.write_str("the peer does not know our key; add it to the --authorized file there")
            }
            Self::NotOurProtocol(error) => {
                write!(
                    f,
                    "the peer does not speak the protocol of this version ({error}); is it the internal port of a proxy, and of the same version?"
                )
            }
            Self::Closed => f.write_str("the peer closed the connection during the handshake"),
            Self::BadHost(host) => write!(f, "{host:?} is neither a host name nor an address"),
            Self::Io(error) => write!(f, "the connection failed during the handshake: {error}"),
        }
    }
}

impl std::error::Error for HandshakeError {}

/// A handshake that is over.
struct Done {
    opener: Opener,
    sealer: Sealer,
    received: Vec<u8>,
    peer: PublicKey,
    agreed: Agreed,
}

impl Done {
    fn over<IO>(self, io: IO) -> Sealed<IO> {
        let stream = SealedStream::new(io, self.opener, self.sealer, self.received);
        Sealed { stream, peer: self.peer, agreed: self.agreed }
    }
}

async fn seal<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    session: impl Handshake,
) -> Result<Done, HandshakeError> {
    let ((opener, sealer, received), (peer, agreed)) =
        shake(io, session, check).await.map_err(HandshakeError::from_io)?;
    Ok(Done { opener, sealer, received, peer, agreed })
}

/// The last check: the handshake is over, and everything it must have settled is looked at once more.
fn check(session: &CommonState) -> Result<(PublicKey, Agreed), rustls::Error> {
    // The library lets a peer through that names no protocol at all.
    if session.alpn_protocol() != Some(ALPN) {
        return Err(rustls::Error::NoApplicationProtocol);
    }
    let peer = peer_of(session).ok_or(rustls::Error::NoCertificatesPresented)?;
    let suite = session.negotiated_cipher_suite().ok_or(rustls::Error::HandshakeNotComplete)?;
    let group = session.negotiated_key_exchange_group().ok_or(rustls::Error::HandshakeNotComplete)?.name();
    Ok((peer, Agreed { suite, group }))
}

fn peer_of(session: &CommonState) -> Option<PublicKey> {
    match session.peer_certificates()? {
        [spki] => PublicKey::from_spki(spki),
        _ => None,
    }
}

/// The alerts (RFC 8446 §6.2) by which a peer says that it does not accept our key.
const fn says_unknown_key(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied | AlertDescription::UnknownCA
    )
}

/// Lets the alert arrive. A client has mostly sent its first frame by now; closing with that unread would
/// reset the connection, and the reset may overtake the alert that names the reason.
async fn say_farewell<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO) {
    if io.shutdown().await.is_ok() {
        let mut unread = io.take(FAREWELL_BYTES_MAX);
        let mut scratch = [0_u8; 512];
        while matches!(unread.read(&mut scratch).await, Ok(1..)) {}
    }
}

/// `fe80::1%eth0` without `%eth0`, which means something on this host only.
fn without_zone(host: &str) -> &str {
    host.split_once('%').map_or(host, |(address, _)| address)
}

/// A stranger costs a task for this long after it was refused, not longer.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// One record is more than a client sends before it has heard anything.
const FAREWELL_BYTES_MAX: u64 = 16 * 1024;
