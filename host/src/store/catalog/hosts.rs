//! What hosts report: that they are alive, which lanes they work and with which activations; and which pipelines are
//! paused.

use super::{Error, audit, changed, execute, fetch};
use crate::catalog::{AuditLine, HostReport, LaneReport};
use crate::store::sql::{Arg, Row, Sql, Tx};
use serde_json::{Value, json};

/// Reports of hosts that have been silent for so long are forgotten, milliseconds.
const FORGET_MS: i64 = 24 * 3_600 * 1_000;

pub(super) async fn report_lanes(tx: &mut dyn Tx, lanes: &[LaneReport]) -> Result<(), Error> {
    let text = "INSERT INTO gristmill.lane_hosts (pipeline, topic, partition, host, activations, at_ms, pause_us) \
                VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (pipeline, topic, partition) DO UPDATE SET \
                host = excluded.host, activations = excluded.activations, at_ms = excluded.at_ms, \
                pause_us = excluded.pause_us";
    for lane in lanes {
        let activations = json!(lane.activations).to_string();
        let args = [
            Arg::from(lane.pipeline.as_str()),
            Arg::from(lane.topic.as_str()),
            Arg::from(i64::from(lane.partition)),
            Arg::from(lane.host.as_str()),
            Arg::from(activations.as_str()),
            Arg::from(lane.at_ms),
            Arg::from(lane.pause_us),
        ];
        execute(tx, text, &args).await?;
    }
    Ok(())
}

pub(super) async fn lane_reports(sql: &mut dyn Sql, pipeline: &str) -> Result<Vec<LaneReport>, Error> {
    let text = "SELECT pipeline, topic, partition, host, activations, at_ms, pause_us FROM gristmill.lane_hosts \
                WHERE pipeline = $1 ORDER BY topic, partition";
    let report = |row: &Row| LaneReport {
        pipeline: row.text(0),
        topic: row.text(1),
        partition: i32::try_from(row.int(2)).unwrap_or(-1),
        host: row.text(3),
        activations: serde_json::from_str(&row.text(4)).unwrap_or_default(),
        at_ms: row.int(5),
        pause_us: row.int(6),
    };
    Ok(fetch(sql, text, &[Arg::from(pipeline)]).await?.iter().map(report).collect())
}

pub(super) async fn report_host(tx: &mut dyn Tx, host: &HostReport) -> Result<(), Error> {
    let text = "INSERT INTO gristmill.hosts (host, seen_ms, trouble, pipelines) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (host) DO UPDATE SET seen_ms = excluded.seen_ms, trouble = excluded.trouble, \
                pipelines = excluded.pipelines";
    let trouble = json!(host.trouble).to_string();
    let pipelines = host.pipelines.as_ref().map(|pipelines| json!(pipelines).to_string());
    let args = [
        Arg::from(host.host.as_str()),
        Arg::from(host.seen_ms),
        Arg::from(trouble.as_str()),
        Arg::Text(pipelines.as_deref()),
    ];
    execute(tx, text, &args).await?;
    let forget = "DELETE FROM gristmill.hosts WHERE seen_ms < $1";
    execute(tx, forget, &[Arg::from(host.seen_ms - FORGET_MS)]).await.map(|_| ())
}

pub(super) async fn since(sql: &mut dyn Sql, since_ms: i64) -> Result<Vec<HostReport>, Error> {
    let text =
        "SELECT host, seen_ms, trouble, pipelines FROM gristmill.hosts WHERE seen_ms >= $1 ORDER BY host";
    let report = |row: &Row| HostReport {
        host: row.text(0),
        seen_ms: row.int(1),
        trouble: serde_json::from_str(&row.text(2)).unwrap_or_default(),
        pipelines: serde_json::from_str(&row.text(3)).ok(),
    };
    Ok(fetch(sql, text, &[Arg::from(since_ms)]).await?.iter().map(report).collect())
}

pub(super) async fn set_paused(
    tx: &mut dyn Tx,
    pipeline: &str,
    paused: bool,
    by: &str,
    now_ms: i64,
) -> Result<bool, Error> {
    let changes = if paused {
        let text = "INSERT INTO gristmill.pauses (pipeline, by_whom, at_ms) VALUES ($1, $2, $3) \
                    ON CONFLICT (pipeline) DO NOTHING";
        execute(tx, text, &[Arg::from(pipeline), Arg::from(by), Arg::from(now_ms)]).await?
    } else {
        execute(tx, "DELETE FROM gristmill.pauses WHERE pipeline = $1", &[Arg::from(pipeline)]).await?
    };
    if changes == 0 {
        return Ok(false);
    }
    let action = if paused { "pause" } else { "resume" };
    audit(tx, &AuditLine::new(now_ms, by, action, pipeline, Value::Null)).await?;
    changed(tx).await?;
    Ok(true)
}
