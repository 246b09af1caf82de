//! The outbox value: all outgoing messages of one batch as one compact byte string. It is written once, inside the
//! batch's store transaction, and read by whoever publishes: the lane right after the commit, or its successor
//! after a crash.
//!
//! Format, version 1. Numbers are LEB128 unless said otherwise; `bytes` is a length and that many bytes; `optional`
//! is 0, or 1 + the length, and that many bytes.
//!
//! ```text
//! version: u8 = 1
//! topics: count, then each: name bytes, partitions, replication
//! messages to the end of the value, each:
//!   topic's place, timestamp in milliseconds (8 bytes little-endian), key optional, value optional,
//!   headers: count, then each: name bytes, value optional
//! ```
//!
//! In the store it lies packed ([`pack`]): most messages repeat each other's words, and whatever lies there is written
//! twice, into the database's log and its table. PostgreSQL by itself takes some five times as long to pack it (ADR 8).
//!
//! ```text
//! packed: u8 = 2
//! the length of the value that was packed
//! an LZ4 block to the end
//! ```

use crate::effect::{MessageValues, Messages};
use crate::log::NewTopic;
use crate::record::{header_bytes, headers_at, present};
use crate::spec::{Spec, TopicPattern};
use crate::store::{DeadLetter, Work};
use crate::topic_name::legal_topic;
use std::borrow::Cow;
use std::collections::HashMap;

const VERSION: u8 = 1;
const PACKED: u8 = 2;

/// A shorter value than this is not worth packing, bytes.
const PACKED_BYTES_MIN: usize = 256;

/// LZ4 makes 255 bytes of one at most; a length beyond that is damaged, and no memory is taken for it.
const LZ4_FACTOR_MAX: usize = 255;

/// The header of a dead letter's copy that says how large the record is that was left out of it, bytes.
pub const OMITTED_BYTES: &str = "gristmill.omitted-bytes";

/// A message of an outbox value, borrowed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// The topic's place in [`Outbox::topics`].
    pub topic: usize,
    /// The timestamp of the record that caused it, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl Outgoing<'_> {
    /// What it takes in a request, bytes: a little more than Kafka's format does.
    pub fn bytes(&self) -> usize {
        /// Lengths, time and the place in the batch, at most.
        const FRAME: usize = 36;
        let headers: usize = self.headers.iter().map(|(name, value)| header_bytes(name, *value)).sum();
        FRAME + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers
    }
}

/// An outbox value, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox<'a> {
    /// The topics that its messages go to.
    pub topics: Vec<NewTopic>,
    /// The messages, in order.
    pub messages: Vec<Outgoing<'a>>,
}

/// An outbox value that does not read: it was damaged in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox value is damaged at byte {0}")]
pub struct Damaged(pub usize);

/// Writes the outbox value of a batch: the messages of the records that `keeps` names, in the order of their records
/// within each output, then the copies of dead letters, if the pipeline has a topic for them. Empty if there is
/// nothing to publish.
pub fn encode(spec: &Spec, work: &Work, keeps: impl Fn(u32) -> bool, dead_letters: &[DeadLetter]) -> Vec<u8> {
    let mut writer = Writer { spec, topics: Vec::new(), places: HashMap::new(), body: Vec::new() };
    for messages in &work.effects.messages {
        writer.messages(work, messages, &keeps);
    }
    for letter in dead_letters {
        writer.dead_letter(letter);
    }
    writer.finish()
}

struct Writer<'a> {
    spec: &'a Spec,
    topics: Vec<NewTopic>,
    /// Where a topic's name stands in `topics`.
    places: HashMap<String, u64>,
    body: Vec<u8>,
}

impl Writer<'_> {
    fn messages(&mut self, work: &Work, messages: &Messages, keeps: &impl Fn(u32) -> bool) {
        let Some(output) = self.spec.outputs.get(messages.output) else { return };
        // Of a city's many messages only the first pays for making the topic's name legal.
        let mut known: HashMap<&str, u64> = HashMap::new();
        for (index, &record) in messages.records.iter().enumerate().filter(|(_, record)| keeps(**record)) {
            let part = messages.topics.as_ref().map_or("", |topics| topics.get(index));
            let topic = match known.get(part) {
                Some(topic) => *topic,
                None => {
                    let name = match &output.topic {
                        TopicPattern::Fixed(name) => name.clone(),
                        TopicPattern::Dynamic { prefix, suffix } => {
                            legal_topic(prefix, part, suffix, &self.spec.reserved_topics())
                        }
                    };
                    let topic = self.topic(name, output.partitions, output.replication);
                    known.insert(part, topic);
                    topic
                }
            };
            let record = record as usize;
            let key = messages
                .keys
                .as_ref()
                .filter(|_| present(&messages.no_key, index))
                .map(|keys| keys.get(index));
            let value = match &messages.values {
                _ if !present(&messages.no_value, index) => None,
                MessageValues::Same => work.batch.value(record),
                MessageValues::Each(values) => Some(values.get(index)),
            };
            self.start(topic, work.batch.timestamp_ms(record), key, value);
            let headers = headers_at(&messages.headers, index);
            number(&mut self.body, headers.len() as u64);
            for header in headers {
                self.header(&header.name, header.value.as_deref());
            }
        }
    }

    /// The copy of a dead letter, with the headers that Kafka Connect's users know. Of a record that is too large for
    /// a message with these headers, only they are copied: all of it stands in the store.
    fn dead_letter(&mut self, letter: &DeadLetter) {
        let Some(topic) = self.spec.dead_letter_topic.clone() else { return };
        let topic = self.topic(topic, self.spec.source.partitions, self.spec.source.replication);
        let (partition, offset) = (letter.partition.to_string(), letter.offset.to_string());
        let reason = letter.failure.reason();
        let about = [
            ("__connect.errors.topic", letter.topic.as_str()),
            ("__connect.errors.partition", &partition),
            ("__connect.errors.offset", &offset),
            ("__connect.errors.connector.name", &letter.pipeline),
            ("__connect.errors.task.id", &partition),
            ("__connect.errors.stage", &letter.failure.stage),
            ("__connect.errors.class.name", &letter.failure.digest),
            ("__connect.errors.exception.class.name", letter.failure.code()),
            ("__connect.errors.exception.message", &reason),
        ];
        let record_bytes = letter.record_bytes();
        let about_bytes: usize =
            about.iter().map(|(name, value)| header_bytes(name, Some(value.as_bytes()))).sum();
        let fits = record_bytes + about_bytes <= self.spec.limits.message_bytes_max as usize;
        let omitted = (!fits).then(|| record_bytes.to_string());
        let (key, value, headers): (_, _, &[_]) = if fits {
            (letter.key.as_deref(), letter.value.as_deref(), &letter.headers)
        } else {
            (None, None, &[])
        };
        self.start(topic, letter.timestamp_ms, key, value);
        number(&mut self.body, (headers.len() + about.len() + usize::from(omitted.is_some())) as u64);
        for (name, value) in headers {
            self.header(name, value.as_deref());
        }
        for (name, value) in about {
            self.header(name, Some(value.as_bytes()));
        }
        if let Some(bytes) = omitted {
            self.header(OMITTED_BYTES, Some(bytes.as_bytes()));
        }
    }

    fn topic(&mut self, name: String, partitions: i32, replication: i32) -> u64 {
        if let Some(place) = self.places.get(&name) {
            return *place;
        }
        let place = self.topics.len() as u64;
        self.places.insert(name.clone(), place);
        self.topics.push(NewTopic { name, partitions, replication });
        place
    }

    fn start(&mut self, topic: u64, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        number(&mut self.body, topic);
        self.body.extend_from_slice(&timestamp_ms.to_le_bytes());
        optional(&mut self.body, key);
        optional(&mut self.body, value);
    }

    fn header(&mut self, name: &str, value: Option<&[u8]>) {
        number(&mut self.body, name.len() as u64);
        self.body.extend_from_slice(name.as_bytes());
        optional(&mut self.body, value);
    }

    fn finish(self) -> Vec<u8> {
        if self.topics.is_empty() {
            return Vec::new();
        }
        let mut value = Vec::with_capacity(self.body.len() + 64 * self.topics.len());
        value.push(VERSION);
        number(&mut value, self.topics.len() as u64);
        for topic in &self.topics {
            number(&mut value, topic.name.len() as u64);
            value.extend_from_slice(topic.name.as_bytes());
            number(&mut value, u64::try_from(topic.partitions).unwrap_or(1));
            number(&mut value, u64::try_from(topic.replication).unwrap_or(1));
        }
        value.extend_from_slice(&self.body);
        value
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    number(out, bytes.map_or(0, |bytes| bytes.len() as u64 + 1));
    out.extend_from_slice(bytes.unwrap_or(&[]));
}

/// Reads an outbox value; an empty one has no messages.
///
/// # Errors
/// [`Damaged`] if it was not written by [`encode`].
pub fn decode(value: &[u8]) -> Result<Outbox<'_>, Damaged> {
    if value.is_empty() {
        return Ok(Outbox::default());
    }
    let mut reader = Cursor { value, at: 0 };
    if reader.take(1)? != [VERSION] {
        return Err(Damaged(0));
    }
    let mut outbox = Outbox::default();
    for _ in 0..reader.number()? {
        let name = reader.text()?.to_owned();
        let partitions = i32::try_from(reader.number()?).map_err(|_| Damaged(reader.at))?;
        let replication = i32::try_from(reader.number()?).map_err(|_| Damaged(reader.at))?;
        outbox.topics.push(NewTopic { name, partitions, replication });
    }
    while reader.at < value.len() {
        outbox.messages.push(reader.message(outbox.topics.len())?);
    }
    Ok(outbox)
}

/// Packs an outbox value for the store; one that would not become smaller stays as it is.
pub fn pack(value: &[u8]) -> Cow<'_, [u8]> {
    if value.len() < PACKED_BYTES_MIN {
        return Cow::Borrowed(value);
    }
    let mut packed = vec![PACKED];
    number(&mut packed, value.len() as u64);
    packed.extend_from_slice(&lz4_flex::block::compress(value));
    if packed.len() < value.len() { Cow::Owned(packed) } else { Cow::Borrowed(value) }
}

/// What [`pack`] was given.
///
/// # Errors
/// [`Damaged`] if it was not written by [`pack`].
pub fn unpack(stored: Vec<u8>) -> Result<Vec<u8>, Damaged> {
    if stored.first() != Some(&PACKED) {
        return Ok(stored);
    }
    let mut reader = Cursor { value: &stored, at: 1 };
    let length = usize::try_from(reader.number()?).map_err(|_| Damaged(reader.at))?;
    let block = stored.get(reader.at..).unwrap_or(&[]);
    if length / LZ4_FACTOR_MAX > block.len() {
        return Err(Damaged(reader.at));
    }
    lz4_flex::block::decompress(block, length)
        .ok()
        .filter(|value| value.len() == length)
        .ok_or(Damaged(reader.at))
}

struct Cursor<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn message(&mut self, topics: usize) -> Result<Outgoing<'a>, Damaged> {
        let topic =
            usize::try_from(self.number()?).ok().filter(|topic| *topic < topics).ok_or(Damaged(self.at))?;
        let timestamp: [u8; 8] = self.take(8)?.try_into().map_err(|_| Damaged(self.at))?;
        let (key, value) = (self.optional()?, self.optional()?);
        let mut headers = Vec::new();
        for _ in 0..self.number()? {
            headers.push((self.text()?, self.optional()?));
        }
        Ok(Outgoing { topic, timestamp_ms: i64::from_le_bytes(timestamp), key, value, headers })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let end = self.at.checked_add(length).ok_or(Damaged(self.at))?;
        let taken = self.value.get(self.at..end).ok_or(Damaged(self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first().ok_or(Damaged(self.at))?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged(self.at))
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = usize::try_from(self.number()?).map_err(|_| Damaged(self.at))?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Damaged(self.at))
    }

    fn optional(&mut self) -> Result<Option<&'a [u8]>, Damaged> {
        match self.number()? {
            0 => Ok(None),
            length => {
                let length = usize::try_from(length - 1).map_err(|_| Damaged(self.at))?;
                self.take(length).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_repeats_itself_is_packed() {
        let value = b"{\"city\":\"New York\",\"priority\":\"high\"}".repeat(200);
        let packed = pack(&value).into_owned();
        assert!(packed.len() * 10 < value.len(), "{} of {}", packed.len(), value.len());
        assert_eq!(unpack(packed), Ok(value));
        assert_eq!(unpack(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn what_is_damaged_is_told_and_takes_no_memory() {
        let mut packed = pack(&[VERSION; 1_000]).into_owned();
        packed.pop();
        assert!(unpack(packed).is_err());
        let mut claims_much = vec![PACKED];
        number(&mut claims_much, u64::MAX);
        claims_much.extend([0; 40]);
        assert!(unpack(claims_much).is_err());
    }

    proptest! {
        #[test]
        fn any_value_comes_back(bytes in prop::collection::vec(0..4_u8, 0..2_000)) {
            // A value begins with its version.
            let value = [&[VERSION], bytes.as_slice()].concat();
            prop_assert_eq!(unpack(pack(&value).into_owned()), Ok(value));
        }

        #[test]
        fn any_stored_bytes_are_unpacked_or_damaged(mut bytes: Vec<u8>) {
            bytes.insert(0, PACKED);
            if let Ok(value) = unpack(bytes) {
                let _ = decode(&value);
            }
        }
    }
}
