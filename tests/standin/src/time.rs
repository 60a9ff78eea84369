//! Wall-clock times as text. Everything is UTC, like the container.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment split into the fields of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    year: i64,
    month: u32,
    day: u32,
    hour: u64,
    minute: u64,
    second: u64,
    millis: u64,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self::at(millis_since_epoch())
    }

    /// The moment `millis` after the epoch.
    pub fn at(millis: u64) -> Self {
        let seconds = millis / 1000;
        let (year, month, day) = civil_date(i64::try_from(seconds / 86_400).unwrap_or(0));
        Self {
            year,
            month,
            day,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            millis: millis % 1000,
        }
    }

    /// As the REST interface writes it: `2026-10-21T07:28:00.123Z`.
    pub fn iso(&self) -> String {
        format!("{}T{}.{:03}Z", self.date(), self.clock(), self.millis)
    }

    /// As mongod's log writes it: `2026-10-21T07:28:00.123+00:00`.
    pub fn mongod(&self) -> String {
        format!("{}T{}.{:03}+00:00", self.date(), self.clock(), self.millis)
    }

    /// As supervisord's log writes it: `2026-10-21 07:28:00,123`.
    pub fn supervisord(&self) -> String {
        format!("{} {},{:03}", self.date(), self.clock(), self.millis)
    }

    /// As `supervisorctl status` writes a stop: `Oct 21 07:28 AM`.
    pub fn twelve_hours(&self) -> String {
        let month = usize::try_from(self.month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"Jan");
        let hour = if self.hour.is_multiple_of(12) { 12 } else { self.hour % 12 };
        let half = if self.hour < 12 { "AM" } else { "PM" };
        format!("{month} {:02} {hour:02}:{:02} {half}", self.day, self.minute)
    }

    /// The day alone: `2026-10-21`.
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn clock(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

/// Milliseconds since 1970.
pub fn millis_since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Python's `str(timedelta(seconds=…))`, which is how supervisor shows an uptime.
pub fn timedelta(seconds: u64) -> String {
    let clock = format!("{}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

/// Days since 1970-01-01 to a date; the usual era arithmetic (years begin in March).
fn civil_date(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or(1), u32::try_from(day).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(Moment::at(0).iso(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Moment::at(951_782_400_000).date(), "2000-02-29");
        assert_eq!(Moment::at(1_792_568_880_123).iso(), "2026-10-21T07:48:00.123Z");
        assert_eq!(Moment::at(1_792_568_880_123).twelve_hours(), "Oct 21 07:48 AM");
    }

    #[test]
    fn uptimes_look_like_pythons() {
        assert_eq!(timedelta(42), "0:00:42");
        assert_eq!(timedelta(86_400 + 3_661), "1 day, 1:01:01");
        assert_eq!(timedelta(200_000), "2 days, 7:33:20");
    }
}
