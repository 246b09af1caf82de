//! The catalog in the store. The same statements for both databases.

mod activations;
mod hosts;
mod modules;
mod revisions;

use super::Error;
use super::fault::Fault;
use super::shared::SqlStore;
use super::sql::{Arg, Dialect, Engine, Sql, Tx};
use crate::catalog::{
    Activation, AuditLine, Catalog, HostReport, Kept, LaneReport, NewActivation, NewRevision, NewVersion,
    Removed, Revision, Version,
};
use async_trait::async_trait;
use serde_json::Value;

/// What PostgreSQL's hosts listen to.
pub(super) const CHANNEL: &str = "gristmill_catalog";

/// Counts a change, and tells the hosts of it once the transaction is committed.
async fn changed(tx: &mut dyn Tx) -> Result<(), Error> {
    execute(tx, "UPDATE gristmill.catalog_clock SET changes = changes + 1 WHERE id = 1", &[]).await?;
    if tx.dialect() == Dialect::Postgres {
        fetch(tx, "SELECT pg_notify($1, '')", &[Arg::from(CHANNEL)]).await?;
    }
    Ok(())
}

/// Adds a line to the audit trail.
async fn audit(tx: &mut dyn Tx, line: &AuditLine) -> Result<(), Error> {
    let text =
        "INSERT INTO gristmill.audit (at_ms, actor, action, target, detail) VALUES ($1, $2, $3, $4, $5)";
    let detail = line.detail.to_string();
    let args = [
        Arg::from(line.at_ms),
        Arg::from(line.actor.as_str()),
        Arg::from(line.action.as_str()),
        Arg::from(line.target.as_str()),
        Arg::from(detail.as_str()),
    ];
    execute(tx, text, &args).await.map(|_| ())
}

async fn execute<S: Sql + ?Sized>(sql: &mut S, text: &str, args: &[Arg<'_>]) -> Result<u64, Error> {
    sql.execute(text, args).await.map_err(Fault::into_error)
}

async fn fetch<S: Sql + ?Sized>(
    sql: &mut S,
    text: &str,
    args: &[Arg<'_>],
) -> Result<Vec<super::sql::Row>, Error> {
    sql.fetch(text, args).await.map_err(Fault::into_error)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

#[async_trait]
impl<E: Engine> Catalog for SqlStore<E> {
    async fn catalog_changes(&self) -> Result<i64, Error> {
        let mut sql = self.reader().await?;
        let rows =
            fetch(sql.as_mut(), "SELECT changes FROM gristmill.catalog_clock WHERE id = 1", &[]).await?;
        Ok(rows.first().map_or(0, |row| row.int(0)))
    }

    async fn catalog_changed(&self, within: std::time::Duration) {
        self.engine.changed(within).await;
    }

    async fn put_module(&self, version: &NewVersion) -> Result<Kept, Error> {
        let version = version.clone();
        self.writing(move |tx| Box::pin(async move { modules::put(tx, &version).await })).await
    }

    async fn module_versions(&self, name: Option<&str>) -> Result<Vec<Version>, Error> {
        modules::list(self.reader().await?.as_mut(), name).await
    }

    async fn module_version(&self, name: &str, version: &str) -> Result<Option<Version>, Error> {
        modules::one(self.reader().await?.as_mut(), name, version).await
    }

    async fn module_code(&self, digest: &str) -> Result<Option<Vec<u8>>, Error> {
        modules::code(self.reader().await?.as_mut(), digest).await
    }

    async fn remove_module(
        &self,
        name: &str,
        version: &str,
        by: &str,
        now_ms: i64,
    ) -> Result<Removed, Error> {
        let (name, version, by) = (name.to_owned(), version.to_owned(), by.to_owned());
        self.writing(move |tx| {
            Box::pin(async move { modules::remove(tx, &name, &version, &by, now_ms).await })
        })
        .await
    }

    async fn activate(
        &self,
        activation: &NewActivation,
        expected: Option<i64>,
    ) -> Result<Option<i64>, Error> {
        let activation = activation.clone();
        self.writing(move |tx| {
            Box::pin(async move { activations::activate(tx, &activation, expected, "swap").await })
        })
        .await
    }

    async fn take_back(&self, bad: i64, reason: &str, instead: &NewActivation) -> Result<Option<i64>, Error> {
        let (reason, instead) = (reason.to_owned(), instead.clone());
        self.writing(move |tx| {
            Box::pin(async move { activations::take_back(tx, bad, &reason, &instead).await })
        })
        .await
    }

    async fn in_force(&self, pipeline: &str) -> Result<Vec<Activation>, Error> {
        activations::in_force(self.reader().await?.as_mut(), pipeline).await
    }

    async fn activations(
        &self,
        pipeline: &str,
        stage: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Activation>, Error> {
        activations::list(self.reader().await?.as_mut(), pipeline, stage, limit).await
    }

    async fn activation(&self, id: i64) -> Result<Option<Activation>, Error> {
        activations::one(self.reader().await?.as_mut(), id).await
    }

    async fn report_lanes(&self, lanes: &[LaneReport]) -> Result<(), Error> {
        let lanes = lanes.to_vec();
        self.writing(move |tx| Box::pin(async move { hosts::report_lanes(tx, &lanes).await })).await
    }

    async fn lane_reports(&self, pipeline: &str) -> Result<Vec<LaneReport>, Error> {
        hosts::lane_reports(self.reader().await?.as_mut(), pipeline).await
    }

    async fn report_host(&self, host: &HostReport) -> Result<(), Error> {
        let host = host.clone();
        self.writing(move |tx| Box::pin(async move { hosts::report_host(tx, &host).await })).await
    }

    async fn hosts_since(&self, since_ms: i64) -> Result<Vec<HostReport>, Error> {
        hosts::since(self.reader().await?.as_mut(), since_ms).await
    }

    async fn set_paused(&self, pipeline: &str, paused: bool, by: &str, now_ms: i64) -> Result<bool, Error> {
        let (pipeline, by) = (pipeline.to_owned(), by.to_owned());
        self.writing(move |tx| {
            Box::pin(async move { hosts::set_paused(tx, &pipeline, paused, &by, now_ms).await })
        })
        .await
    }

    async fn paused(&self) -> Result<Vec<String>, Error> {
        let mut sql = self.reader().await?;
        let rows =
            fetch(sql.as_mut(), "SELECT pipeline FROM gristmill.pauses ORDER BY pipeline", &[]).await?;
        Ok(rows.iter().map(|row| row.text(0)).collect())
    }

    async fn put_revision(&self, revision: &NewRevision, expected: i64) -> Result<Option<i64>, Error> {
        let revision = revision.clone();
        self.writing(move |tx| Box::pin(async move { revisions::put(tx, &revision, expected).await })).await
    }

    async fn newest_revisions(&self) -> Result<Vec<Revision>, Error> {
        revisions::newest(self.reader().await?.as_mut()).await
    }

    async fn revisions(&self, pipeline: &str, limit: u32) -> Result<Vec<Revision>, Error> {
        revisions::list(self.reader().await?.as_mut(), pipeline, limit).await
    }

    async fn revision(&self, pipeline: &str, revision: i64) -> Result<Option<Revision>, Error> {
        revisions::one(self.reader().await?.as_mut(), pipeline, revision).await
    }

    async fn audit(&self, line: &AuditLine) -> Result<(), Error> {
        let line = line.clone();
        self.writing(move |tx| Box::pin(async move { audit(tx, &line).await })).await
    }

    async fn audit_trail(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditLine>, Error> {
        let text = "SELECT id, at_ms, actor, action, target, detail FROM gristmill.audit WHERE id < $1 \
                    ORDER BY id DESC LIMIT $2";
        let args = [Arg::from(before.unwrap_or(i64::MAX)), Arg::from(i64::from(limit))];
        let rows = fetch(self.reader().await?.as_mut(), text, &args).await?;
        let line = |row: &super::sql::Row| AuditLine {
            id: row.int(0),
            at_ms: row.int(1),
            actor: row.text(2),
            action: row.text(3),
            target: row.text(4),
            detail: json(&row.text(5)),
        };
        Ok(rows.iter().map(line).collect())
    }
}
