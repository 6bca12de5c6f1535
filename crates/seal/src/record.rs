//! Records after the handshake: what goes into one, and what comes out (RFC 8446, section 5).
//!
//! The cryptography is the library's: it makes and opens each record, with its nonce, its padding and its inner type.
//! Ours is what the library's own connection would do around it: numbering the records, where each begins and ends,
//! the goodbye, and new keys in time.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets, InvalidMessage,
    PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
};

/// Bytes before each record: type, version, length.
pub(crate) const HEADER_BYTES: usize = 5;
/// Plaintext of one record at most.
pub(crate) const PLAIN_BYTES_MAX: usize = 16_384;
/// What a record adds to a full one of ours: header, inner type, tag.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + 16;
/// A record on the wire at most (section 5.2); ours are shorter.
pub(crate) const RECORD_BYTES_MAX: usize = HEADER_BYTES + PLAIN_BYTES_MAX + 256;

/// Gives the next keys of either direction.
pub(crate) trait KeySource: Send + Sync {
    fn next_to_seal(&mut self) -> Result<ConnectionTrafficSecrets, Error>;
    fn next_to_open(&mut self) -> Result<ConnectionTrafficSecrets, Error>;
}

impl<Data: Send + Sync> KeySource for KernelConnection<Data> {
    fn next_to_seal(&mut self) -> Result<ConnectionTrafficSecrets, Error> {
        self.update_tx_secret().map(|(_, secrets)| secrets)
    }

    fn next_to_open(&mut self) -> Result<ConnectionTrafficSecrets, Error> {
        self.update_rx_secret().map(|(_, secrets)| secrets)
    }
}

/// What both directions of a connection share: asked once in 2^24 records.
pub(crate) type Keys = Arc<Mutex<dyn KeySource>>;

/// Both directions of a connection whose handshake is over.
pub(crate) fn directions(
    secrets: ExtractedSecrets,
    keys: &Keys,
    suite: SupportedCipherSuite,
) -> Result<(Opener, Sealer), Error> {
    // The library's keys for AES-GCM insist on numbers from 0 on. Nothing was sealed by these keys yet.
    if secrets.tx.0 != 0 || secrets.rx.0 != 0 {
        return Err(Error::HandshakeNotComplete);
    }
    let opener = Opener { keys: keys.clone(), suite, decrypter: decrypter(suite, secrets.rx.1)?, number: 0 };
    let sealer = Sealer { keys: keys.clone(), suite, encrypter: encrypter(suite, secrets.tx.1)?, number: 0 };
    Ok((opener, sealer))
}

/// Opens what comes in.
pub(crate) struct Opener {
    keys: Keys,
    suite: SupportedCipherSuite,
    decrypter: Box<dyn MessageDecrypter>,
    number: u64,
}

/// What a record was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Plaintext, in this part of the record. It may be empty.
    Plain(Range<usize>),
    /// A matter of the seal itself.
    Nothing,
    /// The peer says no more under the seal (`close_notify`).
    Goodbye,
}

impl Opener {
    /// Opens a whole record in place.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<Opened, Error> {
        let (header, sealed) = record.split_at_mut(HEADER_BYTES);
        let kind = ContentType::from(header[0]);
        if kind != ContentType::ApplicationData {
            return Err(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into());
        }
        let message = InboundOpaqueMessage::new(kind, ProtocolVersion::TLSv1_2, sealed);
        let plain = self.decrypter.decrypt(message, self.number)?;
        self.number += 1;
        match plain.typ {
            ContentType::ApplicationData => {
                Ok(Opened::Plain(HEADER_BYTES..HEADER_BYTES + plain.payload.len()))
            }
            ContentType::Alert => match plain.payload {
                [_, code] if AlertDescription::from(*code) == AlertDescription::CloseNotify => {
                    Ok(Opened::Goodbye)
                }
                [_, code] => Err(Error::AlertReceived(AlertDescription::from(*code))),
                _ => Err(InvalidMessage::MessageTooShort.into()),
            },
            // An answer is never asked for, neither by this end nor by one like it.
            ContentType::Handshake if plain.payload == KEY_UPDATE => {
                let secrets = lock(&self.keys).next_to_open()?;
                self.decrypter = decrypter(self.suite, secrets)?;
                self.number = 0;
                Ok(Opened::Nothing)
            }
            _ => Err(InvalidMessage::UnexpectedMessage("after the handshake").into()),
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Seals what goes out.
pub(crate) struct Sealer {
    keys: Keys,
    suite: SupportedCipherSuite,
    encrypter: Box<dyn MessageEncrypter>,
    number: u64,
}

impl Sealer {
    /// Seals at most [`PLAIN_BYTES_MAX`] of plaintext as one record, and puts a change of keys before it when these
    /// have sealed as much as is safe.
    pub(crate) fn seal(&mut self, plain: &[u8], put: impl FnMut(Vec<u8>)) -> Result<(), Error> {
        self.put(ContentType::ApplicationData, plain, put)
    }

    /// The end of what is sealed.
    pub(crate) fn goodbye(&mut self, put: impl FnMut(Vec<u8>)) -> Result<(), Error> {
        self.put(ContentType::Alert, &CLOSE_NOTIFY, put)
    }

    fn put(&mut self, kind: ContentType, plain: &[u8], mut put: impl FnMut(Vec<u8>)) -> Result<(), Error> {
        if self.number + 1 >= self.records_max() {
            put(self.record(ContentType::Handshake, &KEY_UPDATE)?);
            let secrets = lock(&self.keys).next_to_seal()?;
            self.encrypter = encrypter(self.suite, secrets)?;
            self.number = 0;
        }
        put(self.record(kind, plain)?);
        Ok(())
    }

    fn record(&mut self, kind: ContentType, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let payload = OutboundChunks::Single(plain);
        let message = OutboundPlainMessage { typ: kind, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.number)?;
        self.number += 1;
        Ok(record.encode())
    }

    #[cfg(test)]
    pub(crate) fn number_for_tests(&self) -> u64 {
        self.number
    }

    /// Records that one key may seal: for AES-GCM 2^24 (RFC 8446, section 5.5).
    fn records_max(&self) -> u64 {
        let limit = self.suite.tls13().map_or(0, |suite| suite.common.confidentiality_limit);
        // In a test keys have to last less long.
        if cfg!(test) { limit.min(100) } else { limit }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The length of the record that begins here, header included; `None` while the header is not there.
pub(crate) fn length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let kind = bytes.first().map(|kind| ContentType::from(*kind));
    if matches!(kind, Some(ContentType::Unknown(_) | ContentType::Heartbeat)) {
        return Err(InvalidMessage::InvalidContentType.into());
    }
    let [_, _, _, high, low, ..] = bytes else { return Ok(None) };
    let length = HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if length > RECORD_BYTES_MAX { Err(Error::PeerSentOversizedRecord) } else { Ok(Some(length)) }
}

fn decrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Error> {
    let suite = suite.tls13().ok_or(Error::HandshakeNotComplete)?;
    let (key, iv) = parts(secrets)?;
    Ok(suite.aead_alg.decrypter(key, iv))
}

fn encrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageEncrypter>, Error> {
    let suite = suite.tls13().ok_or(Error::HandshakeNotComplete)?;
    let (key, iv) = parts(secrets)?;
    Ok(suite.aead_alg.encrypter(key, iv))
}

fn parts(
    secrets: ConnectionTrafficSecrets,
) -> Result<(rustls::crypto::cipher::AeadKey, rustls::crypto::cipher::Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::HandshakeNotComplete),
    }
}

fn lock(keys: &Keys) -> std::sync::MutexGuard<'_, dyn KeySource + 'static> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `KeyUpdate` that wants no answer (section 4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
/// Warning, `close_notify` (section 6.1).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
