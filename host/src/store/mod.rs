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

mod commit;
mod decimal;
mod error;
mod fault;
mod fold;
mod lanes;
mod letters;
mod mails;
mod once;
mod own_tables;
mod parsed;
pub mod postgres;
mod reference;
mod rows;
mod satellite;
mod settle;
mod shape;
mod shared;
mod sql;
pub mod sqlite;
mod statements;
mod tables;
mod value;
mod write;

pub use error::{Error, Refusal};

use crate::effect::{Effects, Failure};
use crate::record::{Batch, LaneId};
use crate::spec::{Spec, Table};
use async_trait::async_trait;
use std::sync::Arc;

/// What a store remembers of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// Raised by every take-over: whoever holds a smaller one is fenced.
    pub epoch: i64,
    /// The number of the last committed batch; 0 before the first.
    pub batch: i64,
    /// The offset of the first record that is not in a committed batch; `None` before the first batch.
    pub next_offset: Option<i64>,
    /// Batches up to this number are known to be published; the outbox holds those after it.
    pub published: i64,
    /// An operator's word about ledgers that contradict each other (`gristmill pipeline resolve`): the next
    /// take-over does not believe the group's offset.
    pub distrust_group: bool,
}

/// The outgoing messages of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The batch.
    pub batch: i64,
    /// The lane's next offset after that batch.
    pub next_offset: i64,
    /// The messages, as [`crate::publish::outbox`] writes them; empty if the batch causes none.
    pub value: Vec<u8>,
}

/// Where the records of a batch come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Read from the log; the lane's next offset after this batch.
    Log {
        /// One beyond the last offset read, whether or not that record was visible.
        next_offset: i64,
    },
    /// Parked records that came back; the lane's offset does not move.
    Parked(Vec<ParkedOrigin>),
}

/// A parked record's identity and past, one for each record of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedOrigin {
    /// Its row in the store.
    pub id: i64,
    /// How often it was tried.
    pub attempts: u32,
}

/// What one stage did to a batch, for the batch ledger.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StageRun {
    /// The stage.
    pub stage: String,
    /// The sha256 digest of its module (hex).
    pub digest: String,
    /// Records that went in.
    pub records: u32,
    /// Time in the guest, microseconds.
    pub time_us: u64,
}

/// A batch with its effects, on its way into the store.
#[derive(Clone, Debug)]
pub struct Work {
    /// The records.
    pub batch: Batch,
    /// Where they come from.
    pub origin: Origin,
    /// What they cause.
    pub effects: Effects,
    /// Which modules made it so.
    pub stages: Vec<StageRun>,
}

/// Where a lane stands when it commits: its fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The epoch that this owner took the lane over with.
    pub epoch: i64,
    /// The last committed batch, as this owner knows it; the new one is one more.
    pub batch: i64,
    /// The lane's next offset, as this owner knows it.
    pub next_offset: i64,
    /// Batches up to this number are published: their outbox values are forgotten.
    pub published: i64,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The batch's number.
    pub batch: i64,
    /// The lane's next offset now.
    pub next_offset: i64,
    /// What has to be published; empty if nothing.
    pub outbox: Vec<u8>,
    /// Rows written or confirmed, by table (the order of the spec).
    pub rows: Vec<u64>,
    /// Mails put into the store.
    pub mails: u64,
    /// Records that were there already and caused nothing.
    pub duplicates: u64,
    /// Dead letters, by code.
    pub dead_letters: Vec<(String, u64)>,
    /// Records parked (again).
    pub parked: u64,
    /// When the first of them is due, milliseconds since 1970-01-01 UTC.
    pub parked_due_ms: Option<i64>,
}

/// A record that waits to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRecord {
    /// Its row in the store.
    pub id: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// Where it was read.
    pub offset: i64,
    /// When it was made.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number, given by the store.
    pub id: i64,
    /// The pipeline.
    pub pipeline: String,
    /// Where the record was read: topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// When the record was made, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// Why, where, by whom.
    pub failure: Failure,
    /// How often it was tried.
    pub attempts: u32,
    /// When it became a dead letter, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value.
    pub value: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Which dead letters to list: newest first.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterQuery {
    /// Only of this pipeline.
    pub pipeline: Option<String>,
    /// Only with this code.
    pub code: Option<String>,
    /// Only those with a smaller number (the page's end before).
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A mail that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMail {
    /// Its row in the store.
    pub id: i64,
    /// The pipeline.
    pub pipeline: String,
    /// Made from the record's origin, so that a re-send is the same mail; without angle brackets.
    pub message_id: String,
    /// The sender, as in a From header.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML, if any.
    pub html: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts before it is given up.
    pub attempts_max: u32,
}

/// How an attempt to send a mail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// The server took it.
    Sent,
    /// To be tried again at this time (milliseconds since 1970-01-01 UTC).
    Again {
        /// When.
        at_ms: i64,
        /// What happened.
        error: String,
    },
    /// Given up.
    Failed {
        /// What happened.
        error: String,
    },
}

/// How many mails are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MailCounts {
    /// Waiting.
    pub pending: u64,
    /// Taken by the server.
    pub sent: u64,
    /// Given up.
    pub failed: u64,
}

/// A comparison of a table's column with a value, as `GET` filters write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column's place.
    pub column: usize,
    /// How to compare.
    pub op: FilterOp,
    /// What to compare with, as text; checked to be of the column's type by [`crate::store::Store::read_table`].
    pub value: String,
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// A page of a table.
#[derive(Clone, Debug, Default)]
pub struct TableQuery {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// The row after which the page begins, as [`TablePage::next`] gave it.
    pub after: Option<String>,
    /// At most so many rows.
    pub limit: u32,
}

/// Rows of a table, in the order of its unique columns (of `append` tables: in the order of being written).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TablePage {
    /// The rows as JSON objects: integers and floats as numbers, numeric, dates and times as texts
    /// (`2024-02-29`, `2024-02-29T13:05:09.120000Z`), bytes as base64, json as it is. Both stores give the same.
    pub rows: Vec<serde_json::Value>,
    /// What to pass as `after` for the next page; `None` at the end.
    pub next: Option<String>,
}

/// A store. Cheap to clone through its `Arc`; all methods may be called at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
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

    /// Writes down how an attempt to send ended.
    async fn settle_mail(&self, id: i64, outcome: &MailOutcome) -> Result<(), Error>;

    /// How many mails of a pipeline are in which state.
    async fn mail_counts(&self, pipeline: &str) -> Result<MailCounts, Error>;

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

    /// Counts a table's rows.
    async fn count_rows(&self, table: &Table) -> Result<u64, Error>;

    /// Answers by key from a table with a key of one column (given as text): the row as a JSON text.
    async fn lookup_rows(&self, table: &Table, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Answers by key from the store's reference table (the embedded set's stand-in for Redis).
    async fn lookup_reference(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Writes into the reference table.
    async fn put_reference(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error>;

    /// An operator's decision about a lane whose ledgers contradict each other.
    async fn resolve(&self, lane: &LaneId, decision: Resolution) -> Result<(), Error>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), Error>;
}

/// Which ledger to believe where they contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The store: its offset and its outbox hold, the group's offset is set anew.
    TrustStore,
    /// Go on at this offset, with everything up to now taken as published.
    ContinueAt {
        /// The next offset to read.
        next_offset: i64,
    },
}

/// Connections of a host's store, unless it is told otherwise: a lane holds one only while it commits.
const CONNECTIONS_MAX: u32 = 16;

/// Opens the store that an address names: `postgres://…` or `sqlite:path`.
///
/// # Errors
/// [`Error::Unfit`] if the address names no store or what it names is none; [`Error::Unavailable`] if it does not answer.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(postgres::PostgresStore::connect(url, CONNECTIONS_MAX).await?));
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
