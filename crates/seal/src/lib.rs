//! Who is who between the two daemons, and the sealed link between them.
//!
//! Each side holds an Ed25519 [`IdentityKey`] and a list of the [`PublicKey`]s it trusts
//! ([`Authorized`]). Links are TLS 1.3 (RFC 8446) with raw public keys on both sides (RFC 7250):
//! no certificates, no authorities, nothing that expires. A peer whose key is not listed is refused
//! inside the handshake, by the verifier; there is no way to hold a [`Sealed`] link to it.
//!
//! Order of use: load the key and the list, build one [`Acceptor`] (proxy) or [`Connector`] (client),
//! keep it, and build a new one when the operator reloads. The crate opens no sockets and sets no
//! deadlines: the caller does both.

#![forbid(unsafe_code)]

mod advice;
mod authorized;
mod buffer;
mod driver;
mod handshake;
mod identity;
mod public_key;
mod record;
mod stream;
mod tls;
mod verify;

pub use advice::{not_trusted_by_proxy, unknown_client, unknown_proxy};
pub use authorized::{Authorized, AuthorizedError, LineFault};
pub use buffer::{BUFFER_BYTES, Buffer};
pub use handshake::{Acceptor, Agreed, Connector, HandshakeError, Sealed, SetupError, refusal_in};
pub use identity::{IdentityKey, KeyError};
pub use public_key::{PublicKey, PublicKeyError};
pub use stream::{SealedReader, SealedStream, SealedWriter};
pub use tls::ALPN;
