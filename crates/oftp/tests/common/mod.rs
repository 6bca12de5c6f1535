//! What the tests of stations share.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses some of it")]

use std::path::Path;
use std::time::Duration;

use oftp::command::{Code, DatasetName, Password};
use oftp::{
    Content, FileToSend, Inbox, OftpError, PeerFault, SessionReport, Settings, send_files, serve_call,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

pub fn settings(code: &str, inbox: Inbox) -> Settings {
    Settings::new(Code::new(code).unwrap(), Password::new("SECRET").unwrap(), inbox)
}

pub fn caller() -> Settings {
    settings("O0013000001CALLER", Inbox::Closed)
}

pub fn called(folder: &Path) -> Settings {
    settings("O0013000002CALLED", Inbox::Folder(folder.to_owned()))
}

pub fn file(name: &str, content: Content) -> FileToSend {
    FileToSend::new(DatasetName::new(name).unwrap(), content)
}

pub fn generated(name: &str, bytes: u64) -> FileToSend {
    file(name, Content::Generated { bytes })
}

/// Names in a folder, hidden ones too.
pub fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The other end of a stream, played by hand.
pub struct Script(pub DuplexStream);

impl Script {
    /// Sends an exchange buffer.
    pub async fn say(&mut self, buffer: &[u8]) {
        let length = (buffer.len() as u32 + 4).to_be_bytes();
        self.0.write_all(&[0x10, length[1], length[2], length[3]]).await.unwrap();
        self.0.write_all(buffer).await.unwrap();
    }

    /// The next exchange buffer.
    pub async fn hear(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.0.read_exact(&mut header).await.unwrap();
        assert_eq!(header[0], 0x10);
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let mut buffer = vec![0; length - 4];
        self.0.read_exact(&mut buffer).await.unwrap();
        buffer
    }

    pub async fn expect(&mut self, buffer: &[u8]) {
        let heard = self.hear().await;
        assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(buffer));
    }

    pub async fn expect_disconnect(&mut self) {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(30), self.0.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

/// An SSID as a partner would send it, position by position as in 5.3.2.
pub fn ssid(code: &str, buffer_bytes: usize, capability: char, credit: u16) -> Vec<u8> {
    format!("X5{code:<25}SECRET  {buffer_bytes:05}{capability}NNN{credit:03}N            \r").into_bytes()
}

/// An SFID as in 5.3.3 for format U.
pub fn sfid(name: &str, kib: u64) -> Vec<u8> {
    format!(
        "H{name:<26}   202611222050310001        {:<25}{:<25}U00000{kib:013}{kib:013}{:017}000000N000",
        "O0013000002CALLED", "O0013000001CALLER", 0
    )
    .into_bytes()
}

pub type Running = JoinHandle<Result<SessionReport, OftpError>>;

/// A station of ours at one end, a script at the other.
pub fn serve(settings: Settings) -> (Script, Running) {
    let (ours, theirs) = duplex(1 << 20);
    (Script(theirs), tokio::spawn(async move { serve_call(ours, &settings, |_| ()).await }))
}

/// A station of ours at one end, a script at the other.
pub fn call(settings: Settings, files: Vec<FileToSend>) -> (Script, Running) {
    let (ours, theirs) = duplex(1 << 20);
    (Script(theirs), tokio::spawn(async move { send_files(ours, &settings, &files, |_| ()).await }))
}

pub fn peer_fault(result: Result<SessionReport, OftpError>) -> PeerFault {
    match result {
        Err(OftpError::Peer(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

pub const READY: &[u8] = b"IODETTE FTP READY \r";
