//! A record's key, made from its value.

use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// How a record's key is made from its value: a JSON pointer, `/order_id`, or pointers in braces with text between,
/// `{/store}-{/item}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// As it is written.
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Pointer(String),
}

/// Why a record has no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// The pointer at fault; empty if the value is no JSON.
    pub pointer: String,
    /// What is wrong there.
    pub reason: &'static str,
}

const EXPECTED: &str = "a key is a JSON pointer, `/order_id`, or pointers in braces, `{/store}-{/item}`";

impl FromStr for KeyRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || EXPECTED.to_owned();
        if text.starts_with('/') {
            return Ok(KeyRule { text: text.to_owned(), parts: vec![Part::Pointer(text.to_owned())] });
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (pointer, behind) = behind.split_once('}').ok_or_else(wrong)?;
            if !pointer.starts_with('/') || before.contains('}') {
                return Err(wrong());
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Pointer(pointer.to_owned()));
            rest = behind;
        }
        if parts.is_empty() || rest.contains('}') {
            return Err(wrong());
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(KeyRule { text: text.to_owned(), parts })
    }
}

impl fmt::Display for KeyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl KeyRule {
    /// The places of the values that the key is made of.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Pointer(pointer) => Some(pointer.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The key of a record with this value: texts as they are, numbers and truth values as JSON writes them.
    ///
    /// # Errors
    /// The place that holds none.
    pub fn key(&self, value: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let fault = |pointer: &str, reason| KeyFault { pointer: pointer.to_owned(), reason };
        let value: Value =
            serde_json::from_slice(value).map_err(|_| fault("", "the record cannot be read to its end"))?;
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Pointer(pointer) => match value.pointer(pointer) {
                    Some(Value::String(text)) => key.push_str(text),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => key.push_str(&value.to_string()),
                    Some(Value::Null) | None => return Err(fault(pointer, "the record's key is missing")),
                    Some(_) => {
                        let reason = "the record's key must be a string, a number or a truth value";
                        return Err(fault(pointer, reason));
                    }
                },
            }
        }
        Ok(key.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rule: &str, value: &str) -> Result<String, KeyFault> {
        let rule: KeyRule = rule.parse().unwrap();
        assert_eq!(rule.to_string(), rule.text);
        rule.key(value.as_bytes()).map(|key| String::from_utf8(key).unwrap())
    }

    #[test]
    fn keys_are_texts() {
        let value = r#"{"id": 12, "n": {"s": "x", "t": true, "z": null, "o": {}}}"#;
        for (rule, expected) in
            [("/id", "12"), ("/n/s", "x"), ("/n/t", "true"), ("{/id}-{/n/s}", "12-x"), ("a{/id}b", "a12b")]
        {
            assert_eq!(key(rule, value).as_deref(), Ok(expected), "{rule}");
        }
        for (rule, pointer) in
            [("/n/z", "/n/z"), ("/n/o", "/n/o"), ("/none", "/none"), ("{/id}-{/n/z}", "/n/z")]
        {
            assert_eq!(key(rule, value).unwrap_err().pointer, pointer, "{rule}");
        }
        assert_eq!(key("/id", "no JSON").unwrap_err().pointer, "");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "id", "{id}", "{/id", "{/a}}", "a}{/id}", "plain-text"] {
            assert!(text.parse::<KeyRule>().is_err(), "{text}");
        }
    }
}
