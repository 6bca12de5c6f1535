//! A folder into which files are put that were not there before: all of them, or none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use daemon::failure::Failure;
use seal::IdentityKey;

/// The folder, and what has been put into it so far. Unless [`Folder::keep`] is called, dropping it takes all of that
/// away again.
pub(super) struct Folder {
    path: PathBuf,
    written: Vec<PathBuf>,
}

impl Folder {
    /// Makes the folder if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or something is there already under one of these names.
    pub(super) fn open(path: &Path, names: &[&str]) -> Result<Self, Failure> {
        let path = std::path::absolute(path).map_err(Failure::usage)?;
        if path.to_str().is_none() {
            let path = path.display();
            return Err(Failure::Operator(format!(
                "{path}: a configuration file is UTF-8 and cannot name this folder"
            )));
        }
        let there: Vec<String> = names
            .iter()
            .map(|name| path.join(name))
            .filter(|path| path.symlink_metadata().is_ok())
            .map(|path| path.display().to_string())
            .collect();
        if !there.is_empty() {
            let (there, folder) = (there.join(", "), path.display());
            return Err(Failure::Operator(format!(
                "nothing was written, because this is there already: {there}; give another folder than {folder}, or \
                 move it away"
            )));
        }
        fs::create_dir_all(&path).map_err(|error| {
            Failure::Operator(format!("cannot make the folder {}: {error}", path.display()))
        })?;
        Ok(Self { path, written: Vec::new() })
    }

    /// Where a file of this name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path of a file as a string of TOML.
    pub(super) fn toml(&self, name: &str) -> String {
        // The escapes of Rust's strings that a path can need are those of TOML's.
        format!("{:?}", self.path(name).display().to_string())
    }

    /// Puts a file there that others may read.
    ///
    /// # Errors
    /// It cannot be written, or has appeared meanwhile.
    pub(super) fn put(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path(name);
        issuer::create(&path, 0o644, text.as_bytes()).map_err(|error| Self::failure(&path, &error))?;
        self.written.push(path);
        Ok(())
    }

    /// Makes an identity key, mode 0600.
    ///
    /// # Errors
    /// As [`Folder::put`].
    pub(super) fn put_key(&mut self, name: &str) -> Result<IdentityKey, Failure> {
        let path = self.path(name);
        let key = IdentityKey::load_or_create(&path).map_err(Failure::operator)?;
        self.written.push(path);
        Ok(key)
    }

    /// All is there: leave it.
    pub(super) fn keep(mut self) {
        self.written.clear();
    }

    fn failure(path: &Path, error: &io::Error) -> Failure {
        Failure::Operator(format!("cannot write {}: {error}", path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for path in &self.written {
            // Nothing better can be done than to say why it all failed, which the caller does.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let mut folder = Folder::open(&path, &["one", "two"]).unwrap();
        folder.put("one", "1").unwrap();
        folder.put_key("key").unwrap();
        fs::write(path.join("two"), "another's").unwrap();
        assert!(folder.put("two", "2").is_err());
        drop(folder);
        let left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["two"]);
        let refused = Folder::open(&path, &["one", "two"]).err().unwrap().message("x");
        assert!(refused.contains("nothing was written") && refused.contains("b/two;"), "{refused}");
        let mut folder = Folder::open(&path, &["one"]).unwrap();
        folder.put("one", "1").unwrap();
        folder.keep();
        assert_eq!(fs::read(path.join("one")).unwrap(), b"1");
    }
}
