//! What the routes stand on, and what they need from the rest of the host.

use super::auth::Policy;
use crate::catalog::registry::Registry;
use crate::effect::Fault;
use crate::log::{Log, NewRecord};
use crate::sites::Specs;
use crate::store::Store;
use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::watch;

/// What the routes stand on.
#[derive(Clone)]
pub struct AppState {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The pipelines that this host runs, at the moment.
    pub specs: watch::Receiver<Specs>,
    /// Checks records before they are accepted.
    pub checker: Arc<dyn Checker>,
    /// Knows how the pipelines are.
    pub status: Arc<dyn Status>,
    /// What is done with modules and swaps.
    pub registry: Arc<Registry>,
    /// The bounds of what comes in.
    pub limits: IngestLimits,
    /// Where the interface listens, and what it leaves open.
    pub policy: Policy,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
}

/// The bounds of what comes in over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestLimits {
    /// Bytes of one request's body.
    pub body_bytes_max: usize,
    /// Records of one request.
    pub request_records_max: usize,
    /// Bytes of all bodies that are being worked on.
    pub in_flight_bytes_max: usize,
    /// Records in a second, of all requests; `None` for as many as the log takes. A burst of one second, or of one
    /// full request, may come at once.
    pub records_per_s_max: Option<u32>,
    /// How long a client may take to send its body, milliseconds.
    pub body_ms_max: u64,
    /// How long one request may take in all, milliseconds.
    pub request_ms_max: u64,
}

impl Default for IngestLimits {
    fn default() -> Self {
        IngestLimits {
            body_bytes_max: 16 << 20,
            request_records_max: 50_000,
            in_flight_bytes_max: 128 << 20,
            records_per_s_max: None,
            body_ms_max: 30_000,
            request_ms_max: 60_000,
        }
    }
}

/// Checks records with a stage's module, in the sandbox that will work on them later.
#[async_trait]
pub trait Checker: Send + Sync + 'static {
    /// The faults of each record, in their order; none for a good one.
    ///
    /// # Errors
    /// The check could not be made.
    async fn check(
        &self,
        pipeline: &str,
        stage: usize,
        records: &[NewRecord],
    ) -> Result<Vec<Vec<Fault>>, CheckUnavailable>;
}

/// A check that could not be made: no reason to take a record, and none to refuse it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("records cannot be checked: {0}")]
pub struct CheckUnavailable(pub String);

/// Knows how the pipelines are.
#[async_trait]
pub trait Status: Send + Sync + 'static {
    /// Every pipeline of this host.
    async fn pipelines(&self) -> Vec<PipelineStatus>;
}

/// How a pipeline is.
#[derive(Clone, Debug, Serialize)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub state: PipelineState,
    /// Why it does not, or what it is trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its lanes on this host.
    pub lanes: Vec<LaneStatus>,
}

/// Whether a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PipelineState {
    /// It is about to.
    Starting,
    /// It does.
    Running,
    /// Somebody stopped it for a while.
    Paused,
    /// It ends what it has begun.
    Draining,
    /// It ended.
    Stopped,
    /// It cannot go on without a person.
    Failed,
}

/// How a lane is.
#[derive(Clone, Debug, Serialize)]
pub struct LaneStatus {
    /// The source topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The last committed batch.
    pub batch: i64,
    /// The last published batch.
    pub published: i64,
    /// The next offset to be read.
    pub next_offset: Option<i64>,
    /// Records that wait in the log.
    pub lag: Option<i64>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}
