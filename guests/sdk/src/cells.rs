//! Which values fit which columns.

use crate::plan::Kind;
use crate::rows::{Cell, Place};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

macro_rules! int_cells {
    ($($type:ty)*) => {$(
        impl Cell for $type {
            const KIND: Kind = Kind::Int;
            #[inline]
            fn write(&self, place: Place<'_>) {
                place.int(i64::from(*self));
            }
        }
    )*};
}
int_cells!(i8 i16 i32 i64 u8 u16 u32);

macro_rules! cells {
    ($($type:ty, $kind:ident, $put:ident, $cell:ident => $value:expr;)*) => {$(
        impl Cell for $type {
            const KIND: Kind = Kind::$kind;
            #[inline]
            fn write(&self, place: Place<'_>) {
                let $cell = self;
                place.$put($value);
            }
        }
    )*};
}
cells! {
    f32, Float, float, cell => f64::from(*cell);
    f64, Float, float, cell => *cell;
    bool, Boolean, boolean, cell => *cell;
    str, Text, text, cell => cell;
    String, Text, text, cell => cell;
    Cow<'_, str>, Text, text, cell => cell;
    [u8], Bytes, bytes, cell => cell;
    Vec<u8>, Bytes, bytes, cell => cell;
    Cow<'_, [u8]>, Bytes, bytes, cell => cell;
    Decimal<'_>, Decimal, decimal, cell => &cell.0;
    Json<'_>, Json, json, cell => &cell.0;
    &RawValue, Json, json, cell => cell.get();
}

impl<C: Cell + ?Sized> Cell for &C {
    const KIND: Kind = C::KIND;
    const NULLABLE: bool = C::NULLABLE;
    #[inline]
    fn write(&self, place: Place<'_>) {
        C::write(self, place);
    }
}

impl<C: Cell> Cell for Option<C> {
    const KIND: Kind = C::KIND;
    const NULLABLE: bool = true;
    #[inline]
    fn write(&self, place: Place<'_>) {
        match self {
            Some(value) => value.write(place),
            None => place.null(),
        }
    }
}

impl<const N: usize> Cell for [u8; N] {
    // An array is far shorter than 4 GiB.
    #[allow(clippy::cast_possible_truncation, reason = "const context has no try_from")]
    const KIND: Kind = Kind::Fixed(N as u32);
    #[inline]
    fn write(&self, place: Place<'_>) {
        place.fixed(self);
    }
}

/// A uuid, for a column of fixed width 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Reads `6ba7b810-9dad-11d1-80b4-00c04fd430c8`, in either case, with or without hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let hyphens = matches!(text.len(), 36)
            && text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
        if !hyphens && text.len() != 32 {
            return None;
        }
        let mut nibbles = text.chars().filter(|char| *char != '-').map(|char| char.to_digit(16));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = u8::try_from(nibbles.next()?? << 4 | nibbles.next()??).ok()?;
        }
        nibbles.next().is_none().then_some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                to.write_str("-")?;
            }
            write!(to, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Cell for Uuid {
    const KIND: Kind = Kind::Fixed(16);
    #[inline]
    fn write(&self, place: Place<'_>) {
        place.fixed(&self.0);
    }
}

/// An exact decimal number, kept as its text: sign, digits, point, digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal<'a>(Cow<'a, str>);

impl<'a> Decimal<'a> {
    /// The most digits that an exponent may spell out: `1e999999999` is no amount of anything.
    const DIGITS_MAX: i64 = 100;

    /// Reads `-12.50`, also `1.25e3` as JSON may have it; `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
            None => (text, None),
        };
        let digits = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        match exponent {
            None => Some(Self(Cow::Borrowed(text))),
            Some(exponent) => {
                let sign = if digits.len() < mantissa.len() { "-" } else { "" };
                Self::shift(sign, whole, fraction, exponent.parse().ok()?).map(|text| Self(Cow::Owned(text)))
            }
        }
    }

    fn shift(sign: &str, whole: &str, fraction: &str, exponent: i64) -> Option<String> {
        if exponent.abs() > Self::DIGITS_MAX {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let point = i64::try_from(whole.len()).ok()? + exponent;
        Some(match usize::try_from(point) {
            Ok(point) if point >= digits.len() => format!("{sign}{digits:0<point$}"),
            Ok(point) if point > 0 => {
                let (whole, fraction) = digits.split_at_checked(point)?;
                format!("{sign}{whole}.{fraction}")
            }
            _ => {
                let zeros = usize::try_from(point.unsigned_abs()).ok()?;
                format!("{sign}0.{:0<zeros$}{digits}", "")
            }
        })
    }

    /// The number's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without borrowing.
    pub fn into_owned(self) -> Decimal<'static> {
        Decimal(Cow::Owned(self.0.into_owned()))
    }
}

impl fmt::Display for Decimal<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Decimal<'a> {
    /// From a JSON number or a text that holds one, digit by digit: not through a float.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        let text = raw.get();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        Self::parse(text).ok_or_else(|| de::Error::custom("not a decimal number"))
    }
}

/// A JSON text, taken over as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// A part of a record, byte for byte.
    pub fn raw(value: &'a RawValue) -> Self {
        Self(Cow::Borrowed(value.get()))
    }

    /// A value's JSON.
    pub fn of<T: serde::Serialize + ?Sized>(value: &T) -> Result<Json<'static>, serde_json::Error> {
        serde_json::to_string(value).map(|text| Json(Cow::Owned(text)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(Self::raw)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a uuid"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_stay_exact() {
        for (text, expected) in [
            ("-12.50", "-12.50"),
            ("0", "0"),
            ("99999999999999999999.9", "99999999999999999999.9"),
            ("1.25e3", "1250"),
            ("1.25E1", "12.5"),
            ("-1e-3", "-0.001"),
            ("12e-1", "1.2"),
            ("12e-2", "0.12"),
        ] {
            assert_eq!(Decimal::parse(text).map(|decimal| decimal.to_string()).as_deref(), Some(expected));
        }
        for text in ["", "-", ".5", "5.", "1,5", "NaN", "1e", "1e999", "0x1", "+1", "--1"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn uuids_in_their_forms() {
        let text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        assert_eq!(Uuid::parse(text).map(|uuid| uuid.to_string()).as_deref(), Some(text));
        assert_eq!(Uuid::parse(&text.replace('-', "").to_uppercase()), Uuid::parse(text));
        for text in ["", "6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b8109-dad-11d1-80b4-00c04fd430c8", "zz"]
        {
            assert_eq!(Uuid::parse(text), None, "{text}");
        }
    }
}
