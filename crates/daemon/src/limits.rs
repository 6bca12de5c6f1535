//! What the system lets this process have.

use std::fmt;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open at once to the most this process may have, and returns that
/// number. A call takes two descriptors.
///
/// # Errors
/// [`LimitError`] when the system refuses; the old number is still in force then.
pub fn raise_open_files() -> Result<u64, LimitError> {
    let limit = getrlimit(Resource::Nofile);
    let unlimited = u64::MAX;
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).map_err(|error| LimitError {
            current: limit.current.unwrap_or(unlimited),
            source: error.into(),
        })?;
    }
    Ok(limit.maximum.unwrap_or(unlimited))
}

/// The number of files that may be open at once.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Why the limit could not be raised.
#[derive(Debug)]
pub struct LimitError {
    /// The number in force.
    pub current: u64,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot raise the number of open files above {}: {}; see LimitNOFILE= or `ulimit -n`",
            self.current, self.source
        )
    }
}

impl std::error::Error for LimitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_becomes_hard() {
        let raised = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), raised);
    }
}
