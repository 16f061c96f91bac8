//! The date and time of a result in UTC, as RFC 3339 writes them.
//! A few lines of arithmetic instead of a date library: results carry nothing but a start.

use std::time::SystemTime;

/// A moment in UTC with a resolution of seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    seconds: i64,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self::at(since.map_or(0, |since| since.as_secs()))
    }

    /// The moment `seconds` after the start of 1970.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        Self {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        }
    }

    /// `2026-11-22`.
    #[must_use]
    pub fn date(self) -> String {
        let (year, month, day) = civil(self.seconds.div_euclid(DAY_SECONDS));
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// `2026-11-22T05:32:46Z`.
    #[must_use]
    pub fn stamp(self) -> String {
        let second = self.seconds.rem_euclid(DAY_SECONDS);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        format!("{}T{hour:02}:{minute:02}:{:02}Z", self.date(), second % 60)
    }
}

/// Year, month and day of a day number; Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

const DAY_SECONDS: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(Moment::at(0).stamp(), "1970-01-01T00:00:00Z");
        assert_eq!(Moment::at(951_782_400).date(), "2000-02-29");
        assert_eq!(Moment::at(1_795_325_566).stamp(), "2026-11-22T05:32:46Z");
    }
}
