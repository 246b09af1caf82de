//! One value that a guest gave: how it is shown, and whether it is what a case expects.

use super::bytes::{Bytes, hex, unhex};
use super::json::Json;
use crate::effect::Cell;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

/// A header as a case has it: its name, and its value if it has one.
pub(super) type Header = (String, Option<Vec<u8>>);

/// A cell of a row, or a part of a message, a mail or a failure.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// NULL; a key, a value, a topic that is not there.
    Null,
    Text(String),
    Int(i64),
    Float(f64),
    Boolean(bool),
    /// A byte string of a column: shown by its digits, one of 16 bytes and fixed width as a UUID.
    Bytes {
        bytes: Vec<u8>,
        fixed: bool,
    },
    /// Microseconds since 1970.
    Timestamp(i64),
    /// Days since 1970.
    Date(i32),
    Decimal(String),
    /// JSON text, as the guest wrote it.
    Json(String),
    /// The key or the value of a message.
    Payload(Vec<u8>),
    Headers(Vec<Header>),
    Texts(Vec<String>),
}

impl Value {
    /// A cell; `fixed` if its column is of fixed width.
    pub(super) fn of(cell: Cell<'_>, fixed: bool) -> Self {
        match cell {
            Cell::Null => Value::Null,
            Cell::Text(text) => Value::Text(text.to_owned()),
            Cell::Int(number) => Value::Int(number),
            Cell::Float(number) => Value::Float(number),
            Cell::Boolean(truth) => Value::Boolean(truth),
            Cell::Bytes(bytes) => Value::Bytes { bytes: bytes.to_owned(), fixed },
            Cell::Timestamp(us) => Value::Timestamp(us),
            Cell::Date(days) => Value::Date(days),
            Cell::Decimal(digits) => Value::Decimal(digits.to_owned()),
            Cell::Json(text) => Value::Json(text.to_owned()),
        }
    }

    /// Whether it stands for nothing, so that it need not be written down.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Headers(headers) => headers.is_empty(),
            _ => false,
        }
    }

    /// As a case's author would write it.
    pub(super) fn shown(&self) -> Json {
        match self {
            Value::Null => Json::null(),
            Value::Text(text) | Value::Decimal(text) => Json::text(text),
            Value::Int(number) => Json::plain(number),
            // `{:?}` keeps the point: 1.0.
            Value::Float(number) if number.is_finite() => Json::plain(format!("{number:?}")),
            Value::Float(number) => Json::text(number.to_string()),
            Value::Boolean(truth) => Json::plain(truth),
            Value::Bytes { bytes, fixed } => match (bytes.len(), fixed) {
                (16, true) => Json::text(uuid(&hex(bytes))),
                _ => Json::Object(vec![("hex".to_owned(), Json::text(hex(bytes)))]),
            },
            Value::Timestamp(us) => time_of(*us)
                .and_then(|time| time.format(&Rfc3339).ok())
                .map_or_else(|| Json::plain(us), Json::text),
            Value::Date(days) => {
                day(*days).map_or_else(|| Json::plain(days), |day| Json::text(day.to_string()))
            }
            Value::Json(text) => Json::parse(text).unwrap_or_else(|_| Json::text(text)),
            Value::Payload(bytes) => Bytes::shown(bytes),
            Value::Headers(headers) => shown_headers(headers),
            Value::Texts(texts) => Json::List(texts.iter().map(Json::text).collect()),
        }
    }

    /// Whether it is what is expected. Points in time count, not how they are written; of decimals, floats aside, the
    /// digits count.
    pub(super) fn is(&self, expected: &Json) -> bool {
        match (self, expected) {
            (Value::Null, expected) => expected.is_null(),
            (Value::Float(number), Json::Plain(text) | Json::Text(text)) => text
                .parse()
                .is_ok_and(|expected: f64| expected == *number || (expected.is_nan() && number.is_nan())),
            (Value::Decimal(digits), Json::Plain(text) | Json::Text(text)) => text == digits,
            (Value::Bytes { bytes, fixed }, Json::Text(text)) => {
                (*fixed && unhex(&text.replace('-', "")).as_deref() == Some(bytes))
                    || text.as_bytes() == bytes
            }
            (Value::Bytes { bytes, .. } | Value::Payload(bytes), expected) => {
                matches!(Bytes::of(expected), Ok(Some(expected)) if expected.are(bytes))
            }
            (Value::Timestamp(us), Json::Text(text)) => {
                OffsetDateTime::parse(text, &Rfc3339).is_ok_and(|time| time_of(*us) == Some(time))
            }
            (Value::Date(days), Json::Text(text)) => {
                let format = format_description!("[year]-[month]-[day]");
                Date::parse(text, format).is_ok_and(|date| day(*days) == Some(date))
            }
            (Value::Json(text), expected) => Json::parse(text).is_ok_and(|json| json.means(expected)),
            (Value::Headers(headers), expected) => {
                headers_of(expected).is_ok_and(|expected| expected == *headers)
            }
            (own, expected) => own.shown() == *expected,
        }
    }
}

fn uuid(digits: &str) -> String {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

fn time_of(us: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1_000).ok()
}

fn day(days: i32) -> Option<Date> {
    OffsetDateTime::UNIX_EPOCH.date().checked_add(Duration::days(i64::from(days)))
}

/// Headers: an object of them, or, where a name occurs twice, a list of objects of one.
pub(super) fn headers_of(json: &Json) -> Result<Vec<Header>, String> {
    let header = |(name, value): &(String, Json)| {
        let value = Bytes::of(value).map_err(|error| format!("header `{name}`: {error}"))?;
        Ok((name.clone(), value.map(Bytes::into_vec)))
    };
    match json {
        json if json.is_null() => Ok(Vec::new()),
        Json::Object(fields) => fields.iter().map(header).collect(),
        Json::List(list) => list
            .iter()
            .map(|entry| match entry {
                Json::Object(fields) => match fields.as_slice() {
                    [field] => header(field),
                    _ => Err("a list of headers has one header in each object".to_owned()),
                },
                _ => Err("a list of headers is of objects: [{\"name\": \"value\"}]".to_owned()),
            })
            .collect(),
        _ => Err("headers are an object, or a list of objects of one header each".to_owned()),
    }
}

fn shown_headers(headers: &[Header]) -> Json {
    let shown = |(name, value): &Header| {
        (name.clone(), value.as_ref().map_or_else(Json::null, |value| Bytes::shown(value)))
    };
    let names: std::collections::BTreeSet<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() == headers.len() {
        Json::Object(headers.iter().map(shown).collect())
    } else {
        Json::List(headers.iter().map(|header| Json::Object(vec![shown(header)])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_what_it_is_shown_as() {
        let bytes = |bytes: &[u8], fixed| Value::Bytes { bytes: bytes.to_owned(), fixed };
        for (value, shown) in [
            (Value::Null, "null"),
            (Value::Text("a\nb".into()), r#""a\nb""#),
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Float(1.0), "1.0"),
            (Value::Float(f64::NEG_INFINITY), r#""-inf""#),
            (Value::Float(f64::NAN), r#""NaN""#),
            (Value::Boolean(true), "true"),
            (bytes(&[0, 255], false), r#"{ "hex": "00ff" }"#),
            (bytes(&[7; 16], true), r#""07070707-0707-0707-0707-070707070707""#),
            (Value::Timestamp(1_709_211_909_120_000), r#""2024-02-29T13:05:09.12Z""#),
            (Value::Timestamp(i64::MAX), "9223372036854775807"),
            (Value::Date(19_782), r#""2024-02-29""#),
            (Value::Date(i32::MIN), "-2147483648"),
            (Value::Decimal("-12.50".into()), r#""-12.50""#),
            (Value::Json(r#"{"a":1.10}"#.into()), r#"{ "a": 1.10 }"#),
            (Value::Payload(b"plain".to_vec()), r#""plain""#),
            (Value::Texts(vec!["a".into()]), r#"["a"]"#),
            (
                Value::Headers(vec![("a".into(), None), ("b".into(), Some(b"x".to_vec()))]),
                r#"{ "a": null, "b": "x" }"#,
            ),
            (
                Value::Headers(vec![("a".into(), None), ("a".into(), Some(vec![255]))]),
                r#"[{ "a": null }, { "a": { "base64": "/w==" } }]"#,
            ),
        ] {
            assert_eq!(value.shown().line(), shown);
            assert!(value.is(&Json::parse(shown).unwrap()), "{shown}");
            assert!(!value.is(&Json::text("something else")), "{shown}");
        }
    }

    #[test]
    fn the_same_may_be_written_in_more_than_one_way() {
        let is = |value: Value, text: &str| value.is(&Json::parse(text).unwrap());
        assert!(is(Value::Timestamp(0), r#""1970-01-01T01:00:00.000+01:00""#));
        assert!(is(Value::Float(1.0), "1"));
        assert!(is(Value::Decimal("12.50".into()), "12.50"));
        assert!(!is(Value::Decimal("12.50".into()), "12.5"));
        assert!(is(Value::Bytes { bytes: b"ab".to_vec(), fixed: false }, r#"{"base64": "YWI="}"#));
        assert!(is(Value::Bytes { bytes: b"ab".to_vec(), fixed: false }, r#""ab""#));
        assert!(is(Value::Payload(b"[1,  2]".to_vec()), r#"{"json": [1, 2]}"#));
        assert!(!is(Value::Payload(b"[1,  2]".to_vec()), r#""[1, 2]""#));
        assert!(!is(Value::Json("{".into()), r#""{""#), "what is no JSON is never what is expected");
        assert!(!is(
            Value::Headers(vec![("b".into(), None), ("a".into(), None)]),
            r#"{"a": null, "b": null}"#
        ));
    }
}
