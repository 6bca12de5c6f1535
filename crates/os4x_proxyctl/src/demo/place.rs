//! The demo's folder: what would be `/etc` and `/var/log` of three hosts; and its ports.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use daemon::failure::Failure;
use seal::PublicKey;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::figure::Bytes;

/// Folder and ports.
pub(super) struct Place {
    root: TempDir,
    /// `-i` of the proxy.
    pub(super) internal: Port,
    /// The external listener for plain OFTP.
    pub(super) plain: Port,
    /// The external listener for TLS.
    pub(super) tls: Port,
    /// The external listener whose target is [`Self::nobody`].
    pub(super) closed: Port,
    /// Inside, where nobody listens.
    pub(super) nobody: Port,
    /// `-Q` of the client.
    pub(super) outgoing: Port,
    /// The client's local port that stands for the partner's station.
    pub(super) forward: Port,
}

/// A port of this host that is kept for the demo.
///
/// The socket is bound and does not listen: connections are refused, nobody else is given the port, and yet a daemon
/// may listen there, as both sockets have SO_REUSEADDR and only one of them listens.
pub(super) struct Port {
    _kept: TcpSocket,
    address: SocketAddr,
}

impl Port {
    fn keep() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok(Self { _kept: socket, address })
    }

    /// Which one.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Place {
    /// Makes the folder, if there is room for the files, and chooses ports.
    pub(super) fn make(size: Bytes) -> Result<Self, Failure> {
        let root = tempfile::Builder::new().prefix("os4x-demo-").tempdir().map_err(|error| {
            let parent = std::env::temp_dir();
            Failure::Operator(format!("cannot make a folder in {}: {error}; set TMPDIR", parent.display()))
        })?;
        check_room(root.path(), size)?;
        for name in [DMZ, INSIDE, OUTSIDE, INBOX, OUTER_INBOX] {
            fs::create_dir(root.path().join(name)).map_err(Failure::operator)?;
        }
        let port = || Port::keep().map_err(|error| Failure::Operator(format!("cannot get a port: {error}")));
        Ok(Self {
            root,
            internal: port()?,
            plain: port()?,
            tls: port()?,
            closed: port()?,
            nobody: port()?,
            outgoing: port()?,
            forward: port()?,
        })
    }

    /// The folder.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// A file below it.
    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    /// The external listeners by name.
    pub(super) fn externals(&self) -> [(&'static str, SocketAddr); 3] {
        [("plain", self.plain.address), ("tls", self.tls.address), ("closed", self.closed.address)]
    }

    /// The proxy's configuration file. `partner` is whom the inside may call; on this host, so that the rule names it.
    pub(super) fn write_proxy_config(&self, partner: SocketAddr) -> Result<(), String> {
        let mut text = format!(
            "internal = \"{}\"\nlicense = {}\n{}",
            self.internal.address,
            self.toml(PROXY, "lic")?,
            self.common(PROXY)?
        );
        for (name, address) in self.externals() {
            text += &format!("\n[[external]]\nname = \"{name}\"\nlisten = \"{address}\"\n");
            if name == "tls" {
                text += "payload = \"tls\"\n";
            }
        }
        text += &format!("\n[outgoing]\nallow = [\"{partner}\"]\n");
        self.write(PROXY_CONFIG, &text)
    }

    /// The client's configuration file. No status page: several demos may run at a time.
    pub(super) fn write_client_config(
        &self,
        targets: [(&str, SocketAddr); 3],
        partner: SocketAddr,
    ) -> Result<(), String> {
        let mut text =
            format!("proxy = [\"{}\"]\nstatus = \"off\"\n{}", self.internal.address, self.common(CLIENT)?);
        for (name, address) in targets {
            text += &format!("\n[[target]]\nname = \"{name}\"\nconnect = \"{address}\"\n");
        }
        let (outgoing, forward) = (self.outgoing.address, self.forward.address);
        text += &format!(
            "\n[outgoing]\nlisten = \"{outgoing}\"\n\n[[outgoing.forward]]\nlisten = \"{forward}\"\nto = \"{partner}\"\n"
        );
        self.write(CLIENT_CONFIG, &text)
    }

    /// Tells a daemon (by its stem) whom to trust.
    pub(super) fn write_authorized(&self, stem: &str, comment: &str, key: PublicKey) -> Result<(), String> {
        self.write(&format!("{stem}.authorized"), &format!("# {comment}\n{key}\n"))
    }

    /// Writes a small file.
    pub(super) fn write(&self, relative: &str, text: &str) -> Result<(), String> {
        let path = self.path(relative);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Removes everything.
    pub(super) fn remove(self) -> Result<String, String> {
        let shown = self.root.path().display().to_string();
        match self.root.close() {
            Ok(()) => Ok(format!("removed {shown}")),
            Err(error) => Err(format!("cannot remove {shown}: {error}")),
        }
    }

    /// Leaves everything where it is.
    pub(super) fn keep(self) -> PathBuf {
        self.root.keep()
    }

    /// What both configuration files have. The drain is short so that the demo ends soon.
    fn common(&self, stem: &str) -> Result<String, String> {
        let (key, authorized) = (self.toml(stem, "key")?, self.toml(stem, "authorized")?);
        Ok(format!("drain = 3\nkey = {key}\nauthorized = {authorized}\n"))
    }

    /// The path of a daemon's file as a string of TOML.
    fn toml(&self, stem: &str, extension: &str) -> Result<String, String> {
        let path = self.path(&format!("{stem}.{extension}"));
        // The escapes of Rust's strings that a path can need are those of TOML's.
        Ok(path.to_str().map(|path| format!("{path:?}")).ok_or("TMPDIR is no readable text; set another")?)
    }
}

/// The large file exists three times: at the partner, and received plain and with TLS.
fn check_room(root: &Path, size: Bytes) -> Result<(), Failure> {
    // Where the room cannot be told it is tried.
    let Ok(disk) = rustix::fs::statvfs(root) else { return Ok(()) };
    let free = Bytes(disk.f_bavail.saturating_mul(disk.f_frsize));
    let need = Bytes(size.0.saturating_mul(3).saturating_add(ROOM_BESIDES));
    if free.0 >= need.0 {
        return Ok(());
    }
    let parent = std::env::temp_dir();
    Err(Failure::Operator(format!(
        "{} has {free} free, and {need} are needed: give a smaller --size, or set TMPDIR to another disk",
        parent.display()
    )))
}

/// Logs and small files, and what goes outward, three times.
const ROOM_BESIDES: u64 = 48 << 20;

const DMZ: &str = "dmz";
const INSIDE: &str = "inside";
const OUTSIDE: &str = "outside";
/// Where the stations inside put files.
pub(super) const INBOX: &str = "inside/inbox";
/// Where the partner's station does.
pub(super) const OUTER_INBOX: &str = "outside/inbox";
/// The proxy's files without their extension.
pub(super) const PROXY: &str = "dmz/os4x_proxy";
/// The client's files without their extension.
pub(super) const CLIENT: &str = "inside/os4x_proxyclient";
/// The proxy's configuration.
pub(super) const PROXY_CONFIG: &str = "dmz/os4x_proxy.toml";
/// The proxy's license.
pub(super) const LICENSE: &str = "dmz/os4x_proxy.lic";
/// The client's configuration.
pub(super) const CLIENT_CONFIG: &str = "inside/os4x_proxyclient.toml";
/// The certificate of the station inside, as partners get it.
pub(super) const CERTIFICATE: &str = "outside/station.pem";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kept_port_refuses_until_somebody_listens_there() {
        let port = Port::keep().unwrap();
        let refused = tokio::net::TcpStream::connect(port.address()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let address: daemon::address::ListenAddress = port.address().to_string().parse().unwrap();
        let listener = address.bind(8).unwrap();
        tokio::net::TcpStream::connect(port.address()).await.unwrap();
        drop(listener);
    }

    #[test]
    fn a_file_that_cannot_fit_is_refused_at_once() {
        let error = check_room(Path::new("/"), Bytes(u64::MAX)).unwrap_err();
        assert!(error.message("x").contains("--size"), "{error:?}");
        assert!(check_room(Path::new("/"), Bytes(0)).is_ok() || cfg!(not(target_os = "linux")));
    }
}
