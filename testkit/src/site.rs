//! Where a test takes place: a directory, and an address on which no other test opens ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

/// A directory and a loopback address of their own.
///
/// Linux answers on all of 127.0.0.0/8. On an address of its own a port that was free stays free, so that a daemon
/// can come back to the port that it had, and a closed port stays closed, whatever other tests do.
pub struct Site {
    directory: TempDir,
    address: Ipv4Addr,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A new one.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn new() -> Self {
        static SERIAL: AtomicU8 = AtomicU8::new(0);
        let process = std::process::id();
        let part = |number: u32| (1 + number % 250) as u8;
        let serial = part(u32::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
        let address = Ipv4Addr::new(127, part(process / 250), part(process), serial);
        Self { directory: tempfile::tempdir().unwrap(), address }
    }

    /// The address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The path of a file of this name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that only its owner can change.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        write_private(&path, text);
        path
    }

    /// A port that is closed, and stays so until the test opens it.
    ///
    /// # Panics
    /// When no port is free.
    pub fn free_port(&self) -> SocketAddr {
        TcpListener::bind((self.address, 0)).unwrap().local_addr().unwrap()
    }
}

/// Writes a file that only its owner can change, whatever the umask.
pub(crate) fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
