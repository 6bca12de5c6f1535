//! The partner's files: real ones, on the disk, whose content repeats nowhere.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use oftp::Sha256;
use sha2::Digest;
use tokio::task::spawn_blocking;

use crate::figure::Bytes;

/// Writes a file of so many octets and gives their hash.
pub(super) async fn generate(path: PathBuf, bytes: Bytes) -> Result<Sha256, String> {
    let shown = path.display().to_string();
    blocking(move || generate_now(&path, bytes.0))
        .await
        .map_err(|error| format!("cannot write {shown}: {error}; TMPDIR chooses another disk"))
}

/// The hash of a file as it stands on the disk.
pub(super) async fn hash(path: PathBuf) -> Result<Sha256, String> {
    let shown = path.display().to_string();
    blocking(move || hash_now(&path)).await.map_err(|error| format!("cannot read {shown}: {error}"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn generate_now(path: &Path, bytes: u64) -> io::Result<Sha256> {
    let mut file = BufWriter::new(File::create_new(path)?);
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut state = SEED;
    let mut left = bytes;
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            word.copy_from_slice(&next(&mut state).to_le_bytes());
        }
        // Never more than a chunk, so that it fits.
        let part = &chunk[..left.min(CHUNK_BYTES as u64) as usize];
        hasher.update(part);
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    file.flush()?;
    Ok(Sha256(hasher.finalize().into()))
}

fn hash_now(path: &Path) -> io::Result<Sha256> {
    let mut file = File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Sha256(hasher.finalize().into())),
            read => hasher.update(&chunk[..read]),
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): fast, with a period of 2^64, and it needs nothing but its seed.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const SEED: u64 = 5_024;
/// A multiple of a word.
const CHUNK_BYTES: usize = 256 * 1024;
const _: () = assert!(CHUNK_BYTES.is_multiple_of(8));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_size_and_hash() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [0, 1, CHUNK_BYTES as u64 - 1, 3 * CHUNK_BYTES as u64 + 7] {
            let path = folder.path().join(bytes.to_string());
            let generated = generate_now(&path, bytes).unwrap();
            assert_eq!(path.metadata().unwrap().len(), bytes);
            assert_eq!(hash_now(&path).unwrap(), generated);
            assert_eq!(generated == Sha256::OF_NOTHING, bytes == 0);
        }
    }
}
