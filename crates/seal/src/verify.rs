//! The decision whether a peer is who it says, and one of ours.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    SignatureScheme,
};

use crate::{Authorized, PublicKey};

/// Verifies either side by its raw public key.
#[derive(Debug)]
pub(crate) struct RawKeyVerifier {
    authorized: Arc<Authorized>,
}

impl RawKeyVerifier {
    pub(crate) const fn new(authorized: Arc<Authorized>) -> Self {
        Self { authorized }
    }

    /// Passes a peer whose key is listed; everybody else ends here.
    fn check(&self, presented: &CertificateDer<'_>, host: Option<&str>) -> Result<(), Error> {
        let key = key_of(presented)?;
        if self.authorized.trusts(&key, host) {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(UnknownKey(key)))).into())
    }
}

/// Proves that the peer holds the private half of the key it presented.
fn check_signature(
    message: &[u8],
    presented: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if signature.scheme != SignatureScheme::ED25519 {
        return Err(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    UnparsedPublicKey::new(&ED25519, key_of(presented)?.as_bytes())
        .verify(message, signature.signature())
        .map_err(|_| CertificateError::BadSignature)?;
    Ok(HandshakeSignatureValid::assertion())
}

/// The key that a peer presents in the place of a certificate.
fn key_of(presented: &CertificateDer<'_>) -> Result<PublicKey, Error> {
    Ok(PublicKey::from_spki(presented).ok_or(CertificateError::BadEncoding)?)
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, None).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, Some(&server_name.to_str())).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Carries the key of a refused peer out of the handshake, so that it can be named.
#[derive(Debug)]
pub(crate) struct UnknownKey(pub(crate) PublicKey);

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {} is not trusted", self.0)
    }
}

impl std::error::Error for UnknownKey {}
