//! TLS for port 6619 (section 2.3): 1.2 and 1.3.
//!
//! This is a commissioning tool. A listening station can make a certificate of its own, which nobody can verify
//! without having seen it. **A calling station does not verify the other's certificate at all unless it is given one
//! to pin**: it is then encrypted, but may be talking to anyone. With a pinned certificate the other side must show
//! exactly that one; its names and dates are not looked at.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::error::{LinkFault, LocalFault, OftpError};

/// What a listening station shows to callers: certificate and key.
#[derive(Clone)]
pub struct Identity {
    acceptor: TlsAcceptor,
    certificate: CertificateDer<'static>,
}

/// What a calling station asks of the other's certificate.
#[derive(Clone)]
pub struct Trust {
    connector: TlsConnector,
}

impl Identity {
    /// A certificate made now for these names (host names or addresses), with a key that is never stored.
    pub fn self_made(names: &[&str]) -> Result<Self, LocalFault> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).map_err(unfit)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Self::new(vec![made.cert.der().clone()], key.into())
    }

    /// A certificate chain and its key in PEM.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, LocalFault> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(unfit)?;
        Self::new(certificates.map_err(unfit)?, key)
    }

    /// The certificate, for the other side to pin.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    fn new(
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, LocalFault> {
        let Some(certificate) = certificates.first().cloned() else {
            return Err(LocalFault::Certificate("there is no certificate in it".to_owned()));
        };
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(VERSIONS)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
            .map_err(unfit)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }
}

impl Trust {
    /// Anyone. Nothing of the other's certificate is verified.
    pub fn anyone() -> Result<Self, LocalFault> {
        Self::new(None)
    }

    /// Only who shows exactly this certificate.
    pub fn pinned(certificate: CertificateDer<'static>) -> Result<Self, LocalFault> {
        Self::new(Some(certificate))
    }

    /// Only who shows exactly the first certificate in this PEM.
    pub fn pinned_pem(pem: &[u8]) -> Result<Self, LocalFault> {
        Self::pinned(CertificateDer::from_pem_slice(pem).map_err(unfit)?)
    }

    fn new(pinned: Option<CertificateDer<'static>>) -> Result<Self, LocalFault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Pin { pinned, provider: provider.clone() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(unfit)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }
}

/// The handshake of the called side.
pub async fn accept<S>(
    stream: S,
    identity: &Identity,
    wait: Duration,
) -> Result<server::TlsStream<S>, OftpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    handshake(identity.acceptor.accept(stream), wait).await
}

/// The handshake of the calling side. `host` is what the other side is asked for (a name or an address).
pub async fn connect<S>(
    stream: S,
    trust: &Trust,
    host: &str,
    wait: Duration,
) -> Result<client::TlsStream<S>, OftpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| LinkFault::Handshake(io::Error::other("the host is neither a name nor an address")))?;
    handshake(trust.connector.connect(name, stream), wait).await
}

async fn handshake<T>(attempt: impl Future<Output = io::Result<T>>, wait: Duration) -> Result<T, OftpError> {
    match timeout(wait, attempt).await {
        Ok(result) => result.map_err(|error| LinkFault::Handshake(error).into()),
        Err(_) => Err(LinkFault::TimedOut { awaiting: "the TLS handshake", after: wait }.into()),
    }
}

/// Compares the certificate with the pinned one, if there is one. The handshake's signature is always verified, so
/// a certificate cannot be shown by someone without its key.
#[derive(Debug)]
struct Pin {
    pinned: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.pinned {
            Some(pinned) if pinned != end_entity => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn unfit(error: impl std::fmt::Display) -> LocalFault {
    LocalFault::Certificate(error.to_string())
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
