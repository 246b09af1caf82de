//! `input.ndjson`: a case's records, one JSON object in each line.

use super::bytes::{Bytes, unhex};
use super::json::Json;
use super::value::headers_of;
use crate::record::Batch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    /// JSON: the value is this text, just as it stands there.
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    value: Option<&'a RawValue>,
    text: Option<String>,
    base64: Option<String>,
    hex: Option<String>,
    #[serde(default)]
    tombstone: bool,
    key: Option<Json>,
    headers: Option<Json>,
    #[serde(default, deserialize_with = "rfc3339")]
    timestamp: Option<i64>,
    timestamp_ms: Option<i64>,
    offset: Option<i64>,
}

fn as_it_stands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = OffsetDateTime::parse(&text, &Rfc3339)
        .map_err(|_| D::Error::custom("not a point in time like 2026-11-21T09:00:00Z"))?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).map(Some).map_err(D::Error::custom)
}

impl Line<'_> {
    fn value(&self) -> Result<Option<Vec<u8>>, String> {
        match (self.value, &self.text, &self.base64, &self.hex, self.tombstone) {
            (Some(json), None, None, None, false) => Ok(Some(json.get().as_bytes().to_vec())),
            (None, Some(text), None, None, false) => Ok(Some(text.clone().into_bytes())),
            (None, None, Some(text), None, false) => {
                STANDARD.decode(text).map(Some).map_err(|error| format!("`base64`: {error}"))
            }
            (None, None, None, Some(text), false) => {
                unhex(text).map(Some).ok_or("`hex`: two hexadecimal digits for each byte".to_owned())
            }
            (None, None, None, None, true) => Ok(None),
            _ => Err("a record has one of `value` (JSON), `text`, `base64`, `hex`, or `\"tombstone\": true`"
                .to_owned()),
        }
    }

    fn push(self, batch: &mut Batch) -> Result<(), String> {
        let value = self.value()?;
        let key = self.key.as_ref().map_or(Ok(None), Bytes::of).map_err(|error| format!("`key`: {error}"))?;
        let headers = self.headers.as_ref().map_or(Ok(Vec::new()), headers_of)?;
        let timestamp_ms = match (self.timestamp, self.timestamp_ms) {
            (Some(_), Some(_)) => return Err("`timestamp` or `timestamp_ms`, not both".to_owned()),
            (at, at_ms) => at.or(at_ms).unwrap_or(0),
        };
        let next = batch.offsets.last().map_or(0, |last| last.saturating_add(1));
        let offset = self.offset.unwrap_or(next);
        if offset < 0 || (offset < next && !batch.is_empty()) {
            return Err(format!("offset {offset} does not come after that of the record before"));
        }
        batch.push(offset, timestamp_ms, key.map(Bytes::into_vec).as_deref(), value.as_deref());
        for (name, value) in &headers {
            batch.push_header(name, value.as_deref());
        }
        Ok(())
    }
}

/// Records as a batch, and the line of each. The error says line and column.
pub(super) fn parse(text: &str, topic: &str, partition: i32) -> Result<(Batch, Vec<usize>), String> {
    let mut batch = Batch::new(topic, partition);
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read: Line<'_> = serde_json::from_str(line).map_err(|error| super::at(&error, index))?;
        read.push(&mut batch).map_err(|error| format!(":{}: {error}", index + 1))?;
        lines.push(index + 1);
    }
    Ok((batch, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_everything_that_the_contract_can_say() {
        let text = concat!(
            r#"{"value": {"n":  1.10}, "key": "k", "timestamp": "1970-01-01T00:00:01.5Z", "headers": {"a": null}}"#,
            "\n\n",
            r#"{"text": "", "key": {"base64": "/w=="}, "offset": 7, "headers": [{"a": "1"}, {"a": {"hex": "ff"}}]}"#,
            "\r\n",
            r#"{"tombstone": true, "key": null, "timestamp_ms": -1}"#,
            "\n",
            r#"{"value": null}"#,
        );
        let (batch, lines) = parse(text, "t", 3).unwrap();
        assert_eq!(lines, [1, 3, 4, 5]);
        assert_eq!((batch.topic.as_str(), batch.partition), ("t", 3));
        assert_eq!(batch.offsets, [0, 7, 8, 9]);
        assert_eq!(batch.timestamps_ms, [1_500, 0, -1, 0]);
        assert_eq!(batch.value(0), Some(&br#"{"n":  1.10}"#[..]), "just as it stands there");
        assert_eq!(
            (batch.value(1), batch.value(2), batch.value(3)),
            (Some(&b""[..]), None, Some(&b"null"[..]))
        );
        assert_eq!((batch.key(0), batch.key(1), batch.key(2)), (Some(&b"k"[..]), Some(&[255][..]), None));
        assert_eq!(batch.headers_of(0)[0].value, None);
        assert_eq!(batch.headers_of(1)[1].value, Some(vec![255]));
    }

    #[test]
    fn wrong_lines_are_refused_with_their_place() {
        for (line, error) in [
            ("{}", ":2: a record has one of"),
            (r#"{"value": 1, "text": ""}"#, ":2: a record has one of"),
            (r#"{"tombstone": false}"#, ":2: a record has one of"),
            (r#"{"value": 1, "keys": 1}"#, ":2:19: unknown field `keys`"),
            (r#"{"value": 1"#, ":2:11: EOF"),
            (r#"{"value": 1, "key": 5}"#, ":2: `key`: write a text"),
            (r#"{"value": 1, "headers": 5}"#, ":2: headers are"),
            (r#"{"base64": "?"}"#, ":2: `base64`"),
            (r#"{"hex": "0"}"#, ":2: `hex`"),
            (r#"{"value": 1, "timestamp": "yesterday"}"#, "not a point in time"),
            (r#"{"value": 1, "timestamp": "1970-01-01T00:00:00Z", "timestamp_ms": 0}"#, "not both"),
            (r#"{"value": 1, "offset": 3}"#, ":2: offset 3 does not come after"),
        ] {
            let found = parse(&format!("{{\"text\": \"\", \"offset\": 5}}\n{line}\n"), "t", 0).unwrap_err();
            assert!(found.contains(error), "{line}: {found}");
        }
    }
}
