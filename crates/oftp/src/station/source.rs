//! The data of an outgoing file: read, hashed and cut into data exchange buffers on the blocking pool, one batch
//! ahead of the network.
//!
//! Each batch is a short job of its own. A job that lived as long as its file would hold a thread of the pool while
//! it waits for the network, and some hundred files at once would bring each other to a stop.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use sha2::Digest;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::buffer::DataLayout;
use crate::error::LocalFault;
use crate::limits::CHUNK_BYTES;
use crate::report::Sha256;
use crate::settings::Content;

pub(super) struct Source {
    path: PathBuf,
    job: Job,
    /// The buffer of the batch before, to be used again.
    spare: Vec<u8>,
}

/// Data exchange buffers, ready to be written.
pub(super) struct Batch {
    /// Stream transmission buffers, all of full length except perhaps the last one of a file.
    pub(super) wire: Vec<u8>,
    /// How many.
    pub(super) buffers: usize,
    /// Octets of the file in them.
    pub(super) bytes: u64,
    /// Whether the file ends with them.
    pub(super) last: bool,
}

enum Job {
    Running(JoinHandle<io::Result<(Box<Worker>, Batch)>>),
    Done(Box<Worker>),
    Failed,
}

struct Worker {
    reader: Box<dyn Read + Send>,
    layout: DataLayout,
    /// One batch and one octet more, which tells whether the batch is the last.
    raw: Vec<u8>,
    carried: usize,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl Source {
    /// Opens the file; says its size.
    pub(super) async fn open(content: &Content, layout: DataLayout) -> Result<(Self, u64), LocalFault> {
        let (path, content) = (content.path(), content.clone());
        let opened = spawn_blocking(move || -> io::Result<_> {
            let (reader, bytes): (Box<dyn Read + Send>, u64) = match content {
                Content::File(path) => {
                    let file = File::open(path)?;
                    let bytes = file.metadata()?.len();
                    (Box::new(file), bytes)
                }
                Content::Generated { bytes } => (Box::new(Pattern { position: 0, end: bytes }), bytes),
            };
            Ok((Worker::new(reader, layout), bytes))
        });
        let (worker, bytes) = finished(opened.await)?.map_err(|error| read_fault(&path, error))?;
        Ok((Self { path, job: worker.start(Vec::new()), spare: Vec::new() }, bytes))
    }

    /// The next batch; the one after it is begun. There is always at least one, also of an empty file.
    pub(super) async fn next(&mut self) -> Result<Batch, LocalFault> {
        let Job::Running(job) = std::mem::replace(&mut self.job, Job::Failed) else {
            unreachable!("nothing follows the last batch or an error");
        };
        let (worker, batch) = finished(job.await)?.map_err(|error| read_fault(&self.path, error))?;
        self.job = if batch.last { Job::Done(worker) } else { worker.start(std::mem::take(&mut self.spare)) };
        Ok(batch)
    }

    /// Takes back the buffer of a batch that is out.
    pub(super) fn recycle(&mut self, batch: Batch) {
        self.spare = batch.wire;
    }

    /// Size and hash of all data, when the last batch is out.
    pub(super) fn finish(self) -> (u64, Sha256) {
        match self.job {
            Job::Done(worker) => (worker.bytes, Sha256(worker.hasher.finalize().into())),
            _ => unreachable!("a file is only finished after its last batch"),
        }
    }
}

impl Worker {
    fn new(reader: Box<dyn Read + Send>, layout: DataLayout) -> Box<Self> {
        let batch_bytes = (CHUNK_BYTES / layout.payload_bytes()).max(1) * layout.payload_bytes();
        let raw = vec![0; batch_bytes + 1];
        Box::new(Self { reader, layout, raw, carried: 0, hasher: sha2::Sha256::new(), bytes: 0 })
    }

    fn start(mut self: Box<Self>, wire: Vec<u8>) -> Job {
        Job::Running(spawn_blocking(move || {
            let batch = self.batch(wire)?;
            Ok((self, batch))
        }))
    }

    fn batch(&mut self, mut wire: Vec<u8>) -> io::Result<Batch> {
        let mut filled = self.carried;
        while filled < self.raw.len() {
            match self.reader.read(&mut self.raw[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let last = filled < self.raw.len();
        let data = &self.raw[..filled.min(self.raw.len() - 1)];
        self.hasher.update(data);
        wire.clear();
        let buffers = self.layout.put_data(&mut wire, data, last);
        let bytes = data.len() as u64;
        self.bytes += bytes;
        if !last {
            self.raw[0] = self.raw[filled - 1];
            self.carried = 1;
        }
        Ok(Batch { wire, buffers, bytes, last })
    }
}

/// Octets that differ from block to block, so that data in the wrong place changes the hash.
struct Pattern {
    position: u64,
    end: u64,
}

impl Read for Pattern {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.end - self.position).unwrap_or(usize::MAX).min(out.len());
        let mut rest = &mut out[..count];
        while !rest.is_empty() {
            // Within a block of 256 only the lowest octet of the position changes.
            let (block, first) = (self.position >> 8, self.position as u8);
            let (piece, behind) = rest.split_at_mut(rest.len().min(256 - usize::from(first)));
            let salt = (block ^ (block >> 12)) as u8;
            for (octet, low) in piece.iter_mut().zip(first..=u8::MAX) {
                *octet = low ^ salt;
            }
            self.position += piece.len() as u64;
            rest = behind;
        }
        Ok(count)
    }
}

impl Content {
    fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Generated { .. } => PathBuf::from("(generated data)"),
        }
    }
}

/// The result of a job on the blocking pool, which is cancelled only when the runtime ends.
pub(super) fn finished<T>(joined: Result<T, JoinError>) -> Result<T, LocalFault> {
    joined.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => LocalFault::ShuttingDown,
    })
}

fn read_fault(path: &std::path::Path, error: io::Error) -> LocalFault {
    LocalFault::Read { path: path.to_owned(), error }
}
