//! Seconds since the epoch as a date and a time of day in UTC, in the calendar that everybody uses.

/// A moment in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, as 2026.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59; Unix time knows no leap seconds.
    pub second: u8,
}

impl Civil {
    /// The moment `seconds` after 1970-01-01 00:00:00 UTC.
    pub const fn from_unix(seconds: u64) -> Self {
        let of_day = seconds % 86_400;
        // Days since 0000-03-01: with the leap day last, every month begins at a fixed day of the year.
        let days = (seconds / 86_400) as i64 + 719_468;
        let era = days / DAYS_PER_ERA;
        let day_of_era = days % DAYS_PER_ERA;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // 153 days are the five months from March to July, and again from August to December.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        Self {
            year,
            month: month as u8,
            day: day as u8,
            hour: (of_day / 3_600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
        }
    }
}

/// 400 years, after which the calendar repeats: 400 × 365 + 97 leap days.
const DAYS_PER_ERA: i64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        let text = |seconds| {
            let c = Civil::from_unix(seconds);
            format!("{}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
        };
        assert_eq!(text(0), "1970-01-01 00:00:00");
        assert_eq!(text(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(text(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(text(1_000_000_000), "2001-09-09 01:46:40");
        assert_eq!(text(4_107_542_400), "2100-03-01 00:00:00");
    }

    #[test]
    fn every_day_of_two_centuries_follows_the_one_before() {
        let mut before = Civil::from_unix(0);
        for day in 1..73_000 {
            let today = Civil::from_unix(day * 86_400);
            let next_day = today.day == before.day + 1 && today.month == before.month;
            let next_month = today.day == 1 && today.month == before.month % 12 + 1 && before.day >= 28;
            assert!(next_day || next_month, "{before:?} then {today:?}");
            before = today;
        }
    }
}
