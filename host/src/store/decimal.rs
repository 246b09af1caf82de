//! Exact decimal numbers as PostgreSQL's numeric has them: rounded to the scale half away from zero, refused if the
//! digits before the point are too many, written without a plus sign or leading zeros and with the scale kept.

use crate::spec::ColumnType;
use bigdecimal::{BigDecimal, RoundingMode};
use std::str::FromStr;

/// Precision and scale.
pub type Size = Option<(u16, u16)>;

/// What is wrong with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Not a number.
    Syntax,
    /// Too many digits before the point.
    Range,
}

/// Reads a number and fits it into a size.
pub fn fit(text: &str, size: Size) -> Result<BigDecimal, Wrong> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+'));
    let number = if plain { BigDecimal::from_str(text).ok() } else { None }.ok_or(Wrong::Syntax)?;
    resize(number, size)
}

/// A number as it stands in a column of this type: rounded. `None` if it cannot stand there.
pub fn in_column(ty: ColumnType, text: &str) -> Option<BigDecimal> {
    let size = if let ColumnType::Numeric(size) = ty { size } else { None };
    fit(text, size).ok()
}

/// Fits a number into a size.
pub fn resize(number: BigDecimal, size: Size) -> Result<BigDecimal, Wrong> {
    let Some((precision, scale)) = size else { return Ok(number) };
    let number = number.with_scale_round(i64::from(scale), RoundingMode::HalfUp);
    let bound = BigDecimal::new(1.into(), i64::from(scale) - i64::from(precision));
    if number.abs() >= bound { Err(Wrong::Range) } else { Ok(number) }
}

/// A number as PostgreSQL writes it.
pub fn text(number: &BigDecimal) -> String {
    let text = number.to_plain_string();
    // A zero has no sign.
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        _ => text,
    }
}

/// Whether a number surely fits as it is, without computing: the common case.
pub fn fits_plainly(text: &str, size: Size) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let Some((precision, scale)) = size else { return plain(whole) && plain(fraction) };
    plain(whole)
        && plain(fraction)
        && fraction.len() <= usize::from(scale).max(1)
        && (scale > 0 || fraction == "0")
        && whole.len() <= usize::from(precision - scale.min(precision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_postgresql() {
        let shown = |number: &str, size| fit(number, size).map(|number| text(&number));
        assert_eq!(shown("12.5", Some((6, 2))).unwrap(), "12.50");
        assert_eq!(shown("0.125", Some((6, 2))).unwrap(), "0.13");
        assert_eq!(shown("-0.125", Some((6, 2))).unwrap(), "-0.13");
        assert_eq!(shown("-0.001", Some((6, 2))).unwrap(), "0.00");
        assert_eq!(shown("+007.10", None).unwrap(), "7.10");
        assert_eq!(shown(".5", None).unwrap(), "0.5");
        assert_eq!(shown("99.994", Some((4, 2))).unwrap(), "99.99");
        assert_eq!(shown("99.995", Some((4, 2))), Err(Wrong::Range));
        assert_eq!(shown("0.994", Some((2, 2))).unwrap(), "0.99");
        for wrong in ["", "-", "1e5", "NaN", "1.2.3", "x"] {
            assert_eq!(shown(wrong, None), Err(Wrong::Syntax), "{wrong}");
        }
    }

    #[test]
    fn the_short_way_never_lets_pass_what_the_long_way_refuses() {
        for number in ["1", "12", "123", "1.2", "1.23", "0.01", "-99.9", "100", "007", "", "-", "1.", ".5"] {
            for size in [None, Some((3, 1)), Some((2, 2)), Some((3, 0))] {
                assert!(!fits_plainly(number, size) || fit(number, size).is_ok(), "{number} {size:?}");
            }
        }
    }
}
