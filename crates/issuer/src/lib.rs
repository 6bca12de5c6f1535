//! Makes licenses: the counterpart of `license`, which reads them. No daemon links this crate.
//!
//! Keys and signatures are those of minisign, so that everything here can be done with the standard tool as well.
#![forbid(unsafe_code)]

mod new_file;
mod signing_key;

pub use new_file::create;
pub use signing_key::{KeyError, KeyPair, SigningKey};

use std::path::Path;

use license::{Day, Features, License, Licensee, ProxyId};

/// A license as `license issue` makes it out: from `today` on, and for so many days after today.
pub fn grant(proxy_id: ProxyId, licensee: Licensee, today: Day, days: i64) -> License {
    License { proxy_id, licensee, issued: today, expires: today.plus(days), features: Features::default() }
}

/// The command, for bash, by which the standard tool checks a license file.
pub fn check_command(path: &Path, key: &str) -> String {
    let path = shell_word(&path.display().to_string());
    format!("minisign -V -P {key} -m <(head -n -4 {path}) -x <(tail -n 4 {path})")
}

/// A text as one word of a shell's command, quoted if it has to be.
pub fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Days for which a license can be made out at most: a century, so that the year keeps its four digits.
pub const DAYS_MAX: i64 = 36_525;

/// Days of a test license.
pub const TEST_DAYS: i64 = 30;
