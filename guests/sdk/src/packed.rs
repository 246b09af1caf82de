//! Values end to end in one piece of memory, which is how texts and byte strings cross the boundary.

use crate::bindings::gristmill::transform::types::{Blobs, PackedTexts};
use std::fmt;

/// An end or an index as the contract has it. A batch stays far below 4 GiB, in wasm it cannot be larger.
pub(crate) fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn last_end(ends: &[u32]) -> usize {
    ends.last().map_or(0, |end| *end as usize)
}

/// What rows and messages need from packed values: append, and take the last ones back.
pub(crate) trait Packed {
    /// Ends the value whose bytes were appended last.
    fn close(&mut self);
    /// Keeps the first `count` values.
    fn keep(&mut self, count: usize);
}

impl Packed for PackedTexts {
    fn close(&mut self) {
        self.ends.push(narrow(self.data.len()));
    }

    fn keep(&mut self, count: usize) {
        self.ends.truncate(count);
        self.data.truncate(last_end(&self.ends));
    }
}

impl Packed for Blobs {
    fn close(&mut self) {
        self.ends.push(narrow(self.data.len()));
    }

    fn keep(&mut self, count: usize) {
        self.ends.truncate(count);
        self.data.truncate(last_end(&self.ends));
    }
}

pub(crate) fn no_texts() -> PackedTexts {
    PackedTexts { data: String::new(), ends: Vec::new() }
}

pub(crate) fn no_blobs() -> Blobs {
    Blobs { data: Vec::new(), ends: Vec::new() }
}

pub(crate) fn push_text(texts: &mut PackedTexts, text: &str) {
    texts.data.push_str(text);
    texts.close();
}

pub(crate) fn push_blob(blobs: &mut Blobs, bytes: &[u8]) {
    blobs.data.extend_from_slice(bytes);
    blobs.close();
}

/// Lets `write!` put a number into a byte string without a text in between.
pub(crate) struct Appending<'a>(pub(crate) &'a mut Vec<u8>);

impl fmt::Write for Appending<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The values in order; `None` if the ends do not fit the data.
pub(crate) fn nth(blobs: &Blobs, index: usize) -> Option<&[u8]> {
    let start = match index.checked_sub(1) {
        Some(before) => *blobs.ends.get(before)? as usize,
        None => 0,
    };
    blobs.data.get(start..*blobs.ends.get(index)? as usize)
}
