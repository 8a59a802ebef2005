//! `run.json`: what is run, and on what.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host::machine;
use host::report::RunDescription;

/// Describes a run that starts now on this machine; `seed` is of its first generator.
pub fn describe(
    name: String,
    servers: u64,
    clients: u64,
    seed: Option<u64>,
    commit: String,
    arguments: Vec<String>,
) -> RunDescription {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    RunDescription {
        name,
        started: utc(since_epoch.unwrap_or(Duration::ZERO).as_secs()),
        arguments,
        commit,
        servers,
        clients,
        seed,
        machine: machine::facts(),
    }
}

/// A time of day as ISO 8601 in UTC, to the second.
fn utc(seconds_since_epoch: u64) -> String {
    let (year, month, day) = date(seconds_since_epoch / 86_400);
    let second = seconds_since_epoch % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar.
///
/// Years are taken to begin in March, so that the leap day is the last of its year and the
/// lengths of the months before it repeat: 153 days in five months.
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_EPOCH: u64 = 719_468; // from 0000-03-01 to 1970-01-01
    const DAYS_IN_400_YEARS: u64 = 146_097;

    let days = days_since_epoch + DAYS_BEFORE_EPOCH;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_to_the_second() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_763_799_273), "2025-11-22T08:14:33Z");
        assert_eq!(utc(4_102_444_799), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn leap_days_fall_where_the_calendar_has_them() {
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
    }

    #[test]
    fn a_run_carries_what_it_was_told_and_the_machine() {
        let arguments = vec!["--secs".to_owned(), "10".to_owned()];
        let run = describe("a".to_owned(), 4, 2, Some(7), "c0ffee".to_owned(), arguments.clone());
        assert_eq!((run.servers, run.clients, run.arguments), (4, 2, arguments));
        assert_eq!(run.seed, Some(7));
        assert!(run.started.ends_with('Z'));
        assert!(run.machine.cores > 0);
    }
}
