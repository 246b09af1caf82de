//! From a request's body to records: every byte of a record stays as it was posted.

use super::admission::Room;
use super::problem::Problem;
use crate::intake::csv;
use crate::log::NewRecord;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;
use std::cell::Cell;
use std::time::Duration;

/// How records stand in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON value is one record; the elements of an array are one each.
    Json,
    /// One JSON value per line.
    Ndjson,
    /// One record per row: a JSON object of texts, named by the first row.
    Csv,
}

impl Format {
    /// What the content type says.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut parts = given.split(';').map(|part| part.trim().to_ascii_lowercase());
        let format = match parts.next().as_deref() {
            Some("application/json") => Some(Format::Json),
            Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => Some(Format::Ndjson),
            Some("text/csv") => Some(Format::Csv),
            _ => None,
        };
        let utf8 = parts.filter_map(|part| part.strip_prefix("charset=").map(str::to_owned));
        let utf8 = utf8.map(|charset| charset.trim_matches('"').to_owned());
        match format.filter(|_| utf8.into_iter().all(|charset| charset == "utf-8" || charset == "utf8")) {
            Some(format) => Ok(format),
            None => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content-type",
                "No such content type is taken",
                "records come as application/json (one, or an array of many), application/x-ndjson (one per line) or \
                 text/csv (one per row, the first row names the columns), in UTF-8",
            )),
        }
    }
}

/// How long the body will be, if its head says so.
pub(super) fn announced_bytes(headers: &HeaderMap, bytes_max: usize) -> Result<Option<usize>, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > bytes_max as u64 => Err(too_large(bytes_max)),
        length => Ok(length.and_then(|length| usize::try_from(length).ok())),
    }
}

/// Reads a body, of so many bytes at most, in so much time; its room grows with it.
pub(super) async fn read(
    body: &mut Body,
    bytes_max: usize,
    within: Duration,
    room: &mut Room<'_>,
) -> Result<Vec<u8>, Problem> {
    let reading = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::malformed("the body broke off"))?;
            let Ok(part) = frame.into_data() else { continue };
            if bytes.len() + part.len() > bytes_max {
                return Err(too_large(bytes_max));
            }
            room.reach(bytes.len() + part.len())?;
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    match tokio::time::timeout(within, reading).await {
        Ok(read) => read,
        Err(_) => Err(slow(within)),
    }
}

/// A body that did not arrive in time.
pub(super) fn slow(within: Duration) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "slow-body",
        "The body took too long",
        format!("the body did not arrive within {} ms", within.as_millis()),
    )
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("a body may have {bytes_max} bytes; send the records in several requests");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "large-body", "The body is too large", detail)
        .with("bytes_max", json!(bytes_max))
}

/// Takes a body apart: at least one record, at most so many.
pub(super) fn records(format: Format, body: &[u8], records_max: usize) -> Result<Vec<NewRecord>, Problem> {
    let bytes =
        |values: Vec<&RawValue>| values.into_iter().map(|value| value.get().as_bytes().to_vec()).collect();
    let values: Vec<Vec<u8>> = match format {
        Format::Json => bytes(json_values(body, records_max)?),
        Format::Ndjson => bytes(lines(body, records_max)?),
        Format::Csv => rows(body, records_max)?,
    };
    if values.is_empty() {
        return Err(Problem::malformed("there is no record in it"));
    }
    Ok(values.into_iter().map(|value| NewRecord { value: Some(value), ..NewRecord::default() }).collect())
}

fn rows(body: &[u8], records_max: usize) -> Result<Vec<Vec<u8>>, Problem> {
    let mut values = Vec::new();
    let misread = |error: csv::Error, record: usize| {
        Problem::malformed(format!("record {record}, {error}"))
            .with("record", json!(record))
            .with("line", json!(error.line))
    };
    for row in csv::Rows::new(body).map_err(|error| misread(error, 0))? {
        let row = row.map_err(|error| misread(error, values.len()))?;
        if values.len() == records_max {
            return Err(too_many(records_max));
        }
        values.push(row);
    }
    Ok(values)
}

fn json_values(body: &[u8], records_max: usize) -> Result<Vec<&RawValue>, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_none() {
        return Ok(Vec::new());
    }
    let seen = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let values = match first {
        Some(b'[') => Elements { records_max, seen: &seen }.deserialize(&mut reader),
        _ => <&RawValue as serde::Deserialize>::deserialize(&mut reader).map(|value| vec![value]),
    };
    let values = values.and_then(|values| reader.end().map(|()| values));
    if seen.get() > records_max {
        return Err(too_many(records_max));
    }
    values.map_err(|error| misread(&error, error.line(), seen.get()))
}

fn lines(body: &[u8], records_max: usize) -> Result<Vec<&RawValue>, Problem> {
    let mut values = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if values.len() == records_max {
            return Err(too_many(records_max));
        }
        match serde_json::from_slice::<&RawValue>(line) {
            Ok(value) => values.push(value),
            Err(error) => return Err(misread(&error, index + 1, values.len())),
        }
    }
    Ok(values)
}

fn too_many(records_max: usize) -> Problem {
    let detail = format!("a request may have {records_max} records; send them in several requests");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "many-records", "Too many records", detail)
        .with("records_max", json!(records_max))
}

fn misread(error: &serde_json::Error, line: usize, record: usize) -> Problem {
    let column = error.column();
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or("not JSON");
    Problem::malformed(format!("record {record}, line {line}, column {column}: {said}"))
        .with("record", json!(record))
        .with("line", json!(line))
        .with("column", json!(column))
}

/// The elements of an array, as they are written; `seen` counts those that were begun.
struct Elements<'c> {
    records_max: usize,
    seen: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element()? {
            values.push(value);
            self.seen.set(values.len());
            if values.len() > self.records_max {
                return Err(serde::de::Error::custom("too many records"));
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use proptest::prelude::*;

    fn texts(format: Format, body: &str) -> Result<Vec<String>, StatusCode> {
        let text = |record: NewRecord| String::from_utf8(record.value.unwrap()).unwrap();
        match records(format, body.as_bytes(), 3) {
            Ok(records) => Ok(records.into_iter().map(text).collect()),
            Err(problem) => Err(problem.into_response().status()),
        }
    }

    #[test]
    fn records_keep_the_bytes_that_were_posted() {
        let ok = |texts: &[&str]| Ok(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        for (format, body, expected) in [
            (Format::Json, " {\"b\": 1.10, \"a\":2} \n", ok(&["{\"b\": 1.10, \"a\":2}"])),
            (Format::Json, "[{\"b\" : 1e3},2 , \"x\"]", ok(&["{\"b\" : 1e3}", "2", "\"x\""])),
            (Format::Json, "[1,2,3,4]", Err(StatusCode::PAYLOAD_TOO_LARGE)),
            (Format::Json, "[]", Err(StatusCode::BAD_REQUEST)),
            (Format::Json, "", Err(StatusCode::BAD_REQUEST)),
            (Format::Json, "{\"a\":1} x", Err(StatusCode::BAD_REQUEST)),
            (Format::Json, "[1,]", Err(StatusCode::BAD_REQUEST)),
            (Format::Json, "nul", Err(StatusCode::BAD_REQUEST)),
            (Format::Ndjson, "{\"a\":1}\r\n\n [2]\n", ok(&["{\"a\":1}", "[2]"])),
            (Format::Ndjson, "1\n2\n3\n4\n", Err(StatusCode::PAYLOAD_TOO_LARGE)),
            (Format::Ndjson, "\n \n", Err(StatusCode::BAD_REQUEST)),
            (Format::Ndjson, "1 2\n", Err(StatusCode::BAD_REQUEST)),
            (Format::Csv, "a,b\n1,x y\n", ok(&["{\"a\":\"1\",\"b\":\"x y\"}"])),
            (Format::Csv, "a,b\n", Err(StatusCode::BAD_REQUEST)),
            (Format::Csv, "a,b\n1\n", Err(StatusCode::BAD_REQUEST)),
            (Format::Csv, "a\n1\n2\n3\n4\n", Err(StatusCode::PAYLOAD_TOO_LARGE)),
        ] {
            assert_eq!(texts(format, body), expected, "{format:?} {body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_a_client_error(body: Vec<u8>, text in "[\\[\\]{}\",:0-9a-e\\\\ \n]{0,40}") {
            for format in [Format::Json, Format::Ndjson, Format::Csv] {
                for body in [&body[..], text.as_bytes()] {
                    if let Err(problem) = records(format, body, 5) {
                        prop_assert!(problem.into_response().status().is_client_error());
                    }
                }
            }
        }
    }
}
