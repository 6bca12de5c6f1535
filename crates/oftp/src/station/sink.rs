//! The data of an incoming file: hashed and written on the blocking pool, one chunk behind the network.
//!
//! The file has a temporary name in the inbox until it is complete. Whatever else happens, it is removed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::Digest;
use tempfile::NamedTempFile;
use tokio::task::{JoinHandle, spawn_blocking};

use super::source::finished;
use crate::command::StartFile;
use crate::error::LocalFault;
use crate::limits::{CHUNK_BYTES, NAME_TRIES_MAX};
use crate::report::Sha256;
use crate::settings::Inbox;

pub(super) struct Sink {
    job: Job,
}

/// A complete file in its place.
pub(super) struct Kept {
    pub(super) path: Option<PathBuf>,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
}

enum Job {
    Idle(Box<Worker>),
    Running(JoinHandle<(Box<Worker>, Vec<u8>)>),
    Lost,
}

struct Worker {
    /// `None` when the data is to be discarded.
    file: Option<NamedTempFile>,
    folder: PathBuf,
    hasher: sha2::Sha256,
    bytes: u64,
    /// The first error. The rest of the file is let pass, as there is no way to stop the speaker but to refuse the
    /// file at its end.
    error: Option<io::Error>,
}

impl Sink {
    /// Begins a file in the inbox.
    pub(super) async fn create(inbox: &Inbox) -> Result<io::Result<Self>, LocalFault> {
        let inbox = inbox.clone();
        let created = spawn_blocking(move || -> io::Result<_> {
            let (folder, file) = match inbox {
                Inbox::Folder(folder) => {
                    let file =
                        tempfile::Builder::new().prefix(".oftp-").suffix(".part").tempfile_in(&folder)?;
                    (folder, Some(file))
                }
                Inbox::Discard => (PathBuf::new(), None),
                Inbox::Closed => return Err(io::ErrorKind::PermissionDenied.into()),
            };
            Ok(Box::new(Worker { file, folder, hasher: sha2::Sha256::new(), bytes: 0, error: None }))
        });
        Ok(finished(created.await)?.map(|worker| Self { job: Job::Idle(worker) }))
    }

    /// Hands over a chunk; waits for the one before. Gives an empty buffer for the next.
    pub(super) async fn write(&mut self, chunk: Vec<u8>) -> Result<Vec<u8>, LocalFault> {
        let (mut worker, spare) = self.settle().await?;
        self.job = Job::Running(spawn_blocking(move || {
            worker.write(&chunk);
            (worker, chunk)
        }));
        Ok(spare)
    }

    /// Puts the complete file in its place, under a name nobody has yet.
    pub(super) async fn keep(mut self, file: &StartFile) -> Result<io::Result<Kept>, LocalFault> {
        let (worker, _) = self.settle().await?;
        let names = Names::of(file);
        finished(spawn_blocking(move || worker.keep(&names)).await)
    }

    /// Removes the file. Nothing is left of it when this returns.
    pub(super) async fn discard(mut self) -> Result<(), LocalFault> {
        let (worker, _) = self.settle().await?;
        finished(spawn_blocking(move || drop(worker)).await)
    }

    async fn settle(&mut self) -> Result<(Box<Worker>, Vec<u8>), LocalFault> {
        match std::mem::replace(&mut self.job, Job::Lost) {
            Job::Idle(worker) => Ok((worker, Vec::with_capacity(CHUNK_BYTES))),
            Job::Running(job) => {
                let (worker, mut spare) = finished(job.await)?;
                spare.clear();
                Ok((worker, spare))
            }
            Job::Lost => Err(LocalFault::ShuttingDown),
        }
    }
}

impl Worker {
    fn write(&mut self, chunk: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        if let Some(file) = &mut self.file {
            self.error = file.write_all(chunk).err();
        }
    }

    fn keep(self, names: &Names) -> io::Result<Kept> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let path = self.file.map(|file| place(file, &self.folder, names)).transpose()?;
        Ok(Kept { path, bytes: self.bytes, sha256: Sha256(self.hasher.finalize().into()) })
    }
}

/// Renames without ever overwriting: the plain name, then with the stamp, then with a number too.
fn place(mut file: NamedTempFile, folder: &Path, names: &Names) -> io::Result<PathBuf> {
    for attempt in 0..NAME_TRIES_MAX {
        let path = folder.join(names.attempt(attempt));
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => file = refused.file,
            Err(refused) => return Err(refused.error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The names an incoming file may get.
struct Names {
    name: String,
    stamp: String,
}

impl Names {
    fn of(file: &StartFile) -> Self {
        let stamp = format!("{}T{}", file.stamp.date(), file.stamp.time());
        Self { name: file_name(file.name.as_str()), stamp }
    }

    fn attempt(&self, attempt: u32) -> String {
        let Self { name, stamp } = self;
        match attempt {
            0 => name.clone(),
            1 => format!("{name}.{stamp}"),
            _ => format!("{name}.{stamp}.{attempt}"),
        }
    }
}

/// A dataset name as a file name that cannot leave its folder: no separators, no control characters, nothing hidden,
/// never only dots, never empty.
fn file_name(dataset: &str) -> String {
    let mut name: String = dataset
        .trim()
        .chars()
        .map(|character| match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '&' | '(' | ')' | '+' | '=' | ',' => {
                character
            }
            _ => '_',
        })
        .collect();
    if name.is_empty() {
        name.push_str("unnamed");
    }
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_folder() {
        for (dataset, expected) in [
            ("INVOICE.2026", "INVOICE.2026"),
            ("../../ETC/PASSWD", "_._.._ETC_PASSWD"),
            ("..", "_."),
            (".", "_"),
            ("", "unnamed"),
            ("  ", "unnamed"),
            ("/", "_"),
            ("A\\B\u{0}\u{1f}C", "A_B__C"),
            (".HIDDEN", "_HIDDEN"),
            ("~A B*", "_A_B_"),
        ] {
            assert_eq!(file_name(dataset), expected, "{dataset:?}");
        }
    }
}
