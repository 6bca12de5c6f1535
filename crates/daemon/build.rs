//! Tells the version text which day and which commit were built.

#[path = "src/civil.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the library, which uses and exports all of it")]
mod civil;

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/civil.rs");
    // Of a file that is not there cargo thinks that it has changed each time.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let civil = civil::Civil::from_unix(build_seconds());
    println!("cargo::rustc-env=BUILD_DATE={:04}{:02}{:02}", civil.year, civil.month, civil.day);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| String::from("unknown"));
    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
}

/// The moment that counts as that of the build, in seconds since the epoch: the packager's word, else the
/// commit's, so that two builds of one commit are alike; else now.
fn build_seconds() -> u64 {
    let told = std::env::var("SOURCE_DATE_EPOCH").ok();
    let of_commit = || git(&["log", "-1", "--format=%ct"]);
    let number = |text: String| text.trim().parse().ok();
    told.and_then(number).or_else(|| of_commit().and_then(number)).unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
    })
}

/// What git says, if it is there and this is a checkout of it.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
