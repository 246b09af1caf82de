//! The catalog: which versions of which modules there are, which of them is active in which stage, and who did what
//! when. It lies in the store, so many hosts share it and one that starts sees the last state there.
//!
//! - [`check`] is what a module goes through before it is accepted.
//! - A version is immutable: its bytes are named by their sha256 digest, and the same name and version with other
//!   bytes is refused.
//! - A pipeline's spec has revisions ([`Revision`]); the newest one is what hosts of the catalog run.
//! - A swap is one row ([`Activation`]); the newest of a stage is in force. Going back is one more row.

pub mod check;
pub mod names;
mod nouns;
pub mod pipelines;
pub mod registry;
pub mod rollback;
pub mod signature;
pub mod wake;

pub use nouns::*;

use crate::store::Error;
use async_trait::async_trait;
use std::time::Duration;

/// What a store remembers of modules and swaps. Every change counts the clock up and leaves a line in the audit trail,
/// in the same transaction.
#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// How often the catalog was changed: hosts that see another number look again.
    async fn catalog_changes(&self) -> Result<i64, Error>;

    /// Waits until somebody says that the catalog was changed, or for so long: not every change is heard.
    async fn catalog_changed(&self, within: Duration);

    /// Keeps a version that was checked.
    async fn put_module(&self, version: &NewVersion) -> Result<Kept, Error>;

    /// The versions of one module or of all, by name, newest first; without their bytes and cases.
    async fn module_versions(&self, name: Option<&str>) -> Result<Vec<Version>, Error>;

    /// One version.
    async fn module_version(&self, name: &str, version: &str) -> Result<Option<Version>, Error>;

    /// The bytes with this digest.
    async fn module_code(&self, digest: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Removes a version that is in force nowhere.
    async fn remove_module(&self, name: &str, version: &str, by: &str, now_ms: i64)
    -> Result<Removed, Error>;

    /// Writes an activation, unless `expected` is given and another activation of the stage is in force (0: none).
    /// Answers its number.
    async fn activate(&self, activation: &NewActivation, expected: Option<i64>)
    -> Result<Option<i64>, Error>;

    /// Writes an activation that takes the one in force back, and marks that one with the reason, if it is still in
    /// force.
    async fn take_back(&self, bad: i64, reason: &str, instead: &NewActivation) -> Result<Option<i64>, Error>;

    /// The newest activation of each stage of a pipeline.
    async fn in_force(&self, pipeline: &str) -> Result<Vec<Activation>, Error>;

    /// A pipeline's activations, newest first, of one stage or of all.
    async fn activations(
        &self,
        pipeline: &str,
        stage: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Activation>, Error>;

    /// One activation.
    async fn activation(&self, id: i64) -> Result<Option<Activation>, Error>;

    /// Writes down that a host works lanes, and with which activations.
    async fn report_lanes(&self, lanes: &[LaneReport]) -> Result<(), Error>;

    /// Who works the lanes of a pipeline, as they reported it.
    async fn lane_reports(&self, pipeline: &str) -> Result<Vec<LaneReport>, Error>;

    /// Says that a host is alive, and what it could not take up.
    async fn report_host(&self, host: &HostReport) -> Result<(), Error>;

    /// The hosts that reported since.
    async fn hosts_since(&self, since_ms: i64) -> Result<Vec<HostReport>, Error>;

    /// Pauses a pipeline or lets it go on. Answers whether that changed anything.
    async fn set_paused(&self, pipeline: &str, paused: bool, by: &str, now_ms: i64) -> Result<bool, Error>;

    /// The pipelines that are paused.
    async fn paused(&self) -> Result<Vec<String>, Error>;

    /// Writes a revision of a pipeline, unless the newest one is another than expected (0: there is none). Answers its
    /// number.
    async fn put_revision(&self, revision: &NewRevision, expected: i64) -> Result<Option<i64>, Error>;

    /// The newest revision of each pipeline, by name; also of those that were removed.
    async fn newest_revisions(&self) -> Result<Vec<Revision>, Error>;

    /// A pipeline's revisions, newest first.
    async fn revisions(&self, pipeline: &str, limit: u32) -> Result<Vec<Revision>, Error>;

    /// One revision.
    async fn revision(&self, pipeline: &str, revision: i64) -> Result<Option<Revision>, Error>;

    /// Adds a line to the audit trail.
    async fn audit(&self, line: &AuditLine) -> Result<(), Error>;

    /// The audit trail, newest first, before a number.
    async fn audit_trail(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditLine>, Error>;
}
