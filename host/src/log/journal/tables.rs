//! The journal's statements, each on a connection that the caller holds.

use super::headers;
use crate::log::{Error, GroupLedger, NewTopic, StoredRecord, ledger_batch};
use crate::log::{NewRecord, Position};
use crate::record::LaneId;
use futures::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

/// The place of an offset within its partition: see the migration.
const OFFSET_BITS: u32 = 40;

/// Rows of one INSERT: few sizes, so that each stays a prepared statement.
const CHUNKS: [usize; 5] = [256, 64, 16, 4, 1];

/// The ids of a topic's partitions, in their order; none if there is no such topic.
pub(super) async fn partition_ids(db: &mut SqliteConnection, topic: &str) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM gristmill_journal_partitions WHERE topic = ? ORDER BY partition")
        .bind(topic)
        .fetch_all(db)
        .await
}

/// Makes a topic unless it is there; answers its partitions' ids.
pub(super) async fn ensure_topic(
    db: &mut SqliteConnection,
    topic: &NewTopic,
) -> Result<Vec<i64>, sqlx::Error> {
    let known = partition_ids(db, &topic.name).await?;
    if !known.is_empty() {
        return Ok(known);
    }
    for partition in 0..topic.partitions.max(1) {
        sqlx::query("INSERT INTO gristmill_journal_partitions (topic, partition) VALUES (?, ?)")
            .bind(topic.name.as_str())
            .bind(partition)
            .execute(&mut *db)
            .await?;
    }
    partition_ids(db, &topic.name).await
}

/// The names of all topics.
pub(super) async fn topics(db: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT topic FROM gristmill_journal_partitions WHERE partition = 0 ORDER BY topic")
        .fetch_all(db)
        .await
}

/// Takes the next `count` offsets of a partition; answers the first of them.
pub(super) async fn reserve(db: &mut SqliteConnection, id: i64, count: i64) -> Result<i64, sqlx::Error> {
    let statement = "UPDATE gristmill_journal_partitions SET next_offset = next_offset + ? WHERE id = ? RETURNING next_offset";
    let next: i64 = sqlx::query_scalar(statement).bind(count).bind(id).fetch_one(db).await?;
    Ok(next - count)
}

/// The first offset that is still there and the next one.
pub(super) async fn bounds(db: &mut SqliteConnection, id: i64) -> Result<(i64, i64), sqlx::Error> {
    let statement = "SELECT next_offset,
               (SELECT min(place) FROM gristmill_journal_records WHERE place >= ? AND place < ?)
        FROM gristmill_journal_partitions WHERE id = ?";
    let (next, first): (i64, Option<i64>) =
        sqlx::query_as(statement).bind(place(id, 0)).bind(place(id + 1, 0)).bind(id).fetch_one(db).await?;
    Ok((first.map_or(next, |first| first - place(id, 0)), next))
}

/// A record with its place, ready to be written.
pub(super) struct Line {
    place: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Option<Vec<u8>>,
}

impl Line {
    /// A record at an offset of the partition with this id.
    pub(super) fn new(id: i64, offset: i64, record: NewRecord, now_ms: i64) -> Self {
        let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        Line {
            place: place(id, offset),
            timestamp_ms: record.timestamp_ms.unwrap_or(now_ms),
            headers: headers::encode(headers),
            key: record.key,
            value: record.value,
        }
    }
}

/// Writes records, many with one statement.
pub(super) async fn insert(db: &mut SqliteConnection, lines: Vec<Line>) -> Result<(), sqlx::Error> {
    let mut left = lines.len();
    let mut lines = lines.into_iter();
    for chunk in CHUNKS {
        let statement = format!(
            "INSERT INTO gristmill_journal_records (place, timestamp_ms, key, value, headers) VALUES {}",
            vec!["(?,?,?,?,?)"; chunk].join(",")
        );
        while left >= chunk {
            let mut query = sqlx::query::<sqlx::Sqlite>(AssertSqlSafe(statement.as_str()));
            for line in lines.by_ref().take(chunk) {
                query = bind(query, line);
            }
            query.execute(&mut *db).await?;
            left -= chunk;
        }
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

fn bind(query: Query<'_>, line: Line) -> Query<'_> {
    query.bind(line.place).bind(line.timestamp_ms).bind(line.key).bind(line.value).bind(line.headers)
}

/// Reads a partition's records from an offset on, in order, until `take` has enough.
pub(super) async fn read(
    db: &mut SqliteConnection,
    id: i64,
    offset: i64,
    limit: usize,
    mut take: impl FnMut(ReadLine<'_>) -> bool,
) -> Result<(), sqlx::Error> {
    let statement = "SELECT place, timestamp_ms, key, value, headers FROM gristmill_journal_records
        WHERE place >= ? AND place < ? ORDER BY place LIMIT ?";
    let mut rows = sqlx::query(statement)
        .bind(place(id, offset.max(0)))
        .bind(place(id + 1, 0))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch(db);
    while let Some(row) = rows.try_next().await? {
        if !take(ReadLine::of(&row, id)?) {
            break;
        }
    }
    Ok(())
}

/// A record as it is read, borrowed from its row.
pub(super) struct ReadLine<'r> {
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<&'r [u8]>,
    pub(super) value: Option<&'r [u8]>,
    pub(super) headers: Option<&'r [u8]>,
}

impl<'r> ReadLine<'r> {
    fn of(row: &'r SqliteRow, id: i64) -> Result<Self, sqlx::Error> {
        Ok(ReadLine {
            offset: row.try_get::<i64, _>(0)? - place(id, 0),
            timestamp_ms: row.try_get(1)?,
            key: row.try_get(2)?,
            value: row.try_get(3)?,
            headers: row.try_get(4)?,
        })
    }

    pub(super) fn stored(&self, partition: i32) -> StoredRecord {
        StoredRecord {
            position: Position { partition, offset: self.offset },
            timestamp_ms: self.timestamp_ms,
            key: self.key.map(<[u8]>::to_vec),
            value: self.value.map(<[u8]>::to_vec),
            headers: headers::owned(self.headers),
        }
    }
}

/// Raises the generation of a lane's publisher; answers it, and what the group remembers.
pub(super) async fn raise_generation(
    db: &mut SqliteConnection,
    lane: &LaneId,
) -> Result<(i64, GroupLedger), sqlx::Error> {
    let statement = "INSERT INTO gristmill_journal_groups (pipeline, topic, partition, generation)
        VALUES (?, ?, ?, 1)
        ON CONFLICT DO UPDATE SET generation = generation + 1
        RETURNING generation, next_offset, metadata";
    let (generation, next_offset, metadata): (i64, Option<i64>, String) = sqlx::query_as(statement)
        .bind(&*lane.pipeline)
        .bind(&*lane.topic)
        .bind(lane.partition)
        .fetch_one(db)
        .await?;
    Ok((generation, ledger(next_offset, &metadata)))
}

/// Moves the group's offset, if no newer publisher was opened. Answers whether it did.
pub(super) async fn move_group(
    db: &mut SqliteConnection,
    lane: &LaneId,
    generation: i64,
    next_offset: i64,
    metadata: String,
) -> Result<bool, sqlx::Error> {
    let statement = "UPDATE gristmill_journal_groups SET next_offset = ?, metadata = ?
        WHERE pipeline = ? AND topic = ? AND partition = ? AND generation = ?";
    let done = sqlx::query(statement)
        .bind(next_offset)
        .bind(metadata)
        .bind(&*lane.pipeline)
        .bind(&*lane.topic)
        .bind(lane.partition)
        .bind(generation)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What a pipeline's group remembers of a partition.
pub(super) async fn group(db: &mut SqliteConnection, lane: &LaneId) -> Result<GroupLedger, sqlx::Error> {
    let statement = "SELECT next_offset, metadata FROM gristmill_journal_groups
        WHERE pipeline = ? AND topic = ? AND partition = ?";
    let row: Option<(Option<i64>, String)> = sqlx::query_as(statement)
        .bind(&*lane.pipeline)
        .bind(&*lane.topic)
        .bind(lane.partition)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|(next_offset, metadata)| ledger(next_offset, &metadata)).unwrap_or_default())
}

fn ledger(next_offset: Option<i64>, metadata: &str) -> GroupLedger {
    GroupLedger { next_offset, batch: next_offset.and_then(|_| ledger_batch(metadata)) }
}

fn place(id: i64, offset: i64) -> i64 {
    (id << OFFSET_BITS) + offset
}

/// A database error as the log's: what passes by itself is told from what does not.
pub(super) fn error(doing: String, error: &sqlx::Error) -> Error {
    let passing = match error {
        // Busy, locked, interrupted, I/O, full.
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
            matches!(code & 0xff, 5 | 6 | 9 | 10 | 13)
        }
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::WorkerCrashed => true,
        _ => false,
    };
    let message = error.to_string();
    match passing {
        true => Error::Unavailable { log: "journal", doing, message },
        false => Error::Unfit(format!("journal: {doing}: {message}")),
    }
}
