//! The values of rows, checked against their columns before any database sees them. Both stores refuse the same
//! values with the same words, and only what the database alone can know (a check, a foreign key, a DBA's shorter
//! column) has to be found by halving a batch.

use super::Refusal;
use super::decimal;
use super::sql::Value;
use crate::effect::Cell;
use crate::spec::{Column, ColumnType, Table};
use std::borrow::Cow;
use time::{Date, UtcDateTime};

/// Days from 1970-01-01 to 0001-01-01 and 9999-12-31: what both stores can hold.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
const DAY_US: i64 = 86_400_000_000;
/// The Julian day of 1970-01-01.
const EPOCH_JULIAN: i32 = 2_440_588;

/// Why a value does not fit its column: SQLSTATE and words.
type Misfit = (&'static str, String);

/// Checks a value against its column.
pub fn check(table: &Table, column: &Column, cell: Cell<'_>) -> Result<(), Refusal> {
    misfit(column, cell).map_or(Ok(()), |(sqlstate, message)| {
        Err(Refusal {
            table: table.name.clone(),
            sqlstate: sqlstate.to_owned(),
            constraint: None,
            column: Some(column.name.clone()),
            message,
        })
    })
}

fn misfit(column: &Column, cell: Cell<'_>) -> Option<Misfit> {
    use ColumnType as T;
    match (column.ty, cell) {
        (_, Cell::Null) => {
            (!column.nullable).then(|| ("23502", "NULL in a column that is not nullable".to_owned()))
        }
        (T::Text, Cell::Text(text)) => text_misfit(text, usize::MAX),
        (T::Varchar(chars), Cell::Text(text)) => text_misfit(text, chars as usize),
        (T::Smallint, Cell::Int(value)) => range(column.ty, i16::try_from(value).is_ok()),
        (T::Integer, Cell::Int(value)) => range(column.ty, i32::try_from(value).is_ok()),
        (T::Bigint, Cell::Int(_)) | (T::Boolean, Cell::Boolean(_)) | (T::Bytes, Cell::Bytes(_)) => None,
        (T::Double, Cell::Float(value)) => (!value.is_finite())
            .then(|| ("22003", "neither NaN nor an infinity can be stored in both stores".to_owned())),
        (T::Uuid, cell) => {
            uuid(cell).is_none().then(|| ("22P02", "not a UUID (16 bytes or its text)".to_owned()))
        }
        (T::Date, Cell::Date(days)) => year(DAYS.contains(&days)),
        (T::Timestamptz | T::Timestamp, Cell::Timestamp(us)) => {
            year(i32::try_from(us.div_euclid(DAY_US)).is_ok_and(|days| DAYS.contains(&days)))
        }
        (T::Numeric(size), Cell::Decimal(text)) if decimal::fits_plainly(text, size) => None,
        (T::Numeric(size), Cell::Decimal(text)) => match decimal::fit(text, size) {
            Ok(_) => None,
            Err(decimal::Wrong::Syntax) => Some(("22P02", "not a decimal number".to_owned())),
            Err(decimal::Wrong::Range) => range(column.ty, false),
        },
        (T::Json, Cell::Json(text)) => json_misfit(text),
        (ty, cell) => Some(("42804", format!("the column is of type {ty}, the value is {}", kind(cell)))),
    }
}

fn range(ty: ColumnType, fits: bool) -> Option<Misfit> {
    (!fits).then(|| ("22003", format!("out of the range of {ty}")))
}

fn year(fits: bool) -> Option<Misfit> {
    (!fits).then(|| ("22008", "outside of the years 0001 to 9999".to_owned()))
}

fn text_misfit(text: &str, chars_max: usize) -> Option<Misfit> {
    if text.len() > chars_max && text.chars().count() > chars_max {
        // SQL lets surplus spaces pass; we say what is there instead.
        return Some(("22001", format!("value too long for type character varying({chars_max})")));
    }
    text.as_bytes()
        .contains(&0)
        .then(|| ("22021", "a NUL character, which a text column cannot hold".to_owned()))
}

fn json_misfit(text: &str) -> Option<Misfit> {
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Some(("22P02", format!("not JSON: {error}")));
    }
    let mut bytes = text.as_bytes();
    while let Some(at) = bytes.iter().position(|byte| *byte == b'\\') {
        if bytes.get(at + 1..at + 6) == Some(b"u0000") {
            return Some(("22P05", "\\u0000, which a JSON column cannot hold".to_owned()));
        }
        bytes = bytes.get(at + 2..).unwrap_or(&[]);
    }
    None
}

fn kind(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Null => "NULL",
        Cell::Text(_) => "a text",
        Cell::Int(_) => "an integer",
        Cell::Float(_) => "a float",
        Cell::Boolean(_) => "a truth value",
        Cell::Bytes(_) => "a byte string",
        Cell::Timestamp(_) => "a timestamp",
        Cell::Date(_) => "a date",
        Cell::Decimal(_) => "a decimal number",
        Cell::Json(_) => "a JSON text",
    }
}

/// The bytes of a UUID given as such or as text.
pub fn uuid(cell: Cell<'_>) -> Option<[u8; 16]> {
    match cell {
        Cell::Bytes(bytes) => bytes.try_into().ok(),
        Cell::Text(text) => uuid_of_text(text),
        _ => None,
    }
}

/// Reads a UUID: 32 hex digits, with or without hyphens.
pub fn uuid_of_text(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte).to_digit(16));
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = u8::try_from(digits.next()?? * 16 + digits.next()??).ok()?;
    }
    digits.next().is_none().then_some(uuid)
}

/// A UUID as both stores show it.
pub fn uuid_text(uuid: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// A date as both stores show it.
pub fn date_text(days: i32) -> String {
    let date = days.checked_add(EPOCH_JULIAN).and_then(|julian| Date::from_julian_day(julian).ok());
    date.map_or_else(String::new, |d| format!("{:04}-{:02}-{:02}", d.year(), u8::from(d.month()), d.day()))
}

/// A point in time as both stores show it, without the zone's letter.
pub fn timestamp_text(us: i64) -> String {
    let Ok(t) = UtcDateTime::from_unix_timestamp_nanos(i128::from(us) * 1000) else { return String::new() };
    let (month, fraction) = (u8::from(t.month()), t.microsecond());
    format!(
        "{:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.{fraction:06}",
        t.year(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// A value of a column as both stores show it; it has passed [`check`].
pub fn shown<'a>(ty: ColumnType, cell: Cell<'a>) -> Value<'a> {
    let text = |text: String| Value::Text(Cow::Owned(text));
    match cell {
        Cell::Null => Value::Null,
        cell if ty == ColumnType::Uuid => uuid(cell).map_or(Value::Null, |uuid| text(uuid_text(uuid))),
        Cell::Text(value) | Cell::Json(value) => Value::Text(Cow::Borrowed(value)),
        Cell::Int(value) => Value::Int(value),
        Cell::Float(value) => Value::Float(value),
        Cell::Boolean(value) => Value::Int(i64::from(value)),
        Cell::Bytes(value) => Value::Bytes(Cow::Borrowed(value)),
        Cell::Timestamp(us) if ty == ColumnType::Timestamptz => text(timestamp_text(us) + "Z"),
        Cell::Timestamp(us) => text(timestamp_text(us)),
        Cell::Date(days) => text(date_text(days)),
        Cell::Decimal(value) => {
            decimal::in_column(ty, value).map_or(Value::Null, |number| text(decimal::text(&number)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ty: ColumnType, cell: Cell<'_>) -> Option<&'static str> {
        misfit(&Column { name: "c".into(), ty, nullable: false }, cell).map(|misfit| misfit.0)
    }

    #[test]
    fn values_that_do_not_fit_have_the_sqlstate_of_postgresql() {
        use ColumnType as T;
        assert_eq!(state(T::Varchar(3), Cell::Text("äöü")), None);
        assert_eq!(state(T::Varchar(3), Cell::Text("äöüß")), Some("22001"));
        assert_eq!(state(T::Text, Cell::Text("a\0")), Some("22021"));
        assert_eq!(state(T::Integer, Cell::Int(1 << 31)), Some("22003"));
        assert_eq!(state(T::Smallint, Cell::Int(-32_768)), None);
        assert_eq!(state(T::Numeric(Some((4, 2))), Cell::Decimal("99.995")), Some("22003"));
        assert_eq!(state(T::Date, Cell::Date(i32::MAX)), Some("22008"));
        assert_eq!(state(T::Timestamptz, Cell::Timestamp(i64::MIN)), Some("22008"));
        assert_eq!(state(T::Uuid, Cell::Text("not one")), Some("22P02"));
        assert_eq!(state(T::Json, Cell::Json("{")), Some("22P02"));
        assert_eq!(state(T::Json, Cell::Json(r#""\u0000""#)), Some("22P05"));
        assert_eq!(state(T::Json, Cell::Json(r#""\\u0000""#)), None);
        assert_eq!(state(T::Text, Cell::Null), Some("23502"));
        assert_eq!(state(T::Bigint, Cell::Text("1")), Some("42804"));
    }

    #[test]
    fn texts_are_of_fixed_width() {
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(date_text(*DAYS.start()), "0001-01-01");
        assert_eq!(date_text(*DAYS.end()), "9999-12-31");
        assert_eq!(timestamp_text(-1), "1969-12-31T23:59:59.999999");
        assert_eq!(timestamp_text(1_709_211_909_120_000), "2024-02-29T13:05:09.120000");
        let uuid = uuid_of_text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11").unwrap();
        assert_eq!(uuid_text(uuid), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    }
}
