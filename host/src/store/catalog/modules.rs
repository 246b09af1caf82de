//! Modules: kept once under their name and version, their bytes once under their digest.

use super::{Error, audit, changed, execute, fetch, json};
use crate::catalog::{AuditLine, Kept, NewVersion, Removed, Version};
use crate::store::sql::{Arg, Row, Sql, Tx};
use serde_json::json;

const COLUMNS: &str =
    "name, version, digest, bytes, about, imports, signed_by, report, pushed_by, pushed_at_ms";

fn version(row: &Row) -> Version {
    let signed_by = row.text(6);
    Version {
        name: row.text(0),
        version: row.text(1),
        digest: row.text(2),
        bytes: row.int(3),
        about: row.text(4),
        imports: serde_json::from_str(&row.text(5)).unwrap_or_default(),
        signed_by: (!signed_by.is_empty()).then_some(signed_by),
        report: json(&row.text(7)),
        pushed_by: row.text(8),
        pushed_at_ms: row.int(9),
    }
}

/// Keeps a version. Two that push the same name at once: the second one waits, and finds the first one's.
pub(super) async fn put(tx: &mut dyn Tx, new: &NewVersion) -> Result<Kept, Error> {
    let (it, imports) = (&new.version, json!(new.version.imports).to_string());
    let report = it.report.to_string();
    let code =
        "INSERT INTO gristmill.module_code (digest, code) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
    let text = format!(
        "INSERT INTO gristmill.modules ({COLUMNS}, cases) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (name, version) DO NOTHING"
    );
    let args = [
        Arg::from(it.name.as_str()),
        Arg::from(it.version.as_str()),
        Arg::from(it.digest.as_str()),
        Arg::from(it.bytes),
        Arg::from(it.about.as_str()),
        Arg::from(imports.as_str()),
        Arg::Text(it.signed_by.as_deref()),
        Arg::from(report.as_str()),
        Arg::from(it.pushed_by.as_str()),
        Arg::from(it.pushed_at_ms),
        Arg::from(new.cases.as_str()),
    ];
    if execute(tx, &text, &args).await? == 0 {
        let there = one(tx, &it.name, &it.version).await?;
        return Ok(match there {
            Some(there) if there.digest == it.digest => Kept::Same,
            Some(there) => Kept::Other(there.digest),
            None => Kept::Other(String::new()),
        });
    }
    execute(tx, code, &[Arg::from(it.digest.as_str()), Arg::from(new.code.as_slice())]).await?;
    let target = format!("{}@{}", it.name, it.version);
    let detail = json!({ "digest": it.digest, "bytes": it.bytes, "signed_by": it.signed_by });
    audit(tx, &AuditLine::new(it.pushed_at_ms, &it.pushed_by, "module-push", &target, detail)).await?;
    changed(tx).await?;
    Ok(Kept::New)
}

pub(super) async fn list(sql: &mut dyn Sql, name: Option<&str>) -> Result<Vec<Version>, Error> {
    let (filter, args) = match name {
        Some(name) => ("WHERE name = $1", vec![Arg::from(name)]),
        None => ("", Vec::new()),
    };
    let text =
        format!("SELECT {COLUMNS} FROM gristmill.modules {filter} ORDER BY name, pushed_at_ms DESC, version");
    Ok(fetch(sql, &text, &args).await?.iter().map(version).collect())
}

pub(super) async fn one<S: Sql + ?Sized>(
    sql: &mut S,
    name: &str,
    number: &str,
) -> Result<Option<Version>, Error> {
    let text = format!("SELECT {COLUMNS} FROM gristmill.modules WHERE name = $1 AND version = $2");
    Ok(fetch(sql, &text, &[Arg::from(name), Arg::from(number)]).await?.first().map(version))
}

pub(super) async fn code(sql: &mut dyn Sql, digest: &str) -> Result<Option<Vec<u8>>, Error> {
    let text = "SELECT code FROM gristmill.module_code WHERE digest = $1";
    Ok(fetch(sql, text, &[Arg::from(digest)]).await?.first().and_then(|row| row.bytes(0)))
}

/// Removes a version unless it is in force somewhere; its bytes go when no activation names them any more, for a
/// rollback may still lead to them.
pub(super) async fn remove(
    tx: &mut dyn Tx,
    name: &str,
    number: &str,
    by: &str,
    now_ms: i64,
) -> Result<Removed, Error> {
    let args = [Arg::from(name), Arg::from(number)];
    let used = "SELECT pipeline, stage FROM gristmill.activations WHERE id IN (SELECT max(id) FROM \
                gristmill.activations GROUP BY pipeline, stage) AND module = $1 AND version = $2 ORDER BY pipeline, stage";
    // The row is locked first: a swap to it that comes at the same time waits, and then finds it gone.
    let lock = "UPDATE gristmill.modules SET bytes = bytes WHERE name = $1 AND version = $2";
    if execute(tx, lock, &args).await? == 0 {
        return Ok(Removed::Missing);
    }
    let used = fetch(tx, used, &args).await?;
    if !used.is_empty() {
        let places = used.iter().map(|row| format!("{}/{}", row.text(0), row.text(1)));
        return Ok(Removed::InUse(places.collect()));
    }
    let digest = one(tx, name, number).await?.map(|version| version.digest).unwrap_or_default();
    execute(tx, "DELETE FROM gristmill.modules WHERE name = $1 AND version = $2", &args).await?;
    let orphan = "DELETE FROM gristmill.module_code WHERE digest = $1 \
                  AND NOT EXISTS (SELECT 1 FROM gristmill.modules AS m WHERE m.digest = $1) \
                  AND NOT EXISTS (SELECT 1 FROM gristmill.activations AS a WHERE a.digest = $1)";
    execute(tx, orphan, &[Arg::from(digest.as_str())]).await?;
    let (target, detail) = (format!("{name}@{number}"), json!({ "digest": digest }));
    audit(tx, &AuditLine::new(now_ms, by, "module-remove", &target, detail)).await?;
    changed(tx).await?;
    Ok(Removed::Gone)
}
