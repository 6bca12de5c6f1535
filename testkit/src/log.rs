//! The log of a daemon, read line by line while it runs.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::DEADLINE;

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// As it was written.
    pub raw: String,
    fields: Map<String, Value>,
}

impl Line {
    fn new(raw: String) -> Self {
        let fields = match serde_json::from_str(&raw) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        Self { raw, fields }
    }

    /// A field as text; empty where the line has none of this name, or is no JSON.
    pub fn field(&self, name: &str) -> String {
        match self.fields.get(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// A field that is a number.
    ///
    /// # Panics
    /// When it is none.
    pub fn number(&self, name: &str) -> u64 {
        match self.fields.get(name).and_then(Value::as_u64) {
            Some(number) => number,
            None => panic!("{name} is no number in {}", self.raw),
        }
    }

    /// The names of all fields, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn has(&self, fields: &[(&str, &str)]) -> bool {
        fields.iter().all(|(name, value)| self.field(name) == *value)
    }
}

/// What a daemon has written so far.
#[derive(Clone)]
pub struct Log {
    name: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    written: Mutex<Written>,
    more: Condvar,
}

#[derive(Default)]
struct Written {
    lines: Vec<Line>,
    ended: bool,
}

impl Log {
    /// Reads until the writer has gone.
    pub(crate) fn read(name: &str, from: impl Read + Send + 'static) -> Self {
        let log = Self { name: name.to_owned(), shared: Arc::default() };
        let reader = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                reader.lock().lines.push(Line::new(line));
                reader.shared.more.notify_all();
            }
            reader.lock().ended = true;
            reader.shared.more.notify_all();
        });
        log
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.shared.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A point in time: the lines that are written after it can be waited for.
    pub fn mark(&self) -> usize {
        self.lock().lines.len()
    }

    /// Waits for a line that has these fields.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait(&self, fields: &[(&str, &str)]) -> Line {
        self.wait_after(0, fields)
    }

    /// The same among the lines after a mark.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_after(&self, mark: usize, fields: &[(&str, &str)]) -> Line {
        self.wait_for(mark, &format!("{fields:?}"), |line| line.has(fields))
    }

    /// Waits for a line in which these words stand.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_saying(&self, mark: usize, words: &str) -> Line {
        self.wait_for(mark, words, |line| line.raw.contains(words) || line.field("reason").contains(words))
    }

    fn wait_for(&self, mark: usize, what: &str, is_it: impl Fn(&Line) -> bool) -> Line {
        let deadline = Instant::now() + DEADLINE;
        let mut next = mark;
        let mut written = self.lock();
        loop {
            if let Some(line) = written.lines.iter().skip(next).find(|line| is_it(line)) {
                return line.clone();
            }
            next = written.lines.len().max(mark);
            let left = deadline.saturating_duration_since(Instant::now());
            // The lock is given back first: whoever prints the log while this panics needs it.
            if written.ended || left.is_zero() {
                let ended = written.ended;
                drop(written);
                let how = if ended { "it has ended without" } else { "waited in vain for" };
                panic!("the log of {}: {how} {what}", self.name);
            }
            written = self.shared.more.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the daemon has closed its log, which is when it has ended.
    pub(crate) fn wait_end(&self) -> bool {
        let written = self.lock();
        let outcome = self.shared.more.wait_timeout_while(written, DEADLINE, |written| !written.ended);
        outcome.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// The lines so far that have these fields.
    pub fn all(&self, fields: &[(&str, &str)]) -> Vec<Line> {
        self.all_after(0, fields)
    }

    /// The same among the lines after a mark.
    pub fn all_after(&self, mark: usize, fields: &[(&str, &str)]) -> Vec<Line> {
        self.lock().lines.iter().skip(mark).filter(|line| line.has(fields)).cloned().collect()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "--- log of {}", self.name)?;
        self.lock().lines.iter().try_for_each(|line| writeln!(f, "{}", line.raw))
    }
}
