//! The daemons' programs.

use std::path::{Path, PathBuf};

use daemon::failure::Failure;
use license::{ProxyId, ProxyIdTextError};
use seal::PublicKey;
use tokio::process::Command;

/// Where the daemons' programs are.
pub(super) struct Programs {
    /// `os4x_proxy`.
    pub(super) proxy: PathBuf,
    /// `os4x_proxyclient`.
    pub(super) client: PathBuf,
}

impl Programs {
    /// They are built, packaged and installed beside this program.
    pub(super) fn beside_this_one() -> Result<Self, Failure> {
        let own = std::env::current_exe()
            .map_err(|error| Failure::Operator(format!("cannot find out where this program is: {error}")))?;
        let folder = own.parent().unwrap_or(Path::new("."));
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(path);
            }
            let folder = folder.display();
            Err(Failure::Operator(format!(
                "{name} is not in {folder}, where this program is: run `cargo build --release`, which builds all of them"
            )))
        };
        Ok(Self { proxy: find("os4x_proxy")?, client: find("os4x_proxyclient")? })
    }
}

/// Asks a daemon for its public key, as an administrator does; it makes the key at the first time.
pub(super) async fn public_key(program: &Path, config: &Path) -> Result<PublicKey, String> {
    let key = ask(program, "-K", config).await?;
    key.parse().map_err(|error| format!("-K printed {key:?}, which is no public key: {error}"))
}

/// Asks the proxy for its Proxy ID.
pub(super) async fn proxy_id(program: &Path, config: &Path) -> Result<ProxyId, String> {
    let line = ask(program, "-L", config).await?;
    let id = line.strip_prefix("OS4X Proxy ID: ").unwrap_or(&line);
    id.parse().map_err(|error: ProxyIdTextError| error.to_string())
}

/// What a daemon answers to a flag that only asks.
async fn ask(program: &Path, flag: &str, config: &Path) -> Result<String, String> {
    let shown = format!("{} {flag} -c {}", program.display(), config.display());
    let output = Command::new(program).arg(flag).arg("-c").arg(config).output().await;
    let output = output.map_err(|error| format!("cannot run {shown}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(format!("{shown} failed ({}): {}", output.status, said(&output.stderr))),
    }
}
