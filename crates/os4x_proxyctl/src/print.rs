//! Lines on stdout.

use std::fmt::Display;
use std::io::Write;

/// Prints a line at once. Not `println!`: that would panic when nobody reads any more, and a station does not stop
/// receiving files because the reader of its lines has gone.
pub(crate) fn line(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
