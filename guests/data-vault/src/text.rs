//! Values as the texts that PostgreSQL casts them to: what a database that computes the same hashes would hash.

use gristmill_rules::Value;
use gristmill_sdk::hashing::push_hex;
use gristmill_sdk::{Date, Timestamp};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The text of a value, with a time zone at points in time if `zoned`. `None` for JSON, whose text is not one alone.
pub fn text<'v>(value: &'v Value<'_>, zoned: bool) -> Option<Cow<'v, str>> {
    Some(match value {
        Value::Text(text) => Cow::Borrowed(text),
        Value::Decimal(decimal) => decimal_text(decimal.as_str()),
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

/// With its scale, but without zeros in front and without the sign of a zero.
fn decimal_text(decimal: &str) -> Cow<'_, str> {
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal), |digits| ("-", digits));
    let whole_digits = digits.find('.').unwrap_or(digits.len());
    let zeros =
        digits.bytes().take(whole_digits.saturating_sub(1)).take_while(|digit| *digit == b'0').count();
    let digits = digits.get(zeros..).unwrap_or(digits);
    if sign.is_empty() || digits.bytes().all(|digit| matches!(digit, b'0' | b'.')) {
        return Cow::Borrowed(digits);
    }
    if zeros == 0 { Cow::Borrowed(decimal) } else { Cow::Owned(format!("-{digits}")) }
}

/// `2024-02-29 13:05:09.12`: a space, and no zeros at the fraction's end.
fn timestamp_text(Timestamp(micros): Timestamp, zoned: bool) -> String {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    let (days, of_day) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    let date = i32::try_from(days).map(Date).unwrap_or(Date(0));
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let mut text = format!("{date} {:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
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

/// The shortest digits that give the number back, and of those the closest; with an exponent below 1e-4 and from 1e15 on.
fn float_text(float: f64) -> String {
    if float == 0.0 || !float.is_finite() {
        return format!("{float}");
    }
    let scientific = shortest(float);
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let Ok(exponent) = exponent.parse::<i32>() else { return scientific };
    if !(-4..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let digits = digits.replace('.', "");
    match usize::try_from(exponent) {
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        Ok(point) if point + 1 >= digits.len() => format!("{sign}{digits:0<width$}", width = point + 1),
        Ok(point) => {
            let (whole, fraction) = digits.split_at_checked(point + 1).unwrap_or((&digits, ""));
            format!("{sign}{whole}.{fraction}")
        }
    }
}

/// `-1.25e-7`. Digits that stand exactly between two numbers do not count, though reading them would give the number with
/// the even last bit; and of two digits that are equally close the even one is taken.
fn shortest(float: f64) -> String {
    const DIGITS_MAX: usize = 17;
    let least = format!("{float:e}");
    let least = least.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    for digits in least..=DIGITS_MAX {
        let text = format!("{float:.*e}", digits.saturating_sub(1));
        if text.parse() == Ok(float) && !is_between(&text, float) {
            return match text.split_once('e') {
                Some((digits, exponent)) if digits.contains('.') => {
                    format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
                }
                _ => text,
            };
        }
    }
    format!("{float:e}")
}

/// Whether digits that give a number stand exactly between it and another: the least step beyond them then gives the other.
fn is_between(text: &str, float: f64) -> bool {
    const STEP: &str = "0000000000000000000000000000000000000001";
    let Some((digits, exponent)) = text.split_once('e') else { return false };
    let point = if digits.contains('.') { "" } else { "." };
    let beyond = |digits: &str| format!("{digits}{point}{STEP}e{exponent}").parse() != Ok(float);
    // Towards zero: the last digit less one, and nines behind it.
    let less = digits.trim_end_matches('0').trim_end_matches('.');
    let before = less.char_indices().next_back().and_then(|(at, last)| {
        let last = last.to_digit(10)?.checked_sub(1)?;
        let point = if less.contains('.') { "" } else { "." };
        Some(format!("{}{last}{point}{}e{exponent}", less.get(..at)?, "9".repeat(STEP.len())))
    });
    beyond(digits) || before.is_some_and(|before| before.parse() != Ok(float))
}

/// `\x` and hexadecimal digits.
fn bytea_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    push_hex(&mut text, bytes);
    text
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
            (-0.25 - 743_053_740_315_913.0, "-743053740315913.2"),
            (553_282_228_282_199_168.0, "5.5328222828219917e+17"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(float_text(float), expected);
        }
        for (decimal, expected) in [
            ("12.50", "12.50"),
            ("-12.50", "-12.50"),
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("-0.01", "-0.01"),
            ("00", "0"),
            ("007.50", "7.50"),
            ("-007.50", "-7.50"),
            ("-000.5", "-0.5"),
        ] {
            assert_eq!(decimal_text(decimal), expected);
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
