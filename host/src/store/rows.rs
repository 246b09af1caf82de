//! A set of rows of one table, picked out of a batch's effects without copying them.

use super::Work;
use crate::effect::{Cell, ColumnData, TableRows};
use crate::spec::{ColumnType, Table};

/// One row: which piece of the effects, and which row of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    piece: usize,
    row: usize,
}

/// Rows of one table, in an order of their own.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    /// Their table.
    pub table: &'a Table,
    pieces: Vec<&'a TableRows>,
    picks: Vec<Pick>,
    /// Columns that folding has computed anew, one value per picked row.
    computed: Vec<(usize, ColumnData)>,
}

impl<'a> Rows<'a> {
    /// The rows for one table that belong to records that `keeps` names, in the order of their records.
    pub fn select(table: &'a Table, place: usize, work: &'a Work, keeps: impl Fn(u32) -> bool) -> Self {
        let pieces: Vec<&TableRows> = work.effects.rows.iter().filter(|piece| piece.table == place).collect();
        let mut picks = Vec::new();
        for (piece, rows) in pieces.iter().enumerate() {
            let kept = rows.records.iter().enumerate().filter(|(_, record)| keeps(**record));
            picks.extend(kept.map(|(row, _)| Pick { piece, row }));
        }
        let mut rows = Rows { table, pieces, picks, computed: Vec::new() };
        if rows.pieces.len() > 1 {
            let mut picks = std::mem::take(&mut rows.picks);
            picks.sort_by_key(|pick| rows.record_of(*pick));
            rows.picks = picks;
        }
        rows
    }

    /// All rows of one piece.
    pub fn all(table: &'a Table, piece: &'a TableRows) -> Self {
        let picks = (0..piece.records.len()).map(|row| Pick { piece: 0, row }).collect();
        Rows { table, pieces: vec![piece], picks, computed: Vec::new() }
    }

    /// The rows at these places, in this order. Not for rows with computed columns.
    pub fn subset(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let picks = places.into_iter().filter_map(|place| self.picks.get(place).copied()).collect();
        Rows { table: self.table, pieces: self.pieces.clone(), picks, computed: Vec::new() }
    }

    /// The same rows with some columns computed anew, one value per row.
    pub fn with_computed(mut self, computed: Vec<(usize, ColumnData)>) -> Self {
        self.computed = computed;
        self
    }

    /// The rows' pieces with these columns only, in this order.
    pub fn projected(&self, columns: &[usize]) -> Vec<TableRows> {
        let project = |piece: &&TableRows| TableRows {
            table: piece.table,
            records: piece.records.clone(),
            columns: columns.iter().map(|column| piece.columns.get(*column).cloned().flatten()).collect(),
        };
        self.pieces.iter().map(project).collect()
    }

    /// The same rows as rows of another table, out of pieces that [`Self::projected`] has made.
    pub fn seen_as<'b>(&self, table: &'b Table, pieces: &'b [TableRows]) -> Rows<'b> {
        Rows { table, pieces: pieces.iter().collect(), picks: self.picks.clone(), computed: Vec::new() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.picks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.picks.is_empty()
    }

    /// The record of a row.
    pub fn record(&self, place: usize) -> u32 {
        self.picks.get(place).map_or(u32::MAX, |pick| self.record_of(*pick))
    }

    fn record_of(&self, pick: Pick) -> u32 {
        let piece = self.pieces.get(pick.piece);
        piece.and_then(|piece| piece.records.get(pick.row)).copied().unwrap_or(u32::MAX)
    }

    /// A column's type.
    pub fn ty(&self, column: usize) -> ColumnType {
        self.table.columns.get(column).map_or(ColumnType::Text, |column| column.ty)
    }

    /// The value of a column in a row.
    pub fn cell(&self, column: usize, place: usize) -> Cell<'_> {
        if let Some((_, data)) = self.computed.iter().find(|(computed, _)| *computed == column) {
            return data.cell(place);
        }
        let Some(pick) = self.picks.get(place) else { return Cell::Null };
        self.pieces.get(pick.piece).map_or(Cell::Null, |piece| piece.cell(column, pick.row))
    }
}
