//! File commands: SFID (5.3.3), SFNA (5.3.5), EFID (5.3.8) and EFNA (5.3.10).

use super::DecodeError;
use super::field::{Code, DatasetName, Fields, Stamp, UserData, put_number, put_utf8, put_yes};
use super::reason::FileReason;

/// SFIDFMT: the format of a virtual file (sections 1.5.3 and 5.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// `F`: records of one length.
    Fixed,
    /// `V`: records of any length.
    Variable,
    /// `U`: unstructured; one record.
    Unstructured,
    /// `T`: text; one record.
    Text,
}

/// SFID (5.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFile {
    /// SFIDDSN: dataset name.
    pub name: DatasetName,
    /// SFIDDATE and SFIDTIME: when the file was made available.
    pub stamp: Stamp,
    /// SFIDUSER.
    pub user_data: UserData,
    /// SFIDDEST: final recipient.
    pub destination: Code,
    /// SFIDORIG: originator.
    pub originator: Code,
    /// SFIDFMT.
    pub format: FileFormat,
    /// SFIDLRECL: octets of the longest record; zero for U and T.
    pub record_bytes_max: u32,
    /// SFIDFSIZ: transmitted size in blocks of 1,024 octets; an estimate.
    pub size_kib: u64,
    /// SFIDOSIZ: original size in blocks of 1,024 octets; an estimate.
    pub original_kib: u64,
    /// SFIDREST: restart position.
    pub restart: u64,
    /// SFIDSEC: security level, 0 to 3; 0 is none, 1 encrypted, 2 signed, 3 both.
    pub security: u8,
    /// SFIDCIPH: cipher suite.
    pub cipher: u8,
    /// SFIDCOMP: compression algorithm of the file; 0 is none.
    pub compression: u8,
    /// SFIDENV: envelope of the file; 0 is none.
    pub envelope: u8,
    /// SFIDSIGN: a signed response is asked for.
    pub signed_response: bool,
    /// SFIDDESC: description; may be empty.
    pub description: String,
}

impl StartFile {
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let name = fields.text("SFIDDSN")?;
        fields.take(3)?;
        let file = Self {
            name,
            stamp: fields.stamp("SFIDDATE")?,
            user_data: fields.text("SFIDUSER")?,
            destination: fields.text("SFIDDEST")?,
            originator: fields.text("SFIDORIG")?,
            format: match fields.take(1)? {
                b"F" => FileFormat::Fixed,
                b"V" => FileFormat::Variable,
                b"U" => FileFormat::Unstructured,
                b"T" => FileFormat::Text,
                _ => return Err(DecodeError::Field("SFIDFMT")),
            },
            record_bytes_max: fields.number(5, "SFIDLRECL")? as u32,
            size_kib: fields.number(13, "SFIDFSIZ")?,
            original_kib: fields.number(13, "SFIDOSIZ")?,
            restart: fields.number(17, "SFIDREST")?,
            security: fields.code("SFIDSEC")?,
            cipher: fields.code("SFIDCIPH")?,
            compression: fields.number(1, "SFIDCOMP")? as u8,
            envelope: fields.number(1, "SFIDENV")? as u8,
            signed_response: fields.yes("SFIDSIGN")?,
            description: fields.utf8("SFIDDESC")?,
        };
        if file.security > 3 {
            return Err(DecodeError::Field("SFIDSEC"));
        }
        Ok(file)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"   ");
        self.stamp.put(out);
        out.extend_from_slice(self.user_data.as_bytes());
        out.extend_from_slice(self.destination.as_bytes());
        out.extend_from_slice(self.originator.as_bytes());
        out.push(match self.format {
            FileFormat::Fixed => b'F',
            FileFormat::Variable => b'V',
            FileFormat::Unstructured => b'U',
            FileFormat::Text => b'T',
        });
        put_number(out, u64::from(self.record_bytes_max), 5);
        put_number(out, self.size_kib, 13);
        put_number(out, self.original_kib, 13);
        put_number(out, self.restart, 17);
        put_number(out, u64::from(self.security), 2);
        put_number(out, u64::from(self.cipher), 2);
        put_number(out, u64::from(self.compression), 1);
        put_number(out, u64::from(self.envelope), 1);
        put_yes(out, self.signed_response);
        put_utf8(out, &self.description);
    }
}

impl FileFormat {
    /// Whether records count for this format (EFIDRCNT, 5.3.8).
    #[must_use]
    pub fn has_records(self) -> bool {
        matches!(self, Self::Fixed | Self::Variable)
    }
}

/// SFNA (5.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFileNegative {
    /// SFNAREAS.
    pub reason: FileReason,
    /// SFNARRTR: the file may be tried again later.
    pub retry: bool,
    /// SFNAREAST: the reason in plain text; may be empty.
    pub text: String,
}

impl StartFileNegative {
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            reason: FileReason::new(fields.code("SFNAREAS")?),
            retry: fields.yes("SFNARRTR")?,
            text: fields.utf8("SFNAREAST")?,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.reason.code()), 2);
        put_yes(out, self.retry);
        put_utf8(out, &self.text);
    }
}

/// EFID (5.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndFile {
    /// EFIDRCNT: records of an F or V file, zero for U and T.
    pub records: u64,
    /// EFIDUCNT: octets of the file.
    pub bytes: u64,
}

impl EndFile {
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self { records: fields.number(17, "EFIDRCNT")?, bytes: fields.number(17, "EFIDUCNT")? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.records, 17);
        put_number(out, self.bytes, 17);
    }
}

/// EFNA (5.3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndFileNegative {
    /// EFNAREAS.
    pub reason: FileReason,
    /// EFNAREAST: the reason in plain text; may be empty.
    pub text: String,
}

impl EndFileNegative {
    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self { reason: FileReason::new(fields.code("EFNAREAS")?), text: fields.utf8("EFNAREAST")? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.reason.code()), 2);
        put_utf8(out, &self.text);
    }
}
