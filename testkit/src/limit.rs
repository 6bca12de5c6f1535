//! Descriptors for tests that open many connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of descriptors of this process as far as it may, and says how many connections it can hold: at
/// most `wanted`. Fewer are said aloud.
///
/// # Panics
/// When the system does not say.
pub fn open_files_for(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised the test is smaller.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let possible = usize::try_from(allowed).unwrap_or(usize::MAX).saturating_sub(RESERVE);
    if possible < wanted {
        eprintln!("{possible} connections instead of {wanted}: descriptors are short (ulimit -n)");
    }
    possible.min(wanted)
}

/// Descriptors that other tests of the same process need.
const RESERVE: usize = 256;
