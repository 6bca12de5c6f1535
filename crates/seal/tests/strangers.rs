//! Peers that speak TLS well, and not as our daemons do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it expects")]

use std::sync::Arc;

use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group, sign::any_eddsa_type};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion, version,
};
use seal::{Acceptor, Authorized, Connector, HandshakeError, IdentityKey, PublicKey};
use tokio::io::{AsyncReadExt, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Takes any server: it is the client that is under test here.
#[derive(Debug)]
struct AnyServer {
    raw: bool,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw
    }
}

/// A key pair outside of our types: the signing half, and the public half as both sides write it.
fn pair() -> (Arc<dyn SigningKey>, Vec<u8>, PublicKey) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let signing = any_eddsa_type(&PrivatePkcs8KeyDer::from(key.serialize_der())).unwrap();
    let spki = signing.public_key().unwrap().to_vec();
    let bytes: [u8; 32] = spki[spki.len() - 32..].try_into().unwrap();
    (signing, spki, PublicKey::from_bytes(bytes).unwrap())
}

fn provider(groups: &[&'static dyn SupportedKxGroup]) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: groups.to_vec(), ..default_provider() })
}

struct Stranger {
    groups: Vec<&'static dyn SupportedKxGroup>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    /// Signs with a key that is not the one it shows.
    forges: bool,
    presents_key: bool,
}

impl Default for Stranger {
    fn default() -> Self {
        Self {
            groups: vec![kx_group::X25519MLKEM768],
            versions: vec![&version::TLS13],
            alpn: vec![seal::ALPN.to_vec()],
            forges: false,
            presents_key: true,
        }
    }
}

impl Stranger {
    /// Calls a proxy that trusts the key which the stranger shows; gives the proxy's verdict.
    async fn calls(self) -> Result<PublicKey, HandshakeError> {
        let (signing, spki, shown) = pair();
        let signing = if self.forges { pair().0 } else { signing };
        let builder = ClientConfig::builder_with_provider(provider(&self.groups))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer { raw: true }));
        let mut config = if self.presents_key {
            let certified = Arc::new(CertifiedKey::new(vec![spki.into()], signing));
            builder.with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)))
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = self.alpn;
        verdict(config, shown).await
    }
}

async fn verdict(config: ClientConfig, trusted: PublicKey) -> Result<PublicKey, HandshakeError> {
    let list = Arc::new(Authorized::of_keys([trusted]));
    let acceptor = Acceptor::new(&IdentityKey::generate_for_tests(), list).unwrap();
    let (near, far) = duplex(64 * 1024);
    let stranger = async {
        let name = ServerName::try_from("dmz1").unwrap();
        if let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, far).await {
            let _ = stream.read(&mut [0]).await;
        }
    };
    let judge = async { acceptor.accept(near).await.map(|sealed| sealed.peer) };
    tokio::join!(judge, stranger).0
}

fn is_not_ours<T: std::fmt::Debug>(outcome: &Result<T, HandshakeError>) {
    assert!(matches!(outcome, Err(HandshakeError::NotOurProtocol(_))), "{outcome:?}");
}

#[tokio::test]
async fn one_that_does_all_as_we_do_gets_through() {
    // Shows that the refusals below are for their reasons.
    Stranger::default().calls().await.unwrap();
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let (signing, _, key) = pair();
    drop(signing);
    let mut config = ClientConfig::builder_with_provider(provider(&[kx_group::X25519]))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer { raw: false }))
        .with_no_client_auth();
    config.alpn_protocols = vec![seal::ALPN.to_vec()];
    is_not_ours(&verdict(config, key).await);
}

#[tokio::test]
async fn classical_key_exchange_is_refused() {
    for group in [kx_group::X25519, kx_group::SECP256R1, kx_group::MLKEM768] {
        is_not_ours(&Stranger { groups: vec![group], ..Stranger::default() }.calls().await);
    }
}

#[tokio::test]
async fn another_protocol_or_none_is_refused() {
    for alpn in [vec![], vec![b"h2".to_vec()], vec![b"os4x-proxy/2".to_vec()]] {
        is_not_ours(&Stranger { alpn, ..Stranger::default() }.calls().await);
    }
}

#[tokio::test]
async fn showing_a_trusted_key_without_having_it_is_refused() {
    is_not_ours(&Stranger { forges: true, ..Stranger::default() }.calls().await);
}

#[tokio::test]
async fn showing_no_key_is_refused() {
    is_not_ours(&Stranger { presents_key: false, ..Stranger::default() }.calls().await);
}

fn certificate() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, PublicKey) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec![String::from("dmz1")]).unwrap().self_signed(&key).unwrap();
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    let spki = any_eddsa_type(&der).unwrap().public_key().unwrap().to_vec();
    let bytes: [u8; 32] = spki[spki.len() - 32..].try_into().unwrap();
    (vec![certificate.der().clone()], der.into(), PublicKey::from_bytes(bytes).unwrap())
}

#[tokio::test]
async fn a_client_with_a_certificate_is_refused() {
    for raw in [false, true] {
        let (chain, key, public) = certificate();
        let mut config = ClientConfig::builder_with_provider(provider(&[kx_group::X25519MLKEM768]))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer { raw }))
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![seal::ALPN.to_vec()];
        is_not_ours(&verdict(config, public).await);
    }
}

#[tokio::test]
async fn a_proxy_with_a_certificate_is_refused() {
    for asks_for_certificate in [false, true] {
        let (chain, key, public) = certificate();
        let provider = provider(&[kx_group::X25519MLKEM768]);
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap();
        let builder = if asks_for_certificate {
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![seal::ALPN.to_vec()];
        let list = Arc::new(Authorized::of_keys([public]));
        let connector = Connector::new(&IdentityKey::generate_for_tests(), list).unwrap();
        let (near, far) = duplex(64 * 1024);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (_, outcome) = tokio::join!(acceptor.accept(near), connector.connect(far, "dmz1"));
        is_not_ours(&outcome);
    }
}
