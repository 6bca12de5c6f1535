//! A handshake over a byte stream: the library decides, this moves the bytes.

use std::io;
use std::sync::{Arc, Mutex};

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{CommonState, Error, ExtractedSecrets};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::record::{Keys, Opener, Sealer, directions, length};

/// Either end of a handshake.
pub(crate) trait Handshake: Sized {
    /// The library's mark of the end.
    type Data: Send + Sync + 'static;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn common(&self) -> &CommonState;
    fn finish(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error>;
}

impl Handshake for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn finish(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        self.dangerous_into_kernel_connection()
    }
}

impl Handshake for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(records)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn finish(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        self.dangerous_into_kernel_connection()
    }
}

/// What a handshake leaves: both directions, and what the peer has said behind it already.
pub(crate) type Shaken = (Opener, Sealer, Vec<u8>);

/// Takes a handshake to its end. `check` has the last word on what was agreed.
pub(crate) async fn shake<IO: AsyncRead + AsyncWrite + Unpin, H: Handshake, T>(
    io: &mut IO,
    mut handshake: H,
    check: impl FnOnce(&CommonState) -> Result<T, Error>,
) -> io::Result<(Shaken, T)> {
    let mut received = Vec::new();
    // Records are shown to the library one by one: nothing behind the handshake may be opened by it.
    let mut shown = 0;
    // A flight is written at once, in as few segments as it takes.
    let mut sending = Vec::new();
    loop {
        let step = step(&mut handshake, &mut received[..shown], &mut sending);
        let (Ok((_, discard)) | Err((_, discard))) = &step;
        received.drain(..discard);
        shown -= discard;
        if matches!(step, Ok((Step::Again, _))) {
            continue;
        }
        let written = write(io, &mut sending).await;
        match step {
            Ok((Step::Again, _)) => {}
            Ok((Step::Done, _)) => {
                written?;
                break;
            }
            Ok((Step::Blocked, _)) => {
                // A peer that takes nothing any more may have said why.
                drop(written);
                shown += next_record(io, &mut received, shown).await?;
            }
            // The reason counts, even where the peer has gone and nobody hears it.
            Err((error, _)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
    let finish = || {
        let agreed = check(handshake.common())?;
        let (secrets, connection) = handshake.finish()?;
        let suite = connection.negotiated_cipher_suite();
        let keys: Keys = Arc::new(Mutex::new(connection));
        let (opener, sealer) = directions(secrets, &keys, suite)?;
        Ok(((opener, sealer, received), agreed))
    };
    finish().map_err(|error: Error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn write<IO: AsyncWrite + Unpin>(io: &mut IO, sending: &mut Vec<u8>) -> io::Result<()> {
    if !sending.is_empty() {
        io.write_all(sending).await?;
        io.flush().await?;
        sending.clear();
    }
    Ok(())
}

enum Step {
    Again,
    Blocked,
    Done,
}

/// Lets the library go on as far as it can; what it has to say goes to `sending`. Beside the outcome: how many bytes
/// it is done with.
fn step<H: Handshake>(
    handshake: &mut H,
    records: &mut [u8],
    sending: &mut Vec<u8>,
) -> Result<(Step, usize), (Error, usize)> {
    let UnbufferedStatus { discard, state, .. } = handshake.process(records);
    let step = match state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            put(sending, |room| data.encode(room)).map(|()| Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Done),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
            Err(Error::AlertReceived(rustls::AlertDescription::CloseNotify))
        }
        Ok(_) => Err(Error::HandshakeNotComplete),
        Err(error) => Err(error),
    };
    match step {
        Ok(step) => Ok((step, discard)),
        Err(error) => {
            // The alert that says why; asked for more, the library would look at the same bytes again.
            if let Ok(ConnectionState::EncodeTlsData(mut data)) =
                handshake.process(&mut records[discard..]).state
            {
                let _ = put(sending, |room| data.encode(room));
            }
            Err((error, discard))
        }
    }
}

/// Appends what `encode` makes.
fn put(
    sending: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let start = sending.len();
    let count = match encode(&mut []) {
        Ok(count) => count,
        Err(EncodeError::InsufficientSize(need)) => {
            sending.resize(start + need.required_size, 0);
            encode(&mut sending[start..]).map_err(|_| Error::EncryptError)?
        }
        Err(EncodeError::AlreadyEncoded) => 0,
    };
    sending.truncate(start + count);
    Ok(())
}

/// Waits until there is one more whole record behind the first `shown` bytes; its length.
async fn next_record<IO: AsyncRead + Unpin>(
    io: &mut IO,
    received: &mut Vec<u8>,
    shown: usize,
) -> io::Result<usize> {
    loop {
        match length(&received[shown..]) {
            Ok(Some(length)) if received.len() >= shown + length => return Ok(length),
            Ok(_) => {}
            // The library finds the words, and the alert, for what is no record.
            Err(_) => return Ok(received.len() - shown),
        }
        received.reserve(READ_BYTES);
        if io.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Each flight of the handshake is shorter.
const READ_BYTES: usize = 4096;
