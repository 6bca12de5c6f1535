//! Lines of the daemons' logs in text form, taken apart again.

use std::borrow::Cow;

/// One event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    fields: Vec<(String, String)>,
}

impl Record {
    /// The event of a line, if there is one in it.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let start = line.find(FIRST_FIELD)?;
        let mut rest = &line[start..];
        let mut fields = Vec::new();
        while let Some((name, after)) = rest.trim_start().split_once('=') {
            let (value, after) = take_value(after)?;
            fields.push((name.to_owned(), value.into_owned()));
            rest = after;
        }
        Some(Self { fields })
    }

    /// The value of a field; empty if there is none.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// Whether it is this event, with these values in it.
    pub(super) fn is(&self, event: &str, values: &[(&str, &str)]) -> bool {
        self.field("event") == event && values.iter().all(|(name, value)| self.field(name) == *value)
    }

    /// The names of its fields, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

/// A value, bare or quoted, and what follows it.
fn take_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        return Some((Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), &quoted[index + 1..])),
            // What else is escaped is only shown here, and may stay so.
            '\\' => match characters.next()?.1 {
                plain @ ('"' | '\\') => value.push(plain),
                other => value.extend(['\\', other]),
            },
            _ => value.push(character),
        }
    }
    None
}

/// Every event begins with its name. A message from outside that contains this cannot be mistaken for it: there,
/// quotes are escaped.
const FIRST_FIELD: &str = "event=\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = "2026-07-01T09:30:00.125Z INFO  words event=\"call\" call=7f3a partner=[::1]:4711 bytes_in=0 \
                    reason=\"he said \\\"no\\\" = 1\" last=x";
        let record = Record::parse(line).unwrap();
        assert!(record.is("call", &[("call", "7f3a"), ("partner", "[::1]:4711"), ("bytes_in", "0")]));
        assert!(!record.is("call", &[("call", "7f3b")]) && !record.is("attached", &[]));
        assert_eq!(record.field("reason"), "he said \"no\" = 1");
        assert_eq!((record.field("last"), record.field("none")), ("x", ""));
        assert_eq!(
            record.names().collect::<Vec<_>>(),
            ["event", "call", "partner", "bytes_in", "reason", "last"]
        );
    }

    #[test]
    fn other_lines_are_none() {
        assert_eq!(Record::parse("os4x_proxy: cannot listen on 0.0.0.0:1"), None);
        assert_eq!(Record::parse("INFO  event=\"cal"), None);
        assert_eq!(Record::parse(""), None);
    }
}
