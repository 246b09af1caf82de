//! JSON as it is written: numbers stay the digits they are, and the order of properties is kept, so that what a guest
//! gave can be shown, written down and compared without losing anything.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// How deep documents may be nested.
const DEPTH_MAX: usize = 100;
/// What fits into so many characters is written in one line.
const WIDTH: usize = 100;

/// A JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// A number, `true`, `false` or `null`, as it is written.
    Plain(String),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn null() -> Self {
        Json::Plain("null".to_owned())
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Json::Text(text.into())
    }

    /// Anything that is written as a number or a truth value is.
    pub(super) fn plain(value: impl fmt::Display) -> Self {
        Json::Plain(value.to_string())
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Json::Plain(text) if text == "null")
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        read(raw, DEPTH_MAX)
    }

    /// Whether both mean the same: the order of properties does not count, the digits of numbers do.
    pub(super) fn means(&self, other: &Self) -> bool {
        match (self, other) {
            (Json::List(own), Json::List(others)) => {
                own.len() == others.len() && own.iter().zip(others).all(|(own, other)| own.means(other))
            }
            (Json::Object(own), Json::Object(others)) => {
                let (own, others) = (sorted(own), sorted(others));
                own.len() == others.len()
                    && own.iter().zip(others).all(|(own, other)| own.0 == other.0 && own.1.means(&other.1))
            }
            (own, other) => own == other,
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        self.to_string()
    }

    /// For a file: short things in one line, the others with a line for each part.
    pub(super) fn pretty(&self) -> String {
        let mut text = String::new();
        self.write_pretty(&mut text, 0);
        text.push('\n');
        text
    }

    fn write_pretty(&self, text: &mut String, depth: usize) {
        let line = self.line();
        let parts: Vec<(Option<&str>, &Json)> = match self {
            Json::List(list) => list.iter().map(|part| (None, part)).collect(),
            Json::Object(fields) => fields.iter().map(|(name, part)| (Some(name.as_str()), part)).collect(),
            Json::Plain(_) | Json::Text(_) => Vec::new(),
        };
        // The top is never one line: a file that grows later shows just what was added.
        if parts.is_empty() || (depth > 0 && depth * 2 + line.chars().count() <= WIDTH) {
            text.push_str(&line);
            return;
        }
        let (open, close) = if matches!(self, Json::List(_)) { ('[', ']') } else { ('{', '}') };
        text.push(open);
        for (index, (name, part)) in parts.into_iter().enumerate() {
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            text.push_str(&"  ".repeat(depth + 1));
            if let Some(name) = name {
                text.push_str(&quoted(name));
                text.push_str(": ");
            }
            part.write_pretty(text, depth + 1);
        }
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
        text.push(close);
    }
}

fn sorted(fields: &[(String, Json)]) -> Vec<&(String, Json)> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
    sorted
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Plain(text) => f.write_str(text),
            Json::Text(text) => f.write_str(&quoted(text)),
            Json::List(list) => {
                for (index, part) in list.iter().enumerate() {
                    write!(f, "{}{part}", if index == 0 { "[" } else { ", " })?;
                }
                f.write_str(if list.is_empty() { "[]" } else { "]" })
            }
            Json::Object(fields) => {
                for (index, (name, part)) in fields.iter().enumerate() {
                    let before = if index == 0 { "{ " } else { ", " };
                    write!(f, "{before}{}: {part}", quoted(name))?;
                }
                f.write_str(if fields.is_empty() { "{}" } else { " }" })
            }
        }
    }
}

fn read(raw: &RawValue, depth_left: usize) -> Result<Json, String> {
    let text = raw.get();
    let below = depth_left.checked_sub(1).ok_or_else(|| format!("nested deeper than {DEPTH_MAX}"))?;
    let wrong = |error: serde_json::Error| error.to_string();
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let Fields(fields) = serde_json::from_str::<Fields<&RawValue>>(text).map_err(wrong)?;
            let field = |(name, raw): (String, &RawValue)| Ok((name, read(raw, below)?));
            Json::Object(fields.into_iter().map(field).collect::<Result<_, String>>()?)
        }
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
            Json::List(list.into_iter().map(|raw| read(raw, below)).collect::<Result<_, String>>()?)
        }
        Some(b'"') => Json::Text(serde_json::from_str(text).map_err(wrong)?),
        _ => Json::Plain(text.to_owned()),
    })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &RawValue = Deserialize::deserialize(deserializer)?;
        read(raw, DEPTH_MAX).map_err(D::Error::custom)
    }
}

/// An object's fields in their order.
#[derive(Clone, Debug)]
pub(super) struct Fields<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Fields<T> {
    fn default() -> Self {
        Fields(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Read(std::marker::PhantomData)).map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_meaning_is_what_counts() {
        let json = Json::parse(r#"{"b":1.10,"a":[1,"\u00fc",null,{}],"c":12345678901234567890123}"#).unwrap();
        assert_eq!(json.line(), r#"{ "b": 1.10, "a": [1, "ü", null, {}], "c": 12345678901234567890123 }"#);
        let other = Json::parse(r#"{"c":12345678901234567890123, "a": [1,"ü",null,{}], "b":1.10 }"#).unwrap();
        assert!(json.means(&other));
        assert!(!Json::parse("[1.10]").unwrap().means(&Json::parse("[1.1]").unwrap()));
        assert!(!Json::parse("[1, 2]").unwrap().means(&Json::parse("[2, 1]").unwrap()));
        assert_eq!(json, Json::parse(&json.pretty()).unwrap());
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_and_what_is_long_is_broken_up() {
        assert!(Json::parse(&("[".repeat(99) + &"]".repeat(99))).is_ok());
        let error = Json::parse(&("[".repeat(100_000) + &"]".repeat(100_000))).unwrap_err();
        assert!(error.contains("deeper than 100"), "{error}");
        let list = Json::List(vec![Json::text("x".repeat(60)), Json::text("y".repeat(60))]);
        assert_eq!(list.pretty().lines().count(), 4);
        let nested = Json::Object(vec![("a".to_owned(), Json::List(vec![Json::plain(1)]))]);
        assert_eq!(nested.pretty(), "{\n  \"a\": [1]\n}\n");
    }
}
