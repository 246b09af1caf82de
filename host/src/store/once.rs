//! `once` tables decide about their records (DESIGN.md D7): a key that is there already with the same content makes
//! the record a duplicate, with other content a dead letter. Decided set-wise, before anything else is written.

use super::fault::{Fault, STAGE, bounded};
use super::rows::Rows;
use super::sql::{Dialect, Sql, Value};
use super::statements;
use super::value::shown;
use super::{Error, fold};
use crate::effect::{Cell, Failure, Verdict};
use crate::spec::ColumnType;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a record that lost a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The same content stands there: nothing is to be done.
    Duplicate,
    /// Other content stands there.
    Conflict(Failure),
}

/// How the records of one `once` table fared.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// Records that have a new key.
    pub winners: BTreeSet<u32>,
    /// Records that lost one.
    pub losers: BTreeMap<u32, Loss>,
}

/// Inserts the rows whose keys are new, and decides about the records of the others.
pub async fn decide(sql: &mut dyn Sql, rows: &Rows<'_>, content: &[usize]) -> Result<Decided, Fault> {
    let runs = fold::runs(rows, &rows.table.key);
    let heads: Vec<usize> = runs.iter().filter_map(|run| run.first().copied()).collect();
    let lost: BTreeSet<usize> = claim(sql, &rows.subset(heads.iter().copied()))
        .await?
        .into_iter()
        .filter_map(|n| heads.get(n).copied())
        .collect();
    let mut decided = Decided::default();
    decided.winners.extend(heads.iter().filter(|head| !lost.contains(head)).map(|head| rows.record(*head)));
    // Each contested row, with the record that won its key in this very batch, if one did.
    let mut contested: Vec<(usize, Option<u32>)> = Vec::new();
    for run in runs.iter() {
        let Some((head, later)) = run.split_first() else { continue };
        let winner = (!lost.contains(head)).then(|| rows.record(*head));
        contested.extend(winner.is_none().then_some((*head, None)));
        contested.extend(later.iter().map(|place| (*place, winner)));
    }
    if contested.is_empty() {
        return Ok(decided);
    }
    let same = compare(sql, &rows.subset(contested.iter().map(|(place, _)| *place)), content).await?;
    for ((place, winner), same) in contested.into_iter().zip(same) {
        let record = rows.record(place);
        match same {
            // A record may say the same thing twice.
            Some(true) if winner == Some(record) => {}
            Some(true) => {
                decided.losers.entry(record).or_insert(Loss::Duplicate);
            }
            Some(false) => {
                decided.losers.insert(record, Loss::Conflict(conflict(rows, place)));
            }
            None => return Err(gone(sql.dialect(), rows).into()),
        }
    }
    Ok(decided)
}

/// Inserts the rows whose keys are free; answers the places of the others.
pub async fn claim(sql: &mut dyn Sql, rows: &Rows<'_>) -> Result<Vec<usize>, Fault> {
    let table = rows.table;
    let all: Vec<usize> = (0..table.columns.len()).collect();
    if sql.dialect() == Dialect::Postgres {
        let lost = sql.with_rows(rows, &all, &statements::claim(table)).await?;
        return Ok(lost.iter().filter_map(|row| usize::try_from(row.int(0)).ok()).collect());
    }
    // Nobody else writes while this transaction does: look first, then insert the rest.
    let taken = statements::matching(Dialect::Sqlite, table, &table.key, &[]);
    let taken = sql.with_rows(rows, &table.key, &taken).await?;
    let taken: BTreeSet<usize> = taken.iter().filter_map(|row| usize::try_from(row.int(0)).ok()).collect();
    let free = rows.subset((0..rows.len()).filter(|place| !taken.contains(place)));
    sql.with_rows(&free, &all, &statements::insert(Dialect::Sqlite, table)).await?;
    Ok(taken.into_iter().collect())
}

/// For each row, whether the table's row of its key has the same content; `None` if there is no such row.
async fn compare(sql: &mut dyn Sql, rows: &Rows<'_>, content: &[usize]) -> Result<Vec<Option<bool>>, Fault> {
    let mut same = vec![None; rows.len()];
    let columns: Vec<usize> = rows.table.key.iter().chain(content).copied().collect();
    let tail = match sql.dialect() {
        Dialect::Postgres => statements::same_content(rows.table, content),
        Dialect::Sqlite => statements::matching(Dialect::Sqlite, rows.table, &rows.table.key, content),
    };
    let dialect = sql.dialect();
    for row in sql.with_rows(rows, &columns, &tail).await? {
        let Ok(place) = usize::try_from(row.int(0)) else { continue };
        let equal = match dialect {
            Dialect::Postgres => row.int(1) == 1,
            Dialect::Sqlite => content
                .iter()
                .enumerate()
                .all(|(n, column)| equal(rows.ty(*column), row.value(n + 1), rows.cell(*column, place))),
        };
        if let Some(same) = same.get_mut(place) {
            *same = Some(equal);
        }
    }
    Ok(same)
}

/// Whether a stored value equals a new one, as PostgreSQL would say it of the column's type.
fn equal(ty: ColumnType, stored: &Value<'_>, new: Cell<'_>) -> bool {
    match (ty, stored, new) {
        (ColumnType::Json, Value::Text(stored), Cell::Json(new)) => {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            stored == new || parse(stored).is_some_and(|stored| Some(stored) == parse(new))
        }
        (ColumnType::Numeric(None), Value::Text(stored), new) => {
            fold::compare(ty, Cell::Decimal(stored), new) == std::cmp::Ordering::Equal && new != Cell::Null
        }
        (ty, stored, new) => *stored == shown(ty, new),
    }
}

fn conflict(rows: &Rows<'_>, place: usize) -> Failure {
    let key: Vec<String> = rows.table.key.iter().map(|column| named(rows, *column, place)).collect();
    let reason = format!(
        "table {}: the key {} is there already with other content",
        rows.table.name,
        bounded(&key.join(", "))
    );
    Failure::one(Verdict::Reject, STAGE, "", "key-conflict", reason)
}

fn named(rows: &Rows<'_>, column: usize, place: usize) -> String {
    let Some(known) = rows.table.columns.get(column) else { return String::new() };
    let value = match shown(known.ty, rows.cell(column, place)) {
        Value::Null => "NULL".to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(value) => value.into_owned(),
        Value::Bytes(value) => value.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    format!("{} = {value}", known.name)
}

/// Somebody else has deleted the row between two statements.
fn gone(dialect: Dialect, rows: &Rows<'_>) -> Error {
    Error::Unavailable {
        store: if dialect == Dialect::Postgres { "PostgreSQL" } else { "SQLite" },
        doing: format!("deciding about keys of table {}", rows.table.name),
        message: "a row has vanished meanwhile".to_owned(),
    }
}
