//! The rows of a batch: `once` tables decide first, then each table gets its rows folded and set-wise. If the database
//! refuses something, the batch is halved under savepoints until single records stand alone, so that only the
//! guilty ones are refused and the order of the others stays.

use super::Error;
use super::fault::Fault;
use super::once::{self, Loss};
use super::rows::Rows;
use super::sql::{Dialect, Tx, Value};
use super::statements::States;
use super::{Work, fold, statements, states, value};
use crate::effect::{Effects, Failure, TableRows, TakenOut};
use crate::spec::{Column, ColumnType, Counted, Mode, Spec, Table};
use std::collections::{BTreeMap, BTreeSet};

/// What was decided about the records of a batch.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Refused records, by a guest, by the checks of [`value`], by `once`, by the database.
    pub failures: BTreeMap<u32, Failure>,
    /// Records that were there already.
    pub duplicates: BTreeSet<u32>,
}

impl Outcome {
    /// Whether a record's effects happen.
    pub fn keeps(&self, record: u32) -> bool {
        !self.failures.contains_key(&record) && !self.duplicates.contains(&record)
    }

    /// The records that were taken out here, if others of the batch may have counted on any of them. A duplicate that has
    /// rows in `once` tables only is none that could have been counted on: what it says stands there.
    pub fn taken_out(&self, spec: &Spec, effects: &Effects) -> Option<TakenOut> {
        if effects.counted_on.is_empty() {
            return None;
        }
        let failures = self.failures.iter().filter(|(record, _)| !effects.failures.contains_key(record));
        let duplicates = self.duplicates.iter().filter(|record| !effects.duplicates.contains(record));
        let taken_out = TakenOut {
            failures: failures.map(|(record, failure)| (*record, failure.clone())).collect(),
            duplicates: duplicates.copied().collect(),
        };
        let once = |table: usize| spec.tables.get(table).is_some_and(|t| matches!(t.mode, Mode::Once { .. }));
        let counts = |piece: &TableRows, record: &u32| {
            effects.counted_on.contains(&piece.table)
                && (taken_out.failures.contains_key(record)
                    || taken_out.duplicates.contains(record) && !once(piece.table))
        };
        let counted = effects.rows.iter().any(|piece| piece.records.iter().any(|one| counts(piece, one)));
        counted.then_some(taken_out)
    }

    /// Forgets what was decided about records that are tried anew.
    fn forget(&mut self, records: &[u32]) {
        for record in records {
            self.failures.remove(record);
            self.duplicates.remove(record);
        }
    }

    fn lose(&mut self, record: u32, loss: Loss) {
        match loss {
            Loss::Duplicate => {
                self.duplicates.insert(record);
            }
            Loss::Conflict(failure) => {
                self.failures.entry(record).or_insert(failure);
            }
        }
    }
}

/// Why a group of records could not be written in one go.
#[derive(Debug)]
enum Stop {
    /// The database refuses a row of one of them.
    Refused(Failure),
    /// A record has won one key and lost another: what it wrote must be undone.
    Mixed(u32, Loss),
    /// The store cannot go on.
    Store(Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => Stop::Refused(refusal.failure()),
            Fault::Store(error) => Stop::Store(error),
        }
    }
}

/// Refuses the records whose values cannot stand in their columns.
pub fn vet(spec: &Spec, work: &Work, outcome: &mut Outcome) {
    for piece in &work.effects.rows {
        let Some(table) = spec.tables.get(piece.table) else { continue };
        for (place, column) in table.given().enumerate() {
            vet_column(table, column, place, piece, outcome);
        }
    }
}

fn vet_column(table: &Table, column: &Column, place: usize, piece: &TableRows, outcome: &mut Outcome) {
    for (row, &record) in piece.records.iter().enumerate() {
        if let Err(refusal) = value::check(table, column, piece.cell(place, row)) {
            outcome.failures.entry(record).or_insert_with(|| refusal.failure());
        }
    }
}

/// Writes the rows of all records that `outcome` keeps, without savepoints. `false`: the database refuses something,
/// or has to be asked record by record; the transaction must be rolled back, and [`isolating`] takes over.
pub async fn plainly(
    tx: &mut dyn Tx,
    spec: &Spec,
    work: &Work,
    outcome: &mut Outcome,
) -> Result<bool, Error> {
    match group(tx, spec, work, outcome, |_| true).await {
        Ok(()) => Ok(true),
        Err(Stop::Refused(_) | Stop::Mixed(..)) => Ok(false),
        Err(Stop::Store(error)) => Err(error),
    }
}

/// Writes the same rows, halving where the database refuses. `deferred`: also what it would refuse only at the commit.
pub async fn isolating(
    tx: &mut dyn Tx,
    spec: &Spec,
    work: &Work,
    outcome: &mut Outcome,
    deferred: bool,
) -> Result<(), Error> {
    let kept: Vec<u32> = (0..u32::try_from(work.batch.len()).unwrap_or(u32::MAX))
        .filter(|record| outcome.keeps(*record))
        .collect();
    // The whole is known to be refused: begin with its halves. Left ones first, so that the order stays.
    let mut waiting: Vec<&[u32]> = Vec::new();
    halve(&mut waiting, &kept);
    while let Some(records) = waiting.pop() {
        let (Some(&first), Some(&last)) = (records.first(), records.last()) else { continue };
        tx.savepoint().await.map_err(Fault::into_error)?;
        let mut written = group(tx, spec, work, outcome, |record| (first..=last).contains(&record)).await;
        if written.is_ok() && deferred {
            written = tx.check_deferred().await.map_err(Stop::from);
        }
        if written.is_ok() {
            written = tx.release().await.map_err(Stop::from);
        }
        let stop = match written {
            Ok(()) => continue,
            Err(Stop::Store(error)) => return Err(error),
            Err(stop) => stop,
        };
        tx.rollback_to().await.map_err(Fault::into_error)?;
        outcome.forget(records);
        match stop {
            _ if first != last => halve(&mut waiting, records),
            Stop::Refused(failure) => {
                outcome.failures.insert(first, failure);
            }
            Stop::Mixed(record, loss) => outcome.lose(record, loss),
            Stop::Store(error) => return Err(error),
        }
    }
    Ok(())
}

fn halve<'a>(waiting: &mut Vec<&'a [u32]>, records: &'a [u32]) {
    let (left, right) = records.split_at(records.len() / 2);
    waiting.extend([right, left].into_iter().filter(|half| !half.is_empty()));
}

/// Writes the rows of the records of one group.
async fn group(
    tx: &mut dyn Tx,
    spec: &Spec,
    work: &Work,
    outcome: &mut Outcome,
    member: impl Fn(u32) -> bool + Send + Sync,
) -> Result<(), Stop> {
    let mut winners: BTreeSet<u32> = BTreeSet::new();
    for (place, table) in spec.tables.iter().enumerate() {
        let Mode::Once { content } = &table.mode else { continue };
        let rows = Rows::select(table, place, work, |record| member(record) && outcome.keeps(record));
        if rows.is_empty() {
            continue;
        }
        let decided = once::decide(tx_sql(tx), &rows, content).await?;
        winners.extend(decided.winners);
        for (record, loss) in decided.losers {
            if winners.contains(&record) {
                return Err(Stop::Mixed(record, loss));
            }
            outcome.lose(record, loss);
        }
    }
    for (place, table) in spec.tables.iter().enumerate() {
        if matches!(table.mode, Mode::Once { .. }) {
            continue;
        }
        let mut rows = Rows::select(table, place, work, |record| member(record) && outcome.keeps(record));
        if let Some(counted) = table.counted().filter(|_| !rows.is_empty()) {
            rows = uncounted(tx, &rows, counted).await?;
        }
        if !rows.is_empty() {
            insert(tx, &rows).await?;
        }
    }
    Ok(())
}

/// The rows whose events have not been counted yet for their keys; from now on they have.
async fn uncounted<'a>(tx: &mut dyn Tx, rows: &Rows<'a>, counted: &Counted) -> Result<Rows<'a>, Fault> {
    let pieces = rows.projected(&counted.places);
    let events = rows.seen_as(&counted.ledger, &pieces);
    let runs = fold::runs(&events, &counted.ledger.key);
    let heads: Vec<usize> = runs.iter().filter_map(|run| run.first().copied()).collect();
    let known: BTreeSet<usize> =
        once::claim(tx_sql(tx), &events.subset(heads.iter().copied())).await?.into_iter().collect();
    let new = heads.iter().enumerate().filter(|(n, _)| !known.contains(n)).map(|(_, place)| *place);
    // In the order of their records again: the last row's other columns stay.
    let new: BTreeSet<usize> = new.collect();
    Ok(rows.subset(new))
}

fn tx_sql(tx: &mut dyn Tx) -> &mut dyn super::sql::Sql {
    tx
}

/// Writes rows of one table by its mode.
async fn insert(tx: &mut dyn Tx, rows: &Rows<'_>) -> Result<(), Fault> {
    let refused = Fault::Refused;
    match &rows.table.mode {
        Mode::Append => append(tx, rows).await,
        Mode::Satellite { hashdiff, load, children, effective } => {
            let (dialect, table) = (tx.dialect(), rows.table);
            let states = States { dialect, table, load: *load, hashdiff: *hashdiff, effective: *effective };
            states::write(tx, rows, &states, children).await
        }
        Mode::Sum { columns, .. } if tx.dialect() == Dialect::Sqlite => {
            let folded = fold::fold(rows).map_err(refused)?;
            let summed = sum_onto_stored(tx, folded, columns).await?;
            let replace = Table { mode: Mode::LastWins, ..rows.table.clone() };
            all_columns(tx, &summed, &statements::insert(Dialect::Sqlite, &replace)).await
        }
        Mode::NewestWins { by } if tx.dialect() == Dialect::Sqlite && is_numeric(rows.table, *by) => {
            let folded = fold::fold(rows).map_err(refused)?;
            let newer = newer_than_stored(tx, &folded, *by).await?;
            let replace = Table { mode: Mode::LastWins, ..rows.table.clone() };
            all_columns(tx, &newer, &statements::insert(Dialect::Sqlite, &replace)).await
        }
        _ => append(tx, &fold::fold(rows).map_err(refused)?).await,
    }
}

fn is_numeric(table: &Table, place: usize) -> bool {
    table.columns.get(place).is_some_and(|column| matches!(column.ty, ColumnType::Numeric(_)))
}

/// Inserts all rows as they are, with what the mode says of keys that are there.
pub async fn append(tx: &mut dyn Tx, rows: &Rows<'_>) -> Result<(), Fault> {
    let tail = statements::insert(tx.dialect(), rows.table);
    all_columns(tx, rows, &tail).await
}

async fn all_columns(tx: &mut dyn Tx, rows: &Rows<'_>, tail: &str) -> Result<(), Fault> {
    let all: Vec<usize> = (0..rows.table.columns.len()).collect();
    if !rows.is_empty() {
        tx.with_rows(rows, &all, tail).await?;
    }
    Ok(())
}

/// SQLite has no exact decimals and overflows integers into floats: the sums are made here.
async fn sum_onto_stored<'a>(tx: &mut dyn Tx, rows: Rows<'a>, columns: &[usize]) -> Result<Rows<'a>, Fault> {
    let table = rows.table;
    let tail = statements::matching(Dialect::Sqlite, table, &table.key, columns);
    let stored = tx.with_rows(&rows, &table.key, &tail).await?;
    let stored: BTreeMap<usize, super::sql::Row> = stored
        .into_iter()
        .filter_map(|row| usize::try_from(row.int(0)).ok().map(|place| (place, row)))
        .collect();
    let mut computed = Vec::new();
    for (n, &column) in columns.iter().enumerate() {
        let mut totals = Vec::with_capacity(rows.len());
        for place in 0..rows.len() {
            let before = stored.get(&place).map(|row| cell_of(row.value(n + 1), is_numeric(table, column)));
            let new = rows.cell(column, place);
            totals.push(fold::total(&rows, column, before.into_iter().chain([new])).map_err(Fault::Refused)?);
        }
        computed.push((column, fold::column_of(&rows, column, totals)));
    }
    Ok(rows.with_computed(computed))
}

fn cell_of<'a>(value: &'a Value<'_>, numeric: bool) -> crate::effect::Cell<'a> {
    use crate::effect::Cell;
    match value {
        Value::Null => Cell::Null,
        Value::Int(value) => Cell::Int(*value),
        Value::Float(value) => Cell::Float(*value),
        Value::Text(text) if numeric => Cell::Decimal(text),
        Value::Text(text) => Cell::Text(text),
        Value::Bytes(bytes) => Cell::Bytes(bytes),
    }
}

/// The rows that are newer than what stands there, for a column that SQLite keeps as text and cannot order.
async fn newer_than_stored<'a>(tx: &mut dyn Tx, rows: &Rows<'a>, by: usize) -> Result<Rows<'a>, Fault> {
    let tail = statements::matching(Dialect::Sqlite, rows.table, &rows.table.key, &[by]);
    let ty = rows.ty(by);
    let mut newer = vec![true; rows.len()];
    for row in tx.with_rows(rows, &rows.table.key, &tail).await? {
        let Ok(place) = usize::try_from(row.int(0)) else { continue };
        let order = fold::compare(ty, rows.cell(by, place), cell_of(row.value(1), true));
        if let Some(newer) = newer.get_mut(place) {
            *newer = order == std::cmp::Ordering::Greater;
        }
    }
    Ok(rows.subset((0..rows.len()).filter(|place| newer.get(*place).copied().unwrap_or(false))))
}
