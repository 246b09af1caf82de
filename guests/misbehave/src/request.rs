//! What a record, or the configuration, asks for.

use gristmill_sdk::bindings::gristmill::transform::types::{Batch, Blobs};
use serde::Deserialize;

/// The configuration, and what one can ask for in a record too.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Request {
    /// The misbehaviour; without one the record is a plain item.
    #[serde(rename = "do")]
    pub deed: Option<String>,
    pub id: Option<i64>,
    pub note: Option<String>,
    /// Sends a message to `out`, keyed by the id.
    pub to: Option<serde_json::Value>,
    /// For `lookup`.
    pub key: Option<String>,
}

/// The value of a record, if it has one.
pub(crate) fn value(batch: &Batch, index: usize) -> Option<&[u8]> {
    let absent = u32::try_from(index).is_ok_and(|index| batch.no_value.contains(&index));
    if absent { None } else { nth(&batch.values, index) }
}

fn nth(blobs: &Blobs, index: usize) -> Option<&[u8]> {
    let start = match index.checked_sub(1) {
        Some(before) => *blobs.ends.get(before)? as usize,
        None => 0,
    };
    blobs.data.get(start..*blobs.ends.get(index)? as usize)
}

/// What the record asks for. One that cannot be read asks for nothing, and will be refused.
pub(crate) fn of_record(batch: &Batch, index: usize, config: &Request) -> Option<Request> {
    let mut request: Request = serde_json::from_slice(value(batch, index)?).ok()?;
    if request.deed.is_none() {
        request.deed.clone_from(&config.deed);
    }
    Some(request)
}
