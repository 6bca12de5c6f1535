//! What a license grants, and its text.

use std::fmt;
use std::str::FromStr;

use crate::day::Day;
use crate::proxy_id::ProxyId;
use crate::refusal::Refusal;

/// What was granted, to whom, for which installation and until when.
///
/// Its text is what is signed. It has one spelling, six lines and nothing else:
///
/// ```text
/// OS4X Proxy license, format 1
/// proxy-id: c6bc8d9b37c5e36333a41acdda653aaef7fd4a00459eeb32a8a41059e23017c8px
/// licensee: ACME GmbH
/// issued: 2026-11-24
/// expires: 2027-11-24
/// features: proxy
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct License {
    /// The installation for which it holds.
    pub proxy_id: ProxyId,
    /// To whom it was granted.
    pub licensee: Licensee,
    /// The day on which it was made.
    pub issued: Day,
    /// The last day on which it holds.
    pub expires: Day,
    /// What it allows.
    pub features: Features,
}

impl License {
    /// Whether the installation `proxy_id` may start with it `today`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, proxy_id: &ProxyId, today: Day) -> Result<(), Refusal> {
        if self.proxy_id != *proxy_id {
            return Err(Refusal::OtherInstallation { made_for: self.proxy_id });
        }
        if !self.features.include(FEATURE) {
            return Err(Refusal::NotIncluded { features: self.features.clone() });
        }
        if today < self.issued.plus(-CLOCK_SKEW_DAYS) {
            return Err(Refusal::NotYet { issued: self.issued, today });
        }
        if self.days_left(today) < 0 {
            return Err(Refusal::Expired { expires: self.expires, today });
        }
        Ok(())
    }

    /// How many days are left after `today`: 0 on the last day, negative afterwards.
    pub const fn days_left(&self, today: Day) -> i64 {
        self.expires.since(today)
    }
}

impl fmt::Display for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy_id, licensee, issued, expires, features } = self;
        writeln!(f, "{TITLE}")?;
        writeln!(f, "proxy-id: {proxy_id}")?;
        writeln!(f, "licensee: {licensee}")?;
        writeln!(f, "issued: {issued}")?;
        writeln!(f, "expires: {expires}")?;
        writeln!(f, "features: {features}")
    }
}

impl FromStr for License {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let mut lines = Lines { rest: text, number: 0 };
        lines.next(|line| if line == TITLE { Ok(()) } else { Err(format!("the title is not {TITLE:?}")) })?;
        let proxy_id = lines.field("proxy-id")?;
        let licensee = lines.field("licensee")?;
        let issued: Day = lines.field("issued")?;
        let expires: Day = lines.field("expires")?;
        let features = lines.field("features")?;
        if !lines.rest.is_empty() {
            return Err(lines.error(String::from("nothing may follow the features")));
        }
        Ok(Self { proxy_id, licensee, issued, expires, features })
    }
}

/// The lines of a text that are still to be read.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next<T>(&mut self, read: impl FnOnce(&'a str) -> Result<T, String>) -> Result<T, GrantError> {
        self.number += 1;
        let Some((line, rest)) = self.rest.split_once('\n') else {
            return Err(self.error(String::from("the text ends too early")));
        };
        self.rest = rest;
        read(line).map_err(|problem| self.error(problem))
    }

    fn field<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<T, GrantError> {
        self.next(|line| {
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
            let value = value.ok_or_else(|| format!("it does not begin with \"{name}: \""))?;
            value.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    fn error(&self, problem: String) -> GrantError {
        GrantError { line: self.number, problem }
    }
}

/// The text of a license that this build does not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for GrantError {}

/// To whom a license was granted: 1 to 100 characters on one line, no spaces around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licensee(String);

impl FromStr for Licensee {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = (1..=LICENSEE_CHARACTERS_MAX).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        match is_good {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "{text:?} is no licensee; it has 1 to {LICENSEE_CHARACTERS_MAX} characters on one line, without \
                 spaces around them"
            )),
        }
    }
}

impl fmt::Display for Licensee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a license allows: words, separated by a comma and a space. This build asks for [`FEATURE`] and leaves other
/// words to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features(Vec<String>);

impl Features {
    /// Whether this one is among them.
    pub fn include(&self, feature: &str) -> bool {
        self.0.iter().any(|word| word == feature)
    }
}

impl Default for Features {
    /// What this build asks for, and no more.
    fn default() -> Self {
        Self(vec![String::from(FEATURE)])
    }
}

impl FromStr for Features {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<String> = text.split(", ").map(str::to_owned).collect();
        let is_good = |word: &String| {
            (1..=FEATURE_BYTES_MAX).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        match words.len() <= FEATURES_MAX && words.iter().all(is_good) {
            true => Ok(Self(words)),
            false => Err(format!(
                "{text:?} is no list of features; they are words of a-z, 0-9 and -, separated by a comma and a space"
            )),
        }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// What a license has to include for `os4x_proxy` to start.
pub const FEATURE: &str = "proxy";

/// The first line.
pub(crate) const TITLE: &str = "OS4X Proxy license, format 1";

/// A license counts from one day before its date of issue: clocks differ, and an hour's difference at midnight is a
/// day's in the date. A clock that is further behind is wrong, and could as well stand still to keep a license alive.
const CLOCK_SKEW_DAYS: i64 = 1;
const LICENSEE_CHARACTERS_MAX: usize = 100;
const FEATURES_MAX: usize = 16;
const FEATURE_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "e3e3a99fc336637a24514be19e8a5e692ba90f21fefa67bba1e7940a895d3d0dpx";

    fn license() -> License {
        License {
            proxy_id: ID.parse().unwrap(),
            licensee: "ACME GmbH & Söhne".parse().unwrap(),
            issued: "2026-11-24".parse().unwrap(),
            expires: "2027-11-24".parse().unwrap(),
            features: Features::default(),
        }
    }

    #[test]
    fn the_text_is_read_back_and_has_one_spelling() {
        let text = license().to_string();
        assert_eq!(text.parse(), Ok(license()));
        assert!(text.contains("\nlicensee: ACME GmbH & Söhne\nissued: 2026-11-24\nexpires: 2027-11-24\n"));
        for (from, to, line) in [
            ("format 1", "format 2", 1),
            ("proxy-id: ", "proxy-id:", 2),
            ("px\n", "py\n", 2),
            ("ACME", " ACME", 3),
            ("issued", "Issued", 4),
            ("2026-11-24", "2026-11-31", 4),
            ("2027-11-24", "never", 5),
            ("features: proxy", "features: ", 6),
            ("features: proxy", "features: proxy,more", 6),
            ("features: proxy\n", "features: proxy", 6),
            ("features: proxy\n", "features: proxy\n\n", 6),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_eq!(wrong.parse::<License>().unwrap_err().line, line, "{wrong}");
        }
        assert_eq!("".parse::<License>().unwrap_err().line, 1);
        assert!("a\u{7}".parse::<Licensee>().is_err() && "x".repeat(101).parse::<Licensee>().is_err());
    }

    #[test]
    fn the_first_and_the_last_day() {
        let license = license();
        let on = |day: &str| license.check(&license.proxy_id, day.parse().unwrap());
        assert_eq!(on("2026-11-24"), Ok(()));
        assert_eq!(on("2026-11-23"), Ok(()), "a clock may be a little behind");
        assert!(matches!(on("2026-11-22"), Err(Refusal::NotYet { .. })));
        assert!(matches!(on("1970-01-01"), Err(Refusal::NotYet { .. })));
        assert_eq!(on("2027-11-24"), Ok(()), "the last day counts");
        assert!(matches!(on("2027-11-25"), Err(Refusal::Expired { .. })));
        assert!(matches!(on("9999-12-31"), Err(Refusal::Expired { .. })));
    }

    #[test]
    fn beyond_2038_days_are_counted_as_before() {
        let mut license = license();
        (license.issued, license.expires) = ("2037-12-31".parse().unwrap(), "2107-01-01".parse().unwrap());
        let on = |day: &str| license.check(&license.proxy_id, day.parse().unwrap()).is_ok();
        assert!(on("2038-01-19") && on("2038-01-20") && on("2106-02-08") && on("2107-01-01"));
        assert!(!on("2107-01-02"));
        assert_eq!(license.days_left("2038-01-20".parse().unwrap()), 25_182);
    }

    #[test]
    fn another_installation_and_another_feature() {
        let mut license = license();
        let other = ID.replace('e', "f").parse().unwrap();
        let refused = license.check(&other, license.issued);
        assert_eq!(refused, Err(Refusal::OtherInstallation { made_for: license.proxy_id }));
        license.features = "proxy-monitoring, more".parse().unwrap();
        let refused = license.check(&license.proxy_id, license.issued);
        assert_eq!(refused, Err(Refusal::NotIncluded { features: license.features.clone() }));
        license.features = "more, proxy".parse().unwrap();
        assert_eq!(license.check(&license.proxy_id, license.issued), Ok(()));
    }
}
