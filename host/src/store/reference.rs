//! The reference table: keys and values as bytes, the embedded set's stand-in for Redis.

use super::Error;
use super::fault::Fault;
use super::rows::Rows;
use super::sql::{Dialect, Sql, Tx};
use super::{statements, write};
use crate::effect::{ColumnData, TableRows, Values};
use crate::record::Blobs;
use crate::spec::{Column, ColumnType, Mode, Table};
use std::collections::BTreeMap;

fn table(dialect: Dialect) -> Table {
    let column = |name: &str| Column { name: name.to_owned(), ty: ColumnType::Bytes, nullable: false };
    let name = if dialect == Dialect::Postgres { "gristmill.reference" } else { "gristmill_reference" };
    Table {
        name: name.to_owned(),
        columns: vec![column("key"), column("value")],
        key: vec![0],
        mode: Mode::LastWins,
        create: false,
        initial: Vec::new(),
    }
}

fn rows<'a>(keys: impl Iterator<Item = &'a [u8]>, values: Option<Blobs>) -> TableRows {
    let mut blobs = Blobs::default();
    keys.for_each(|key| blobs.push(key));
    let column = |blobs| ColumnData { values: Values::Bytes(blobs), nulls: Vec::new() };
    let records = (0..u32::try_from(blobs.len()).unwrap_or(u32::MAX)).collect();
    TableRows { table: 0, records, columns: vec![Some(column(blobs)), values.map(column)] }
}

/// Answers by key.
pub async fn lookup(sql: &mut dyn Sql, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let (table, mut answers) = (table(sql.dialect()), vec![None; keys.len()]);
    let asked = rows(keys.iter().map(Vec::as_slice), None);
    if keys.is_empty() {
        return Ok(answers);
    }
    let tail = statements::matching(sql.dialect(), &table, &[0], &[1]);
    for row in sql.with_rows(&Rows::all(&table, &asked), &[0], &tail).await.map_err(Fault::into_error)? {
        if let Some(answer) = usize::try_from(row.int(0)).ok().and_then(|place| answers.get_mut(place)) {
            *answer = row.bytes(1);
        }
    }
    Ok(answers)
}

/// Writes entries; of equal keys the last one stays.
pub async fn put(tx: &mut dyn Tx, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error> {
    let table = table(tx.dialect());
    let last: BTreeMap<&[u8], &[u8]> =
        entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    let mut values = Blobs::default();
    last.values().for_each(|value| values.push(value));
    let rows = rows(last.keys().copied(), Some(values));
    write::append(tx, &Rows::all(&table, &rows)).await.map_err(Fault::into_error)
}
