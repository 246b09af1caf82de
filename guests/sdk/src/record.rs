//! A record as its transform sees it.

use crate::bindings::gristmill::transform::types::{Batch, Header};
use crate::failure::Failure;
use crate::lookups::Answers;
use crate::packed::narrow;
use crate::plan::Lookup;
use serde::Deserialize;

/// One record of the batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'b> {
    pub(crate) index: u32,
    topic: &'b str,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<&'b [u8]>,
    value: Option<&'b [u8]>,
    headers: &'b [Header],
    answers: Option<&'b Answers>,
}

impl<'b> Record<'b> {
    /// The topic that the record was read from.
    pub fn topic(&self) -> &'b str {
        self.topic
    }

    /// The partition that the record was read from.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The record's place in its partition.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// When the record was made, in milliseconds since 1970-01-01 UTC.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&'b [u8]> {
        self.key
    }

    /// The value; a tombstone has none.
    pub fn value(&self) -> Option<&'b [u8]> {
        self.value
    }

    /// The headers, in order: a name, and a value that may be absent.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, Option<&'b [u8]>)> + use<'b> {
        self.headers.iter().map(|header| (header.name.as_str(), header.value.as_deref()))
    }

    /// The value as text. Codes: `no-value`, `invalid-utf8`.
    pub fn text(&self) -> Result<&'b str, Failure> {
        let value = self.value.ok_or_else(no_value)?;
        std::str::from_utf8(value).map_err(|error| {
            let reason = format!("the value is not UTF-8 from byte {}", error.valid_up_to());
            Failure::reject("invalid-utf8", reason)
        })
    }

    /// The value as JSON; texts are borrowed from it where they hold no escapes.
    ///
    /// Codes: `no-value`, `invalid-utf8`, `invalid-json` (with line and column), and `wrong-shape` (with a
    /// pointer) where the JSON is not what the type asks for.
    pub fn json<T: Deserialize<'b>>(&self) -> Result<T, Failure> {
        let text = self.text()?;
        serde_json::from_str(text).map_err(|error| crate::json::failure::<T>(text, &error))
    }

    /// The answer to a key that `lookups` asked for; `None` if the lookup has none.
    pub fn looked_up(&self, lookup: Lookup, key: impl AsRef<[u8]>) -> Option<&'b [u8]> {
        self.answers?.get(lookup, key.as_ref())
    }
}

#[cold]
fn no_value() -> Failure {
    Failure::reject("no-value", "the record has no value")
}

/// The records of a batch, in order.
pub(crate) fn records<'b>(batch: &'b Batch, answers: Option<&'b Answers>) -> Records<'b> {
    Records {
        batch,
        answers,
        index: 0,
        starts: (0, 0),
        no_key: &batch.no_key,
        no_value: &batch.no_value,
        headers: &batch.headers,
    }
}

pub(crate) struct Records<'b> {
    batch: &'b Batch,
    answers: Option<&'b Answers>,
    index: usize,
    starts: (usize, usize),
    no_key: &'b [u32],
    no_value: &'b [u32],
    headers: &'b [Header],
}

impl<'b> Records<'b> {
    fn read(&mut self) -> Option<Record<'b>> {
        let batch = self.batch;
        let index = narrow(self.index);
        let key_end = *batch.keys.ends.get(self.index)? as usize;
        let value_end = *batch.values.ends.get(self.index)? as usize;
        let key = batch.keys.data.get(self.starts.0..key_end)?;
        let value = batch.values.data.get(self.starts.1..value_end)?;
        let record = Record {
            index,
            topic: &batch.topic,
            partition: batch.partition,
            offset: *batch.offsets.get(self.index)?,
            timestamp_ms: *batch.timestamps_ms.get(self.index)?,
            key: (!is_next(&mut self.no_key, index)).then_some(key),
            value: (!is_next(&mut self.no_value, index)).then_some(value),
            headers: self.headers_of(index),
            answers: self.answers,
        };
        self.starts = (key_end, value_end);
        self.index += 1;
        Some(record)
    }

    fn headers_of(&mut self, index: u32) -> &'b [Header] {
        let count = self.headers.iter().take_while(|header| header.index == index).count();
        let (own, rest) = self.headers.split_at_checked(count).unwrap_or_default();
        self.headers = rest;
        own
    }
}

fn is_next(ascending: &mut &[u32], index: u32) -> bool {
    match ascending.split_first() {
        Some((first, rest)) if *first == index => {
            *ascending = rest;
            true
        }
        _ => false,
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = Result<Record<'b>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.batch.offsets.len() {
            return None;
        }
        let record = self.read();
        if record.is_none() {
            self.index = usize::MAX;
        }
        Some(record.ok_or_else(|| "the batch's lists do not fit each other".to_owned()))
    }
}
