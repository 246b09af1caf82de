//! Bytes as people write them: `"text"`, or an object that says how they are written: `text`, `json`, `base64` or
//! `hex`. The same in all files of a case: keys, values, headers, answers, cells.

use super::json::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// Bytes as a case names them.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    /// These.
    Exact(Vec<u8>),
    /// Any that are this JSON.
    Json(Json),
}

impl Bytes {
    /// Reads the notation; `None` for `null`, where there are no bytes.
    pub(super) fn of(json: &Json) -> Result<Option<Self>, String> {
        const NOTATIONS: &str =
            "write a text, or one of {\"text\": …}, {\"json\": …}, {\"base64\": …}, {\"hex\": …}";
        if json.is_null() {
            return Ok(None);
        }
        let (notation, json) = match json {
            Json::Text(_) => ("text", json),
            Json::Object(fields) => match fields.as_slice() {
                [(notation, json)] => (notation.as_str(), json),
                _ => return Err(NOTATIONS.to_owned()),
            },
            _ => return Err(NOTATIONS.to_owned()),
        };
        Ok(Some(match (notation, json) {
            ("json", json) => Bytes::Json(json.clone()),
            ("text", Json::Text(text)) => Bytes::Exact(text.clone().into_bytes()),
            ("base64", Json::Text(text)) => {
                Bytes::Exact(STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))?)
            }
            ("hex", Json::Text(text)) => {
                Bytes::Exact(unhex(text).ok_or("not hexadecimal digits, two for each byte")?)
            }
            ("text" | "base64" | "hex", _) => return Err(format!("`{notation}` goes with a text")),
            _ => return Err(NOTATIONS.to_owned()),
        }))
    }

    /// Whether these bytes are meant.
    pub(super) fn are(&self, bytes: &[u8]) -> bool {
        match self {
            Bytes::Exact(own) => own == bytes,
            Bytes::Json(own) => std::str::from_utf8(bytes)
                .is_ok_and(|text| Json::parse(text).is_ok_and(|json| own.means(&json))),
        }
    }

    /// The bytes themselves; JSON as one line.
    pub(super) fn into_vec(self) -> Vec<u8> {
        match self {
            Bytes::Exact(bytes) => bytes,
            Bytes::Json(json) => json.line().into_bytes(),
        }
    }

    /// How a person would write bytes: an object or array as JSON, text as text, others as base64.
    pub(super) fn shown(bytes: &[u8]) -> Json {
        match std::str::from_utf8(bytes) {
            Ok(text) => match Json::parse(text) {
                Ok(json @ (Json::Object(_) | Json::List(_))) => Json::Object(vec![("json".to_owned(), json)]),
                _ => Json::text(text),
            },
            Err(_) => Json::Object(vec![("base64".to_owned(), Json::text(STANDARD.encode(bytes)))]),
        }
    }
}

/// Bytes as hexadecimal digits: what digests are known by.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<Option<Vec<u8>>, String> {
        Bytes::of(&Json::parse(text).unwrap()).map(|bytes| bytes.map(Bytes::into_vec))
    }

    #[test]
    fn each_notation_gives_its_bytes() {
        assert_eq!(bytes("null").unwrap(), None);
        assert_eq!(bytes(r#""ü""#).unwrap().unwrap(), "ü".as_bytes());
        assert_eq!(bytes(r#"{"text": ""}"#).unwrap().unwrap(), b"");
        assert_eq!(bytes(r#"{"base64": "/w=="}"#).unwrap().unwrap(), [0xff]);
        assert_eq!(bytes(r#"{"hex": "00fF"}"#).unwrap().unwrap(), [0, 0xff]);
        assert_eq!(bytes(r#"{"json": [1.10]}"#).unwrap().unwrap(), b"[1.10]");
        for wrong in
            ["1", "[]", "{}", r#"{"hex": "0"}"#, r#"{"base64": 1}"#, r#"{"a": ""}"#, r#"{"hex": "x"}"#]
        {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_means_the_same_bytes() {
        for given in [&b"text"[..], b"", b"\xff", br#"{"a":  1.10}"#, b"5", b"null", b"[\"\\u00fc\"]"] {
            let shown = Bytes::shown(given);
            assert!(Bytes::of(&shown).unwrap().unwrap().are(given), "{}", shown.line());
        }
        assert!(!Bytes::of(&Json::parse(r#"{"json": 1}"#).unwrap()).unwrap().unwrap().are(b"2"));
    }
}
