//! What records cause: rows, messages, mails and failures, column-wise as guests give them. Every effect names
//! the index of its record in the batch, so that one record's effects can be dropped and the others' kept
//! (DESIGN.md D3). What is here has passed the checks of [`crate::transform`].

use crate::record::{Blobs, Header, present};
use std::collections::{BTreeMap, BTreeSet};

/// Texts end to end; the ends count bytes and lie on character boundaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// The texts, one after the other.
    pub data: String,
    /// Where each text ends.
    pub ends: Vec<u32>,
}

impl Texts {
    /// Appends a text.
    pub fn push(&mut self, text: &str) {
        self.data.push_str(text);
        self.ends.push(u32::try_from(self.data.len()).unwrap_or(u32::MAX));
    }

    /// The text at `index`, empty if there is none.
    pub fn get(&self, index: usize) -> &str {
        let Some(&end) = self.ends.get(index) else { return "" };
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.data.get(start as usize..end as usize).unwrap_or("")
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// The values of one column, one per row. Where a row is NULL an empty or zero value stands in its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Text.
    Text(Texts),
    /// Integers of every width.
    Int(Vec<i64>),
    /// Floating point.
    Float(Vec<f64>),
    /// Truth values.
    Boolean(Vec<bool>),
    /// Byte strings.
    Bytes(Blobs),
    /// Byte strings of one width, end to end (uuid: 16).
    Fixed {
        /// Bytes per value.
        width: usize,
        /// The values.
        data: Vec<u8>,
    },
    /// Microseconds since 1970-01-01 UTC.
    Timestamp(Vec<i64>),
    /// Days since 1970-01-01.
    Date(Vec<i32>),
    /// Exact decimal numbers as texts: optional sign, digits, optional fraction. Checked to be so.
    Decimal(Texts),
    /// JSON texts.
    Json(Texts),
}

/// One value, borrowed from its column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// Text.
    Text(&'a str),
    /// An integer.
    Int(i64),
    /// Floating point.
    Float(f64),
    /// A truth value.
    Boolean(bool),
    /// A byte string, of any or of fixed width.
    Bytes(&'a [u8]),
    /// Microseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// A decimal number's text.
    Decimal(&'a str),
    /// A JSON text.
    Json(&'a str),
}

/// One column of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnData {
    /// One value per row.
    pub values: Values,
    /// The rows where the column is NULL, ascending.
    pub nulls: Vec<u32>,
}

impl ColumnData {
    /// The value of row `row`.
    pub fn cell(&self, row: usize) -> Cell<'_> {
        if !present(&self.nulls, row) {
            return Cell::Null;
        }
        match &self.values {
            Values::Text(texts) => Cell::Text(texts.get(row)),
            Values::Int(values) => values.get(row).map_or(Cell::Null, |v| Cell::Int(*v)),
            Values::Float(values) => values.get(row).map_or(Cell::Null, |v| Cell::Float(*v)),
            Values::Boolean(values) => values.get(row).map_or(Cell::Null, |v| Cell::Boolean(*v)),
            Values::Bytes(blobs) => Cell::Bytes(blobs.get(row)),
            Values::Fixed { width, data } => {
                data.get(row * width..(row + 1) * width).map_or(Cell::Null, Cell::Bytes)
            }
            Values::Timestamp(values) => values.get(row).map_or(Cell::Null, |v| Cell::Timestamp(*v)),
            Values::Date(values) => values.get(row).map_or(Cell::Null, |v| Cell::Date(*v)),
            Values::Decimal(texts) => Cell::Decimal(texts.get(row)),
            Values::Json(texts) => Cell::Json(texts.get(row)),
        }
    }
}

/// Rows for one table of the pipeline spec.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRows {
    /// The table's place in `spec.tables`.
    pub table: usize,
    /// The record of each row, ascending.
    pub records: Vec<u32>,
    /// One entry per column of the table, in the order of the spec; `None` where the guest gives no such column,
    /// which stands for NULL in every row.
    pub columns: Vec<Option<ColumnData>>,
}

impl TableRows {
    /// The value of a column in a row.
    pub fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        match self.columns.get(column) {
            Some(Some(data)) => data.cell(row),
            _ => Cell::Null,
        }
    }
}

/// The values of messages.
#[derive(Clone, Debug, PartialEq)]
pub enum MessageValues {
    /// The value of each message's record, byte for byte.
    Same,
    /// One value per message.
    Each(Blobs),
}

/// Messages to one output of the pipeline spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Messages {
    /// The output's place in `spec.outputs`.
    pub output: usize,
    /// The record of each message, ascending.
    pub records: Vec<u32>,
    /// What completes the topic's name, if the output's topic is dynamic.
    pub topics: Option<Texts>,
    /// `None` if no message has a key.
    pub keys: Option<Blobs>,
    /// The messages without a key, ascending.
    pub no_key: Vec<u32>,
    /// The values.
    pub values: MessageValues,
    /// The messages without a value, ascending.
    pub no_value: Vec<u32>,
    /// In the order of their messages.
    pub headers: Vec<Header>,
}

/// A mail, sent at least once after the record's rows are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The record that causes it.
    pub record: u32,
    /// The recipients' addresses; there is at least one, and each one parses.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML, if there is one.
    pub html: Option<String>,
}

/// What is to become of a refused record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Not yet: it is parked and comes back.
    Retry,
    /// It can never succeed: a dead letter.
    Reject,
}

/// One fault of a record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// Short and stable, for counting.
    pub code: String,
    /// The faulty place in the record's value, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pointer: Option<String>,
    /// For a person.
    pub reason: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pointer {
            Some(pointer) => write!(f, "{pointer}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// Why a record is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is to become of the record.
    pub verdict: Verdict,
    /// The stage that refused it, or `store` if the database did.
    pub stage: String,
    /// The sha256 digest of the module that refused it (hex); empty for the store.
    pub digest: String,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl Failure {
    /// A refusal for one reason.
    pub fn one(verdict: Verdict, stage: &str, digest: &str, code: &str, reason: String) -> Self {
        let fault = Fault { code: code.to_owned(), pointer: None, reason };
        Failure { verdict, stage: stage.to_owned(), digest: digest.to_owned(), faults: vec![fault] }
    }

    /// The code of the first fault: what dead letters are counted by.
    pub fn code(&self) -> &str {
        self.faults.first().map_or("unknown", |fault| fault.code.as_str())
    }

    /// All faults in one line.
    pub fn reason(&self) -> String {
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        faults.join("; ")
    }
}

/// The effects of one batch, of all stages.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Rows, in pieces: a table may occur several times (several stages, a batch worked through in parts).
    pub rows: Vec<TableRows>,
    /// Messages, in pieces likewise.
    pub messages: Vec<Messages>,
    /// Mails, in the order of their records.
    pub mails: Vec<Mail>,
    /// The refused records. Effects of these may still stand in the other lists: whoever writes skips them.
    pub failures: BTreeMap<u32, Failure>,
    /// Records that the store found to be there already when it was asked before: they cause nothing.
    pub duplicates: BTreeSet<u32>,
    /// The tables that a stage both writes and looks up, by their places in the spec: a record may count on the rows that
    /// others of its batch cause in them. If the store takes such a record out, nothing of the batch is committed
    /// ([`crate::store::Error::TakenOut`]).
    pub counted_on: Vec<usize>,
}

/// Records that are taken out of a batch after a stage has worked it through, by a later stage or by the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOut {
    /// The refused ones.
    pub failures: BTreeMap<u32, Failure>,
    /// Those that were there already.
    pub duplicates: BTreeSet<u32>,
}

impl TakenOut {
    /// Whether this record is among them.
    pub fn contains(&self, record: u32) -> bool {
        self.failures.contains_key(&record) || self.duplicates.contains(&record)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.duplicates.is_empty()
    }

    /// Those of the records before this one, and those of it and all behind it, counted from there.
    pub fn split_at(mut self, record: u32) -> (TakenOut, TakenOut) {
        let failures = self.failures.split_off(&record);
        let duplicates = self.duplicates.split_off(&record);
        let behind = TakenOut {
            failures: failures.into_iter().map(|(one, failure)| (one - record, failure)).collect(),
            duplicates: duplicates.into_iter().map(|one| one - record).collect(),
        };
        (self, behind)
    }

    /// Adds more of them.
    pub fn extend(&mut self, more: TakenOut) {
        self.failures.extend(more.failures);
        self.duplicates.extend(more.duplicates);
    }
}

impl Effects {
    /// Refuses a record, or adds to why it is refused. `reject` outweighs `retry`.
    pub fn refuse(&mut self, record: u32, failure: Failure) {
        match self.failures.entry(record) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(failure);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.verdict = known.verdict.max(failure.verdict);
                known.faults.extend(failure.faults);
            }
        }
    }
}
