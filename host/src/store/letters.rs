//! Dead letters: listed, counted, replayed, dropped. The same statements for both databases.

use super::fault::Fault;
use super::own_tables::headers_from;
use super::sql::{Arg, Row, Sql, Tx};
use super::{DeadLetter, DeadLetterQuery, Error};
use crate::effect::{Failure, Verdict};

const COLUMNS: &str = "id, pipeline, topic, partition, record_offset, timestamp_ms, verdict, stage, digest, faults, \
                       attempts, at_ms, key, value, headers";

fn letter(row: &Row) -> DeadLetter {
    let verdict = if row.text(6) == "retry" { Verdict::Retry } else { Verdict::Reject };
    DeadLetter {
        id: row.int(0),
        pipeline: row.text(1),
        topic: row.text(2),
        partition: i32::try_from(row.int(3)).unwrap_or(-1),
        offset: row.int(4),
        timestamp_ms: row.int(5),
        failure: Failure {
            verdict,
            stage: row.text(7),
            digest: row.text(8),
            faults: serde_json::from_str(&row.text(9)).unwrap_or_default(),
        },
        attempts: u32::try_from(row.int(10)).unwrap_or(0),
        at_ms: row.int(11),
        key: row.bytes(12),
        value: row.bytes(13),
        headers: headers_from(&row.text(14)),
    }
}

/// Lists dead letters, newest first.
pub async fn list(sql: &mut dyn Sql, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, Error> {
    let mut args = vec![Arg::from(i64::from(query.limit)), Arg::from(query.before.unwrap_or(i64::MAX))];
    let mut also = String::new();
    for (column, value) in [("pipeline", &query.pipeline), ("code", &query.code)] {
        if let Some(value) = value {
            args.push(Arg::from(value.as_str()));
            also.push_str(&format!(" AND {column} = ${}", args.len()));
        }
    }
    let text =
        format!("SELECT {COLUMNS} FROM gristmill.dead_letters WHERE id < $2{also} ORDER BY id DESC LIMIT $1");
    let rows = sql.fetch(&text, &args).await.map_err(Fault::into_error)?;
    Ok(rows.iter().map(letter).collect())
}

/// One dead letter.
pub async fn one(sql: &mut dyn Sql, id: i64) -> Result<Option<DeadLetter>, Error> {
    let text = format!("SELECT {COLUMNS} FROM gristmill.dead_letters WHERE id = $1");
    let rows = sql.fetch(&text, &[Arg::from(id)]).await.map_err(Fault::into_error)?;
    Ok(rows.first().map(letter))
}

/// How many there are of a pipeline, by code.
pub async fn counts(sql: &mut dyn Sql, pipeline: &str) -> Result<Vec<(String, u64)>, Error> {
    let text =
        "SELECT code, count(*) FROM gristmill.dead_letters WHERE pipeline = $1 GROUP BY code ORDER BY code";
    let rows = sql.fetch(text, &[Arg::from(pipeline)]).await.map_err(Fault::into_error)?;
    let mut counts: Vec<(String, u64)> =
        rows.iter().map(|row| (row.text(0), row.int(1).unsigned_abs())).collect();
    counts.sort();
    Ok(counts)
}

/// Makes a dead letter a parked record that is due. Whoever deletes it moves it: two at once move it once.
pub async fn replay(tx: &mut dyn Tx, id: i64, now_ms: i64) -> Result<bool, Error> {
    let copy = "INSERT INTO gristmill.parked (pipeline, topic, partition, due_ms, attempts, record_offset, \
                timestamp_ms, code, faults, key, value, headers) SELECT pipeline, topic, partition, $2, 0, \
                record_offset, timestamp_ms, code, faults, key, value, headers \
                FROM gristmill.dead_letters WHERE id = $1";
    // The delete comes first in effect: it locks the row, so that a second replay waits and then copies nothing.
    let lock = "UPDATE gristmill.dead_letters SET attempts = attempts WHERE id = $1";
    if tx.execute(lock, &[Arg::from(id)]).await.map_err(Fault::into_error)? == 0 {
        return Ok(false);
    }
    tx.execute(copy, &[Arg::from(id), Arg::from(now_ms)]).await.map_err(Fault::into_error)?;
    drop(tx, id).await
}

/// Drops a dead letter.
pub async fn drop(tx: &mut dyn Tx, id: i64) -> Result<bool, Error> {
    let text = "DELETE FROM gristmill.dead_letters WHERE id = $1";
    Ok(tx.execute(text, &[Arg::from(id)]).await.map_err(Fault::into_error)? == 1)
}
