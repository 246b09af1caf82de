//! What both databases are to the store: they run statements with a few plain arguments, and statements that join
//! a set of rows (`v`). Everything above is written once, over these traits. SQL texts say `gristmill.lanes`; the
//! SQLite store, which has no schemas, reads that as `gristmill_lanes`.

use super::fault::Fault;
use super::rows::Rows;
use super::{Error, LaneId};
use crate::spec::{Spec, Table};
use async_trait::async_trait;
use std::borrow::Cow;
use std::ops::DerefMut;
use std::time::Duration;

/// A value as both databases give it, by the column's type: truth values as 0 and 1; numbers of type numeric, dates,
/// times and uuid as texts, the same in both.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Value<'a> {
    Null,
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

/// An argument of a statement; a NULL has a type too.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
}

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Arg::Int(Some(value))
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Arg::Text(Some(value))
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Arg::Bytes(Some(value))
    }
}

/// A row of an answer.
#[derive(Clone, Debug, Default)]
pub struct Row(pub Vec<Value<'static>>);

impl Row {
    pub fn value(&self, place: usize) -> &Value<'static> {
        self.0.get(place).unwrap_or(&Value::Null)
    }

    pub fn int(&self, place: usize) -> i64 {
        self.opt_int(place).unwrap_or(0)
    }

    pub fn opt_int(&self, place: usize) -> Option<i64> {
        match self.value(place) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn text(&self, place: usize) -> String {
        match self.value(place) {
            Value::Text(text) => text.to_string(),
            _ => String::new(),
        }
    }

    pub fn bytes(&self, place: usize) -> Option<Vec<u8>> {
        match self.value(place) {
            Value::Bytes(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    }
}

/// Runs statements.
#[async_trait]
pub trait Sql: Send {
    /// Runs a statement and answers how many rows it changed. Placeholders are `$1`, `$2`, …
    async fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Fault>;

    /// Runs a statement and answers its rows.
    async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Fault>;

    /// Runs `tail` behind `WITH v AS (…)`, where `v` holds these columns of the rows as `c0`, `c3` (by their places
    /// in the table) and the rows' numbers as `i`. A large set may be worked through in parts.
    async fn with_rows(&mut self, rows: &Rows<'_>, columns: &[usize], tail: &str) -> Result<Vec<Row>, Fault>;

    /// How the two databases differ in what they are told.
    fn dialect(&self) -> Dialect;
}

/// A connection taken from a pool, or in a transaction: what can be said on it is said on what is inside.
pub struct On<C>(pub C);

#[async_trait]
impl<C> Sql for On<C>
where
    C: DerefMut<Target: Sql + Sync> + Send + Sync,
{
    async fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Fault> {
        self.0.execute(sql, args).await
    }

    async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Fault> {
        self.0.fetch(sql, args).await
    }

    async fn with_rows(&mut self, rows: &Rows<'_>, columns: &[usize], tail: &str) -> Result<Vec<Row>, Fault> {
        self.0.with_rows(rows, columns, tail).await
    }

    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }
}

/// A store transaction. It is ended by [`Tx::commit`] or [`Tx::rollback`], never dropped half-way.
#[async_trait]
pub trait Tx: Sql {
    /// Sets the one savepoint.
    async fn savepoint(&mut self) -> Result<(), Fault>;

    /// Lets the constraints speak that would wait for the commit.
    async fn check_deferred(&mut self) -> Result<(), Fault>;

    /// Gives the savepoint up and keeps what was done since.
    async fn release(&mut self) -> Result<(), Fault>;

    /// Undoes what was done since the savepoint, and gives it up.
    async fn rollback_to(&mut self) -> Result<(), Fault>;

    /// Writes the batch's line into the ledger, its outbox value if there is one, and forgets the outbox values
    /// that are published.
    async fn finish(&mut self, line: &BatchLine<'_>) -> Result<(), Fault>;

    /// Makes it last. After an error other than a refusal nobody knows whether it did.
    async fn commit(self: Box<Self>) -> Result<(), Fault>;

    /// Undoes everything.
    async fn rollback(self: Box<Self>);
}

/// A database.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// `PostgreSQL` or `SQLite`.
    fn kind(&self) -> &'static str;

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<Box<dyn Tx>, Error>;

    /// A connection for statements that stand alone and only read.
    async fn reader(&self) -> Result<Box<dyn Sql>, Error>;

    /// Brings Gristmill's own tables up to date.
    async fn migrate(&self) -> Result<(), Error>;

    /// Makes or verifies a pipeline's tables.
    async fn prepare_tables(&self, tx: &mut dyn Tx, spec: &Spec) -> Result<(), Error>;

    /// Whether a table has the hidden column that numbers its rows ([`super::tables::SEQUENCE`]).
    async fn has_sequence(&self, table: &Table) -> Result<bool, Error>;

    /// Waits until the database tells that the catalog was changed, or for so long.
    async fn changed(&self, within: Duration);
}

/// How the two databases differ in what they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Sqlite,
}

/// One line of the batch ledger, with the outbox value that belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct BatchLine<'a> {
    pub lane: &'a LaneId,
    pub batch: i64,
    pub epoch: i64,
    pub origin: &'a str,
    pub records: i64,
    pub first_offset: Option<i64>,
    pub last_offset: Option<i64>,
    pub next_offset: i64,
    pub stages: &'a str,
    pub counts: &'a str,
    pub outbox: &'a [u8],
    pub published: i64,
}
