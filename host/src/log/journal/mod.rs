//! The log of the embedded set: topics as tables of a SQLite file, usually the store's own, with no server.
//!
//! What Kafka does with transactions and generations is here one SQLite transaction: [`JournalPublisher`] checks its
//! generation, appends the messages and moves the group's offset, or does none of it. Offsets are dense, what is
//! visible is committed, and topics keep what they hold. A key's partition is the one that Java's producers give
//! it, so that records stand alike in both logs.
//!
//! One host reads a file's topics: every source is assigned all partitions. A second host on the same file takes
//! the lanes over in the store, which fences the first one.

mod append;
mod headers;
mod publisher;
mod reader;
mod tables;

use self::publisher::JournalPublisher;
use self::reader::JournalReader;
use super::{
    Error, GroupLedger, Log, NewRecord, NewTopic, PartitionEvents, Position, Publisher, StoredRecord,
    partition_of,
};
use crate::record::LaneId;
use crate::spec::Spec;
use crate::store::sqlite::database::{BEGIN, Database};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Bytes of records that may be on their way into the journal at once.
const IN_FLIGHT_BYTES_MAX: u32 = 64 << 20;

/// The journal.
pub struct Journal {
    inner: Arc<Inner>,
}

/// What the journal shares with its readers and publishers.
struct Inner {
    database: Arc<Database>,
    handle: Handle,
    /// Ids of the partitions of known topics. Topics are never dropped, so what is here holds.
    topics: Mutex<HashMap<String, Arc<[i64]>>>,
    /// Counts appends in this process, and so wakes readers.
    appended: watch::Sender<u64>,
    /// Spreads records without a key.
    spread: AtomicU32,
    in_flight: Semaphore,
    queue: append::Queue,
}

impl Journal {
    /// A journal in this database, whose migrations have run. Blocking calls (readers, publishers) wait on `handle`'s
    /// runtime, so they must come from threads that are not its workers.
    pub fn new(database: Arc<Database>, handle: Handle) -> Self {
        Journal {
            inner: Arc::new(Inner {
                database,
                handle,
                topics: Mutex::default(),
                appended: watch::Sender::new(0),
                spread: AtomicU32::new(0),
                in_flight: Semaphore::new(IN_FLIGHT_BYTES_MAX as usize),
                queue: append::Queue::default(),
            }),
        }
    }
}

type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

impl Inner {
    /// Begins to write. To be called from tasks that are never cancelled (sqlx#4385).
    async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        self.database.writer().begin_with(BEGIN).await
    }

    /// Ids of a topic's partitions; `None` if there is no such topic.
    async fn find(&self, topic: &str) -> Result<Option<Arc<[i64]>>, Error> {
        if let Some(known) = self.topics.lock().get(topic) {
            return Ok(Some(known.clone()));
        }
        let failed = |e| tables::error(format!("looking for topic {topic}"), &e);
        let mut db = self.database.readers().acquire().await.map_err(failed)?;
        let ids = tables::partition_ids(&mut db, topic).await.map_err(failed)?;
        Ok((!ids.is_empty()).then(|| self.know(topic, ids)))
    }

    /// Ids of a topic's partitions, which must be there.
    async fn known(&self, topic: &str) -> Result<Arc<[i64]>, Error> {
        self.find(topic).await?.ok_or_else(|| Error::UnknownTopic(topic.to_owned()))
    }

    /// The id of one partition, which must be there.
    async fn partition(&self, topic: &str, partition: i32) -> Result<i64, Error> {
        let ids = self.known(topic).await?;
        let id = usize::try_from(partition).ok().and_then(|partition| ids.get(partition).copied());
        id.ok_or_else(|| Error::Unfit(format!("journal: topic {topic} has no partition {partition}")))
    }

    fn know(&self, topic: &str, ids: Vec<i64>) -> Arc<[i64]> {
        let ids: Arc<[i64]> = ids.into();
        self.topics.lock().insert(topic.to_owned(), ids.clone());
        ids
    }

    /// The partition of a topic that a record goes to, and its id.
    fn place(&self, key: Option<&[u8]>, ids: &[i64]) -> (i32, i64) {
        let count = i32::try_from(ids.len()).unwrap_or(i32::MAX).max(1);
        let partition = match key {
            Some(key) => partition_of(key, count),
            None => (self.spread.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff) as i32 % count,
        };
        let id = usize::try_from(partition).ok().and_then(|partition| ids.get(partition));
        (partition, id.copied().unwrap_or_default())
    }

    fn wake_readers(&self) {
        self.appended.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Makes a topic unless it is there.
    async fn ensure(&self, topic: &NewTopic) -> Result<Arc<[i64]>, Error> {
        if let Some(ids) = self.find(&topic.name).await? {
            return Ok(ids);
        }
        let failed = |e| tables::error(format!("making topic {}", topic.name), &e);
        let mut transaction = self.begin().await.map_err(failed)?;
        let ids = tables::ensure_topic(&mut transaction, topic).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(self.know(&topic.name, ids))
    }

    async fn read_range(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, Error> {
        let ids = self.known(topic).await?;
        let place = usize::try_from(partition).ok().and_then(|place| ids.get(place)).copied();
        let Some(id) = place else { return Err(Error::UnknownTopic(topic.to_owned())) };
        let failed = |e| tables::error(format!("reading {topic}/{partition}"), &e);
        let mut db = self.database.readers().acquire().await.map_err(failed)?;
        let mut records = Vec::new();
        let take = |line: tables::ReadLine<'_>| {
            records.push(line.stored(partition));
            true
        };
        tables::read(&mut db, id, from, limit, take).await.map_err(failed)?;
        Ok(records)
    }

    async fn read_topic(&self, topic: &str, limit: usize) -> Result<Vec<StoredRecord>, Error> {
        let ids = self.known(topic).await?;
        let failed = |e| tables::error(format!("reading topic {topic}"), &e);
        let mut db = self.database.readers().acquire().await.map_err(failed)?;
        let mut records: Vec<StoredRecord> = Vec::new();
        for (partition, &id) in (0..).zip(ids.iter()) {
            let left = limit.saturating_sub(records.len());
            let take = |line: tables::ReadLine<'_>| {
                records.push(line.stored(partition));
                true
            };
            tables::read(&mut db, id, 0, left, take).await.map_err(failed)?;
        }
        Ok(records)
    }
}

/// Milliseconds since 1970-01-01 UTC.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Log for Journal {
    fn kind(&self) -> &'static str {
        "journal"
    }

    async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<Position>, Error> {
        let total = super::check_sizes(&records)?;
        // One append larger than all that may be on its way goes alone.
        let permits = u32::try_from(total).unwrap_or(u32::MAX).min(IN_FLIGHT_BYTES_MAX);
        let (inner, topic) = (self.inner.clone(), topic.to_owned());
        let appending = async move {
            let _permits = inner.in_flight.try_acquire_many(permits).map_err(|_| Error::Busy)?;
            inner.append(&topic, records).await
        };
        // A transaction is never cancelled half-way, whatever becomes of the caller.
        self.inner.handle.spawn(appending).await.map_err(interrupted)?
    }

    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), Error> {
        let (inner, topic) = (self.inner.clone(), topic.clone());
        let making = async move { inner.ensure(&topic).await.map(drop) };
        self.inner.handle.spawn(making).await.map_err(interrupted)?
    }

    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let ids = self.inner.find(topic).await?;
        Ok(ids.map(|ids| i32::try_from(ids.len()).unwrap_or(i32::MAX)))
    }

    async fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        let id = self.inner.partition(topic, partition).await?;
        let failed = |e| tables::error(format!("reading the bounds of topic {topic}"), &e);
        let mut db = self.inner.database.readers().acquire().await.map_err(failed)?;
        tables::bounds(&mut db, id).await.map_err(failed)
    }

    async fn read_range(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, Error> {
        self.inner.read_range(topic, partition, from, limit).await
    }

    async fn read_topic(&self, topic: &str, limit: usize) -> Result<Vec<StoredRecord>, Error> {
        self.inner.read_topic(topic, limit).await
    }

    async fn topics(&self) -> Result<Vec<String>, Error> {
        let failed = |e| tables::error("listing topics".to_owned(), &e);
        let mut db = self.inner.database.readers().acquire().await.map_err(failed)?;
        tables::topics(&mut db).await.map_err(failed)
    }

    async fn group_ledger(&self, lane: &LaneId) -> Result<GroupLedger, Error> {
        let failed = |e| tables::error(format!("reading the group's offset, {lane}"), &e);
        let mut db = self.inner.database.readers().acquire().await.map_err(failed)?;
        tables::group(&mut db, lane).await.map_err(failed)
    }

    fn run_source(
        &self,
        spec: &Arc<Spec>,
        events: Arc<dyn PartitionEvents>,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let source = &spec.source;
        let topic = NewTopic {
            name: source.topic.clone(),
            partitions: source.partitions,
            replication: source.replication,
        };
        let ids = self.inner.handle.block_on(self.inner.ensure(&topic))?;
        let partitions: Vec<i32> = (0..).take(ids.len()).collect();
        for (partition, offset) in events.assigned(&partitions) {
            let id = self.inner.handle.block_on(self.inner.partition(&topic.name, partition))?;
            events.started(partition, Box::new(JournalReader::new(self.inner.clone(), id, offset)));
        }
        self.inner.handle.block_on(stop.cancelled());
        events.revoked(&partitions);
        Ok(())
    }

    fn publisher(&self, lane: &LaneId, _publishes: bool) -> Box<dyn Publisher> {
        // Moving the offset costs the same fenced transaction whether or not there are messages.
        Box::new(JournalPublisher::new(self.inner.clone(), lane.clone()))
    }

    async fn ping(&self) -> Result<(), Error> {
        let failed = |e| tables::error("ping".to_owned(), &e);
        let mut db = self.inner.database.readers().acquire().await.map_err(failed)?;
        sqlx::query("SELECT 1").execute(&mut *db).await.map(drop).map_err(failed)
    }
}

/// The runtime ended, or the task panicked: whether the transaction was committed is not known.
fn interrupted(error: tokio::task::JoinError) -> Error {
    Error::Unavailable {
        log: "journal",
        doing: "waiting for a transaction".to_owned(),
        message: error.to_string(),
    }
}
