//! `init …`: the files of a first start, and what to run next.

pub mod client;
mod folder;
pub mod proxy;

use std::fs;

/// The name of this host, for people to recognise; `host` where it has none.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    match name.trim() {
        name if !name.is_empty() && name.chars().all(is_plain) => name.to_owned(),
        _ => String::from("host"),
    }
}
