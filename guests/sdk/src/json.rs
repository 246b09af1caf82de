//! Where JSON is not what was asked for: as failures with pointers.

use crate::failure::Failure;
use serde::Deserialize;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

/// The failure for a value that did not parse. The value is parsed once more to find the place: only bad
/// records pay for it.
#[cold]
pub(crate) fn failure<'b, T: Deserialize<'b>>(text: &'b str, error: &serde_json::Error) -> Failure {
    if error.classify() != Category::Data {
        return invalid(error);
    }
    match from_str_with_path::<T>(text) {
        Err((pointer, reason)) => Failure::reject("wrong-shape", bounded(reason)).at(pointer),
        Ok(_) => Failure::reject("wrong-shape", bounded(error.to_string())),
    }
}

/// Reasons quote the offending value, which a record may make as long as it likes.
fn bounded(reason: String) -> String {
    const CHARS_MAX: usize = 300;
    match reason.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => reason.get(..end).unwrap_or_default().to_owned() + "…",
        None => reason,
    }
}

/// The failure for a text that is not JSON, with line and column.
#[cold]
pub fn invalid(error: &serde_json::Error) -> Failure {
    Failure::reject("invalid-json", format!("the value is not JSON: {error}"))
}

/// Parses; an error comes with the JSON pointer of its place.
pub(crate) fn from_str_with_path<'b, T: Deserialize<'b>>(text: &'b str) -> Result<T, (String, String)> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        (pointer, error.into_inner().to_string())
    })?;
    deserializer.end().map_err(|error| (String::new(), error.to_string()))?;
    Ok(value)
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push_token(&mut pointer, &index.to_string()),
            Segment::Map { key } => push_token(&mut pointer, key),
            // A variant of an enum is no place in the text.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Appends one token to a JSON pointer, escaped as RFC 6901 has it.
pub fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for char in token.chars() {
        match char {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}
