//! Where records come from and where messages go: Kafka, or the journal of the embedded set. Both keep the same
//! promises, and the same table of checks runs over both:
//!
//! - a partition has one owner at a time as far as the log knows, and tells its owner when that changes
//!   ([`PartitionEvents`]); that two hosts may still believe they own it is what the store's fence is for;
//! - a lane reads from the offset that the *store* gives, never from the group's;
//! - [`Publisher::publish`] makes a batch's messages visible and moves the group's offset in one atomic step, or
//!   does neither, and only while no newer publisher of the same lane has been opened.

mod error;
pub mod journal;
pub mod kafka;
mod partition;

pub use error::Error;
pub use partition::partition_of;

use crate::record::{Batch, LaneId, record_bytes};
use crate::spec::Spec;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The largest message that publishers send, bytes of key, value and headers; brokers and topics have limits of their
/// own, mostly smaller.
pub const MESSAGE_BYTES_MAX: u64 = (64 << 20) - (64 << 10);

/// The largest record that [`Log::append`] takes, bytes of key, value and headers: what fits into a broker's default
/// `max.message.bytes`.
pub const RECORD_BYTES_MAX: usize = 1_000_000;

/// A record on its way into a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Its key: records of one key go to one partition (murmur2, as Java's producers do it).
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// When it was made, milliseconds since 1970-01-01 UTC; `None` for now (and in Kafka 0 too: librdkafka takes it
    /// for none).
    pub timestamp_ms: Option<i64>,
}

impl NewRecord {
    /// Its size, as [`record_bytes`] counts it.
    pub fn bytes(&self) -> usize {
        record_bytes(&self.key, &self.value, &self.headers)
    }
}

/// The bytes of all records, each of which must not be too large: before the first one is sent.
fn check_sizes(records: &[NewRecord]) -> Result<usize, Error> {
    let mut total = 0;
    for (index, record) in records.iter().enumerate() {
        let bytes = record.bytes();
        if bytes > RECORD_BYTES_MAX {
            let message = format!("it has {bytes} bytes, and {RECORD_BYTES_MAX} is the most");
            return Err(Error::Refused { index, message });
        }
        total += bytes;
    }
    Ok(total)
}

/// Where the log put a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record as it stands in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where it stands.
    pub position: Position,
    /// When it was made, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// How a topic is made that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Its replicas (the journal has one).
    pub replication: i32,
}

/// What the consumer group remembers of a partition: the ledger of what was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLedger {
    /// The group's offset; `None` if it has none (never set, expired, deleted).
    pub next_offset: Option<i64>,
    /// The number of the batch that set it, from the offset's metadata; `None` if somebody else set it.
    pub batch: Option<i64>,
}

/// The metadata that travels with a group offset: the number of the batch up to which messages are published.
pub fn ledger_metadata(batch: i64) -> String {
    format!("gristmill batch={batch}")
}

/// Reads [`ledger_metadata`] back; `None` if it is not ours.
pub fn ledger_batch(metadata: &str) -> Option<i64> {
    metadata.strip_prefix("gristmill batch=")?.parse().ok()
}

/// How much a reader puts into one batch, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct ReadBounds {
    /// Records at most.
    pub records_max: usize,
    /// Bytes of keys, values and headers at most (one record may be larger).
    pub bytes_max: usize,
    /// How long to wait for the first record before returning without any.
    pub idle: Duration,
    /// Until when to go on collecting after the first record while fewer than the most are there. If it has passed
    /// when that record comes, only what is there already goes with it.
    pub collect_until: Instant,
}

/// Reads one partition, in order. Blocking: called from the lane's own thread.
pub trait Reader: Send {
    /// Appends records to `batch`, whose `topic` and `partition` are set, within the bounds; none if there is none
    /// in time. Answers the next offset to read: one beyond the last record, also where offsets in between are not
    /// records (transaction markers, compacted away); `None` if nothing was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: nothing was read, try again. Others are final for this reader.
    fn read(&mut self, batch: &mut Batch, bounds: &ReadBounds) -> Result<Option<i64>, Error>;
}

/// Publishes what one lane has stored. Blocking: called from threads that may block.
pub trait Publisher: Send {
    /// Ends a predecessor's open transaction and fences it, and only then reads the group's ledger (before, it may
    /// be unstable). Called first, and again after any error of [`Publisher::publish`].
    ///
    /// # Errors
    /// [`Error::Unavailable`]: try again.
    fn open(&mut self) -> Result<GroupLedger, Error>;

    /// In one atomic step, makes visible the messages of these outbox values, in this order, and moves the group's
    /// offset to `next_offset` with [`ledger_metadata`] of `batch`. Makes missing topics first.
    ///
    /// # Errors
    /// [`Error::Fenced`]: a newer publisher of this lane was opened. Any other: it may or may not have happened;
    /// [`Publisher::open`] tells.
    fn publish(&mut self, batch: i64, next_offset: i64, outbox: &[&[u8]]) -> Result<(), Error>;
}

/// What a pipeline does when partitions come and go. Called from the source's own thread, which may block; no
/// further event comes while one is being worked on.
pub trait PartitionEvents: Send + Sync + 'static {
    /// These partitions are ours now: takes them over and answers where to begin each. A partition that is left
    /// out is not read.
    fn assigned(&self, partitions: &[i32]) -> Vec<(i32, i64)>;

    /// Reading of a partition can begin.
    fn started(&self, partition: i32, reader: Box<dyn Reader>);

    /// These partitions are about to go to somebody else: finish what was read, within the drain time.
    fn revoked(&self, partitions: &[i32]);

    /// These partitions are gone already: abandon them, write nothing.
    fn lost(&self, partitions: &[i32]);
}

/// The log.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// What it is, for errors and guarantees: `Kafka` or `journal`.
    fn kind(&self) -> &'static str;

    /// Appends records to a topic; answers once the log has acknowledged all of them, in their order.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Refused`] (a record of more than [`RECORD_BYTES_MAX`]), [`Error::UnknownTopic`]:
    /// nothing was sent. [`Error::Unavailable`]: some may have arrived.
    async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<Position>, Error>;

    /// Makes a topic unless it is there.
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), Error>;

    /// The number of partitions of a topic; `None` if there is no such topic.
    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error>;

    /// The offset of the first record that is still there, and the one that the next record will get.
    async fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error>;

    /// How far a reader that goes on at `next` is behind a partition's end; 0 if there is nothing left that it would see.
    /// (In Kafka a transaction leaves a marker behind its records, with an offset of its own that no reader gets.)
    async fn lag(&self, topic: &str, partition: i32, next: i64) -> Result<i64, Error> {
        let (_, end) = self.bounds(topic, partition).await?;
        Ok((end - next).max(0))
    }

    /// The visible records of a partition from an offset on, at most so many; none at the end.
    async fn read_range(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, Error>;

    /// Everything that is visible in a topic now, by partition and offset (`read_committed`), at most so many
    /// records: for the demo, tests and a person's look, not for streams.
    async fn read_topic(&self, topic: &str, limit: usize) -> Result<Vec<StoredRecord>, Error>;

    /// The names of all topics.
    async fn topics(&self) -> Result<Vec<String>, Error>;

    /// What the pipeline's group remembers of a partition; a transaction that is open is waited for.
    async fn group_ledger(&self, lane: &LaneId) -> Result<GroupLedger, Error>;

    /// What it remembers now, whatever a transaction that is open is about to add: for a person's look. A host that was killed
    /// leaves one open for a while.
    async fn group_ledger_now(&self, lane: &LaneId) -> Result<GroupLedger, Error> {
        self.group_ledger(lane).await
    }

    /// Opens the source topic for a pipeline: its partitions, and where this host is its only reader all of them,
    /// come through `events` until `stop` is cancelled; then every partition is revoked (drained) and the group
    /// is left. Blocking, on a thread of its own.
    ///
    /// # Errors
    /// What ends the source for good.
    fn run_source(
        &self,
        spec: &Arc<Spec>,
        events: Arc<dyn PartitionEvents>,
        stop: CancellationToken,
    ) -> Result<(), Error>;

    /// A publisher for a lane; not opened yet. `publishes` is whether the pipeline has outputs: if not, the group's
    /// offset is moved plainly, as a hint for tools that show lag.
    fn publisher(&self, lane: &LaneId, publishes: bool) -> Box<dyn Publisher>;

    /// Whether the log answers.
    async fn ping(&self) -> Result<(), Error>;
}
