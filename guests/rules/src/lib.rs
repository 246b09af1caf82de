//! Rules that turn JSON records into rows, messages and mail: what the configurable guests have in common.
//!
//! `config` is what an author writes, `rule` what it becomes: everything that has a name is resolved once, into places.
//! Per record, `scan` picks the wanted places out of the text in one pass, `leaf` reads them as what is needed, and
//! `rows` and `messages` make the effects, or gather every fault. What a guest has besides (answers to lookups, keys that
//! it makes) gets names too, and is read by the same pointers.

mod choice;
mod condition;
#[allow(missing_docs, reason = "the guides of the guests explain what an author writes")]
pub mod config;
mod document;
mod each;
mod kinds;
mod leaf;
mod made;
mod messages;
mod place;
mod rows;
mod rule;
mod scan;
mod template;

pub use condition::Condition;
pub use leaf::{Leaf, Value};
pub use made::Made;
pub use place::{Facts, Field, Places, Reading};
pub use rows::{CellRule, Refused, RowRule, declare, put};
pub use rule::{Rulebook, Rules};
pub use template::Template;

use gristmill_sdk::Failure;
use std::borrow::Cow;

/// A record's JSON. What is encoded twice, a JSON text that holds a JSON document, is decoded once.
pub fn once_encoded(text: &str) -> Result<Cow<'_, str>, Failure> {
    if !text.trim_ascii_start().starts_with('"') {
        return Ok(Cow::Borrowed(text));
    }
    let inner: String = serde_json::from_str(text).map_err(|error| gristmill_sdk::json::invalid(&error))?;
    Ok(Cow::Owned(inner))
}
