//! What is to be said of a license day by day.

use std::fmt;

use crate::day::Day;
use crate::grant::License;
use crate::refusal::Refusal;

/// The license of a proxy that runs. It is looked at often and judged once a day, and whenever it is asked for.
///
/// The owner calls [`Watch::on_look`] every now and then, which costs nothing until a new day has begun and then reads
/// the file again through the function that it is given; and [`Watch::on_change`] before that when the operator says
/// that something has changed. A file that has become good takes the place of the license in force; one that has become
/// bad, or is over, does not: running proxies go on, and the operator hears of it every day.
#[derive(Clone, Debug)]
pub struct Watch {
    status: Status,
    judged: Option<Day>,
}

/// How things stand with the license, for logs and status pages. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The license in force.
    pub license: License,
    /// The day on which it was judged last.
    pub today: Day,
    /// Why the next start would be refused; `None`: it would not.
    pub refusal: Option<Refusal>,
}

/// What the operator is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The license ends soon.
    Warning(String),
    /// The next start will be refused.
    Error(String),
}

impl Watch {
    /// Begins with a license that was good `today`. Nothing has been said yet.
    pub const fn new(license: License, today: Day) -> Self {
        Self { status: Status { license, today, refusal: None }, judged: None }
    }

    /// Something has changed: the next look judges, whatever was done today.
    pub const fn on_change(&mut self) {
        self.judged = None;
    }

    /// Judges, if that was not done `today`. A clock that is set back makes another day as well.
    pub fn on_look(&mut self, today: Day, read: impl FnOnce() -> Result<License, Refusal>) -> Option<Notice> {
        if self.judged == Some(today) {
            return None;
        }
        self.judged = Some(today);
        self.status.today = today;
        self.status.refusal = match read() {
            Ok(license) => {
                self.status.license = license;
                None
            }
            Err(refusal) => Some(refusal),
        };
        let days_left = self.status.license.days_left(today);
        match &self.status.refusal {
            Some(refusal) => Some(Notice::Error(format!(
                "{refusal}; calls go on, but the next start will be refused without a valid license"
            ))),
            None if days_left <= WARNING_DAYS => Some(Notice::Warning(format!(
                "{}; obtain a new one, put it in its place and send SIGHUP",
                self.status
            ))),
            None => None,
        }
    }

    /// How things stand.
    pub const fn status(&self) -> &Status {
        &self.status
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { license: License { licensee, expires, .. }, today, refusal } = self;
        if let Some(refusal) = refusal {
            return write!(f, "NOT VALID for the next start ({refusal}); licensed to {licensee}");
        }
        write!(f, "licensed to {licensee} until {expires} (")?;
        match self.license.days_left(*today) {
            0 => f.write_str("the last day)"),
            1 => f.write_str("1 day left)"),
            days => write!(f, "{days} days left)"),
        }
    }
}

/// From so many days before the last day on, there is a warning every day.
pub const WARNING_DAYS: i64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Features;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn until(expires: &str) -> License {
        License {
            proxy_id: format!("{}px", "0".repeat(64)).parse().unwrap(),
            licensee: "ACME".parse().unwrap(),
            issued: day("2026-01-01"),
            expires: day(expires),
            features: Features::default(),
        }
    }

    /// Reading a file in which this license is, on this day.
    fn found(license: &License, today: Day) -> impl FnOnce() -> Result<License, Refusal> {
        let license = license.clone();
        move || license.check(&license.proxy_id, today).map(|()| license)
    }

    fn unread() -> Result<License, Refusal> {
        panic!("the file is not read twice a day")
    }

    #[test]
    fn a_year_of_a_license() {
        let license = until("2026-12-31");
        let mut watch = Watch::new(license.clone(), day("2026-01-01"));
        let (mut silent, mut warnings, mut errors) = (0, 0, 0);
        for passed in 0..395 {
            let today = day("2026-01-01").plus(passed);
            match watch.on_look(today, found(&license, today)) {
                None => silent += 1,
                Some(Notice::Warning(text)) => {
                    assert!(text.contains("licensed to ACME until 2026-12-31"), "{text}");
                    warnings += 1;
                }
                Some(Notice::Error(text)) => {
                    assert!(text.contains("expired on 2026-12-31") && text.contains("calls go on"), "{text}");
                    errors += 1;
                }
            }
            assert_eq!(watch.on_look(today, unread), None, "once a day");
        }
        // The last day and the thirty before it warn; the thirty days afterwards are errors.
        assert_eq!((silent, warnings, errors), (334, 31, 30));
        assert!(watch.status().to_string().starts_with("NOT VALID for the next start (expired on"));
    }

    #[test]
    fn the_text_of_the_last_days() {
        let license = until("2026-12-31");
        let on = |today: &str| {
            let mut watch = Watch::new(license.clone(), day(today));
            watch.on_look(day(today), found(&license, day(today)));
            watch.status().to_string()
        };
        assert_eq!(on("2026-11-30"), "licensed to ACME until 2026-12-31 (31 days left)");
        assert_eq!(on("2026-12-30"), "licensed to ACME until 2026-12-31 (1 day left)");
        assert_eq!(on("2026-12-31"), "licensed to ACME until 2026-12-31 (the last day)");
        assert_eq!(
            on("2027-01-01"),
            "NOT VALID for the next start (expired on 2026-12-31, and today is 2027-01-01 (UTC)); licensed to ACME"
        );
    }

    #[test]
    fn a_new_file_is_taken_over_and_a_bad_one_is_not() {
        let (old, new) = (until("2026-12-31"), until("2027-12-31"));
        let today = day("2026-12-30");
        let mut watch = Watch::new(old.clone(), today);
        let Some(Notice::Error(text)) = watch.on_look(today, || Err(Refusal::Missing)) else { panic!() };
        assert!(text.starts_with("missing"), "{text}");
        assert_eq!((&watch.status().license, watch.status().refusal.is_some()), (&old, true));
        assert_eq!(watch.on_look(today, unread), None);
        watch.on_change();
        assert_eq!(watch.on_look(today, found(&new, today)), None);
        assert_eq!((&watch.status().license, watch.status().refusal.is_some()), (&new, false));
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed() {
        let license = until("2026-12-31");
        let mut watch = Watch::new(license.clone(), day("2026-06-01"));
        assert_eq!(watch.on_look(day("2026-06-01"), found(&license, day("2026-06-01"))), None);
        let early = day("2025-12-01");
        let Some(Notice::Error(text)) = watch.on_look(early, found(&license, early)) else { panic!() };
        assert!(text.contains("clock"), "{text}");
    }
}
