//! `license keygen`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use daemon::failure::Failure;
use issuer::KeyPair;

use super::create;
use crate::cli::KeygenOptions;
use crate::print;

/// Makes the two files.
///
/// # Errors
/// One of them exists, or cannot be written; no password.
pub fn run(options: &KeygenOptions) -> Result<ExitCode, Failure> {
    let [secret, public] = ["key", "pub"].map(|extension| with_extension(&options.output, extension));
    // Before a password is asked for in vain.
    for path in [&secret, &public] {
        if path.symlink_metadata().is_ok() {
            let path = path.display();
            return Err(Failure::Operator(format!(
                "{path} exists and is not written over: choose another -o"
            )));
        }
    }
    let password = if options.no_password { None } else { Some(ask_password()?) };
    let pair = KeyPair::generate(password).map_err(Failure::operator)?;
    create(&secret, 0o600, &pair.secret)?;
    create(&public, 0o644, &pair.public)?;
    print::line(format!(
        "{}  signs licenses: keep it secret, and keep a copy\n{}  is for building\n\n\
         Build the proxy that accepts them, and nothing that was signed by others:\n\n  \
         OS4X_LICENSE_PUBLIC_KEY={} cargo build --release",
        secret.display(),
        public.display(),
        pair.public_key
    ));
    Ok(ExitCode::SUCCESS)
}

/// `a.b` becomes `a.b.key`, where the standard library would make it `a.key`.
fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    PathBuf::from(name)
}

fn ask_password() -> Result<String, Failure> {
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map_err(|error| {
            Failure::Operator(format!("cannot ask for a password: {error}; --no-password does without"))
        })
    };
    let first = ask("Password for the secret key: ")?;
    match (first.is_empty(), ask("The same once more: ")? == first) {
        (true, _) => {
            Err(Failure::Operator(String::from("the password is empty; --no-password does without")))
        }
        (false, false) => Err(Failure::Operator(String::from("the two passwords differ; nothing was made"))),
        (false, true) => Ok(first),
    }
}
