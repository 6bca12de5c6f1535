//! Sizes, times and rates, as people read and write them.

use std::fmt;
use std::time::Duration;

/// A size in octets. Shows as `1,048,576 bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A time. Shows with the unit that suits it: `0.4 ms`, `125 ms`, `2.15 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

/// So many octets in such a time. Shows as ` (512 MB/s)`, a million octets to the MB, or as nothing where the
/// octets are too few to say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Bytes, pub Time);

/// Reads a size: `1048576`, `64M`, `1G`, `1GiB`. K, M, G and T are powers of 1,024.
///
/// # Errors
/// A sentence for the operator.
pub fn parse_bytes(text: &str) -> Result<Bytes, String> {
    let wrong = || format!("{text:?} is no size; write a number of bytes, or one with a unit, as 64M or 1G");
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" if matches!(unit, "" | "B" | "b") => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1_u64 << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).map(Bytes).ok_or_else(wrong)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 {
            return f.write_str("1 byte");
        }
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        f.write_str(" bytes")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            ..0.01 => write!(f, "{:.1} ms", seconds * 1e3),
            ..1.0 => write!(f, "{:.0} ms", seconds * 1e3),
            ..100.0 => write!(f, "{seconds:.2} s"),
            _ => write!(f, "{seconds:.0} s"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Bytes(bytes), Time(time)) = *self;
        if bytes < RATE_BYTES_MIN || time.is_zero() {
            return Ok(());
        }
        let rate = bytes as f64 / 1e6 / time.as_secs_f64();
        if rate < 10.0 { write!(f, " ({rate:.1} MB/s)") } else { write!(f, " ({rate:.0} MB/s)") }
    }
}

/// Below this the time is that of the greetings, not of the data.
const RATE_BYTES_MIN: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("7b", 7),
            ("64M", 64 << 20),
            ("1g", 1 << 30),
            ("2KiB", 2_048),
            ("3mb", 3 << 20),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "1 G", "1X", "1iB", "1I", "99999999999999999999", "99999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn figures_are_written() {
        assert_eq!(Bytes(0).to_string(), "0 bytes");
        assert_eq!(Bytes(1).to_string(), "1 byte");
        assert_eq!(Bytes(999).to_string(), "999 bytes");
        assert_eq!(Bytes(1_000).to_string(), "1,000 bytes");
        assert_eq!(Bytes(1 << 30).to_string(), "1,073,741,824 bytes");
        assert_eq!(Time(Duration::from_micros(440)).to_string(), "0.4 ms");
        assert_eq!(Time(Duration::from_millis(125)).to_string(), "125 ms");
        assert_eq!(Time(Duration::from_millis(2_154)).to_string(), "2.15 s");
        assert_eq!(Time(Duration::from_secs(345)).to_string(), "345 s");
        let second = Time(Duration::from_secs(1));
        assert_eq!(Rate(Bytes(512_000_000), second).to_string(), " (512 MB/s)");
        assert_eq!(Rate(Bytes(1_500_000), second).to_string(), " (1.5 MB/s)");
        assert_eq!(Rate(Bytes(1), second).to_string(), "");
        assert_eq!(Rate(Bytes(1 << 30), Time(Duration::ZERO)).to_string(), "");
    }
}
