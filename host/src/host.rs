//! A host: store, log and mail opened, its pipelines at work, its HTTP interface up; and all of it ended in order.

use crate::config::Settings;
use crate::control::{
    self, AppState, CheckUnavailable, Checker, IngestLimits, LaneStatus, PipelineState, PipelineStatus,
    Status,
};
use crate::effect::Fault;
use crate::lane::GuestSlots;
use crate::log::{Log, NewRecord};
use crate::lookup::{Lookups, PipelineLookups};
use crate::mail::{Relay, Settings as RelaySettings};
use crate::pipeline::{Parts, Pipeline, State};
use crate::record::Batch;
use crate::spec::Spec;
use crate::store::Store;
use crate::transform::{Engine, Instance, Pipeline as Transform};
use anyhow::{Context, bail};
use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A host that is ready to work.
pub struct Host {
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Its log.
    pub log: Arc<dyn Log>,
    /// Its pipelines.
    pub pipelines: Vec<Arc<Pipeline>>,
    /// Ends it: lanes drain, requests finish, the relay stops.
    pub stop: CancellationToken,
    mail: Arc<dyn crate::mail::Transport>,
    mail_committed: Arc<Notify>,
    relay: RelaySettings,
}

impl Host {
    /// Opens everything and checks that it fits: modules compile and accept their configuration, tables are made or
    /// verified.
    ///
    /// # Errors
    /// The first thing that does not fit, and what to do.
    pub async fn open(settings: &Settings, specs: Vec<Arc<Spec>>) -> anyhow::Result<Self> {
        Self::open_with(settings, specs, Ok).await
    }

    /// The same with other stages: `adapt` gets each pipeline's stages, loaded and checked.
    ///
    /// # Errors
    /// As [`Host::open`], and what `adapt` says.
    #[cfg(feature = "native-stages")]
    pub async fn open_adapted(
        settings: &Settings,
        specs: Vec<Arc<Spec>>,
        adapt: impl Fn(Transform) -> anyhow::Result<Transform>,
    ) -> anyhow::Result<Self> {
        Self::open_with(settings, specs, adapt).await
    }

    async fn open_with(
        settings: &Settings,
        specs: Vec<Arc<Spec>>,
        adapt: impl Fn(Transform) -> anyhow::Result<Transform>,
    ) -> anyhow::Result<Self> {
        let mail = settings.open_mail()?;
        let (store, log) = settings.open().await?;
        let keys = settings.open_lookup(&store)?;
        let engine = Engine::new(Some(&settings.cache_folder())).context("the sandbox cannot be set up")?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let slots = Arc::new(GuestSlots::new(cores.max(2)));
        let (stop, mail_committed) = (CancellationToken::new(), Arc::new(Notify::new()));
        let mut pipelines: Vec<Arc<Pipeline>> = Vec::new();
        for spec in specs {
            if pipelines.iter().any(|other| other.spec().name == spec.name) {
                bail!("two pipelines are called `{}`", spec.name);
            }
            store.prepare_tables(&spec).await.with_context(|| format!("pipeline {}", spec.name))?;
            let lookups: Arc<dyn Lookups> = Arc::new(PipelineLookups {
                spec: spec.clone(),
                store: store.clone(),
                keys: keys.clone(),
                runtime: Handle::current(),
            });
            let (compiling, compiled_spec) = (engine.clone(), spec.clone());
            let transform =
                tokio::task::spawn_blocking(move || Transform::load(&compiling, &compiled_spec, &lookups))
                    .await?
                    .with_context(|| format!("pipeline {}", spec.name))?;
            let parts = Parts {
                spec,
                transform: adapt(transform)?,
                log: log.clone(),
                store: store.clone(),
                runtime: Handle::current(),
                slots: slots.clone(),
                mail_committed: mail_committed.clone(),
            };
            pipelines.push(Pipeline::new(parts, stop.child_token()));
        }
        let mut relay = RelaySettings::default();
        if let Some(lease_ms) = settings.mail_lease_ms {
            relay.lease_ms = i64::from(lease_ms.max(1));
        }
        Ok(Host { store, log, pipelines, stop, mail, mail_committed, relay })
    }

    /// Starts the pipelines and the mail relay.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(&self) -> anyhow::Result<Running> {
        let mut pipelines = Vec::new();
        for pipeline in &self.pipelines {
            let working = pipeline.clone();
            let name = format!("source-{}", pipeline.spec().name);
            pipelines.push(std::thread::Builder::new().name(name).spawn(move || working.run())?);
        }
        let relay = Relay {
            store: self.store.clone(),
            transport: self.mail.clone(),
            wake: self.mail_committed.clone(),
            settings: self.relay,
        };
        let relay_stop = CancellationToken::new();
        let relay = tokio::spawn(relay.run(relay_stop.clone()));
        Ok(Running { pipelines, relay, relay_stop })
    }

    /// What the HTTP interface stands on.
    pub fn app_state(&self, limits: IngestLimits, metrics: PrometheusHandle) -> AppState {
        AppState {
            store: self.store.clone(),
            log: self.log.clone(),
            specs: self.pipelines.iter().map(|pipeline| pipeline.spec().clone()).collect(),
            checker: Arc::new(SandboxChecker { pipelines: self.pipelines.clone(), idle: Arc::default() }),
            status: Arc::new(Overview(self.pipelines.clone())),
            limits,
            metrics,
        }
    }

    /// Makes the topics that pipelines read and that their routes write, so that records can come in before any lane
    /// is there.
    ///
    /// # Errors
    /// What the log says; it may not be there yet.
    pub async fn ensure_topics(&self) -> Result<(), crate::log::Error> {
        for pipeline in &self.pipelines {
            let source = &pipeline.spec().source;
            let topic = crate::log::NewTopic {
                name: source.topic.clone(),
                partitions: source.partitions,
                replication: source.replication,
            };
            if self.log.partitions(&topic.name).await?.is_none() {
                self.log.ensure_topic(&topic).await?;
            }
        }
        Ok(())
    }

    /// Serves HTTP until the host is stopped.
    ///
    /// # Errors
    /// Routes that contradict each other, or the listener.
    pub fn serve(&self, listener: TcpListener, state: AppState) -> JoinHandle<Result<(), control::Error>> {
        tokio::spawn(control::serve(listener, state, self.stop.clone()))
    }
}

/// The parts of a host that are at work.
pub struct Running {
    pipelines: Vec<std::thread::JoinHandle<Result<(), String>>>,
    relay: JoinHandle<()>,
    relay_stop: CancellationToken,
}

impl Running {
    /// Whether every pipeline has ended.
    pub fn ended(&self) -> bool {
        self.pipelines.iter().all(std::thread::JoinHandle::is_finished)
    }

    /// Waits for all parts to end; to be called after [`Host::stop`] is cancelled, or when all pipelines have ended.
    ///
    /// # Errors
    /// Why pipelines stopped by themselves.
    pub async fn join(self) -> anyhow::Result<()> {
        let mut reasons = Vec::new();
        for pipeline in self.pipelines {
            match tokio::task::spawn_blocking(move || pipeline.join()).await? {
                Ok(Ok(())) => {}
                Ok(Err(why)) => reasons.push(why),
                Err(_) => reasons.push("a pipeline's thread ended by a panic".to_owned()),
            }
        }
        // Mails of the last batches: what is not sent in time waits in the store for the next host.
        self.relay_stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(35), self.relay).await;
        if reasons.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(reasons.join("\n"))) }
    }
}

/// Checks records at the door, in instances of their own.
struct SandboxChecker {
    pipelines: Vec<Arc<Pipeline>>,
    idle: Arc<IdleInstances>,
}

/// Instances that wait for the next check, by pipeline and stage.
type IdleInstances = Mutex<HashMap<(String, usize), Vec<Instance>>>;

/// Idle instances that are kept for one stage.
const IDLE_CHECKERS_MAX: usize = 4;

#[async_trait]
impl Checker for SandboxChecker {
    async fn check(
        &self,
        pipeline: &str,
        stage: usize,
        records: &[NewRecord],
    ) -> Result<Vec<Vec<Fault>>, CheckUnavailable> {
        let unknown = || CheckUnavailable(format!("no stage {stage} in pipeline {pipeline}"));
        let found = self.pipelines.iter().find(|known| known.spec().name == pipeline).ok_or_else(unknown)?;
        let working = found.transform().stages.get(stage).cloned().ok_or_else(unknown)?;
        let mut batch = Batch::new(&found.spec().source.topic, -1);
        for record in records {
            batch.push(-1, record.timestamp_ms.unwrap_or(0), record.key.as_deref(), record.value.as_deref());
            for (name, value) in &record.headers {
                batch.push_header(name, value.as_deref());
            }
        }
        let (idle, place) = (self.idle.clone(), (pipeline.to_owned(), stage));
        let time = Duration::from_millis(found.spec().limits.guest_time_ms_max);
        let check = move || -> Result<Vec<Vec<Fault>>, String> {
            let waiting = idle.lock().get_mut(&place).and_then(Vec::pop);
            let mut instance = match waiting {
                Some(instance) => instance,
                None => Instance::new(&working)?,
            };
            // An instance that failed is dropped: a trap poisons it.
            let checked = instance.apply(&working, &batch, time).map_err(|fault| fault.to_string())?;
            let mut kept = idle.lock();
            let kept = kept.entry(place).or_default();
            if kept.len() < IDLE_CHECKERS_MAX {
                kept.push(instance);
            }
            let mut faults = vec![Vec::new(); batch.len()];
            for (record, _, found) in checked.failures {
                if let Some(slot) = faults.get_mut(record as usize) {
                    *slot = found;
                }
            }
            Ok(faults)
        };
        tokio::task::spawn_blocking(check)
            .await
            .map_err(|error| CheckUnavailable(error.to_string()))?
            .map_err(CheckUnavailable)
    }
}

/// How the pipelines are, for people.
struct Overview(Vec<Arc<Pipeline>>);

#[async_trait]
impl Status for Overview {
    async fn pipelines(&self) -> Vec<PipelineStatus> {
        let mut all = Vec::with_capacity(self.0.len());
        for pipeline in &self.0 {
            let views = pipeline.lanes().await;
            let (state, error) = match pipeline.state() {
                State::Starting => (PipelineState::Starting, None),
                State::Running => (PipelineState::Running, None),
                State::Stopped(why) => (PipelineState::Failed, Some(why)),
            };
            let trouble = views.iter().find_map(|view| view.trouble.clone());
            let lanes = views
                .into_iter()
                .map(|view| LaneStatus {
                    topic: pipeline.spec().source.topic.clone(),
                    partition: view.partition,
                    batch: view.batch,
                    next_offset: Some(view.next_offset),
                    lag: view.lag,
                    last_error: view.trouble,
                })
                .collect();
            all.push(PipelineStatus {
                name: pipeline.spec().name.clone(),
                state,
                error: error.or(trouble),
                lanes,
            });
        }
        all
    }
}
