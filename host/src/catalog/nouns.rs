//! What goes into the catalog and comes out of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A version on its way into the catalog.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// What will be known of it.
    pub version: Version,
    /// The bytes as they were given.
    pub code: Vec<u8>,
    /// Its cases: JSON, files by path in base64.
    pub cases: String,
}

/// A version of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// The module's name.
    pub name: String,
    /// The version's name.
    pub version: String,
    /// The sha256 of its bytes, hex.
    pub digest: String,
    /// How many bytes it has.
    pub bytes: i64,
    /// What it says of itself.
    pub about: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// The trusted key that its signature was made with.
    pub signed_by: Option<String>,
    /// What the check before acceptance found.
    pub report: Value,
    /// Who pushed it.
    pub pushed_by: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub pushed_at_ms: i64,
}

/// How keeping a version ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is new.
    New,
    /// It was there, with the same bytes.
    Same,
    /// Its name is taken by other bytes, with this digest.
    Other(String),
}

/// How removing a version ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// There was none.
    Missing,
    /// It is in force: `pipeline/stage`, one or more.
    InUse(Vec<String>),
}

/// A swap on its way into the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewActivation {
    /// The pipeline.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// The module's name.
    pub module: String,
    /// The version's name; empty for what the pipeline's spec itself names.
    pub version: String,
    /// The sha256 of its bytes.
    pub digest: String,
    /// The configuration, JSON.
    pub config: String,
    /// What the spec says of the stage ([`crate::spec::Stage::base`]): with another spec this activation ends.
    pub base: String,
    /// Who did it.
    pub by: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Why, in the person's words or the host's.
    pub note: String,
}

/// A swap: what is active in a stage since then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activation {
    /// Its number: later ones are larger.
    pub id: i64,
    /// The pipeline.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// The module's name.
    pub module: String,
    /// The version's name; empty for what the pipeline's spec itself names.
    pub version: String,
    /// The sha256 of its bytes.
    pub digest: String,
    /// The configuration, JSON.
    #[serde(serialize_with = "as_json")]
    pub config: String,
    /// What the spec said of the stage.
    #[serde(skip)]
    pub base: String,
    /// Who did it.
    pub by: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Why.
    pub note: String,
    /// Why it was rolled back, if it was.
    pub taken_back: Option<String>,
}

impl Activation {
    /// Whether this is the same module under the same configuration.
    pub fn does_as(&self, other: &Activation) -> bool {
        self.digest == other.digest && self.config == other.config
    }
}

/// A configuration may hold what is nobody's business but the author's: it is shown as it was given, as JSON.
fn as_json<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    value.serialize(serializer)
}

/// Which host works a lane, and with which activations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// The pipeline.
    #[serde(skip)]
    pub pipeline: String,
    /// The source topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The host.
    pub host: String,
    /// The activation that each stage works with; 0 is what the spec names.
    pub activations: BTreeMap<String, i64>,
    /// Since when, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// How long the lane stood still for the last change, microseconds.
    pub pause_us: i64,
}

/// A host, as it reports itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its name, of one run.
    pub host: String,
    /// When it reported, milliseconds since 1970-01-01 UTC.
    pub seen_ms: i64,
    /// Activations that it could not take up, and why.
    pub trouble: BTreeMap<i64, String>,
    /// The pipelines of the catalog that it runs, or cannot run; none of a host that runs files alone.
    pub pipelines: Option<BTreeMap<String, RevisionReport>>,
}

/// A spec on its way into the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevision {
    /// The pipeline.
    pub pipeline: String,
    /// The spec, TOML; empty if the pipeline is removed.
    pub spec: String,
    /// The texts of the files that it names.
    pub files: BTreeMap<String, String>,
    /// Who did it.
    pub by: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Why, in the person's words.
    pub note: String,
}

impl NewRevision {
    /// The sha256 of the spec and its files, hex.
    pub fn digest(&self) -> String {
        digest(&self.spec, &self.files)
    }
}

/// The sha256 of a spec and the files that it names, hex: the same for the same content.
pub fn digest(spec: &str, files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for part in [spec].into_iter().chain(files.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]))
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A revision of a pipeline: what its spec said since then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// The pipeline.
    pub pipeline: String,
    /// Its number: from 1, later ones are larger.
    pub revision: i64,
    /// Whether the pipeline was removed by it.
    pub removed: bool,
    /// The spec, TOML.
    pub spec: String,
    /// The texts of the files that it names.
    pub files: BTreeMap<String, String>,
    /// The sha256 of both.
    pub digest: String,
    /// Who did it.
    pub by: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Why.
    pub note: String,
}

/// How a host is with a pipeline of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionReport {
    /// The revision that it runs; 0 if none.
    pub revision: i64,
    /// Whether it has joined the pipeline's group.
    pub running: bool,
    /// The revision that it cannot run, and why.
    pub trouble: Option<(i64, String)>,
}

/// A line of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditLine {
    /// Its number; 0 for one that is not written yet.
    pub id: i64,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What was done: `module-push`, `swap`, `rollback`, `pause`, `resume`, `module-remove`, …
    pub action: String,
    /// To what.
    pub target: String,
    /// More about it.
    pub detail: Value,
}

impl AuditLine {
    /// A line that is not written yet.
    pub fn new(at_ms: i64, actor: &str, action: &str, target: &str, detail: Value) -> Self {
        let (actor, action, target) = (actor.to_owned(), action.to_owned(), target.to_owned());
        AuditLine { id: 0, at_ms, actor, action, target, detail }
    }
}
