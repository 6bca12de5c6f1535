//! A small OFTP2 station for commissioning.

pub mod call;
pub mod listen;
pub(crate) mod news;
pub mod send;

use std::path::Path;

use daemon::failure::Failure;

/// The bytes of a small file that the operator named.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::Operator(format!("cannot read the {what} {}: {error}", path.display())))
}
