//! Days of the calendar, as a date dimension has them.

use gristmill_sdk::{Date, Row, Timestamp};

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A day, UTC.
#[derive(Row)]
#[row(table = "dim_date")]
pub struct Day {
    /// Year, month and day as one number: 20261121.
    pub date_id: i32,
    full_date: Date,
    quarter: i32,
    year: i32,
    month: i32,
    day: i32,
    /// ISO 8601.
    week_of_year: i32,
    day_of_week: &'static str,
}

impl Day {
    /// The day of an instant.
    pub fn of(at: Timestamp) -> Self {
        // Instants that can be written have years of four digits, so that all of this fits.
        let full_date = at.date();
        let (year, month, day) = full_date.civil();
        let narrow = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        // From Monday, 0: 1970-01-01 was a Thursday.
        let weekday = (full_date.0 + 3).rem_euclid(7);
        Self {
            date_id: narrow(year * 10_000 + month * 100 + day),
            full_date,
            quarter: narrow((month + 2) / 3),
            year: narrow(year),
            month: narrow(month),
            day: narrow(day),
            week_of_year: narrow(week(full_date, weekday)),
            day_of_week: usize::try_from(weekday).ok().and_then(|n| WEEKDAYS.get(n)).copied().unwrap_or(""),
        }
    }
}

/// The week (ISO 8601) of a day: that of its Thursday, counted in the Thursday's year.
fn week(date: Date, weekday: i32) -> i64 {
    let (year, month, day) = Date(date.0 - weekday + 3).civil();
    let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    // Days before the month in a year, from 0.
    let before = (367 * month - 362) / 12 - if month > 2 { 2 - leap } else { 0 };
    (before + day - 1) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        // Of PostgreSQL: extract(quarter, week) and to_char(day, 'FMDay').
        for (text, id, quarter, week, weekday) in [
            ("2026-11-21T23:59:59.999999Z", 20_261_121, 4, 47, "Saturday"),
            ("2024-02-29T00:00:00Z", 20_240_229, 1, 9, "Thursday"),
            ("2027-01-01T10:00:00Z", 20_270_101, 1, 53, "Friday"),
            ("2024-12-30T10:00:00Z", 20_241_230, 4, 1, "Monday"),
            ("2023-01-01T10:00:00Z", 20_230_101, 1, 52, "Sunday"),
            ("1969-12-31T10:00:00Z", 19_691_231, 4, 1, "Wednesday"),
        ] {
            let day = Day::of(Timestamp::parse(text).unwrap());
            let found = (day.date_id, day.quarter, day.week_of_year, day.day_of_week);
            assert_eq!(found, (id, quarter, week, weekday), "{text}");
            assert_eq!(day.date_id, day.year * 10_000 + day.month * 100 + day.day);
        }
    }
}
