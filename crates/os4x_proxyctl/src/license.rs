//! `license …`: keys, licenses, and a web page that hands out test licenses.

pub mod issue;
pub mod keygen;
pub mod serve;
pub mod show;

use std::path::Path;

use daemon::failure::Failure;
use issuer::{KeyError, SigningKey};

/// The key to sign with: that of the file, whose password is asked for on the terminal, or the development key.
fn signing_key(path: Option<&Path>) -> Result<SigningKey, Failure> {
    let Some(path) = path else { return SigningKey::development().map_err(Failure::operator) };
    let prompt = format!("Password of {}: ", path.display());
    SigningKey::read(path, || {
        rpassword::prompt_password(prompt)
            .map_err(|error| KeyError(format!("it has a password, which cannot be asked for here: {error}")))
    })
    .map_err(Failure::operator)
}

/// Writes a file that must not be there yet.
fn create(path: &Path, mode: u32, content: &str) -> Result<(), Failure> {
    issuer::create(path, mode, content.as_bytes()).map_err(|error| {
        let path = path.display();
        Failure::Operator(match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                format!("{path} exists and is not written over: choose another name, or remove it first")
            }
            _ => format!("cannot write {path}: {error}"),
        })
    })
}
