//! One place of a record, read as what a column or a text needs.

use crate::kinds::ColumnType;
use gristmill_sdk::{Date, Decimal, Failure, Timestamp, Uuid};
use std::borrow::Cow;

/// A value ready for its cell.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each is what its name says")]
pub enum Value<'t> {
    Text(Cow<'t, str>),
    Int(i64),
    Float(f64),
    Boolean(bool),
    Timestamp(Timestamp),
    Date(Date),
    Decimal(Decimal<'t>),
    Json(Cow<'t, str>),
    Uuid(Uuid),
    Bytes(Vec<u8>),
}

/// The JSON of one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leaf<'t>(
    /// Its text.
    pub &'t str,
);

/// What kind of JSON a place holds, by its first character: the text is known to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Boolean,
    Number,
    Text,
    Array,
    Object,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl<'t> Leaf<'t> {
    pub(crate) fn shape(self) -> Shape {
        match self.0.as_bytes().first() {
            Some(b'"') => Shape::Text,
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            Some(b't' | b'f') => Shape::Boolean,
            Some(b'n') | None => Shape::Null,
            Some(_) => Shape::Number,
        }
    }

    /// A text without its quotes and escapes; `None` if it is no text, or one that is no Unicode.
    pub fn text(self) -> Option<Cow<'t, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            return serde_json::from_str(self.0).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    /// A text, number or boolean as text, for keys and templates: numbers digit by digit.
    pub fn scalar(self) -> Result<Cow<'t, str>, Failure> {
        match self.shape() {
            Shape::Text => self.text().ok_or_else(|| bad("bad-text", "the text has half a surrogate pair")),
            Shape::Number | Shape::Boolean => Ok(Cow::Borrowed(self.0)),
            other => Err(wrong("a text, a number or a boolean", other)),
        }
    }

    /// The value for a column of this type. With `parse`, a text that holds the value will do.
    pub(crate) fn value(self, kind: ColumnType, parse: bool) -> Result<Value<'t>, Failure> {
        match kind {
            ColumnType::Text => self.of_text("a text").map(Value::Text),
            ColumnType::Json => Ok(Value::Json(Cow::Borrowed(self.0))),
            ColumnType::Int => int(&self.digits("an integer", parse)?).map(Value::Int),
            ColumnType::Float => float(&self.digits("a number", parse)?).map(Value::Float),
            ColumnType::Decimal => self.decimal(parse),
            ColumnType::Boolean => self.boolean(parse),
            ColumnType::EpochMs => self.instant(1_000, parse),
            ColumnType::EpochS => self.instant(1_000_000, parse),
            ColumnType::Timestamp => {
                let text = self.of_text("a timestamp as text")?;
                let reason = "is not a timestamp like 2026-11-21T10:00:00Z";
                Timestamp::parse(&text)
                    .map(Value::Timestamp)
                    .ok_or_else(|| odd("bad-timestamp", &text, reason))
            }
            ColumnType::Date => {
                let text = self.of_text("a date as text")?;
                Date::parse(&text)
                    .map(Value::Date)
                    .ok_or_else(|| odd("bad-date", &text, "is not a day, YYYY-MM-DD"))
            }
            ColumnType::Uuid => {
                let text = self.of_text("a uuid as text")?;
                Uuid::parse(&text).map(Value::Uuid).ok_or_else(|| odd("bad-uuid", &text, "is not a uuid"))
            }
            ColumnType::Bytes => {
                let text = self.of_text("base64 as text")?;
                gristmill_sdk::base64::decode(&text)
                    .map(Value::Bytes)
                    .ok_or_else(|| odd("bad-base64", &text, "is not base64"))
            }
        }
    }

    fn of_text(self, wanted: &str) -> Result<Cow<'t, str>, Failure> {
        match self.shape() {
            Shape::Text => self.scalar(),
            other => Err(wrong(wanted, other)),
        }
    }

    fn digits(self, wanted: &str, parse: bool) -> Result<Cow<'t, str>, Failure> {
        match self.shape() {
            Shape::Number => Ok(Cow::Borrowed(self.0)),
            Shape::Text if parse => self.scalar(),
            other => Err(wrong(wanted, other)),
        }
    }

    fn decimal(self, parse: bool) -> Result<Value<'t>, Failure> {
        match self.digits("a number", parse)? {
            Cow::Borrowed(text) => Decimal::parse(text).map(Value::Decimal).ok_or_else(|| not_number(text)),
            Cow::Owned(text) => Decimal::parse(&text)
                .map(|decimal| Value::Decimal(decimal.into_owned()))
                .ok_or_else(|| not_number(&text)),
        }
    }

    fn boolean(self, parse: bool) -> Result<Value<'t>, Failure> {
        let text = match self.shape() {
            Shape::Boolean => Cow::Borrowed(self.0),
            Shape::Text if parse => self.scalar()?,
            other => return Err(wrong("a boolean", other)),
        };
        match &*text {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            other => Err(odd("bad-boolean", other, "is neither true nor false")),
        }
    }

    fn instant(self, micros: i64, parse: bool) -> Result<Value<'t>, Failure> {
        let count = int(&self.digits("an integer", parse)?)?;
        let micros =
            count.checked_mul(micros).ok_or_else(|| bad("out-of-range", "the instant is too far away"))?;
        Ok(Value::Timestamp(Timestamp(micros)))
    }
}

/// An integer; `1.0` and `1e3` are integers too, as JSON Schema has it.
fn int(text: &str) -> Result<i64, Failure> {
    if let Ok(int) = text.parse() {
        return Ok(int);
    }
    let decimal = Decimal::parse(text).ok_or_else(|| not_number(text))?;
    let (whole, fraction) = decimal.as_str().split_once('.').unwrap_or((decimal.as_str(), ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return Err(odd("wrong-type", text, "is not an integer"));
    }
    whole.parse().map_err(|_| odd("out-of-range", text, "does not fit 64 bits"))
}

fn float(text: &str) -> Result<f64, Failure> {
    // Rust also reads `inf` and `NaN`, which are no JSON.
    let number = text.parse::<f64>().ok().filter(|_| text.bytes().any(|byte| byte.is_ascii_digit()));
    match number {
        Some(number) if number.is_finite() => Ok(number),
        Some(_) => Err(odd("out-of-range", text, "is too large")),
        None => Err(not_number(text)),
    }
}

#[cold]
fn not_number(text: &str) -> Failure {
    odd("bad-number", text, "is not a number in decimal digits, or has too many")
}

#[cold]
fn wrong(wanted: &str, found: Shape) -> Failure {
    Failure::reject("wrong-type", format!("{wanted} is needed here, not {}", found.name()))
}

#[cold]
fn bad(code: &'static str, reason: &str) -> Failure {
    Failure::reject(code, reason)
}

/// A reason with the beginning of the offending text.
#[cold]
fn odd(code: &'static str, text: &str, reason: &str) -> Failure {
    const CHARS_MAX: usize = 100;
    let end = text.char_indices().nth(CHARS_MAX).map(|(end, _)| end);
    let (begin, more) = end.and_then(|end| text.get(..end)).map_or((text, ""), |begin| (begin, "…"));
    Failure::reject(code, format!("\"{begin}{more}\" {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str, kind: ColumnType) -> String {
        format!("{:?}", Leaf(json).value(kind, false))
    }

    #[test]
    fn integers() {
        for (json, int) in [("1", 1), ("-0", 0), ("1.0", 1), ("1e3", 1000), ("9223372036854775807", i64::MAX)]
        {
            assert_eq!(Leaf(json).value(ColumnType::Int, false), Ok(Value::Int(int)), "{json}");
        }
        assert!(code("1.5", ColumnType::Int).contains("wrong-type"));
        assert!(code("9223372036854775808", ColumnType::Int).contains("out-of-range"));
        assert!(code("\"1\"", ColumnType::Int).contains("wrong-type"));
        assert_eq!(Leaf("\"12\"").value(ColumnType::Int, true), Ok(Value::Int(12)));
        assert!(Leaf("\"twelve\"").value(ColumnType::Int, true).is_err());
    }

    #[test]
    fn numbers_stay_exact() {
        let text = "123456789012345678901234567890.10";
        assert_eq!(
            Leaf(text).value(ColumnType::Decimal, false),
            Ok(Value::Decimal(Decimal::parse(text).unwrap()))
        );
        assert_eq!(Leaf(text).scalar().unwrap(), text);
        assert!(code("1e400", ColumnType::Float).contains("out-of-range"));
        assert!(Leaf("\"NaN\"").value(ColumnType::Float, true).is_err());
    }

    #[test]
    fn texts() {
        assert_eq!(Leaf(r#""a\"b""#).text().unwrap(), "a\"b");
        assert!(code(r#""\ud800""#, ColumnType::Text).contains("bad-text"));
        assert!(code("null", ColumnType::Text).contains("wrong-type"));
        assert!(code("\"2026-02-30\"", ColumnType::Date).contains("bad-date"));
        assert!(code(&format!("\"{}\"", "x".repeat(500)), ColumnType::Uuid).len() < 300);
        assert_eq!(Leaf("1").value(ColumnType::EpochS, false), Ok(Value::Timestamp(Timestamp(1_000_000))));
        assert_eq!(Leaf("\"aGk=\"").value(ColumnType::Bytes, false), Ok(Value::Bytes(b"hi".to_vec())));
    }
}
