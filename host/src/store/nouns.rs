//! What goes into a store and comes out of it.

use crate::effect::{Effects, Failure};
use crate::record::Batch;

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
    /// The activation that made it so; 0 for what the spec names.
    #[serde(default)]
    pub activation: i64,
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

impl DeadLetter {
    /// The size of its record, as [`record_bytes`](crate::record::record_bytes) counts it.
    pub fn record_bytes(&self) -> usize {
        crate::record::record_bytes(&self.key, &self.value, &self.headers)
    }
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

/// A mail that was given up.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FailedMail {
    /// Its row in the store.
    pub id: i64,
    /// The pipeline.
    pub pipeline: String,
    /// Made from the record's origin, without angle brackets.
    pub message_id: String,
    /// The recipients.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt met with.
    pub error: String,
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
