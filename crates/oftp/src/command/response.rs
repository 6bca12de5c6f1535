//! Responses: EERP (5.3.13) and NERP (5.3.14).

use super::DecodeError;
use super::field::{Code, DatasetName, Fields, Stamp, UserData, put_binary, put_number, put_utf8};
use super::file::StartFile;
use super::reason::ResponseReason;

/// EERP (5.3.13): the file has arrived where it was meant to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndResponse {
    /// EERPDSN: dataset name of the file.
    pub name: DatasetName,
    /// EERPDATE and EERPTIME: stamp of the file.
    pub stamp: Stamp,
    /// EERPUSER.
    pub user_data: UserData,
    /// EERPDEST: originator of the file, to whom the response goes.
    pub destination: Code,
    /// EERPORIG: final recipient of the file, who made the response.
    pub originator: Code,
    /// EERPHSH: hash of the file; empty when the response is not signed.
    pub hash: Vec<u8>,
    /// EERPSIG: signature; empty when the response is not signed.
    pub signature: Vec<u8>,
}

impl EndResponse {
    /// The unsigned response to a file; destination and originator change places.
    #[must_use]
    pub fn to(file: &StartFile) -> Self {
        Self {
            name: file.name,
            stamp: file.stamp,
            user_data: file.user_data,
            destination: file.originator,
            originator: file.destination,
            hash: Vec::new(),
            signature: Vec::new(),
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let name = fields.text("EERPDSN")?;
        fields.take(3)?;
        Ok(Self {
            name,
            stamp: fields.stamp("EERPDATE")?,
            user_data: fields.text("EERPUSER")?,
            destination: fields.text("EERPDEST")?,
            originator: fields.text("EERPORIG")?,
            hash: fields.binary()?,
            signature: fields.binary()?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"   ");
        self.stamp.put(out);
        out.extend_from_slice(self.user_data.as_bytes());
        out.extend_from_slice(self.destination.as_bytes());
        out.extend_from_slice(self.originator.as_bytes());
        put_binary(out, &self.hash);
        put_binary(out, &self.signature);
    }
}

/// NERP (5.3.14): the file has not arrived where it was meant to, or could not be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegativeEndResponse {
    /// NERPDSN: dataset name of the file.
    pub name: DatasetName,
    /// NERPDATE and NERPTIME: stamp of the file.
    pub stamp: Stamp,
    /// NERPDEST: originator of the file, to whom the response goes.
    pub destination: Code,
    /// NERPORIG: final recipient of the file.
    pub originator: Code,
    /// NERPCREA: who made the response.
    pub creator: Code,
    /// NERPREAS.
    pub reason: ResponseReason,
    /// NERPREAST: the reason in plain text; may be empty.
    pub text: String,
    /// NERPHSH: hash of the file; empty when the response is not signed.
    pub hash: Vec<u8>,
    /// NERPSIG: signature; empty when the response is not signed.
    pub signature: Vec<u8>,
}

impl NegativeEndResponse {
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let name = fields.text("NERPDSN")?;
        fields.take(6)?;
        Ok(Self {
            name,
            stamp: fields.stamp("NERPDATE")?,
            destination: fields.text("NERPDEST")?,
            originator: fields.text("NERPORIG")?,
            creator: fields.text("NERPCREA")?,
            reason: ResponseReason::new(fields.code("NERPREAS")?),
            text: fields.utf8("NERPREAST")?,
            hash: fields.binary()?,
            signature: fields.binary()?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"      ");
        self.stamp.put(out);
        out.extend_from_slice(self.destination.as_bytes());
        out.extend_from_slice(self.originator.as_bytes());
        out.extend_from_slice(self.creator.as_bytes());
        put_number(out, u64::from(self.reason.code()), 2);
        put_utf8(out, &self.text);
        put_binary(out, &self.hash);
        put_binary(out, &self.signature);
    }
}
