//! From rows back to what made them: which rows of a batch's effects have a key, and which batches had an offset.

use super::fault::Fault;
use super::parsed::{Parsed, parse};
use super::sql::Sql;
use super::value::shown;
use super::{Error, LaneId, StageRun, lanes};
use crate::effect::Effects;
use crate::spec::Table;

/// A key of a table, read from texts.
#[derive(Clone, Debug)]
pub struct Key<'t> {
    table: &'t Table,
    values: Vec<Parsed>,
}

impl<'t> Key<'t> {
    /// Reads a key: a text for each of the key's columns, as tables show their values.
    ///
    /// # Errors
    /// [`Error::BadRequest`] with what is wrong.
    pub fn parse(table: &'t Table, texts: &[String]) -> Result<Self, Error> {
        let columns = table.key.iter().filter_map(|place| table.columns.get(*place));
        let names: Vec<&str> = columns.clone().map(|column| column.name.as_str()).collect();
        if names.is_empty() {
            let message =
                format!("table {} has no key (mode append): its rows cannot be told apart", table.name);
            return Err(Error::BadRequest(message));
        }
        if texts.len() != names.len() {
            let message =
                format!("the key of {} is ({}): give a value for each", table.name, names.join(", "));
            return Err(Error::BadRequest(message));
        }
        let value = |(column, text): (&crate::spec::Column, &String)| {
            parse(table, column, text).ok_or_else(|| {
                Error::BadRequest(format!("`{text}` is not a value of {} ({})", column.name, column.ty))
            })
        };
        Ok(Key { table, values: columns.zip(texts).map(value).collect::<Result<_, _>>()? })
    }

    /// The records of a batch that cause rows with this key in the table at `place` of the spec, each once, ascending.
    /// Records that are refused cause nothing.
    pub fn records(&self, effects: &Effects, place: usize) -> Vec<u32> {
        let mut records = Vec::new();
        for piece in effects.rows.iter().filter(|piece| piece.table == place) {
            for (row, record) in piece.records.iter().enumerate() {
                let same = |(column, value): (&usize, &Parsed)| {
                    let ty = self.table.columns.get(*column).map(|column| column.ty);
                    ty.is_some_and(|ty| shown(ty, piece.cell(*column, row)) == shown(ty, value.cell()))
                };
                if !effects.failures.contains_key(record) && self.table.key.iter().zip(&self.values).all(same)
                {
                    records.push(*record);
                }
            }
        }
        records.sort_unstable();
        records.dedup();
        records
    }
}

/// A batch as the ledger has it.
#[derive(Clone, Debug)]
pub struct LedgerBatch {
    /// Its number in the lane.
    pub batch: i64,
    /// `log`, or `parked`: of records that had to wait, whatever lies between its offsets.
    pub origin: String,
    /// The owner's epoch.
    pub epoch: i64,
    /// Its first and its last offset.
    pub offsets: (i64, i64),
    /// Which modules worked it through.
    pub stages: Vec<StageRun>,
}

/// The batches of a lane between whose first and last offset this one lies, oldest first.
pub async fn batches_with(sql: &mut dyn Sql, lane: &LaneId, offset: i64) -> Result<Vec<LedgerBatch>, Error> {
    let text = format!(
        "SELECT batch, origin, epoch, first_offset, last_offset, stages FROM gristmill.batches {} AND first_offset <= $4 \
         AND last_offset >= $4 ORDER BY batch",
        lanes::OF_LANE
    );
    let rows = sql.fetch(&text, &lanes::with(lane, &[offset])).await.map_err(Fault::into_error)?;
    let batch = |row: &super::sql::Row| LedgerBatch {
        batch: row.int(0),
        origin: row.text(1),
        epoch: row.int(2),
        offsets: (row.int(3), row.int(4)),
        stages: serde_json::from_str(&row.text(5)).unwrap_or_default(),
    };
    Ok(rows.iter().map(batch).collect())
}
