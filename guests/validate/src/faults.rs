//! From what the schema library finds to failures: a stable code, the place, a reason of bounded length.

use crate::tree::{Tree, Trees};
use gristmill_sdk::json::push_token;
use gristmill_sdk::{Failure, Faults};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use std::io::{self, Write};

const REASON_CHARS_MAX: usize = 400;
const VALUE_BYTES_MAX: usize = 100;
const POINTER_BYTES_MAX: usize = 1_000;

/// Every fault of a value, as many as are kept.
pub(crate) fn all(schema: &Validator<Trees>, value: &Tree<'_>) -> Faults {
    let mut faults = Faults::default();
    for error in schema.iter_errors(value) {
        failures(&error).into_iter().for_each(|failure| faults.add(failure));
        if faults.is_full() {
            break;
        }
    }
    faults
}

/// One fault, or one for each property that is too many.
fn failures(error: &ValidationError<'_>) -> Vec<Failure> {
    let place = error.instance_path().as_str();
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![failure(error, below(place, name), "this property is required".to_owned())]
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names = unexpected.iter().take(Faults::MOST);
            names
                .map(|name| failure(error, below(place, name), "this property is not allowed".to_owned()))
                .collect()
        }
        _ => vec![failure(error, place.to_owned(), reason(error))],
    }
}

fn failure(error: &ValidationError<'_>, pointer: String, reason: String) -> Failure {
    Failure::reject(code(error.kind().keyword()), reason).at(fitting(pointer))
}

/// `schema-` and the keyword: `maxLength` becomes `schema-max-length`.
fn code(keyword: &str) -> String {
    let mut code = "schema-".to_owned();
    for char in keyword.chars() {
        if char.is_ascii_uppercase() {
            code.push('-');
        }
        if char.is_ascii_alphanumeric() {
            code.push(char.to_ascii_lowercase());
        }
    }
    code
}

fn below(place: &str, name: &str) -> String {
    let mut pointer = place.to_owned();
    push_token(&mut pointer, name);
    pointer
}

/// The pointer, or that of the nearest place around it that is not absurdly long.
fn fitting(mut pointer: String) -> String {
    while pointer.len() > POINTER_BYTES_MAX {
        pointer.truncate(pointer.rfind('/').unwrap_or(0));
    }
    pointer
}

/// What is wrong, for a person, with at most the beginning of the value.
pub(crate) fn reason(error: &ValidationError<'_>) -> String {
    let reason = error.masked_with(beginning(error.instance())).to_string();
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => reason.get(..end).unwrap_or_default().to_owned() + "…",
        None => reason,
    }
}

/// The first part of a value's JSON. The rest is not even written out.
fn beginning(value: &Value) -> String {
    let mut bytes = FirstBytes(Vec::with_capacity(VALUE_BYTES_MAX));
    let whole = serde_json::to_writer(&mut bytes, value).is_ok();
    let mut text = String::from_utf8_lossy(&bytes.0).trim_end_matches(char::REPLACEMENT_CHARACTER).to_owned();
    if !whole {
        text.push('…');
    }
    text
}

struct FirstBytes(Vec<u8>);

impl Write for FirstBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(VALUE_BYTES_MAX - self.0.len());
        self.0.extend(bytes.iter().take(fits));
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
