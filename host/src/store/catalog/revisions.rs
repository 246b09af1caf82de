//! Revisions of pipelines: one row for each, the newest of a pipeline is in force.

use super::{Error, audit, changed, execute, fetch};
use crate::catalog::{AuditLine, NewRevision, Revision};
use crate::store::sql::{Arg, Row, Sql, Tx};
use serde_json::json;

const COLUMNS: &str = "pipeline, revision, spec, files, digest, by_whom, at_ms, note";

fn revision(row: &Row) -> Revision {
    let spec = row.text(2);
    Revision {
        pipeline: row.text(0),
        revision: row.int(1),
        removed: spec.is_empty(),
        spec,
        files: serde_json::from_str(&row.text(3)).unwrap_or_default(),
        digest: row.text(4),
        by: row.text(5),
        at_ms: row.int(6),
        note: row.text(7),
    }
}

pub(super) async fn put(tx: &mut dyn Tx, new: &NewRevision, expected: i64) -> Result<Option<i64>, Error> {
    // One change at a time: this row is every change's.
    changed(tx).await?;
    let newest = "SELECT coalesce(max(revision), 0) FROM gristmill.revisions WHERE pipeline = $1";
    let newest =
        fetch(tx, newest, &[Arg::from(new.pipeline.as_str())]).await?.first().map_or(0, |row| row.int(0));
    if newest != expected {
        return Ok(None);
    }
    let number = newest + 1;
    let (files, digest) = (json!(new.files).to_string(), new.digest());
    let text = format!("INSERT INTO gristmill.revisions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    let args = [
        Arg::from(new.pipeline.as_str()),
        Arg::from(number),
        Arg::from(new.spec.as_str()),
        Arg::from(files.as_str()),
        Arg::from(digest.as_str()),
        Arg::from(new.by.as_str()),
        Arg::from(new.at_ms),
        Arg::from(new.note.as_str()),
    ];
    execute(tx, &text, &args).await?;
    let action = if new.spec.is_empty() { "pipeline-remove" } else { "pipeline-apply" };
    let detail = json!({ "revision": number, "digest": digest, "note": new.note });
    audit(tx, &AuditLine::new(new.at_ms, &new.by, action, &new.pipeline, detail)).await?;
    Ok(Some(number))
}

pub(super) async fn newest(sql: &mut dyn Sql) -> Result<Vec<Revision>, Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM gristmill.revisions AS r WHERE revision = \
         (SELECT max(revision) FROM gristmill.revisions AS n WHERE n.pipeline = r.pipeline) ORDER BY pipeline"
    );
    Ok(fetch(sql, &text, &[]).await?.iter().map(revision).collect())
}

pub(super) async fn list(sql: &mut dyn Sql, pipeline: &str, limit: u32) -> Result<Vec<Revision>, Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM gristmill.revisions WHERE pipeline = $1 ORDER BY revision DESC LIMIT $2"
    );
    let args = [Arg::from(pipeline), Arg::from(i64::from(limit))];
    Ok(fetch(sql, &text, &args).await?.iter().map(revision).collect())
}

pub(super) async fn one(sql: &mut dyn Sql, pipeline: &str, number: i64) -> Result<Option<Revision>, Error> {
    let text = format!("SELECT {COLUMNS} FROM gristmill.revisions WHERE pipeline = $1 AND revision = $2");
    Ok(fetch(sql, &text, &[Arg::from(pipeline), Arg::from(number)]).await?.first().map(revision))
}
