//! Values as the texts that PostgreSQL casts them to: what a database that computes the same hashes would hash.

use gristmill_rules::Value;
use gristmill_sdk::{Date, Timestamp};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The text of a value, with a time zone at points in time if `zoned`. `None` for JSON, whose text is not one alone.
pub fn text<'v>(value: &'v Value<'_>, zoned: bool) -> Option<Cow<'v, str>> {
    Some(match value {
        Value::Text(text) => Cow::Borrowed(text),
        Value::Decimal(decimal) => Cow::Borrowed(decimal.as_str()),
        Value::Int(int) => Cow::Owned(int.to_string()),
        Value::Float(float) => Cow::Owned(float_text(*float)),
        Value::Boolean(true) => Cow::Borrowed("true"),
        Value::Boolean(false) => Cow::Borrowed("false"),
        Value::Timestamp(instant) => Cow::Owned(timestamp_text(*instant, zoned)),
        Value::Date(date) => Cow::Owned(date.to_string()),
        Value::Uuid(uuid) => Cow::Owned(uuid.to_string()),
        Value::Bytes(bytes) => Cow::Owned(bytea_text(bytes)),
        Value::Json(_) => return None,
    })
}

/// `2024-02-29 13:05:09.12`: a space, and no zeros at the fraction's end.
fn timestamp_text(Timestamp(micros): Timestamp, zoned: bool) -> String {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    let (days, of_day) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    let date = i32::try_from(days).map(Date).unwrap_or(Date(0));
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let mut text =
        format!("{date} {:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, ".{fraction:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    if zoned {
        text.push_str("+00");
    }
    text
}

/// The shortest digits that give the number back; with an exponent below 1e-4 and from 1e15 on.
fn float_text(float: f64) -> String {
    if float == 0.0 || !float.is_finite() {
        return format!("{float}");
    }
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..15) if (-4..15).contains(&exponent) => format!("{float}"),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        Err(_) => scientific,
    }
}

/// `\x` and hexadecimal digits.
fn bytea_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    push_hex(&mut text, bytes);
    text
}

/// Appends bytes in lower-case hex.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}

/// UPPER as PostgreSQL has it in `C.UTF-8`: one character for one. What only becomes upper-case as several characters
/// (`ß`) stays as it is.
pub fn upper(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().map(upper_char).collect()
}

fn upper_char(char: char) -> char {
    let mut upper = char.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        // Greek with iota below: several characters in full, one by themselves.
        _ => match char {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
                char::from_u32(u32::from(char) + 8).unwrap_or(char)
            }
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(u32::from(char) + 9).unwrap_or(char),
            _ => char,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_postgresqls() {
        for (float, expected) in [
            (1e20, "1e+20"),
            (0.1, "0.1"),
            (12.5, "12.5"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
        ] {
            assert_eq!(float_text(float), expected);
        }
        let at = |text| Timestamp::parse(text).unwrap();
        assert_eq!(timestamp_text(at("2024-02-29T13:05:09.120Z"), false), "2024-02-29 13:05:09.12");
        assert_eq!(timestamp_text(at("2024-02-29T00:00:00Z"), true), "2024-02-29 00:00:00+00");
        assert_eq!(timestamp_text(at("1969-12-31T23:59:59.5Z"), false), "1969-12-31 23:59:59.5");
        assert_eq!(bytea_text(&[0, 255]), "\\x00ff");
    }

    #[test]
    fn upper_case_is_one_character_for_one() {
        assert_eq!(upper("Zoë straße ñandú ŉ"), "ZOË STRAßE ÑANDÚ ŉ");
        assert_eq!(upper("ıi İI"), "II İI");
        assert_eq!(upper("ᾳ"), "ᾼ");
    }
}
