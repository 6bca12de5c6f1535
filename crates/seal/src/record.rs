//! Records after the handshake: what goes into one, and what comes out (RFC 8446, section 5).
//!
//! The cryptography is the libraries'. rustls opens each record, with its padding and its inner type. It would seal one only
//! into memory of that record's own, to which it copies what is sealed first; so AWS-LC is asked itself, which seals from where
//! the plaintext is to where the record goes. Nonce and additional data are rustls' in either direction. Ours is what the
//! library's own connection would do around it: numbering the records, where each begins and ends, the goodbye, and new keys
//! in time.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, TlsProtocolId, TlsRecordSealingKey,
    UnboundKey,
};
use aws_lc_rs::error::Unspecified;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, NONCE_LEN, Nonce, make_tls13_aad,
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
/// What a record of ours adds to its plaintext: header, inner type, tag.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + 16;
/// What the seal may have to say of its own beside a record: new keys before it, and the goodbye behind it, before which
/// there may be new keys again.
pub(crate) const OWN_BYTES_MAX: usize = 2 * KEY_UPDATE.len() + CLOSE_NOTIFY.len() + 3 * OVERHEAD_BYTES;
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
    let (key, iv) = SealingKey::new(secrets.tx.1)?;
    let sealer = Sealer { keys: keys.clone(), suite, key, iv, number: 0 };
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
    key: SealingKey,
    iv: Iv,
    number: u64,
}

impl Sealer {
    /// Seals at most [`PLAIN_BYTES_MAX`] of plaintext as one record at the beginning of `room`, and puts a change of keys
    /// before it when these have sealed as much as is safe: how many bytes that were. There must be [`OVERHEAD_BYTES`]
    /// more of room than of plaintext, and [`OWN_BYTES_MAX`].
    pub(crate) fn seal(&mut self, plain: &[u8], room: &mut [u8]) -> Result<usize, Error> {
        self.put(ContentType::ApplicationData, plain, room)
    }

    /// The end of what is sealed, likewise.
    pub(crate) fn goodbye(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        self.put(ContentType::Alert, &CLOSE_NOTIFY, room)
    }

    fn put(&mut self, kind: ContentType, plain: &[u8], room: &mut [u8]) -> Result<usize, Error> {
        let mut at = 0;
        if self.number + 1 >= self.records_max() {
            at = self.record(ContentType::Handshake, &KEY_UPDATE, room)?;
            let secrets = lock(&self.keys).next_to_seal()?;
            (self.key, self.iv) = SealingKey::new(secrets)?;
            self.number = 0;
        }
        Ok(at + self.record(kind, plain, &mut room[at..])?)
    }

    fn record(&mut self, kind: ContentType, plain: &[u8], room: &mut [u8]) -> Result<usize, Error> {
        let length = plain.len() + OVERHEAD_BYTES;
        let (header, sealed) = room[..length].split_at_mut(HEADER_BYTES);
        // The header is what is authenticated beside the plaintext (section 5.2).
        header.copy_from_slice(&make_tls13_aad(sealed.len()));
        let nonce = Nonce::new(&self.iv, self.number).0;
        let sealing = self.key.seal(nonce, header, plain, sealed, u8::from(kind));
        sealing.map_err(|Unspecified| Error::EncryptError)?;
        self.number += 1;
        Ok(length)
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
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok(suite.aead_alg.decrypter(key, iv)),
        _ => Err(Error::HandshakeNotComplete),
    }
}

/// A key that seals.
enum SealingKey {
    /// One that also sees to it that no number is used twice.
    Gcm(TlsRecordSealingKey),
    ChaCha20(LessSafeKey),
}

impl SealingKey {
    fn new(secrets: ConnectionTrafficSecrets) -> Result<(Self, Iv), Error> {
        let gcm = |algorithm, key: &AeadKey| {
            TlsRecordSealingKey::new(algorithm, TlsProtocolId::TLS13, key.as_ref()).map(Self::Gcm)
        };
        let (key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (gcm(&AES_128_GCM, &key), iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (gcm(&AES_256_GCM, &key), iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref());
                (key.map(|key| Self::ChaCha20(LessSafeKey::new(key))), iv)
            }
            _ => return Err(Error::HandshakeNotComplete),
        };
        Ok((key.map_err(|Unspecified| Error::HandshakeNotComplete)?, iv))
    }

    /// Seals `plain` and the inner type behind it into `sealed`, which has room for both and the tag.
    fn seal(
        &mut self,
        nonce: [u8; NONCE_LEN],
        header: &[u8],
        plain: &[u8],
        sealed: &mut [u8],
        kind: u8,
    ) -> Result<(), Unspecified> {
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
        let header = Aad::from(header);
        if plain.len() <= COPIED_BYTES_MAX {
            sealed[..plain.len()].copy_from_slice(plain);
            sealed[plain.len()] = kind;
            let (plain_and_kind, room) = sealed.split_at_mut(plain.len() + 1);
            let tag = match self {
                Self::Gcm(key) => key.seal_in_place_separate_tag(nonce, header, plain_and_kind),
                Self::ChaCha20(key) => key.seal_in_place_separate_tag(nonce, header, plain_and_kind),
            }?;
            room.copy_from_slice(tag.as_ref());
            return Ok(());
        }
        let (sealed, kind_and_tag) = sealed.split_at_mut(plain.len());
        match self {
            Self::Gcm(key) => {
                key.seal_out_of_place_scatter(nonce, header, plain, sealed, &[kind], kind_and_tag)
            }
            Self::ChaCha20(key) => {
                key.seal_out_of_place_scatter(nonce, header, plain, sealed, &[kind], kind_and_tag)
            }
        }
    }
}

fn lock(keys: &Keys) -> std::sync::MutexGuard<'_, dyn KeySource + 'static> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plaintext of a record that is copied first: the inner type goes through the cipher along with it then, and not by another
/// call.
pub(crate) const COPIED_BYTES_MAX: usize = 1_024;
/// `KeyUpdate` that wants no answer (section 4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
/// Warning, `close_notify` (section 6.1).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
