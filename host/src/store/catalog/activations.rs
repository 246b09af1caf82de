//! Activations: one row for each swap, the newest of a stage is in force.

use super::{Error, audit, changed, execute, fetch};
use crate::catalog::{Activation, AuditLine, NewActivation};
use crate::store::sql::{Arg, Row, Sql, Tx};
use serde_json::json;

const COLUMNS: &str =
    "id, pipeline, stage, module, version, digest, config, base, by_whom, at_ms, note, taken_back";

fn activation(row: &Row) -> Activation {
    Activation {
        id: row.int(0),
        pipeline: row.text(1),
        stage: row.text(2),
        module: row.text(3),
        version: row.text(4),
        digest: row.text(5),
        config: row.text(6),
        base: row.text(7),
        by: row.text(8),
        at_ms: row.int(9),
        note: row.text(10),
        taken_back: match row.text(11) {
            reason if reason.is_empty() => None,
            reason => Some(reason),
        },
    }
}

/// Writes an activation, unless another one than expected is in force, or the version is gone.
pub(super) async fn activate(
    tx: &mut dyn Tx,
    new: &NewActivation,
    expected: Option<i64>,
    action: &str,
) -> Result<Option<i64>, Error> {
    // One swap at a time: this row is every change's.
    changed(tx).await?;
    if let Some(expected) = expected
        && newest(tx, &new.pipeline, &new.stage).await? != expected
    {
        return Ok(None);
    }
    if !new.version.is_empty() {
        let lock =
            "UPDATE gristmill.modules SET bytes = bytes WHERE name = $1 AND version = $2 AND digest = $3";
        let args =
            [Arg::from(new.module.as_str()), Arg::from(new.version.as_str()), Arg::from(new.digest.as_str())];
        if execute(tx, lock, &args).await? == 0 {
            return Err(Error::BadRequest(format!(
                "there is no {}@{} any more: it was removed meanwhile",
                new.module, new.version
            )));
        }
    }
    let text = "INSERT INTO gristmill.activations (pipeline, stage, module, version, digest, config, base, by_whom, \
                at_ms, note) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";
    let args = [
        Arg::from(new.pipeline.as_str()),
        Arg::from(new.stage.as_str()),
        Arg::from(new.module.as_str()),
        Arg::from(new.version.as_str()),
        Arg::from(new.digest.as_str()),
        Arg::from(new.config.as_str()),
        Arg::from(new.base.as_str()),
        Arg::from(new.by.as_str()),
        Arg::from(new.at_ms),
        Arg::from(new.note.as_str()),
    ];
    let id = fetch(tx, text, &args).await?.first().map(|row| row.int(0));
    let module =
        if new.version.is_empty() { new.module.clone() } else { format!("{}@{}", new.module, new.version) };
    let target = format!("{}/{}", new.pipeline, new.stage);
    let detail = json!({ "activation": id, "module": module, "digest": new.digest, "note": new.note });
    audit(tx, &AuditLine::new(new.at_ms, &new.by, action, &target, detail)).await?;
    Ok(id)
}

/// Takes the activation in force back: one more activation, and a word about the one before it.
pub(super) async fn take_back(
    tx: &mut dyn Tx,
    bad: i64,
    reason: &str,
    instead: &NewActivation,
) -> Result<Option<i64>, Error> {
    let id = activate(tx, instead, Some(bad), "rollback").await?;
    if id.is_some() {
        let mark = "UPDATE gristmill.activations SET taken_back = $2 WHERE id = $1";
        execute(tx, mark, &[Arg::from(bad), Arg::from(reason)]).await?;
    }
    Ok(id)
}

async fn newest(tx: &mut dyn Tx, pipeline: &str, stage: &str) -> Result<i64, Error> {
    let text = "SELECT max(id) FROM gristmill.activations WHERE pipeline = $1 AND stage = $2";
    let rows = fetch(tx, text, &[Arg::from(pipeline), Arg::from(stage)]).await?;
    Ok(rows.first().map_or(0, |row| row.int(0)))
}

pub(super) async fn in_force(sql: &mut dyn Sql, pipeline: &str) -> Result<Vec<Activation>, Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM gristmill.activations WHERE id IN (SELECT max(id) FROM gristmill.activations \
         WHERE pipeline = $1 GROUP BY stage) ORDER BY id"
    );
    Ok(fetch(sql, &text, &[Arg::from(pipeline)]).await?.iter().map(activation).collect())
}

pub(super) async fn list(
    sql: &mut dyn Sql,
    pipeline: &str,
    stage: Option<&str>,
    limit: u32,
) -> Result<Vec<Activation>, Error> {
    let mut args = vec![Arg::from(pipeline), Arg::from(i64::from(limit))];
    let mut also = "";
    if let Some(stage) = stage {
        args.push(Arg::from(stage));
        also = "AND stage = $3";
    }
    let text = format!(
        "SELECT {COLUMNS} FROM gristmill.activations WHERE pipeline = $1 {also} ORDER BY id DESC LIMIT $2"
    );
    Ok(fetch(sql, &text, &args).await?.iter().map(activation).collect())
}

pub(super) async fn one(sql: &mut dyn Sql, id: i64) -> Result<Option<Activation>, Error> {
    let text = format!("SELECT {COLUMNS} FROM gristmill.activations WHERE id = $1");
    Ok(fetch(sql, &text, &[Arg::from(id)]).await?.first().map(activation))
}
