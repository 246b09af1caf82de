//! Messages, written into columns as they are sent.

use crate::bindings::gristmill::transform::types::{
    self as contract, Blobs, Header, MessageValues, PackedTexts, Texts,
};
use crate::packed::{Appending, Packed, narrow, no_blobs, no_texts, push_blob, push_text};
use crate::plan::OutputShape;
use std::fmt::{self, Write as _};

/// The messages of one batch to one output.
#[derive(Debug)]
pub(crate) struct OutputMessages {
    dynamic: bool,
    inputs: Vec<u32>,
    topics: PackedTexts,
    keys: Blobs,
    no_key: Vec<u32>,
    // `None` as long as every message carries its record's value.
    values: Option<Blobs>,
    no_value: Vec<u32>,
    headers: Vec<Header>,
}

impl OutputMessages {
    pub fn new(dynamic: bool) -> Self {
        Self {
            dynamic,
            inputs: Vec::new(),
            topics: no_texts(),
            keys: no_blobs(),
            no_key: Vec::new(),
            values: None,
            no_value: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub fn take_back(&mut self, input: u32) {
        let kept = self.inputs.iter().rposition(|other| *other != input).map_or(0, |last| last + 1);
        if kept == self.inputs.len() {
            return;
        }
        self.inputs.truncate(kept);
        self.topics.keep(kept);
        self.keys.keep(kept);
        if let Some(values) = &mut self.values {
            values.keep(kept);
        }
        shorten(&mut self.no_key, kept);
        shorten(&mut self.no_value, kept);
        while self.headers.last().is_some_and(|header| header.index as usize >= kept) {
            self.headers.pop();
        }
    }

    pub fn into_contract(self, shape: &OutputShape) -> Option<contract::Messages> {
        if self.inputs.is_empty() {
            return None;
        }
        let keyless = self.no_key.len() == self.inputs.len();
        Some(contract::Messages {
            output: shape.name.clone(),
            inputs: self.inputs,
            topics: self.dynamic.then_some(Texts::Packed(self.topics)),
            no_key: if keyless { Vec::new() } else { self.no_key },
            keys: (!keyless).then_some(self.keys),
            values: self.values.map_or(MessageValues::Same, MessageValues::Each),
            no_value: self.no_value,
            headers: self.headers,
        })
    }
}

fn shorten(indices: &mut Vec<u32>, kept: usize) {
    while indices.last().is_some_and(|index| *index as usize >= kept) {
        indices.pop();
    }
}

/// Gives the value of any record of the batch: needed when, after messages that said `same`, one has a value
/// of its own, and those before it have to be spelled out.
pub(crate) type Values<'b> = &'b Blobs;

/// A message being sent. It goes out when this is dropped; what was not said is the default: no key, no
/// headers, the record's own value.
pub struct Message<'o> {
    messages: &'o mut OutputMessages,
    batch_values: Values<'o>,
    batch_no_value: &'o [u32],
    mistake: &'o mut bool,
    index: u32,
    has_topic: bool,
    has_key: bool,
    has_value: bool,
}

impl<'o> Message<'o> {
    pub(crate) fn begin(
        messages: &'o mut OutputMessages,
        batch: (Values<'o>, &'o [u32]),
        input: u32,
        mistake: &'o mut bool,
    ) -> Self {
        let index = narrow(messages.inputs.len());
        messages.inputs.push(input);
        Self {
            messages,
            batch_values: batch.0,
            batch_no_value: batch.1,
            mistake,
            index,
            has_topic: false,
            has_key: false,
            has_value: false,
        }
    }

    fn once(flag: &mut bool, mistake: &mut bool) -> bool {
        let first = !std::mem::replace(flag, true);
        *mistake |= !first;
        first
    }

    /// Completes the topic's name: for a dynamic output, and needed there.
    pub fn topic(mut self, topic: &str) -> Self {
        if Self::once(&mut self.has_topic, self.mistake) {
            push_text(&mut self.messages.topics, topic);
        }
        self
    }

    /// The key.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        if Self::once(&mut self.has_key, self.mistake) {
            push_blob(&mut self.messages.keys, key.as_ref());
        }
        self
    }

    /// The key as `format_args!` gives it: no text in between.
    pub fn key_display(mut self, key: impl fmt::Display) -> Self {
        if Self::once(&mut self.has_key, self.mistake) {
            let written = write!(Appending(&mut self.messages.keys.data), "{key}");
            *self.mistake |= written.is_err();
            self.messages.keys.close();
        }
        self
    }

    /// A value of its own.
    pub fn value(mut self, value: impl AsRef<[u8]>) -> Self {
        if Self::once(&mut self.has_value, self.mistake) {
            push_blob(self.spelled_out(), value.as_ref());
        }
        self
    }

    /// No value: a tombstone.
    pub fn no_value(mut self) -> Self {
        if Self::once(&mut self.has_value, self.mistake) {
            self.spelled_out().close();
            self.messages.no_value.push(self.index);
        }
        self
    }

    /// The record's own value, byte for byte: it does not pass through the sandbox. This is the default.
    pub fn same(self) -> Self {
        self
    }

    /// A header.
    pub fn header(self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let header = Header { index: self.index, name: name.into(), value: Some(value.into()) };
        self.messages.headers.push(header);
        self
    }

    fn spelled_out(&mut self) -> &mut Blobs {
        let messages = &mut *self.messages;
        if messages.values.is_none() {
            let mut values = no_blobs();
            let before = messages.inputs.iter().take(self.index as usize);
            for (input, index) in before.zip(0..) {
                let value = crate::packed::nth(self.batch_values, *input as usize).unwrap_or_default();
                push_blob(&mut values, value);
                if self.batch_no_value.binary_search(input).is_ok() {
                    messages.no_value.push(index);
                }
            }
            messages.values = Some(values);
        }
        messages.values.get_or_insert_with(no_blobs)
    }

    fn same_spelled_out(&mut self) {
        let Some(input) = self.messages.inputs.get(self.index as usize).copied() else { return };
        let value = crate::packed::nth(self.batch_values, input as usize).unwrap_or_default();
        push_blob(self.spelled_out(), value);
        if self.batch_no_value.binary_search(&input).is_ok() {
            self.messages.no_value.push(self.index);
        }
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        *self.mistake |= self.has_topic != self.messages.dynamic;
        if !self.has_key {
            self.messages.keys.close();
            self.messages.no_key.push(self.index);
        }
        if !self.has_value && self.messages.values.is_some() {
            self.same_spelled_out();
        }
    }
}
