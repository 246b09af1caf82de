//! A host: store, log and mail opened, its pipelines at work, its HTTP interface up; and all of it ended in order.

use crate::catalog::registry::{Known, Registry};
use crate::config::Settings;
use crate::control::auth::Policy;
use crate::control::tls::Tls;
use crate::control::{
    self, AppState, CheckUnavailable, Checker, IngestLimits, LaneStatus, PipelineState, PipelineStatus,
    Status,
};
use crate::deploy::{self, Deployer, Site};
use crate::effect::Fault;
use crate::lane::GuestSlots;
use crate::live::Live;
use crate::log::{Log, NewRecord};
use crate::lookup::{Lookups, PipelineLookups};
use crate::mail::{Relay, Settings as RelaySettings};
use crate::pipeline::{Parts, Pipeline, State};
use crate::record::Batch;
use crate::spec::Spec;
use crate::store::Store;
use crate::transform::{Instance, Pipeline as Transform};
use anyhow::{Context, bail};
use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
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
    /// What is done with modules.
    pub registry: Arc<Registry>,
    /// Ends it: lanes drain, requests finish, the relay stops.
    pub stop: CancellationToken,
    deployer: Mutex<Option<Deployer>>,
    mail: Arc<dyn crate::mail::Transport>,
    mail_committed: Arc<Notify>,
    relay: RelaySettings,
    tls: Option<Tls>,
    open_ingest: bool,
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
        let tls = settings.tls()?;
        let mail = settings.open_mail()?;
        let (store, log) = settings.open().await?;
        let keys = settings.open_lookup(&store)?;
        let engine = settings.open_engine()?;
        let (taken_up, wake) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let slots = Arc::new(GuestSlots::new(cores.max(2)));
        let (stop, mail_committed) = (CancellationToken::new(), Arc::new(Notify::new()));
        let mut pipelines: Vec<Arc<Pipeline>> = Vec::new();
        let mut sites = Vec::new();
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
            let named = || format!("pipeline {}", spec.name);
            let own = deploy::own_stages(&store, &engine, &spec, &lookups).await.with_context(named)?;
            let own = adapt(own)?;
            let first =
                deploy::first_stages(&store, &engine, &spec, &lookups, &own).await.with_context(named)?;
            let live = Live::new(first, spec.swap, taken_up.clone());
            live.pause(store.paused().await?.contains(&spec.name));
            let parts = Parts {
                spec,
                live,
                log: log.clone(),
                store: store.clone(),
                runtime: Handle::current(),
                slots: slots.clone(),
                mail_committed: mail_committed.clone(),
            };
            let pipeline = Pipeline::new(parts, stop.child_token());
            sites.push(Site { pipeline: pipeline.clone(), lookups, own });
            pipelines.push(pipeline);
        }
        let registry = Arc::new(Registry {
            store: store.clone(),
            engine: engine.clone(),
            meter: settings.open_meter()?,
            policy: settings.policy()?,
            pipelines: sites.iter().map(Known::of).collect(),
            wake: wake.clone(),
            checks: Semaphore::new(1),
        });
        let name = host_name();
        let deployer = Deployer { host: name, store: store.clone(), engine, sites, taken_up, wake };
        let mut relay = RelaySettings::default();
        if let Some(lease_ms) = settings.mail_lease_ms {
            relay.lease_ms = i64::from(lease_ms.max(1));
        }
        let open_ingest = settings.open_ingest.unwrap_or(false);
        Ok(Host {
            store,
            log,
            pipelines,
            registry,
            stop,
            deployer: Mutex::new(Some(deployer)),
            mail,
            mail_committed,
            relay,
            tls,
            open_ingest,
        })
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
        if let Some(deployer) = self.deployer.lock().take() {
            tokio::spawn(deployer.run(self.stop.child_token()));
        }
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
            registry: self.registry.clone(),
            limits,
            // Where it listens is known when it does.
            policy: Policy { loopback: false, open_ingest: self.open_ingest },
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
        tokio::spawn(control::serve(listener, self.tls.clone(), state, self.stop.clone()))
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Tells, for an address to listen on, what whoever set it so may not have meant.
    pub fn warn_about_doors(&self, address: std::net::SocketAddr) {
        if control::auth::is_loopback(address.ip()) {
            return;
        }
        if self.tls.is_none() {
            tracing::warn!(
                %address,
                "the HTTP interface can be reached from other machines and speaks no TLS: tokens and records can be \
                 read on the way. Set GRISTMILL_TLS_CERT and GRISTMILL_TLS_KEY, or let only something reach it that \
                 speaks TLS for it"
            );
        }
        if self.open_ingest {
            tracing::warn!(%address, "GRISTMILL_OPEN_INGEST: whoever reaches this address can send records");
        }
    }
}

/// A name for this run of this host: people find the machine by it, and no two runs share it.
fn host_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim();
    let machine = if machine.is_empty() { "host" } else { machine };
    let run = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    format!("{machine}-{}-{:06x}", std::process::id(), run & 0xff_ffff)
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

/// Instances that wait for the next check, by pipeline and stage, each with the activation that it is of.
type IdleInstances = Mutex<HashMap<(String, usize), Vec<(i64, Instance)>>>;

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
        let working = found.live().current().transform.stages.get(stage).cloned().ok_or_else(unknown)?;
        let mut batch = Batch::new(&found.spec().source.topic, -1);
        for record in records {
            batch.push(-1, record.timestamp_ms.unwrap_or(0), record.key.as_deref(), record.value.as_deref());
            for (name, value) in &record.headers {
                batch.push_header(name, value.as_deref());
            }
        }
        // Instances of what was at work before a swap are not asked any more.
        let (idle, place) = (self.idle.clone(), (pipeline.to_owned(), stage));
        let activation = working.activation;
        let time = Duration::from_millis(found.spec().limits.guest_time_ms_max);
        let check = move || -> Result<Vec<Vec<Fault>>, String> {
            let waiting = {
                let mut idle = idle.lock();
                let waiting = idle.get_mut(&place);
                waiting.and_then(|waiting| {
                    waiting.retain(|(made_for, _)| *made_for == activation);
                    waiting.pop().map(|(_, instance)| instance)
                })
            };
            let mut instance = match waiting {
                Some(instance) => instance,
                None => Instance::new(&working)?,
            };
            // An instance that failed is dropped: a trap poisons it.
            let checked = instance.apply(&working, &batch, time).map_err(|fault| fault.to_string())?;
            let mut kept = idle.lock();
            let kept = kept.entry(place).or_default();
            if kept.len() < IDLE_CHECKERS_MAX {
                kept.push((activation, instance));
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
                State::Running if pipeline.live().paused() => (PipelineState::Paused, None),
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
