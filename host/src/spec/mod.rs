//! The pipeline spec: what a pipeline's author writes, as TOML. Parsing and validation need no I/O but the files
//! that the spec names, and every error says file, line and key.
//!
//! [`Spec`] is the validated form that the rest of the host reads: whatever it holds is consistent (every name
//! that is referred to exists, every limit is in its range, every column type is known).

mod beside;
mod doors;
mod error;
mod raw;
mod table;
mod tables;
mod validate;
mod view;

pub(crate) use error::suggestion;
pub use error::{Error, Issue};
pub use raw::{Limits, Retry, Source, Start, Swap};
pub use table::{Column, ColumnType, Counted, Effective, Mode, Table};
pub use view::{Piece, View};

use crate::generate::Scenario;
use crate::intake::KeyRule;
use beside::Beside;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of the spec's format that this host reads.
pub const FORMAT_VERSION: u32 = 1;

/// The output that feeds the next stage; no output may be declared under this name.
pub const NEXT: &str = "next";

/// A pipeline, validated.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The pipeline's name: also its consumer group.
    pub name: String,
    /// For people.
    pub about: String,
    /// Where records come from.
    pub source: Source,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
    /// The tables that rows may go to.
    pub tables: Vec<Table>,
    /// What may be read of them besides their rows.
    pub views: Vec<View>,
    /// The outputs that messages may go to.
    pub outputs: Vec<Output>,
    /// The lookups that stages may ask.
    pub lookups: Vec<Lookup>,
    /// The secrets that stages may have digests made with.
    pub secrets: Vec<Secret>,
    /// How mail is sent, if it is.
    pub mail: Option<Mail>,
    /// The topic that gets a copy of each dead letter, if any.
    pub dead_letter_topic: Option<String>,
    /// Who is told of dead letters.
    pub alerts: Vec<Alert>,
    /// What becomes of parked records.
    pub retry: Retry,
    /// The bounds of everything that flows.
    pub limits: Limits,
    /// When a swap is taken back by itself.
    pub swap: Swap,
    /// The folders whose files become records.
    pub watches: Vec<Watch>,
    /// The HTTP routes that this pipeline adds.
    pub routes: Vec<Route>,
    /// The text that all this was read from.
    pub text: String,
    /// The texts of the configuration files that it names.
    pub files: BTreeMap<String, String>,
    /// The folder of the spec's file, against which its file names are resolved; none of a spec of the catalog.
    pub folder: Option<PathBuf>,
}

/// A place in the pipeline where a module works.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The stage's name, unique in the pipeline.
    pub name: String,
    /// A module's name, or the path of a `.wasm` file relative to the spec.
    pub module: String,
    /// The module's configuration, as JSON text; `{}` if the spec has none.
    pub config: String,
    /// The place in `outputs` of the output that its messages to `next` go to, where no stage is behind it.
    pub next: Option<usize>,
}

impl Stage {
    /// What the spec says of this stage, as a sha256: an activation of a swap holds as long as it stays the same.
    pub fn base(&self) -> String {
        let said = Sha256::digest(format!("{}\0{}", self.module, self.config));
        said.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A topic, or a family of topics, that messages go to.
#[derive(Clone, Debug)]
pub struct Output {
    /// The output's name, as guests use it.
    pub name: String,
    /// The topic.
    pub topic: TopicPattern,
    /// Partitions of a topic that has to be created.
    pub partitions: i32,
    /// Replicas of a topic that has to be created.
    pub replication: i32,
}

/// How an output's topic is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicPattern {
    /// One topic.
    Fixed(String),
    /// The message completes the name: what stands before and after its part.
    Dynamic {
        /// Before the message's part.
        prefix: String,
        /// After it.
        suffix: String,
    },
}

/// Something that stages may ask by key.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The lookup's name, as guests use it.
    pub name: String,
    /// Where the answers are.
    pub from: LookupSource,
    /// How long one call may take, milliseconds.
    pub timeout_ms_max: u64,
    /// How long an answer may be kept, milliseconds; 0: each is asked for anew.
    pub cache_ms_max: u64,
    /// How much the kept answers may take, bytes.
    pub cache_bytes_max: usize,
}

impl Lookup {
    /// What kept answers may take unless a spec says otherwise, bytes.
    pub const CACHE_BYTES_MAX: usize = 16 << 20;
}

/// Where a lookup's answers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupSource {
    /// The server of `GRISTMILL_LOOKUP`: the key is what stands here, then the guest's key. With the embedded
    /// set (`store:`) the store's reference table answers under the same keys.
    Keys {
        /// Put before each key.
        prefix: String,
    },
    /// A table of this pipeline, by its key: the answer is the row as a JSON object.
    Table {
        /// The table's place in `spec.tables`.
        table: usize,
    },
}

/// Something that the host knows, and stages may have digests made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its name, and that of its file.
    pub name: String,
    /// The stages that may use it.
    pub stages: Vec<String>,
}

/// How the mails of a pipeline are sent.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender, as in a From header.
    pub from: String,
    /// Attempts before a mail is given up.
    pub attempts_max: u32,
}

impl Mail {
    /// Attempts, unless the spec says otherwise.
    pub const ATTEMPTS_MAX: u32 = 20;
}

/// Dead letters that somebody is told of: once for each cause and window of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The alert's name, unique in the pipeline.
    pub name: String,
    /// The codes that it is for; all if there are none. A code is a cause.
    pub codes: Vec<String>,
    /// Whether the record's key is part of the cause.
    pub by_key: bool,
    /// Addresses that get a mail.
    pub mail_to: Vec<String>,
    /// A URL that gets a POST.
    pub webhook: Option<String>,
    /// How long a cause is not told again, milliseconds.
    pub window_ms: u64,
    /// Causes that are told in one window.
    pub notices_max: u32,
}

impl Alert {
    /// The shortest window of time, milliseconds.
    pub const WINDOW_MS_MIN: u64 = 1_000;
}

/// A folder whose files become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The folder; one that is not absolute is beside the spec's file.
    pub folder: PathBuf,
    /// The topic that the records go to.
    pub topic: String,
    /// How a record's key is made from its value.
    pub key: Option<KeyRule>,
    /// How long a file has not changed when it is complete, milliseconds.
    pub settle_ms: u64,
}

/// An HTTP route that a pipeline adds.
#[derive(Clone, Debug)]
pub enum Route {
    /// `POST path`: records for a topic.
    Ingest {
        /// The path, `/orders`.
        path: String,
        /// The topic that they go to.
        topic: String,
        /// How a record's key is made from its value.
        key: Option<KeyRule>,
        /// The stage (its place) whose module checks a record before it is accepted.
        check: Option<usize>,
    },
    /// `POST path`: records of an example are made up for a topic, as many as the request says.
    Generate {
        /// The path, `/push`.
        path: String,
        /// The topic that they go to.
        topic: String,
        /// Which.
        scenario: Scenario,
    },
    /// `GET path`: rows, filtered and paged.
    Read {
        /// The path, `/orders`.
        path: String,
        /// Of what.
        of: Readable,
    },
}

/// What a route reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// The table at this place in `spec.tables`.
    Table(usize),
    /// The view at this place in `spec.views`.
    View(usize),
}

impl Route {
    /// The route's path.
    pub fn path(&self) -> &str {
        match self {
            Route::Ingest { path, .. } | Route::Generate { path, .. } | Route::Read { path, .. } => path,
        }
    }

    /// The topic of a route that takes or makes records.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Route::Ingest { topic, .. } | Route::Generate { topic, .. } => Some(topic),
            Route::Read { .. } => None,
        }
    }
}

impl Spec {
    /// Reads and validates a spec file and the config files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, each issue with its line and key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::whole(&name, "", format!("the pipeline spec cannot be read: {e}")))?;
        Self::parse(&name, text, path.parent().unwrap_or(Path::new(".")))
    }

    /// Validates a spec's text. `name` is what errors call it; `folder` is where the files that it names are.
    ///
    /// # Errors
    /// Everything that is wrong with it, each issue with its line and key.
    pub fn parse(name: &str, text: String, folder: &Path) -> Result<Self, Error> {
        validate::validate(name, text, &Beside::Folder(folder))
    }

    /// Validates a spec of the catalog: `files` are the texts of the configuration files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, each issue with its line and key.
    pub fn of_catalog(name: &str, text: String, files: &BTreeMap<String, String>) -> Result<Self, Error> {
        validate::validate(name, text, &Beside::Given(files))
    }

    /// Whether this pipeline publishes messages of any kind, so that its batches end in transactions of the log.
    pub fn publishes(&self) -> bool {
        !self.outputs.is_empty() || self.dead_letter_topic.is_some()
    }

    /// All tables in the database that are this pipeline's: those that rows go to, and the ledgers of what they count.
    pub fn all_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().flat_map(Table::with_ledger)
    }

    /// The names that no computed topic may take: topics that this pipeline names outright.
    pub fn reserved_topics(&self) -> Vec<&str> {
        let fixed = self.outputs.iter().filter_map(|output| match &output.topic {
            TopicPattern::Fixed(topic) => Some(topic.as_str()),
            TopicPattern::Dynamic { .. } => None,
        });
        std::iter::once(self.source.topic.as_str())
            .chain(fixed)
            .chain(self.dead_letter_topic.as_deref())
            .collect()
    }
}

#[cfg(test)]
mod fuzzing;
#[cfg(test)]
mod tests;
