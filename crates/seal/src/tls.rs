//! The one way in which the two ends speak TLS.

use std::sync::Arc;

use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SupportedCipherSuite};

use crate::verify::RawKeyVerifier;
use crate::{Authorized, IdentityKey};

/// The protocol that both ends must name (RFC 7301). A change that the other end cannot live with gets a new
/// number.
pub const ALPN: &[u8] = b"os4x-proxy/1";

/// What the proxy's end of a link offers.
pub(crate) fn server_config(
    key: &IdentityKey,
    authorized: Arc<Authorized>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(provider());
    let verifier = RawKeyVerifier::new(authorized);
    let resolver = AlwaysResolvesServerRawPublicKeys::new(certified(key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Records are our own matter after the handshake.
    config.enable_secret_extraction = true;
    // No resumption: every link proves its keys, so that a key that is struck off the list is out at once.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// What the client's end of a link offers: the order of the suites is the provider's.
pub(crate) fn client_config(
    key: &IdentityKey,
    authorized: Arc<Authorized>,
    provider: CryptoProvider,
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(provider);
    let verifier = RawKeyVerifier::new(authorized);
    let resolver = AlwaysResolvesClientRawPublicKeys::new(certified(key));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Records are our own matter after the handshake.
    config.enable_secret_extraction = true;
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // The host decides which keys are trusted, on this side only; nobody on the way needs to read it.
    config.enable_sni = false;
    Ok(config)
}

/// TLS 1.3 suites, hybrid post-quantum key exchange and no other: both ends are ours, so that there is
/// nothing to come down to. Signatures are our verifier's matter and keys are [`IdentityKey`]'s: what else the library
/// could speak is not even linked.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: cipher_suites(aes_in_hardware()),
        kx_groups: vec![kx_group::X25519MLKEM768],
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: &Random,
        key_provider: &NoOtherKeys,
    }
}

#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| GetRandomFailed)
    }
}

/// The only keys there are, are [`IdentityKey`]s.
#[derive(Debug)]
struct NoOtherKeys;

impl KeyProvider for NoOtherKeys {
    fn load_private_key(&self, _key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("keys are read by seal itself".into()))
    }
}

/// In order of preference; the client's order decides.
fn cipher_suites(aes_in_hardware: bool) -> Vec<SupportedCipherSuite> {
    let aes = [cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_AES_256_GCM_SHA384];
    let chacha = [cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    if aes_in_hardware {
        aes.into_iter().chain(chacha).collect()
    } else {
        chacha.into_iter().chain(aes).collect()
    }
}

/// Measured with AES instructions and AVX-512, both daemons together: 0.57 CPU seconds per GB with AES-128-GCM, 1.2 with
/// ChaCha20. Without AES instructions it is the other way round.
fn aes_in_hardware() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

/// The key as the library wants it: a `SubjectPublicKeyInfo` in the place of the certificate (RFC 7250 §3).
fn certified(key: &IdentityKey) -> Arc<CertifiedKey> {
    let spki = CertificateDer::from(key.public_key().to_spki());
    Arc::new(CertifiedKey::new(vec![spki], key.signing()))
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;

    use super::*;

    #[test]
    fn the_order_follows_the_hardware() {
        let names =
            |hardware| cipher_suites(hardware).iter().map(SupportedCipherSuite::suite).collect::<Vec<_>>();
        assert_eq!(names(true)[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(names(false)[0], CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        assert_eq!((names(true).len(), names(false).len()), (3, 3));
    }

    #[test]
    fn nothing_but_the_hybrid_group_is_offered() {
        let groups: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, [rustls::NamedGroup::X25519MLKEM768]);
    }
}
