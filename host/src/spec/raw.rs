//! The spec's TOML as it is written: unknown keys are refused, nothing is checked against anything else yet.

use serde::Deserialize;

/// Where a pipeline's records come from.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The topic.
    pub topic: String,
    /// Partitions, if the topic has to be created.
    #[serde(default = "one")]
    pub partitions: i32,
    /// Replicas, if the topic has to be created.
    #[serde(default = "one")]
    pub replication: i32,
    /// Where a lane without any batch begins.
    #[serde(default)]
    pub start: Start,
}

/// Where a lane without any batch begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At the first record that is still there.
    #[default]
    Earliest,
    /// At the next record that comes.
    Latest,
}

/// What becomes of parked records.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often a record is tried in all before it is a dead letter.
    pub attempts_max: u32,
    /// The delay before the second attempt, milliseconds; each one after is twice as long.
    pub delay_ms_first: u64,
    /// The longest delay, milliseconds.
    pub delay_ms_max: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { attempts_max: 5, delay_ms_first: 1_000, delay_ms_max: 300_000 }
    }
}

impl Retry {
    /// The delay after so many attempts, milliseconds: doubled each time, up to the longest.
    pub fn delay_ms(&self, attempts: u32) -> u64 {
        let doubled = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
        self.delay_ms_first.saturating_mul(doubled).min(self.delay_ms_max)
    }
}

/// When a swap is taken back by itself: a stage's new version is on trial for its first batches on each host.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Swap {
    /// How many batches the trial lasts; 0 for none.
    pub trial_batches: u32,
    /// How much larger the share of records that the stage refuses may become, from 0 to 1.
    pub refused_share_max: f64,
}

impl Default for Swap {
    fn default() -> Self {
        Swap { trial_batches: 10, refused_share_max: 0.1 }
    }
}

/// The bounds of everything that flows. All are at least 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Records of a batch.
    pub batch_records_max: u32,
    /// Bytes of a batch's keys, values and headers. One larger record is a batch of its own.
    pub batch_bytes_max: u32,
    /// How long a batch collects after the lane's last one at most, milliseconds: three times as long as the last one took to be
    /// committed, from 20 ms on. A lane that has been idle for so long takes what is there at once.
    pub batch_wait_ms_max: u64,
    /// Memory of one guest instance, bytes.
    pub guest_memory_bytes_max: u64,
    /// Processor time of one guest call, milliseconds.
    pub guest_time_ms_max: u64,
    /// Bytes that one guest call may return.
    pub effects_bytes_max: u64,
    /// Rows that one batch may cause.
    pub effects_rows_max: u32,
    /// Bytes of one message's key, value and headers: not more than the topics' `max.message.bytes` leaves room for.
    pub message_bytes_max: u32,
    /// Lines that a guest may log in one call; the rest is counted and dropped.
    pub log_lines_max: u32,
    /// How long a lane may take to finish what it has read when its partition goes to another host, or the host is
    /// stopped, milliseconds.
    pub drain_ms_max: u64,
}

impl Limits {
    /// The most memory that a spec may give to one guest instance, bytes: admits every guest language (JavaScript
    /// uses 69 to 89 MiB).
    pub const GUEST_MEMORY_BYTES_MAX: u64 = 128 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            batch_records_max: 2_000,
            batch_bytes_max: 4 << 20,
            batch_wait_ms_max: 500,
            guest_memory_bytes_max: Self::GUEST_MEMORY_BYTES_MAX,
            guest_time_ms_max: 5_000,
            effects_bytes_max: 64 << 20,
            effects_rows_max: 1_000_000,
            // A broker takes batches of 1,048,588 bytes unless told otherwise; what is around a message needs some.
            message_bytes_max: 1_000_000,
            log_lines_max: 100,
            drain_ms_max: 20_000,
        }
    }
}

fn one() -> i32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpec {
    pub version: u32,
    pub name: String,
    #[serde(default)]
    pub about: String,
    pub source: Source,
    #[serde(default, rename = "stage")]
    pub stages: Vec<RawStage>,
    #[serde(default, rename = "table")]
    pub tables: Vec<RawTable>,
    #[serde(default, rename = "view")]
    pub views: Vec<RawView>,
    #[serde(default, rename = "output")]
    pub outputs: Vec<RawOutput>,
    #[serde(default, rename = "lookup")]
    pub lookups: Vec<RawLookup>,
    #[serde(default, rename = "secret")]
    pub secrets: Vec<RawSecret>,
    pub mail: Option<RawMail>,
    pub dead_letters: Option<RawDeadLetters>,
    #[serde(default, rename = "alert")]
    pub alerts: Vec<RawAlert>,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub swap: Swap,
    #[serde(default, rename = "watch")]
    pub watches: Vec<RawWatch>,
    #[serde(default, rename = "http")]
    pub routes: Vec<RawRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    pub name: String,
    pub module: String,
    pub config: Option<toml::Table>,
    pub config_file: Option<String>,
    /// The last stage's: the output that takes its messages to `next`.
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    pub name: String,
    pub mode: String,
    #[serde(default)]
    pub key: Vec<String>,
    pub columns: Vec<RawColumn>,
    #[serde(default = "yes")]
    pub create: bool,
    /// Rows that it has when it is made.
    #[serde(default)]
    pub initial: Vec<toml::Table>,
    /// `newest-wins`: the column that says how new a row is.
    pub newest_by: Option<String>,
    /// `sum`: the columns that add up.
    #[serde(default)]
    pub sum: Vec<String>,
    /// `sum`: columns that say which event a row counts; each event counts once for each key.
    #[serde(default)]
    pub counted_by: Vec<RawColumn>,
    /// `satellite`: the hashdiff.
    pub hashdiff: Option<String>,
    /// `satellite`: the load date.
    pub load: Option<String>,
    /// `satellite`: what tells the rows of one state apart, if it is a set of rows.
    #[serde(default)]
    pub children: Vec<String>,
    /// `satellite`: from when a state holds, with `end`.
    pub start: Option<String>,
    /// `satellite`: until when.
    pub end: Option<String>,
    /// `once`: the columns that make the content; all but the key if absent.
    pub content: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawView {
    pub name: String,
    #[serde(default)]
    pub about: String,
    /// One SELECT; `{table}` is a table of the spec.
    pub sql: String,
    /// What tells its rows apart.
    pub key: Vec<String>,
    pub columns: Vec<RawColumn>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
    #[serde(default)]
    pub nullable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutput {
    pub name: String,
    pub topic: String,
    #[serde(default = "one")]
    pub partitions: i32,
    #[serde(default = "one")]
    pub replication: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLookup {
    pub name: String,
    pub prefix: Option<String>,
    pub table: Option<String>,
    #[serde(default = "lookup_timeout_ms")]
    pub timeout_ms_max: u64,
    #[serde(default)]
    pub cache_ms_max: u64,
    pub cache_bytes_max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecret {
    pub name: String,
    pub stages: Vec<String>,
}

fn lookup_timeout_ms() -> u64 {
    2_000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMail {
    pub from: String,
    #[serde(default = "mail_attempts")]
    pub attempts_max: u32,
}

fn mail_attempts() -> u32 {
    super::Mail::ATTEMPTS_MAX
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlert {
    pub name: String,
    #[serde(default)]
    pub codes: Vec<String>,
    #[serde(default)]
    pub by_key: bool,
    #[serde(default)]
    pub mail_to: Vec<String>,
    pub webhook: Option<String>,
    #[serde(default = "an_hour")]
    pub window_ms: u64,
    #[serde(default = "notices")]
    pub notices_max: u32,
}

fn an_hour() -> u64 {
    3_600_000
}

fn notices() -> u32 {
    20
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWatch {
    pub folder: String,
    pub topic: String,
    pub key: Option<String>,
    #[serde(default = "a_second")]
    pub settle_ms: u64,
}

fn a_second() -> u64 {
    1_000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeadLetters {
    pub topic: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub method: String,
    pub path: String,
    pub topic: Option<String>,
    pub key: Option<String>,
    pub check: Option<String>,
    pub table: Option<String>,
    pub view: Option<String>,
    pub generate: Option<String>,
}
