//! Satellites (Data Vault) in the store: one lane at a time reads what stands there, and writes what [`satellite`] finds to be
//! a change.

use super::fault::Fault;
use super::rows::Rows;
use super::satellite::{self, Incoming};
use super::sql::{Arg, Dialect, Row, Tx, Value};
use super::statements::States;
use super::{fold, value, write};
use std::collections::BTreeMap;

/// Writes rows into a satellite.
pub async fn write(
    tx: &mut dyn Tx,
    rows: &Rows<'_>,
    states: &States<'_>,
    children: &[usize],
) -> Result<(), Fault> {
    let (table, States { load, hashdiff, .. }) = (rows.table, *states);
    if states.dialect == Dialect::Postgres {
        let name = format!("gristmill satellite {}", table.name);
        tx.fetch("SELECT 1 FROM pg_advisory_xact_lock(hashtextextended($1, 0))", &[Arg::Text(Some(&name))])
            .await?;
    }
    let sets = (!children.is_empty()).then(|| sets(rows, load, hashdiff));
    let heads = sets.as_ref().map(|sets| rows.subset(sets.iter().filter_map(|set| set.first().copied())));
    let heads = heads.as_ref().unwrap_or(rows);
    let columns: Vec<usize> = table.key.iter().copied().chain([load]).collect();
    let mut stored = found(tx.with_rows(heads, &columns, &states.row_before(true)).await?);
    let show = |column: usize, place: usize| value::shown(heads.ty(column), heads.cell(column, place));
    let mut incoming: Vec<Incoming<Value<'_>, Value<'_>>> = Vec::with_capacity(heads.len());
    // Whose load date has another state: what was before that?
    let mut others = Vec::new();
    for place in 0..heads.len() {
        let (load, hashdiff) = (show(load, place), show(hashdiff, place));
        let (at, before) = match stored.remove(&place) {
            Some((at, stored)) if at == load => (Some(stored), None),
            before => (None, before),
        };
        if at.as_ref().is_some_and(|at| *at != hashdiff) {
            others.push(place);
        }
        incoming.push(Incoming { parent: fold::key(heads, &table.key, place), load, hashdiff, at, before });
    }
    if !others.is_empty() {
        let of = heads.subset(others.iter().copied());
        let mut stored = found(tx.with_rows(&of, &columns, &states.row_before(false)).await?);
        for (n, place) in others.iter().enumerate() {
            if let Some(row) = incoming.get_mut(*place) {
                row.before = stored.remove(&n);
            }
        }
    }
    let changes = satellite::changes(&incoming);
    let changed = heads.subset(changes.all());
    if changed.is_empty() {
        return Ok(());
    }
    if !changes.replace.is_empty() {
        let replaced = heads.subset(changes.replace.iter().copied());
        tx.with_rows(&replaced, &columns, &states.make_room()).await?;
    }
    let begin = match &sets {
        None => rows.subset(changes.begin),
        Some(sets) => rows.subset(changes.begin.iter().filter_map(|set| sets.get(*set)).flatten().copied()),
    };
    // Ends are made anew below. One that stands where a state begins now would be taken for it.
    if let Some(effective) = states.effective {
        tx.with_rows(&changed, &table.key, &states.forget_ends(effective)).await?;
    }
    write::append(tx, &begin).await?;
    // What came late, or took the place of another state, may begin a state earlier than was known: then the row that began it
    // is none any more.
    let columns: Vec<usize> = table.key.iter().copied().chain([load, hashdiff]).collect();
    tx.with_rows(&changed, &columns, &states.no_changes()).await?;
    if let Some(effective) = states.effective {
        tx.with_rows(&changed, &table.key, &states.ends(effective)).await?;
    }
    Ok(())
}

/// What stands in the table, by the number of the row that asks: load date and hashdiff.
fn found(rows: Vec<Row>) -> BTreeMap<usize, (Value<'static>, Value<'static>)> {
    let row =
        |row: Row| Some((usize::try_from(row.int(0)).ok()?, (row.value(1).clone(), row.value(2).clone())));
    rows.into_iter().filter_map(row).collect()
}

/// Where a state is a set of rows, the rows of each: those of one record, parent, load date and hashdiff. A record that became
/// several messages may say several sets.
fn sets(rows: &Rows<'_>, load: usize, hashdiff: usize) -> Vec<Vec<usize>> {
    let columns: Vec<usize> = rows.table.key.iter().copied().chain([load, hashdiff]).collect();
    let mut known: BTreeMap<(u32, Vec<u8>), usize> = BTreeMap::new();
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for place in 0..rows.len() {
        let of = (rows.record(place), fold::key(rows, &columns, place));
        let set = *known.entry(of).or_insert_with(|| {
            sets.push(Vec::new());
            sets.len() - 1
        });
        sets.get_mut(set).into_iter().for_each(|set| set.push(place));
    }
    sets
}
