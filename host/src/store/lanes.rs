//! What is remembered of lanes: their state, outbox, batch ledger and parked records. The same statements for both
//! databases.

use super::fault::Fault;
use super::own_tables::headers_from;
use super::sql::{Arg, Row, Sql, Tx};
use super::{Committed, Error, LaneId, LaneState, OutboxEntry, ParkedRecord, Resolution};
use crate::publish::outbox;
use serde::{Deserialize, Serialize};

pub const OF_LANE: &str = "WHERE pipeline = $1 AND topic = $2 AND partition = $3";

fn of_lane(lane: &LaneId) -> Vec<Arg<'_>> {
    vec![Arg::from(&*lane.pipeline), Arg::from(&*lane.topic), Arg::from(i64::from(lane.partition))]
}

pub fn with<'a>(lane: &'a LaneId, more: &[i64]) -> Vec<Arg<'a>> {
    let mut args = of_lane(lane);
    args.extend(more.iter().map(|value| Arg::from(*value)));
    args
}

const STATE: &str = "epoch, batch, next_offset, published, distrust_group";

fn state_of(row: &Row) -> LaneState {
    LaneState {
        epoch: row.int(0),
        batch: row.int(1),
        next_offset: row.opt_int(2),
        published: row.int(3),
        distrust_group: row.int(4) != 0,
    }
}

/// A lane's state, if anybody ever had it.
pub async fn state(sql: &mut dyn Sql, lane: &LaneId) -> Result<Option<LaneState>, Error> {
    let rows = sql.fetch(&format!("SELECT {STATE} FROM gristmill.lanes {OF_LANE}"), &of_lane(lane)).await;
    Ok(rows.map_err(Fault::into_error)?.first().map(state_of))
}

/// Raises a lane's epoch. An operator's distrust stands until the take-over has come to its end: its mark clears it, or
/// the first commit.
pub async fn take_over(sql: &mut dyn Sql, lane: &LaneId) -> Result<LaneState, Error> {
    let raise = "INSERT INTO gristmill.lanes AS l (pipeline, topic, partition, epoch) VALUES ($1, $2, $3, 1) \
                 ON CONFLICT (pipeline, topic, partition) DO UPDATE SET epoch = l.epoch + 1";
    sql.execute(raise, &of_lane(lane)).await.map_err(Fault::into_error)?;
    let state = state(sql, lane).await?.ok_or_else(|| Error::Unfit {
        message: format!(
            "{lane}: its row has vanished while it was taken over: who deletes from gristmill.lanes?"
        ),
    })?;
    Ok(state)
}

/// Sets where a lane without any batch begins.
pub async fn begin_at(sql: &mut dyn Sql, lane: &LaneId, epoch: i64, next_offset: i64) -> Result<(), Error> {
    let sql_text =
        format!("UPDATE gristmill.lanes SET next_offset = $4 {OF_LANE} AND epoch = $5 AND batch = 0");
    let changed =
        sql.execute(&sql_text, &with(lane, &[next_offset, epoch])).await.map_err(Fault::into_error)?;
    if changed == 1 { Ok(()) } else { Err(Error::Fenced { lane: lane.clone(), epoch, batch: 0 }) }
}

/// The outbox entries after a batch.
pub async fn outbox(sql: &mut dyn Sql, lane: &LaneId, after: i64) -> Result<Vec<OutboxEntry>, Error> {
    let text = format!(
        "SELECT batch, next_offset, value FROM gristmill.outbox {OF_LANE} AND batch > $4 ORDER BY batch"
    );
    let rows = sql.fetch(&text, &with(lane, &[after])).await.map_err(Fault::into_error)?;
    let entry = |row: &Row| {
        let (batch, next_offset) = (row.int(0), row.int(1));
        Ok(OutboxEntry { batch, next_offset, value: unpacked(lane, batch, row.bytes(2))? })
    };
    rows.iter().map(entry).collect()
}

/// An outbox value as it was before it was packed.
fn unpacked(lane: &LaneId, batch: i64, stored: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    outbox::unpack(stored.unwrap_or_default())
        .map_err(|error| Error::Unfit { message: format!("{lane}: batch {batch}: {error}") })
}

/// Writes down what is published, and forgets its outbox values. The group's ledger is right again then.
pub async fn mark_published(tx: &mut dyn Tx, lane: &LaneId, epoch: i64, published: i64) -> Result<(), Error> {
    let mark = format!(
        "UPDATE gristmill.lanes SET published = CASE WHEN published < $4 THEN $4 ELSE published END, \
         distrust_group = false {OF_LANE} AND epoch = $5 AND batch >= $4"
    );
    if tx.execute(&mark, &with(lane, &[published, epoch])).await.map_err(Fault::into_error)? != 1 {
        return Err(Error::Fenced { lane: lane.clone(), epoch, batch: published });
    }
    let forget = format!("DELETE FROM gristmill.outbox {OF_LANE} AND batch <= $4");
    tx.execute(&forget, &with(lane, &[published])).await.map_err(Fault::into_error)?;
    Ok(())
}

/// What the ledger keeps of [`Committed`].
#[derive(Serialize, Deserialize)]
struct Counts {
    rows: Vec<u64>,
    mails: u64,
    duplicates: u64,
    dead_letters: Vec<(String, u64)>,
    parked: u64,
    parked_due_ms: Option<i64>,
}

/// The counts of a commit, for the ledger.
pub fn counts_text(committed: &Committed) -> String {
    let counts = Counts {
        rows: committed.rows.clone(),
        mails: committed.mails,
        duplicates: committed.duplicates,
        dead_letters: committed.dead_letters.clone(),
        parked: committed.parked,
        parked_due_ms: committed.parked_due_ms,
    };
    serde_json::to_string(&counts).unwrap_or_else(|_| "{}".to_owned())
}

/// What a batch that this epoch has committed did, from the ledger and the outbox.
pub async fn committed(
    sql: &mut dyn Sql,
    lane: &LaneId,
    epoch: i64,
    batch: i64,
) -> Result<Option<Committed>, Error> {
    let text = format!(
        "SELECT next_offset, counts, (SELECT o.value FROM gristmill.outbox AS o WHERE o.pipeline = b.pipeline AND \
         o.topic = b.topic AND o.partition = b.partition AND o.batch = b.batch) \
         FROM gristmill.batches AS b {OF_LANE} AND epoch = $4 AND batch = $5"
    );
    let rows = sql.fetch(&text, &with(lane, &[epoch, batch])).await.map_err(Fault::into_error)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let counts: Counts = serde_json::from_str(&row.text(1)).map_err(|error| Error::Unfit {
        message: format!("{lane}: the ledger's line of batch {batch} is damaged: {error}"),
    })?;
    Ok(Some(Committed {
        batch,
        next_offset: row.int(0),
        outbox: unpacked(lane, batch, row.bytes(2))?,
        rows: counts.rows,
        mails: counts.mails,
        duplicates: counts.duplicates,
        dead_letters: counts.dead_letters,
        parked: counts.parked,
        parked_due_ms: counts.parked_due_ms,
    }))
}

/// Forgets parked records that have come back.
pub async fn forget_parked(tx: &mut dyn Tx, ids: &[i64]) -> Result<(), Error> {
    // Ids are numbers of our own; a fixed number of places keeps the statement the same.
    for chunk in ids.chunks(100) {
        let places: Vec<String> = (1..=100).map(|n| format!("${n}")).collect();
        let text = format!("DELETE FROM gristmill.parked WHERE id IN ({})", places.join(", "));
        let mut args: Vec<Arg<'_>> = chunk.iter().map(|id| Arg::from(*id)).collect();
        args.resize(100, Arg::from(-1));
        tx.execute(&text, &args).await.map_err(Fault::into_error)?;
    }
    Ok(())
}

/// When the next parked record is due.
pub async fn next_parked_due(sql: &mut dyn Sql, lane: &LaneId) -> Result<Option<i64>, Error> {
    let text = format!("SELECT min(due_ms) FROM gristmill.parked {OF_LANE}");
    let rows = sql.fetch(&text, &of_lane(lane)).await.map_err(Fault::into_error)?;
    Ok(rows.first().and_then(|row| row.opt_int(0)))
}

/// The parked records that are due, oldest first, within bounds but at least one.
pub async fn due_parked(
    sql: &mut dyn Sql,
    lane: &LaneId,
    now_ms: i64,
    records_max: usize,
    bytes_max: usize,
) -> Result<Vec<ParkedRecord>, Error> {
    // The sizes first: a thousand large records must not come at once only to be counted.
    let sizes = format!(
        "SELECT id, coalesce(length(key), 0) + coalesce(length(value), 0) + length(headers) FROM gristmill.parked \
         {OF_LANE} AND due_ms <= $4 ORDER BY due_ms, record_offset, id LIMIT $5"
    );
    let limit = i64::try_from(records_max.max(1)).unwrap_or(i64::MAX);
    let sizes = sql.fetch(&sizes, &with(lane, &[now_ms, limit])).await.map_err(Fault::into_error)?;
    let mut bytes = 0;
    let fitting = sizes.iter().enumerate().take_while(|(place, row)| {
        bytes += usize::try_from(row.int(1)).unwrap_or(usize::MAX / 2);
        *place == 0 || bytes <= bytes_max
    });
    let count = i64::try_from(fitting.count()).unwrap_or(0);
    if count == 0 {
        return Ok(Vec::new());
    }
    let text = format!(
        "SELECT id, attempts, record_offset, timestamp_ms, key, value, headers FROM gristmill.parked \
         {OF_LANE} AND due_ms <= $4 ORDER BY due_ms, record_offset, id LIMIT $5"
    );
    let rows = sql.fetch(&text, &with(lane, &[now_ms, count])).await.map_err(Fault::into_error)?;
    let parked = |row: &Row| ParkedRecord {
        id: row.int(0),
        attempts: u32::try_from(row.int(1)).unwrap_or(0),
        offset: row.int(2),
        timestamp_ms: row.int(3),
        key: row.bytes(4),
        value: row.bytes(5),
        headers: headers_from(&row.text(6)),
    };
    Ok(rows.iter().map(parked).collect())
}

/// How many records of a pipeline are parked.
pub async fn parked_count(sql: &mut dyn Sql, pipeline: &str) -> Result<u64, Error> {
    let text = "SELECT count(*) FROM gristmill.parked WHERE pipeline = $1";
    let rows = sql.fetch(text, &[Arg::from(pipeline)]).await.map_err(Fault::into_error)?;
    Ok(rows.first().map_or(0, |row| row.int(0).unsigned_abs()))
}

/// An operator's decision about contradicting ledgers. It fences whoever works on the lane now.
pub async fn resolve(tx: &mut dyn Tx, lane: &LaneId, decision: Resolution) -> Result<(), Error> {
    let mut run = Vec::new();
    match decision {
        Resolution::TrustStore => run.push((
            format!("UPDATE gristmill.lanes SET distrust_group = true, epoch = epoch + 1 {OF_LANE}"),
            of_lane(lane),
        )),
        Resolution::ContinueAt { next_offset } => {
            run.push((
                format!(
                    "UPDATE gristmill.lanes SET next_offset = $4, published = batch, distrust_group = true, \
                     epoch = epoch + 1 {OF_LANE}"
                ),
                with(lane, &[next_offset]),
            ));
            run.push((format!("DELETE FROM gristmill.outbox {OF_LANE}"), of_lane(lane)));
        }
    }
    for (place, (text, args)) in run.iter().enumerate() {
        let changed = tx.execute(text, args).await.map_err(Fault::into_error)?;
        if place == 0 && changed == 0 {
            return Err(Error::BadRequest(format!("{lane}: no host has ever had this lane")));
        }
    }
    Ok(())
}
