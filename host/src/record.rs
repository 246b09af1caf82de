//! What is read: records of one partition, flat, in the very shape in which they cross into a guest (DESIGN.md
//! D2), so that a batch is built once and never copied on its way in.

use std::sync::Arc;

/// Byte strings end to end: number n is `data[ends[n-1]..ends[n]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blobs {
    /// The bytes of all strings.
    pub data: Vec<u8>,
    /// Where each string ends in `data`, ascending; the last end is the length of `data`.
    pub ends: Vec<u32>,
}

impl Blobs {
    /// Appends one byte string. The caller bounds the total below 4 GiB (`limits.batch_bytes_max`).
    pub fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.ends.push(u32::try_from(self.data.len()).unwrap_or(u32::MAX));
    }

    /// The byte string at `index`, empty if there is none.
    pub fn get(&self, index: usize) -> &[u8] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.data.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// How many byte strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// A header of a record or of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The record in its batch, or the message in its messages.
    pub index: u32,
    /// The header's name.
    pub name: String,
    /// Kafka lets a value be absent.
    pub value: Option<Vec<u8>>,
}

/// Records of one partition, in the order of their offsets. Every list has one entry per record, save those of
/// indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The source topic.
    pub topic: String,
    /// The partition of the source topic.
    pub partition: i32,
    /// Where each record stands in its partition.
    pub offsets: Vec<i64>,
    /// When each record was made, milliseconds since 1970-01-01 UTC.
    pub timestamps_ms: Vec<i64>,
    /// The keys; an empty one stands where there is none.
    pub keys: Blobs,
    /// The records without a key, ascending.
    pub no_key: Vec<u32>,
    /// The values; an empty one stands where there is none.
    pub values: Blobs,
    /// The records without a value (tombstones), ascending.
    pub no_value: Vec<u32>,
    /// In the order of their records.
    pub headers: Vec<Header>,
}

/// How much a batch holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    records: usize,
    key_bytes: usize,
    value_bytes: usize,
}

impl Batch {
    /// A batch without records.
    pub fn new(topic: &str, partition: i32) -> Self {
        Batch { topic: topic.to_owned(), partition, ..Batch::default() }
    }

    /// Makes room for as much as another batch holds: the next one is mostly like the last.
    pub fn reserve_like(&mut self, room: &Room) {
        for list in [&mut self.offsets, &mut self.timestamps_ms] {
            list.reserve(room.records);
        }
        for (blobs, bytes) in [(&mut self.keys, room.key_bytes), (&mut self.values, room.value_bytes)] {
            blobs.ends.reserve(room.records);
            blobs.data.reserve(bytes);
        }
    }

    /// What [`Batch::reserve_like`] takes.
    pub fn room(&self) -> Room {
        Room { records: self.len(), key_bytes: self.keys.data.len(), value_bytes: self.values.data.len() }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Bytes of keys, values and headers: what `limits.batch_bytes_max` counts.
    pub fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Vec::len)).sum();
        self.keys.data.len() + self.values.data.len() + headers
    }

    /// Appends a record. Headers follow with [`Batch::push_header`].
    pub fn push(&mut self, offset: i64, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let index = u32::try_from(self.offsets.len()).unwrap_or(u32::MAX);
        self.offsets.push(offset);
        self.timestamps_ms.push(timestamp_ms);
        if key.is_none() {
            self.no_key.push(index);
        }
        self.keys.push(key.unwrap_or(&[]));
        if value.is_none() {
            self.no_value.push(index);
        }
        self.values.push(value.unwrap_or(&[]));
    }

    /// Adds a header to the record that was pushed last.
    pub fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        let index = u32::try_from(self.offsets.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.headers.push(Header { index, name: name.to_owned(), value: value.map(<[u8]>::to_vec) });
    }

    /// Where record `index` stands in its partition; -1 if there is no such record.
    pub fn offset(&self, index: usize) -> i64 {
        self.offsets.get(index).copied().unwrap_or(-1)
    }

    /// When record `index` was made, milliseconds since 1970-01-01 UTC.
    pub fn timestamp_ms(&self, index: usize) -> i64 {
        self.timestamps_ms.get(index).copied().unwrap_or(0)
    }

    /// The key of record `index`.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        present(&self.no_key, index).then(|| self.keys.get(index))
    }

    /// The value of record `index`.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        present(&self.no_value, index).then(|| self.values.get(index))
    }

    /// Copies the records of a range.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        self.subset(range)
    }

    /// Some records, in this order.
    pub fn subset(&self, indices: impl Iterator<Item = usize>) -> Self {
        let mut part = Batch::new(&self.topic, self.partition);
        for index in indices {
            part.push(self.offset(index), self.timestamp_ms(index), self.key(index), self.value(index));
            for header in self.headers_of(index) {
                part.push_header(&header.name, header.value.as_deref());
            }
        }
        part
    }

    /// The headers of record `index`, in order.
    pub fn headers_of(&self, index: usize) -> &[Header] {
        headers_at(&self.headers, index)
    }
}

/// Whether `index` is not named in a sparse, ascending list of absent ones.
pub fn present(absent: &[u32], index: usize) -> bool {
    absent.is_empty() || u32::try_from(index).is_ok_and(|index| absent.binary_search(&index).is_err())
}

/// The headers with this index, out of a list that is ascending by index.
pub fn headers_at(headers: &[Header], index: usize) -> &[Header] {
    if headers.is_empty() {
        return &[];
    }
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let start = headers.partition_point(|header| header.index < index);
    let end = headers.partition_point(|header| header.index <= index);
    headers.get(start..end).unwrap_or(&[])
}

/// The one worker of one source partition, as everything that is stored or logged names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId {
    /// The pipeline's name: also the consumer group.
    pub pipeline: Arc<str>,
    /// The source topic.
    pub topic: Arc<str>,
    /// The partition of the source topic.
    pub partition: i32,
}

impl std::fmt::Display for LaneId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pipeline {} topic {} partition {}", self.pipeline, self.topic, self.partition)
    }
}

/// The most that a header's two lengths take up in a message, bytes.
const HEADER_LENGTHS_BYTES: usize = 10;

/// What a header takes up in a message, bytes.
pub fn header_bytes(name: &str, value: Option<&[u8]>) -> usize {
    name.len() + value.map_or(0, <[u8]>::len) + HEADER_LENGTHS_BYTES
}

/// What a record takes up in a message, bytes: key, value and headers.
pub fn record_bytes(
    key: &Option<Vec<u8>>,
    value: &Option<Vec<u8>>,
    headers: &[(String, Option<Vec<u8>>)],
) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize = headers.iter().map(|(name, value)| header_bytes(name, value.as_deref())).sum();
    length(key) + length(value) + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_keys_and_values_are_told_from_empty_ones() {
        let mut batch = Batch::new("orders", 0);
        batch.push(7, 1, None, Some(b""));
        batch.push(8, 2, Some(b""), None);
        batch.push_header("city", Some(b"Rome"));
        assert_eq!((batch.key(0), batch.value(0)), (None, Some(&b""[..])));
        assert_eq!((batch.key(1), batch.value(1)), (Some(&b""[..]), None));
        assert_eq!(batch.headers_of(0), &[]);
        assert_eq!(batch.headers_of(1).len(), 1);
        assert_eq!(batch.bytes(), 8);
    }
}
