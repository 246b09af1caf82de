//! Days and instants, from text and back, without a clock or a time zone database.

use crate::plan::Kind;
use crate::rows::{Cell, Place};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A day: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i32);

/// An instant: microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Date {
    /// Reads `YYYY-MM-DD`; `None` if it is not a day of the calendar.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = Digits(text.as_bytes());
        let date = digits.date()?;
        digits.0.is_empty().then_some(date)
    }

    /// Year, month and day.
    pub fn civil(self) -> (i64, i64, i64) {
        civil_from_days(i64::from(self.0))
    }
}

impl Timestamp {
    /// The day, UTC.
    pub fn date(self) -> Date {
        // 64 bits of microseconds are fewer than 107 million days either way.
        Date(i32::try_from(self.0.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX))
    }

    /// From milliseconds, as records carry them.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Reads RFC 3339: `2026-11-21T10:00:00.123456Z`, or with an offset, or with a blank for the `T`. Digits
    /// beyond the microsecond are cut off; a leap second counts as the next second.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = Digits(text.as_bytes());
        let date = digits.date()?;
        digits.one_of(b"Tt ")?;
        let hour = digits.number(2).filter(|hour| *hour < 24)?;
        digits.one_of(b":")?;
        let minute = digits.number(2).filter(|minute| *minute < 60)?;
        digits.one_of(b":")?;
        let second = digits.number(2).filter(|second| *second <= 60)?;
        let micros = digits.fraction_micros()?;
        let offset_minutes = digits.offset_minutes()?;
        let minutes = hour * 60 + minute - offset_minutes;
        let of_day = (minutes * 60 + second) * 1_000_000 + micros;
        digits.0.is_empty().then_some(Self(i64::from(date.0) * MICROS_PER_DAY + of_day))
    }
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        let digit = |number: Option<i64>, byte: &u8| {
            byte.is_ascii_digit().then(|| number.map(|number| number * 10 + i64::from(byte - b'0')))?
        };
        let number = head.iter().fold(Some(0), digit)?;
        self.0 = rest;
        Some(number)
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn date(&mut self) -> Option<Date> {
        let year = self.number(4)?;
        self.one_of(b"-")?;
        let month = self.number(2).filter(|month| (1..=12).contains(month))?;
        self.one_of(b"-")?;
        let day = self.number(2).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
        i32::try_from(days_from_civil(year, month, day)).ok().map(Date)
    }

    fn fraction_micros(&mut self) -> Option<i64> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let mut micros = 0;
        let mut scale = 100_000;
        let mut digits = 0;
        while let Some(digit) = self.number(1) {
            micros += digit * scale;
            scale /= 10;
            digits += 1;
        }
        (digits > 0).then_some(micros)
    }

    fn offset_minutes(&mut self) -> Option<i64> {
        match self.one_of(b"Zz+-")? {
            b'Z' | b'z' => Some(0),
            sign => {
                let hours = self.number(2).filter(|hours| *hours < 24)?;
                self.one_of(b":")?;
                let minutes = self.number(2).filter(|minutes| *minutes < 60)?;
                let offset = hours * 60 + minutes;
                Some(if sign == b'-' { -offset } else { offset })
            }
        }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, by eras of 400 years that begin on 1 March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Date {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(to, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(MICROS_PER_DAY));
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(to, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if fraction != 0 {
            write!(to, ".{fraction:06}")?;
        }
        to.write_str("Z")
    }
}

impl Cell for Date {
    const KIND: Kind = Kind::Date;
    #[inline]
    fn write(&self, place: Place<'_>) {
        place.date(self.0);
    }
}

impl Cell for Timestamp {
    const KIND: Kind = Kind::Timestamp;
    #[inline]
    fn write(&self, place: Place<'_>) {
        place.timestamp(self.0);
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a date: YYYY-MM-DD"))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a timestamp: RFC 3339"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_days() {
        for (text, days) in
            [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("0001-01-01", -719_162)]
        {
            assert_eq!(Date::parse(text), Some(Date(days)));
            assert_eq!(Date(days).to_string(), text);
        }
        for text in ["2026-02-29", "1900-02-29", "2026-13-01", "2026-1-01", "2026-01-01 ", "", "2026-00-10"] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    #[test]
    fn reads_and_shows_instants() {
        let millennium = 946_684_800_000_000;
        for (text, micros) in [
            ("2000-01-01T00:00:00Z", millennium),
            ("2000-01-01 01:30:00+01:30", millennium),
            ("1999-12-31T23:59:59.9999999Z", millennium - 1),
            ("1999-12-31t22:00:00.5-02:00", millennium + 500_000),
            ("1999-12-31T23:59:60Z", millennium),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(micros)), "{text}");
        }
        assert_eq!(Timestamp(millennium).to_string(), "2000-01-01T00:00:00Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        for text in ["2000-01-01", "2000-01-01T24:00:00Z", "2000-01-01T00:00:00", "2000-01-01T00:00:00.Z"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
