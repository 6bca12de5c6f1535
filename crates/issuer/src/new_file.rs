//! Files that are written once.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that was not there, with this mode (`0o600`, `0o644`; the umask takes off of it), all of it or
/// nothing. It is never written over another.
///
/// # Errors
/// As the system says; [`io::ErrorKind::AlreadyExists`] when there is something of this name.
pub fn create(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file is worse than none, and it is ours: it was not there before.
        let _ = std::fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        create(&path, 0o600, b"one").unwrap();
        assert_eq!(create(&path, 0o600, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("nowhere"), &link).unwrap();
        assert_eq!(create(&link, 0o600, b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
