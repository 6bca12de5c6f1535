//! What an operator sets: one ready value each, checked by the types it is made of.

use std::path::PathBuf;
use std::time::Duration;

use crate::command::{BufferBytes, Capability, Code, Credit, DatasetName, Password, UserData};
use crate::limits::{ANSWER_WAIT, CLOSE_WAIT};

/// How this station presents itself and what it does with files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SSIDCODE: who this station is. Also the originator of files it sends.
    pub code: Code,
    /// SSIDPSWD: what it shows to the other station.
    pub password: Password,
    /// SSIDUSER.
    pub user_data: UserData,
    /// SSIDSDEB: the largest data exchange buffer it takes. Default 99,999 octets; the smaller of both sides counts.
    pub buffer_bytes: BufferBytes,
    /// SSIDCRED: how many buffers it takes before it must say "go on". Default 999; the smaller of both sides counts.
    /// Data is streamed, so a large credit costs no memory.
    pub credit: Credit,
    /// Who may be at the other end. Empty: anyone, with any password.
    pub partners: Vec<Partner>,
    /// Where incoming files go.
    pub inbox: Inbox,
    /// Largest incoming file in octets; `None` for any size. Announced larger: SFNA 06; turned out larger: EFNA 06.
    pub file_bytes_max: Option<u64>,
    /// Whether received files are answered with EERP as soon as this side has the turn.
    pub responds: bool,
    /// How long to wait for the other station, for each answer and each buffer. Default 90 s.
    pub answer_wait: Duration,
    /// How long to wait for the other station's disconnect after the end of the session. Default 10 s.
    pub close_wait: Duration,
}

/// A station that may be at the other end.
#[derive(Clone, Debug)]
pub struct Partner {
    /// The SSIDCODE it must show.
    pub code: Code,
    /// The SSIDPSWD it must show.
    pub password: Password,
}

/// Where incoming files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbox {
    /// Nowhere: this station only sends.
    Closed,
    /// Into this folder, which must exist. A file appears under its name when it is complete, and never
    /// overwrites another. It is not synced to the disk before the other station is told of success.
    Folder(PathBuf),
    /// Counted and hashed, then dropped. For load.
    Discard,
}

/// A file to be sent.
#[derive(Clone, Debug)]
pub struct FileToSend {
    /// SFIDDSN: the name the other station sees.
    pub name: DatasetName,
    /// Where the data comes from.
    pub content: Content,
    /// SFIDDEST; `None` for the station at the other end.
    pub destination: Option<Code>,
    /// SFIDUSER.
    pub user_data: UserData,
    /// SFIDDESC, up to 999 octets in UTF-8.
    pub description: String,
}

/// Where the data of a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file on disk, sent as format U.
    File(PathBuf),
    /// So many octets of a fixed pattern. For load.
    Generated {
        /// How many octets.
        bytes: u64,
    },
}

impl Settings {
    /// A station with defaults: largest buffer and credit, any partner, responses on.
    #[must_use]
    pub fn new(code: Code, password: Password, inbox: Inbox) -> Self {
        Self {
            code,
            password,
            user_data: UserData::BLANK,
            buffer_bytes: BufferBytes::MAX,
            credit: Credit::MAX,
            partners: Vec::new(),
            inbox,
            file_bytes_max: None,
            responds: true,
            answer_wait: ANSWER_WAIT,
            close_wait: CLOSE_WAIT,
        }
    }

    /// SSIDSR: a station without an inbox only sends.
    #[must_use]
    pub fn capability(&self) -> Capability {
        if self.inbox == Inbox::Closed { Capability::Send } else { Capability::Both }
    }
}

impl FileToSend {
    /// A file on disk under its own name, as far as a dataset name can hold it.
    #[must_use]
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::new(DatasetName::lossy(&name), Content::File(path))
    }

    /// A file with the name and content given.
    #[must_use]
    pub fn new(name: DatasetName, content: Content) -> Self {
        Self { name, content, destination: None, user_data: UserData::BLANK, description: String::new() }
    }
}
