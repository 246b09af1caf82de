//! Rows, written cell by cell into columns.
//!
//! A table's columns live as long as the batch. A row adds one cell to each; a refused record's cells are
//! taken back by shortening the columns, so nothing is copied and a good record pays nothing for it.

use crate::bindings::gristmill::transform::types::{
    self as contract, Blobs, ColumnValues, PackedTexts, Texts,
};
use crate::hashing::{Algorithm, Waiting};
use crate::packed::{Packed, narrow, push_blob, push_text};
use crate::plan::{Column, Kind, TableShape};

/// A row type: `#[derive(Row)]` writes this.
pub trait Row {
    /// The table that the pipeline spec declares.
    const TABLE: &'static str;
    /// The columns, in the order in which `write` adds cells.
    const COLUMNS: &'static [Column];
    /// Adds one cell to each column.
    fn write(&self, row: &mut RowWriter<'_>);
}

/// A value that fits a column.
pub trait Cell {
    /// The kind of column that it fits.
    const KIND: Kind;
    /// Whether it can be NULL.
    const NULLABLE: bool = false;
    /// Puts the value into its place.
    fn write(&self, place: Place<'_>);
}

#[derive(Debug)]
pub(crate) enum Cells {
    Text(PackedTexts),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Boolean(Vec<bool>),
    Bytes(Blobs),
    Fixed { width: u32, data: Vec<u8> },
    Timestamp(Vec<i64>),
    Date(Vec<i32>),
    Decimal(PackedTexts),
    Json(PackedTexts),
}

#[derive(Debug)]
pub(crate) struct ColumnCells {
    cells: Cells,
    /// Digests that stand behind the cells and are still to be made.
    waiting: Option<Waiting>,
    nulls: Vec<u32>,
    nullable: bool,
}

/// The place of one cell: the next row of one column.
///
/// A value of another kind than the column's is a mistake of the transform's author, which ends the batch
/// with an error; it cannot happen with derived rows.
pub struct Place<'c> {
    column: &'c mut ColumnCells,
    row: u32,
    mistake: &'c mut bool,
}

macro_rules! plain_cell {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(self, value: $type) {
            match &mut self.column.cells {
                Cells::$variant(cells) => cells.push(value),
                _ => *self.mistake = true,
            }
        }
    };
}

macro_rules! text_cell {
    ($(#[$doc:meta])* $name:ident, $variant:ident) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(self, value: &str) {
            self.column.make_digests();
            match &mut self.column.cells {
                Cells::$variant(cells) => push_text(cells, value),
                _ => *self.mistake = true,
            }
        }
    };
}

impl Place<'_> {
    plain_cell!(
        /// An integer.
        int, Int, i64
    );
    plain_cell!(
        /// A floating-point number.
        float, Float, f64
    );
    plain_cell!(
        /// True or false.
        boolean, Boolean, bool
    );
    plain_cell!(
        /// Microseconds since 1970-01-01 UTC.
        timestamp, Timestamp, i64
    );
    plain_cell!(
        /// Days since 1970-01-01.
        date, Date, i32
    );
    text_cell!(
        /// A text.
        text, Text
    );
    text_cell!(
        /// A decimal number, as its text.
        decimal, Decimal
    );
    text_cell!(
        /// A JSON text.
        json, Json
    );

    /// A byte string.
    #[inline]
    pub fn bytes(self, value: &[u8]) {
        match &mut self.column.cells {
            Cells::Bytes(cells) => push_blob(cells, value),
            _ => *self.mistake = true,
        }
    }

    /// A byte string of the column's width.
    #[inline]
    pub fn fixed(self, value: &[u8]) {
        match &mut self.column.cells {
            Cells::Fixed { width, data } if *width as usize == value.len() => data.extend_from_slice(value),
            _ => *self.mistake = true,
        }
    }

    /// A text: the digest of a value in lower-case hex, made together with the column's others.
    #[inline]
    pub fn hex_digest(self, algorithm: Algorithm, value: &[u8]) {
        let ColumnCells { cells, waiting, .. } = self.column;
        match cells {
            Cells::Text(cells) => Waiting::push(waiting, algorithm, value, cells),
            _ => *self.mistake = true,
        }
    }

    /// NULL: an empty or zero value stands in its place.
    #[inline]
    pub fn null(self) {
        self.column.make_digests();
        *self.mistake |= !self.column.nullable;
        self.column.nulls.push(self.row);
        self.column.cells.push_zero();
    }
}

impl Place<'_> {
    /// A zero or empty value, for a record that is refused anyway: its row is taken back, but until then the
    /// columns must keep one length while the rest of the record is looked through for more faults.
    #[cold]
    pub fn fill(self) {
        self.column.make_digests();
        self.column.cells.push_zero();
    }
}

/// Adds the cells of one row, column after column.
pub struct RowWriter<'o> {
    columns: std::slice::IterMut<'o, ColumnCells>,
    row: u32,
    mistake: &'o mut bool,
}

impl RowWriter<'_> {
    /// The next cell, from a value that knows its kind.
    #[inline]
    pub fn cell<C: Cell + ?Sized>(&mut self, value: &C) {
        if let Some(place) = self.place() {
            value.write(place);
        }
    }

    /// The place of the next cell; `None`, and the batch ends with an error, after the last column.
    #[inline]
    pub fn place(&mut self) -> Option<Place<'_>> {
        match self.columns.next() {
            Some(column) => Some(Place { column, row: self.row, mistake: self.mistake }),
            None => {
                *self.mistake = true;
                None
            }
        }
    }
}

impl Drop for RowWriter<'_> {
    fn drop(&mut self) {
        *self.mistake |= self.columns.next().is_some();
    }
}

#[derive(Debug)]
pub(crate) struct TableRows {
    inputs: Vec<u32>,
    columns: Vec<ColumnCells>,
}

impl TableRows {
    /// Room for as many rows and bytes as the last batch had, if there was one.
    pub fn like(shape: &TableShape, last: Option<&TableSize>) -> Self {
        let rows = last.map_or(0, |size| size.rows);
        let bytes = |index: usize| last.and_then(|size| size.bytes.get(index)).map_or(0, |bytes| *bytes);
        let column = |(index, column): (usize, &Column)| ColumnCells {
            cells: Cells::with_room(column.kind, rows, bytes(index)),
            waiting: None,
            nulls: Vec::new(),
            nullable: column.nullable,
        };
        Self {
            inputs: Vec::with_capacity(rows),
            columns: shape.columns.iter().enumerate().map(column).collect(),
        }
    }

    #[inline]
    pub fn begin<'o>(&'o mut self, input: u32, mistake: &'o mut bool) -> RowWriter<'o> {
        let row = narrow(self.inputs.len());
        self.inputs.push(input);
        RowWriter { columns: self.columns.iter_mut(), row, mistake }
    }

    /// Takes the rows of the record that was worked on last back.
    pub fn take_back(&mut self, input: u32) {
        let kept = self.inputs.iter().rposition(|other| *other != input).map_or(0, |last| last + 1);
        if kept == self.inputs.len() {
            return;
        }
        self.inputs.truncate(kept);
        for column in &mut self.columns {
            column.keep(kept);
            while column.nulls.last().is_some_and(|row| *row as usize >= kept) {
                column.nulls.pop();
            }
        }
    }

    /// Makes the digests that are still to be made: all cells are in their columns then.
    pub fn make_digests(&mut self) {
        self.columns.iter_mut().for_each(ColumnCells::make_digests);
    }

    pub fn size(&self) -> TableSize {
        let bytes = |column: &ColumnCells| with_reserve(column.cells.bytes());
        TableSize { rows: with_reserve(self.inputs.len()), bytes: self.columns.iter().map(bytes).collect() }
    }

    pub fn into_contract(self, shape: &TableShape) -> Option<contract::Rows> {
        if self.inputs.is_empty() {
            return None;
        }
        let column = |(cells, column): (ColumnCells, &Column)| contract::Column {
            name: column.name.to_string(),
            values: cells.cells.into_contract(),
            nulls: cells.nulls,
        };
        Some(contract::Rows {
            table: shape.name.to_string(),
            inputs: self.inputs,
            columns: self.columns.into_iter().zip(shape.columns.iter()).map(column).collect(),
        })
    }
}

impl ColumnCells {
    #[inline]
    fn make_digests(&mut self) {
        if let (Some(waiting), Cells::Text(cells)) = (&mut self.waiting, &mut self.cells) {
            waiting.finish(cells);
        }
    }

    /// Keeps the first cells.
    fn keep(&mut self, rows: usize) {
        if let (Some(waiting), Cells::Text(cells)) = (&mut self.waiting, &self.cells) {
            waiting.keep(rows.saturating_sub(cells.ends.len()));
        }
        self.cells.keep(rows);
    }
}

/// How much a batch needed, so that the next one's columns are allocated once.
#[derive(Debug)]
pub(crate) struct TableSize {
    rows: usize,
    bytes: Vec<usize>,
}

fn with_reserve(length: usize) -> usize {
    length + length / 8
}

impl Cells {
    fn with_room(kind: Kind, rows: usize, bytes: usize) -> Self {
        let texts = || PackedTexts { data: String::with_capacity(bytes), ends: Vec::with_capacity(rows) };
        match kind {
            Kind::Text => Self::Text(texts()),
            Kind::Int => Self::Int(Vec::with_capacity(rows)),
            Kind::Float => Self::Float(Vec::with_capacity(rows)),
            Kind::Boolean => Self::Boolean(Vec::with_capacity(rows)),
            Kind::Bytes => {
                Self::Bytes(Blobs { data: Vec::with_capacity(bytes), ends: Vec::with_capacity(rows) })
            }
            Kind::Fixed(width) => Self::Fixed { width, data: Vec::with_capacity(bytes) },
            Kind::Timestamp => Self::Timestamp(Vec::with_capacity(rows)),
            Kind::Date => Self::Date(Vec::with_capacity(rows)),
            Kind::Decimal => Self::Decimal(texts()),
            Kind::Json => Self::Json(texts()),
        }
    }

    fn push_zero(&mut self) {
        match self {
            Self::Text(cells) | Self::Decimal(cells) | Self::Json(cells) => cells.close(),
            Self::Int(cells) | Self::Timestamp(cells) => cells.push(0),
            Self::Float(cells) => cells.push(0.0),
            Self::Boolean(cells) => cells.push(false),
            Self::Bytes(cells) => cells.close(),
            Self::Fixed { width, data } => data.resize(data.len() + *width as usize, 0),
            Self::Date(cells) => cells.push(0),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(cells) | Self::Decimal(cells) | Self::Json(cells) => cells.data.len(),
            Self::Bytes(cells) => cells.data.len(),
            Self::Fixed { data, .. } => data.len(),
            Self::Int(_) | Self::Float(_) | Self::Boolean(_) | Self::Timestamp(_) | Self::Date(_) => 0,
        }
    }

    fn keep(&mut self, rows: usize) {
        match self {
            Self::Text(cells) | Self::Decimal(cells) | Self::Json(cells) => cells.keep(rows),
            Self::Int(cells) | Self::Timestamp(cells) => cells.truncate(rows),
            Self::Float(cells) => cells.truncate(rows),
            Self::Boolean(cells) => cells.truncate(rows),
            Self::Bytes(cells) => cells.keep(rows),
            Self::Fixed { width, data } => data.truncate(rows.saturating_mul(*width as usize)),
            Self::Date(cells) => cells.truncate(rows),
        }
    }

    fn into_contract(self) -> ColumnValues {
        match self {
            Self::Text(cells) => ColumnValues::Text(Texts::Packed(cells)),
            Self::Int(cells) => ColumnValues::Int(cells),
            Self::Float(cells) => ColumnValues::Float(cells),
            Self::Boolean(cells) => ColumnValues::Boolean(cells),
            Self::Bytes(cells) => ColumnValues::Bytes(cells),
            Self::Fixed { width, data } => ColumnValues::Fixed(contract::FixedValues { width, data }),
            Self::Timestamp(cells) => ColumnValues::Timestamp(cells),
            Self::Date(cells) => ColumnValues::Date(cells),
            Self::Decimal(cells) => ColumnValues::Decimal(Texts::Packed(cells)),
            Self::Json(cells) => ColumnValues::Json(Texts::Packed(cells)),
        }
    }
}
