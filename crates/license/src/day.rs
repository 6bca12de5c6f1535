//! Days of the calendar, as licenses name them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// A day in UTC, counted from 1970-01-01; written `2026-11-24` (ISO 8601, RFC 3339 section 5.6 `full-date`).
///
/// The count has 64 bits: no year of the clock is special, neither 2038 nor one before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day that it is by the clock of this machine.
    pub fn today() -> Self {
        Self::of(SystemTime::now())
    }

    /// The day in which a moment lies.
    pub fn of(moment: SystemTime) -> Self {
        let whole_days = |span: Duration| (span.as_secs() / DAY_S) as i64;
        match moment.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self(whole_days(since)),
            // Any part of a day before the epoch belongs to the day that began earlier.
            Err(before) => {
                Self(-whole_days(before.duration() + Duration::from_secs(DAY_S) - Duration::from_nanos(1)))
            }
        }
    }

    /// So many days later, or earlier if it is negative.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// How many days have passed since `earlier`; negative if it is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The day of this date in the Gregorian calendar; `None` where there is none, as 30 February. Years from 1970 to
    /// 9999, which have four digits.
    pub fn from_date(year: i64, month: i64, day: i64) -> Option<Self> {
        let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        if !in_range {
            return None;
        }
        // Years that begin in March have the leap day last, so that every month begins at a fixed day of its year:
        // 153 days are the five months from March to July, and again from August to December.
        let year_from_march = if month <= 2 { year - 1 } else { year };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let leap_days = year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
        let found = Self(365 * year_from_march + leap_days + day_of_year - DAYS_TO_EPOCH);
        // 31 April would be 1 May.
        (found.date() == (year, month, day)).then_some(found)
    }

    /// Year, month and day of the month in the Gregorian calendar.
    pub const fn date(self) -> (i64, i64, i64) {
        let days = self.0 + DAYS_TO_EPOCH;
        let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let (month, later) =
            if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
        (era * 400 + year_of_era + later, month, day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = DayTextError;

    fn from_str(text: &str) -> Result<Self, DayTextError> {
        let parts: Vec<i64> = text.split('-').filter_map(|part| part.parse().ok()).collect();
        let day = match parts[..] {
            [year, month, day] => Self::from_date(year, month, day),
            _ => None,
        };
        // A day has one spelling: with all its zeros, and without signs.
        day.filter(|day| day.to_string() == text).ok_or_else(|| DayTextError(text.to_owned()))
    }
}

/// Not the text of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayTextError(pub String);

impl fmt::Display for DayTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no day; it is written as 2026-11-24, from 1970 to 9999", self.0)
    }
}

impl std::error::Error for DayTextError {}

/// Seconds of a day; Unix time knows no leap seconds.
const DAY_S: u64 = 86_400;
/// 400 years, after which the calendar repeats: 400 × 365 + 97 leap days.
const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_digits_has_one_text() {
        let mut before = Day(0);
        for count in 1..2_932_897 {
            let day = Day(count);
            let (year, month, of_month) = day.date();
            assert_eq!(Day::from_date(year, month, of_month), Some(day));
            let next = before.date();
            assert!(
                (year, month, of_month) > next && (of_month == next.2 + 1 || of_month == 1),
                "{day} after {next:?}"
            );
            before = day;
        }
        assert_eq!(before.to_string(), "9999-12-31");
    }

    #[test]
    fn known_days_and_what_is_none() {
        for (text, count) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("2038-01-19", 24_855),
            ("2038-01-20", 24_856),
            ("2106-02-08", 49_711),
        ] {
            assert_eq!((text.parse(), Day(count).to_string()), (Ok(Day(count)), String::from(text)));
        }
        for none in [
            "",
            "2026-11",
            "2026-11-31",
            "2100-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-1-01",
            "+2026-11-24",
            "2026-11-24 ",
            "2026-11-24-",
            "10000-01-01",
            "1969-12-31",
            "99999999999999999999-01-01",
        ] {
            assert!(none.parse::<Day>().is_err(), "{none}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc_on_both_sides_of_the_epoch() {
        let at = |seconds: i64| {
            let span = Duration::from_secs(seconds.unsigned_abs());
            Day::of(if seconds < 0 { SystemTime::UNIX_EPOCH - span } else { SystemTime::UNIX_EPOCH + span })
        };
        assert_eq!((at(0), at(86_399), at(86_400)), (Day(0), Day(0), Day(1)));
        assert_eq!((at(-1), at(-86_400), at(-86_401)), (Day(-1), Day(-1), Day(-2)));
        assert_eq!(Day::of(SystemTime::UNIX_EPOCH - Duration::from_nanos(1)), Day(-1));
        assert_eq!(Day(-1).to_string(), "1969-12-31");
        assert_eq!(at(2_147_483_648).to_string(), "2038-01-19", "one second more than 31 bits");
        assert_eq!(at(4_294_967_296).to_string(), "2106-02-07", "one second more than 32 bits");
    }
}
