//! Reading a configuration file.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Reads the TOML file at `path`. Give `T` `#[serde(deny_unknown_fields)]`, so that mistyped keys are found.
///
/// # Errors
/// [`ConfigError`]; a missing file is an error here.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// Reads `explicit` where the operator named a file; else `default_path`, which need not be there.
///
/// # Errors
/// As [`load`].
pub fn load_or_default<T: DeserializeOwned + Default>(
    explicit: Option<&Path>,
    default_path: &Path,
) -> Result<T, ConfigError> {
    match (explicit, load(explicit.unwrap_or(default_path))) {
        (None, Err(ConfigError::Read { source, .. })) if source.kind() == io::ErrorKind::NotFound => {
            Ok(T::default())
        }
        (_, result) => result,
    }
}

/// Reads TOML text; `path` is for the messages.
///
/// # Errors
/// [`ConfigError::Content`].
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map(|span| Place::of(text, span.start));
        let message = error.message().trim_end_matches('.').replace("unknown field", "unknown key");
        ConfigError::Content {
            path: path.to_owned(),
            line: at.as_ref().map(|place| place.line),
            key: at.and_then(|place| place.key),
            reason: message.replace('\n', ", "),
        }
    })
}

/// What to tell the operator of a file that holds a secret and can be read by others; `None` where it cannot.
pub fn readable_by_others(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let shown = path.display();
    (mode & 0o077 != 0).then(|| {
        format!("{shown} holds passwords and can be read by others than its owner (mode {mode:04o}); run: chmod 600 {shown}")
    })
}

/// Why a configuration file cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// It cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no TOML, or holds an unknown key or a wrong value.
    Content {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where one can be named.
        line: Option<usize>,
        /// The key of that line, where there is one.
        key: Option<String>,
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => {
                write!(f, "cannot read the configuration file {}: {source}", path.display())
            }
            Self::Content { path, line, key, reason } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                match key {
                    Some(key) => write!(f, ": key {key:?}: {reason}"),
                    None => write!(f, ": {reason}"),
                }
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Where in a text something is.
struct Place {
    line: usize,
    key: Option<String>,
}

impl Place {
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count();
        let key = text
            .lines()
            .nth(line)
            .filter(|text| !text.trim_start().starts_with('#'))
            .and_then(|text| text.split_once('='))
            .map(|(key, _)| key.trim().to_owned());
        Self { line: line + 1, key }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::address::ListenAddress;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Options {
        timeout: u32,
        listen: Option<ListenAddress>,
    }

    fn error(text: &str) -> String {
        parse::<Options>(text, Path::new("/etc/x.toml")).unwrap_err().to_string()
    }

    #[test]
    fn good_content() {
        let options: Options = parse("timeout = 7\nlisten = \":80\"\n", Path::new("x")).unwrap();
        assert_eq!(options, Options { timeout: 7, listen: Some(ListenAddress::any(80)) });
    }

    #[test]
    fn errors_name_key_and_line() {
        let text = error("# first\n\ntiemout = 7\n");
        assert!(
            text.starts_with("/etc/x.toml:3: key \"tiemout\": unknown key `tiemout`, expected"),
            "{text}"
        );
        let text = error("timeout = \"7\"\n");
        assert!(text.starts_with("/etc/x.toml:1: key \"timeout\": invalid type: string \"7\""), "{text}");
        let text = error("\nlisten = \"nowhere\"\n");
        assert!(text.starts_with("/etc/x.toml:2: key \"listen\": \"nowhere\" has no port"), "{text}");
        let text = error("timeout\n");
        assert!(text.starts_with("/etc/x.toml:1: "), "{text}");
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        let nowhere = Path::new("/nonexistent/x.toml");
        assert_eq!(load_or_default::<Options>(None, nowhere).unwrap(), Options::default());
        let error = load_or_default::<Options>(Some(nowhere), nowhere).unwrap_err();
        assert!(error.to_string().starts_with("cannot read the configuration file /nonexistent/x.toml:"));
    }
}
