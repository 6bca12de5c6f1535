//! The part of the command line that both daemons have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::background::Place;
use crate::failure::Failure;
use crate::log::{LogDestination, LogFormat, LogLevel, LogOptions};

/// What the process was called for, besides serving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Serve.
    #[default]
    Serve,
    /// `-h`.
    Help,
    /// `-v`.
    Version,
    /// `-K`.
    PublicKey,
    /// `-L`, of the proxy alone.
    ProxyId,
    /// `--check`.
    Check,
}

/// What was given, as it was given. `None` where it was not.
#[derive(Clone, Debug, Default)]
pub struct CommonFlags {
    /// What the process was called for. The first wish on the command line counts.
    pub wish: Wish,
    /// `-T`.
    pub timeout: Option<Duration>,
    /// `-d`, `-t`.
    pub level: LogLevel,
    /// `-f`.
    pub foreground: bool,
    /// `-c`.
    pub config: Option<PathBuf>,
    /// `-k`.
    pub key: Option<PathBuf>,
    /// `-a`.
    pub authorized: Option<PathBuf>,
    /// `-p`.
    pub pid_file: Option<PathBuf>,
    /// `--log-file`.
    pub log_file: Option<PathBuf>,
    /// `--log-format`.
    pub log_format: LogFormat,
}

/// A flag without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `-x`.
    Short(char),
    /// `--name`.
    Long(String),
}

/// The next flag of a command line.
///
/// # Errors
/// A command line that is none, or has something that is no flag.
pub fn next_flag(parser: &mut Parser) -> Result<Option<Flag>, Failure> {
    match parser.next()? {
        None => Ok(None),
        Some(Arg::Short(letter)) => Ok(Some(Flag::Short(letter))),
        Some(Arg::Long(name)) => Ok(Some(Flag::Long(name.to_owned()))),
        Some(stray @ Arg::Value(_)) => Err(stray.unexpected().into()),
    }
}

/// A flag that the program does not have.
pub fn unknown_flag(flag: &Flag) -> Failure {
    Failure::Usage(match flag {
        Flag::Short(letter) => format!("unknown flag -{letter}"),
        Flag::Long(name) => format!("unknown flag --{name}"),
    })
}

impl CommonFlags {
    /// Reads the flag if it is one of these. `Ok(false)`: it is not.
    ///
    /// # Errors
    /// A value that is missing or wrong.
    pub fn take(&mut self, flag: &Flag, parser: &mut Parser) -> Result<bool, Failure> {
        let name = match flag {
            Flag::Long(name) => name.as_str(),
            Flag::Short('h') => "help",
            Flag::Short('v') => "version",
            Flag::Short('K') => "public-key",
            Flag::Short('T') => "timeout",
            Flag::Short('d') => "debug",
            Flag::Short('t') => "trace",
            Flag::Short('f') => "foreground",
            Flag::Short('c') => "config",
            Flag::Short('k') => "key",
            Flag::Short('a') => "authorized",
            Flag::Short('p') => "pid-file",
            Flag::Short(_) => return Ok(false),
        };
        match name {
            "help" => self.wish(Wish::Help),
            "version" => self.wish(Wish::Version),
            "public-key" => self.wish(Wish::PublicKey),
            "check" => self.wish(Wish::Check),
            "timeout" => self.timeout = Some(seconds("-T", &parser.value()?.string()?)?),
            "debug" => self.level = self.level.max(LogLevel::Debug),
            "trace" => self.level = LogLevel::Trace,
            "foreground" => self.foreground = true,
            "config" => self.config = Some(path(parser)?),
            "key" => self.key = Some(path(parser)?),
            "authorized" => self.authorized = Some(path(parser)?),
            "pid-file" => self.pid_file = Some(path(parser)?),
            "log-file" => self.log_file = Some(path(parser)?),
            "log-format" => {
                self.log_format = parser.value()?.string()?.parse().map_err(Failure::usage)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Remembers what the process was called for.
    pub fn wish(&mut self, wish: Wish) {
        if self.wish == Wish::Serve {
            self.wish = wish;
        }
    }

    /// Where the daemon runs.
    pub fn place(&self) -> Place {
        match self.foreground || self.level != LogLevel::Normal {
            true => Place::Foreground,
            false => Place::Background,
        }
    }

    /// What is logged, how, and whereto.
    pub fn log_options(&self) -> LogOptions {
        let destination = match (&self.log_file, self.place()) {
            (Some(path), _) => LogDestination::File(path.clone()),
            (None, Place::Foreground) => LogDestination::Stderr,
            (None, Place::Background) => LogDestination::Syslog,
        };
        LogOptions { level: self.level, format: self.log_format, destination }
    }
}

/// The flag's value as an absolute path: a daemon in the background stands elsewhere.
///
/// # Errors
/// A value that is missing, or no path.
pub fn path(parser: &mut Parser) -> Result<PathBuf, Failure> {
    absolute(Path::new(&parser.value()?))
}

/// A path as seen from everywhere.
///
/// # Errors
/// An empty path, or no current directory.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::Usage(format!("{:?} is no path: {error}", path.display().to_string())))
}

/// A time in whole seconds, from 1 to a day.
///
/// # Errors
/// Anything else; the sentence names `what` and the value.
pub fn seconds(what: &str, text: &str) -> Result<Duration, Failure> {
    text.parse()
        .ok()
        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| Failure::Usage(format!("{what} {text:?}: give whole seconds from 1 to {SECONDS_MAX}")))
}

/// A time of the configuration file, in seconds.
///
/// # Errors
/// A value below `least` or above a day; the sentence names the key and the value.
pub fn file_seconds(key: &str, value: Option<u64>, default: u64, least: u64) -> Result<Duration, Failure> {
    let seconds = value.unwrap_or(default);
    if !(least..=SECONDS_MAX).contains(&seconds) {
        return Err(Failure::Operator(format!(
            "{key} = {seconds} in the configuration file: give whole seconds from {least} to {SECONDS_MAX}"
        )));
    }
    Ok(Duration::from_secs(seconds))
}

/// The path of a flag, else of the configuration file, else the default, as seen from everywhere.
///
/// # Errors
/// As [`absolute`].
pub fn file_path(flag: Option<PathBuf>, file: Option<PathBuf>, default: &str) -> Result<PathBuf, Failure> {
    match flag {
        Some(path) => Ok(path),
        None => absolute(&file.unwrap_or_else(|| PathBuf::from(default))),
    }
}

/// A day. Whoever wants a longer time-out wants none.
pub const SECONDS_MAX: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<CommonFlags, Failure> {
        let mut parser = Parser::from_args(line);
        let mut flags = CommonFlags::default();
        while let Some(flag) = next_flag(&mut parser)? {
            if !flags.take(&flag, &mut parser)? {
                return Err(unknown_flag(&flag));
            }
        }
        Ok(flags)
    }

    #[test]
    fn short_and_long_flags_mean_the_same() {
        let short = read(&["-T", "5", "-k", "/k", "-a", "/a", "-p", "/p", "-c", "/c", "-f"]).unwrap();
        let long = read(&[
            "--timeout=5",
            "--key",
            "/k",
            "--authorized=/a",
            "--pid-file",
            "/p",
            "--config",
            "/c",
            "--foreground",
        ])
        .unwrap();
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
        assert_eq!(short.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn debug_stays_in_the_foreground_and_trace_beats_it() {
        assert_eq!(read(&[]).unwrap().place(), Place::Background);
        assert_eq!(read(&["-d"]).unwrap().place(), Place::Foreground);
        assert_eq!(read(&["-t", "-d"]).unwrap().level, LogLevel::Trace);
        assert_eq!(read(&[]).unwrap().log_options().destination, LogDestination::Syslog);
        assert_eq!(read(&["-f"]).unwrap().log_options().destination, LogDestination::Stderr);
    }

    #[test]
    fn mistakes_are_named_with_their_value() {
        for (line, said) in [
            (&["-T", "0"][..], "-T \"0\": give whole seconds"),
            (&["-T", "x"], "\"x\""),
            (&["-T"], "-T"),
            (&["--log-format", "xml"], "xml"),
            (&["-z"], "unknown flag -z"),
            (&["stray"], "stray"),
        ] {
            let failure = read(line).unwrap_err();
            assert!(failure.message("p").contains(said), "{failure:?}");
            assert_eq!(failure.code(), 2);
        }
    }

    #[test]
    fn paths_become_absolute() {
        assert!(read(&["-k", "a.key"]).unwrap().key.unwrap().is_absolute());
    }
}
