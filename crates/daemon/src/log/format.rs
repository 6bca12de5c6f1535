//! What a line looks like.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::Level;
use tracing::field::{Field, Visit};

use super::LogFormat;
use crate::civil::Civil;

/// Collects the fields of one event into one line. Writing to a `String` cannot fail, so that its results
/// are passed over.
pub(super) struct Line {
    format: LogFormat,
    message: String,
    fields: String,
}

impl Line {
    pub(super) const fn new(format: LogFormat) -> Self {
        Self { format, message: String::new(), fields: String::new() }
    }

    /// The whole line with its break. `time` is left out where the destination keeps its own.
    pub(super) fn finish(self, time: Option<SystemTime>, level: Level) -> String {
        let mut line = String::with_capacity(64 + self.message.len() + self.fields.len());
        match self.format {
            LogFormat::Text => {
                if let Some(time) = time {
                    let _ = write!(line, "{} {level:<5} ", Timestamp(time));
                }
                escape(&mut line, &self.message, Escaping::Text);
                // A message stands between level and fields; without one the fields follow at once.
                line.push_str(if self.message.is_empty() { self.fields.trim_start() } else { &self.fields });
            }
            LogFormat::Json => {
                line.push('{');
                if let Some(time) = time {
                    let _ = write!(line, r#""time":"{}","#, Timestamp(time));
                }
                let _ = write!(line, r#""level":"{}""#, level.as_str().to_ascii_lowercase());
                if !self.message.is_empty() {
                    line.push_str(r#","message":"#);
                    quote(&mut line, &self.message, Escaping::Json);
                }
                line.push_str(&self.fields);
                line.push('}');
            }
        }
        line.push('\n');
        line
    }

    fn text(&mut self, field: &Field, value: &str) {
        let name = field.name();
        match (name, self.format) {
            ("message", _) => self.message.push_str(value),
            (_, LogFormat::Text) => {
                let _ = write!(self.fields, " {name}=");
                if ALWAYS_QUOTED.contains(&name) || needs_quotes(value) {
                    quote(&mut self.fields, value, Escaping::Text);
                } else {
                    self.fields.push_str(value);
                }
            }
            (_, LogFormat::Json) => {
                let _ = write!(self.fields, r#","{name}":"#);
                quote(&mut self.fields, value, Escaping::Json);
            }
        }
    }

    /// A value that is written alike in both formats: a number or a truth value.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        let _ = match self.format {
            LogFormat::Text => write!(self.fields, " {}={value}", field.name()),
            LogFormat::Json => write!(self.fields, r#","{}":{value}"#, field.name()),
        };
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.bare(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows neither infinities nor NaN (RFC 8259 §6).
        match value.is_finite() {
            true => self.bare(field, value),
            false => self.text(field, &value.to_string()),
        }
    }
}

/// RFC 3339 §5.6 in UTC, with milliseconds.
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let Civil { year, month, day, hour, minute, second } = Civil::from_unix(since.as_secs());
        let milliseconds = since.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Escaping {
    Text,
    Json,
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty()
        || value.chars().any(|c| c.is_whitespace() || is_unsafe(c) || matches!(c, '"' | '\\' | '='))
}

fn quote(line: &mut String, value: &str, escaping: Escaping) {
    line.push('"');
    for character in value.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            _ => escape_character(line, character, escaping),
        }
    }
    line.push('"');
}

fn escape(line: &mut String, value: &str, escaping: Escaping) {
    value.chars().for_each(|character| escape_character(line, character, escaping));
}

fn escape_character(line: &mut String, character: char, escaping: Escaping) {
    match character {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        _ if is_unsafe(character) => {
            // All of them lie in the basic plane: four digits are enough (RFC 8259 §7).
            let code = u32::from(character);
            let _ = match escaping {
                Escaping::Json => write!(line, "\\u{code:04x}"),
                Escaping::Text => write!(line, "\\u{{{code:x}}}"),
            };
        }
        _ => line.push(character),
    }
}

/// Control characters, line separators, and the marks that turn the direction of writing: what could make a
/// line look like another.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Quoted also where they could stand bare: one is a keyword, the other a sentence.
const ALWAYS_QUOTED: [&str; 2] = ["event", "reason"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let time = UNIX_EPOCH + Duration::from_millis(1_000_000_000_007);
        assert_eq!(Timestamp(time).to_string(), "2001-09-09T01:46:40.007Z");
    }

    #[test]
    fn nothing_from_outside_can_forge_a_line() {
        let mut text = String::new();
        quote(&mut text, "a\"b\\c\n\u{1b}[2J\u{2028}\u{202e}é", Escaping::Text);
        assert_eq!(text, r#""a\"b\\c\n\u{1b}[2J\u{2028}\u{202e}é""#);
        let mut json = String::new();
        quote(&mut json, "a\"b\\c\n\u{1b}[2J\u{7f}é", Escaping::Json);
        assert_eq!(json, r#""a\"b\\c\n\u001b[2J\u007fé""#);
    }
}
