//! Where effects become facts. A store holds the tables of the pipelines and, beside them, what Gristmill itself
//! must remember: how far each lane is, what it still has to publish, dead letters, parked records, mail.
//!
//! **Why exactly-once holds.** A lane numbers its batches. [`Store::commit`] writes everything that a batch causes
//! in one transaction that begins with the fenced advance of the lane's row: it matches only while nobody else has
//! taken the lane over (the owner's epoch) and only for the batch that is next (the expected number). So a batch
//! is committed by one owner, once, or not at all. What has to be published lies in the same transaction as one
//! outbox value; [`crate::publish`] makes it known to the log and the lane's next batch forgets it.
//!
//! **What a commit does, in this order** (`commit.rs`): advance, rows (deciding `once`, isolating rows that the
//! database refuses), dead letters, parked records, mail, outbox, ledger line, COMMIT. Nothing is held while a
//! guest runs. A transaction is never cancelled half-way (sqlx#4385): it runs in a task of its own.
//!
//! Two stores, [`postgres`] and [`sqlite`], run the statements (`sql.rs`); the order of things is the same code.

mod alerts;
mod catalog;
mod commit;
mod decimal;
mod error;
mod fault;
mod fold;
mod initial;
mod lanes;
mod letters;
mod mails;
mod migrations;
mod nouns;
mod once;
mod origins;
mod own_tables;
mod parsed;
pub mod postgres;
mod recipes;
mod reference;
mod rows;
mod satellite;
mod settle;
mod shape;
mod shared;
mod sql;
pub mod sqlite;
mod statements;
mod states;
mod tables;
mod tokens;
mod value;
mod write;

pub use error::{Error, Refusal};
pub use nouns::*;
pub use origins::{Key, LedgerBatch};
pub use recipes::Recipe;
pub use tokens::{LiveTokens, NewToken, Token, Tokens};

use crate::catalog::Catalog;
use crate::record::LaneId;
use crate::spec::{Spec, Table, View};
use async_trait::async_trait;
use std::sync::Arc;

/// A store. Cheap to clone through its `Arc`; all methods may be called at once.
#[async_trait]
pub trait Store: Catalog + Tokens {
    /// What it is, for errors and guarantees: `PostgreSQL` or `SQLite`.
    fn kind(&self) -> &'static str;

    /// Brings Gristmill's own tables up to date (numbered migrations, forward only).
    async fn migrate(&self) -> Result<(), Error>;

    /// Makes a pipeline's tables, or adds the columns that a later spec adds, or (`create = false`) verifies that
    /// what is there fits. What would lose data is refused.
    async fn prepare_tables(&self, spec: &Spec) -> Result<(), Error>;

    /// Takes a lane over: raises its epoch, which fences whoever had it.
    async fn take_over(&self, lane: &LaneId) -> Result<LaneState, Error>;

    /// Reads a lane's state without taking it over; `None` if nobody ever had it.
    async fn lane(&self, lane: &LaneId) -> Result<Option<LaneState>, Error>;

    /// Sets where a lane without any batch begins (`Error::Fenced` if it is not ours): so that the start is
    /// decided once, and not anew by every take-over.
    async fn begin_at(&self, lane: &LaneId, epoch: i64, next_offset: i64) -> Result<(), Error>;

    /// The outbox entries with a number above `after`, ascending.
    async fn outbox(&self, lane: &LaneId, after: i64) -> Result<Vec<OutboxEntry>, Error>;

    /// Writes down that batches up to `published` are published, and forgets their outbox values.
    async fn mark_published(&self, lane: &LaneId, epoch: i64, published: i64) -> Result<(), Error>;

    /// Commits a batch, once (see the module's introduction). Safe to repeat after any error but
    /// [`Error::Fenced`]: it finds out whether the first attempt arrived.
    async fn commit(
        &self,
        spec: &Arc<Spec>,
        lane: &LaneId,
        fence: Fence,
        work: &Arc<Work>,
    ) -> Result<Committed, Error>;

    /// When the lane's next parked record is due, milliseconds since 1970-01-01 UTC.
    async fn next_parked_due(&self, lane: &LaneId) -> Result<Option<i64>, Error>;

    /// The lane's parked records that are due, oldest first, at most so many records and bytes (but at least one).
    async fn due_parked(
        &self,
        lane: &LaneId,
        now_ms: i64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<ParkedRecord>, Error>;

    /// How many records of a pipeline are parked.
    async fn parked_count(&self, pipeline: &str) -> Result<u64, Error>;

    /// Takes pending mails for `lease_ms`: no other relay gets them before that.
    async fn lease_mails(&self, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<PendingMail>, Error>;

    /// Writes down how an attempt to send ended. Safe to repeat: an attempt counts once.
    async fn settle_mail(&self, mail: &PendingMail, outcome: &MailOutcome) -> Result<(), Error>;

    /// How many mails of a pipeline are in which state.
    async fn mail_counts(&self, pipeline: &str) -> Result<MailCounts, Error>;

    /// Lists mails that were given up, newest first, of one pipeline or of all.
    async fn failed_mails(&self, pipeline: Option<&str>, limit: u32) -> Result<Vec<FailedMail>, Error>;

    /// Puts a mail that was given up back to be sent at once, its attempts counted anew. Answers whether it was there.
    async fn retry_mail(&self, id: i64) -> Result<bool, Error>;

    /// Lists dead letters, newest first.
    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, Error>;

    /// One dead letter.
    async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, Error>;

    /// How many dead letters of a pipeline there are, by code.
    async fn dead_letter_counts(&self, pipeline: &str) -> Result<Vec<(String, u64)>, Error>;

    /// Puts a dead letter back to be tried again at once: it becomes a parked record that is due, with no attempt
    /// counted. Answers whether it was there.
    async fn replay_dead_letter(&self, id: i64, now_ms: i64) -> Result<bool, Error>;

    /// Drops a dead letter for good. Answers whether it was there.
    async fn drop_dead_letter(&self, id: i64) -> Result<bool, Error>;

    /// Reads a page of a table.
    async fn read_table(&self, table: &Table, query: &TableQuery) -> Result<TablePage, Error>;

    /// Reads a page of a view.
    async fn read_view(&self, view: &View, query: &TableQuery) -> Result<TablePage, Error>;

    /// Counts a table's rows.
    async fn count_rows(&self, table: &Table) -> Result<u64, Error>;

    /// Answers by key from a table: the row as a JSON text. A key of one column is given as its text, one of several columns
    /// as a JSON array of texts.
    async fn lookup_rows(&self, table: &Table, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Answers by key from the store's reference table (the embedded set's stand-in for Redis).
    async fn lookup_reference(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Writes into the reference table.
    async fn put_reference(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error>;

    /// An operator's decision about a lane whose ledgers contradict each other.
    async fn resolve(&self, lane: &LaneId, decision: Resolution) -> Result<(), Error>;

    /// Whether tables have these recipes for their keys, or none yet.
    ///
    /// # Errors
    /// [`Error::Unfit`] names the table and both recipes.
    async fn check_recipes(&self, recipes: &[Recipe]) -> Result<(), Error>;

    /// Keeps recipes for the tables that have none yet; then as [`Store::check_recipes`].
    ///
    /// # Errors
    /// As there.
    async fn keep_recipes(&self, recipes: &[Recipe]) -> Result<(), Error>;

    /// The batches of a lane between whose first and last offset this one lies, oldest first, as the ledger has them.
    async fn batches_with(&self, lane: &LaneId, offset: i64) -> Result<Vec<LedgerBatch>, Error>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), Error>;
}

/// Connections of a host's store, unless it is told otherwise: a lane holds one only while it commits.
const CONNECTIONS_MAX: u32 = 16;

/// Opens the store that an address names: `postgres://…` or `sqlite:path`.
///
/// # Errors
/// [`Error::Unfit`] if the address names no store or what it names is none; [`Error::Unavailable`] if it does not answer.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    open_trusting(url, None).await
}

/// The same, with a file of root certificates that a server's certificate is checked against too.
///
/// # Errors
/// As [`open`].
pub async fn open_trusting(url: &str, roots: Option<&std::path::Path>) -> Result<Arc<dyn Store>, Error> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(postgres::PostgresStore::connect_trusting(url, roots, CONNECTIONS_MAX).await?));
    }
    let path = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    match path.filter(|path| !path.is_empty()) {
        Some(path) => Ok(Arc::new(sqlite::SqliteStore::open(std::path::Path::new(path)).await?)),
        // Not the address itself: it may hold a password.
        None => Err(Error::Unfit {
            message:
                "the store's address is not understood: write postgres://user:password@host:port/database or \
                      sqlite:path"
                    .to_owned(),
        }),
    }
}
