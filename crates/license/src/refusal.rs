//! Why a license does not count.

use std::fmt;

use crate::day::Day;
use crate::file::FILE_BYTES_MAX;
use crate::grant::{FEATURE, Features, GrantError, TITLE};
use crate::proxy_id::ProxyId;

/// Why a license does not count. Its text is what stands behind `Reason: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such file.
    Missing,
    /// The system does not let it be read, for this reason.
    Unreadable(String),
    /// Nothing is in it.
    Empty,
    /// It is longer than any license.
    TooLong,
    /// It is no UTF-8.
    NotText,
    /// Lines end as on Windows.
    LineEnds,
    /// It does not begin as a license does.
    NoLicense,
    /// There is no signature below the text.
    Unsigned,
    /// There is something below the signature.
    Trailing,
    /// The lines of the signature cannot be read.
    SignatureUnreadable,
    /// The signature is of minisign's old kind, which does not hash first.
    SignatureOld,
    /// It was signed with a key that this build does not trust.
    OtherKey,
    /// The signature does not fit the text.
    SignatureWrong,
    /// It is signed, and this build does not understand it.
    NotUnderstood(GrantError),
    /// It was made for another installation.
    OtherInstallation {
        /// Which one.
        made_for: ProxyId,
    },
    /// It does not include what this program needs.
    NotIncluded {
        /// What it includes.
        features: Features,
    },
    /// It was issued in the future.
    NotYet {
        /// When.
        issued: Day,
        /// The day that it is by the clock.
        today: Day,
    },
    /// Its last day is over.
    Expired {
        /// Which that was.
        expires: Day,
        /// The day that it is by the clock.
        today: Day,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing; there is no such file"),
            Self::Unreadable(reason) => write!(f, "unreadable; {reason}"),
            Self::Empty => f.write_str("the file is empty"),
            Self::TooLong => write!(f, "no license; it has more than {FILE_BYTES_MAX} bytes"),
            Self::NotText => f.write_str("no license; it is no text (UTF-8)"),
            Self::LineEnds => f.write_str(
                "line ends changed to those of Windows (CR LF) on the way; copy the original as a binary file",
            ),
            Self::NoLicense => write!(f, "no license; the first line is not {TITLE:?}"),
            Self::Unsigned => f.write_str(
                "signature missing; the four lines of it (from \"untrusted comment: \" on) do not stand below the text",
            ),
            Self::Trailing => f.write_str("something stands below the signature; remove it"),
            Self::SignatureUnreadable => {
                f.write_str("signature damaged; its lines are not those that minisign writes")
            }
            Self::SignatureOld => {
                f.write_str("signature of minisign's old kind (-l), which is not accepted; sign it anew")
            }
            Self::OtherKey => f.write_str("signed with a key that this build does not trust"),
            Self::SignatureWrong => {
                f.write_str("signature wrong; the file was changed after it had been signed")
            }
            Self::NotUnderstood(error) => {
                write!(f, "signed, but not understood by this build ({error})")
            }
            Self::OtherInstallation { made_for } => {
                write!(f, "made for another OS4X Proxy ID, {made_for}")
            }
            Self::NotIncluded { features } => {
                write!(f, "it does not include {FEATURE:?}, only: {features}")
            }
            Self::NotYet { issued, today } => write!(
                f,
                "issued on {issued}, which is in the future: the clock of this machine says {today} (UTC); set it right"
            ),
            Self::Expired { expires, today } => {
                write!(f, "expired on {expires}, and today is {today} (UTC)")
            }
        }
    }
}

impl std::error::Error for Refusal {}
