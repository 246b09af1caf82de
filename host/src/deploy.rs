//! From the catalog to the lanes: a host hears of swaps and pauses, prepares what is new beside its lanes, gives it to
//! them, and reports back which lane works with what. Trials that a new version loses end here too: its swap is taken
//! back for all hosts.
//!
//! ```text
//! catalog ──changed──> fetch, compile, configure, make instances ──deploy──> Live ──next batch──> lanes
//!    ^                                                                                              │
//!    └──────────── lane reports, host reports, take-backs <──────────── taken up, trials lost ──────┘
//! ```

use crate::catalog::rollback::{self, Target};
use crate::catalog::{Activation, HostReport, LaneReport, names};
use crate::lane::now_ms;
use crate::live::Verdict;
use crate::lookup::Lookups;
use crate::pipeline::Pipeline;
use crate::spec::Spec;
use crate::store::Store;
use crate::transform::{Engine, Error, Module, Pipeline as Transform, Stage};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How long a change may go unheard: notifications come at once, but may get lost.
const LOOK: Duration = Duration::from_secs(1);
/// How often a host says that it is alive.
pub const ALIVE: Duration = Duration::from_secs(2);
/// How long a host that was silent is taken to be alive, milliseconds.
pub const ALIVE_MS_MAX: i64 = 10_000;

/// A pipeline that is deployed to.
pub struct Site {
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// What its guests may ask.
    pub lookups: Arc<dyn Lookups>,
    /// The stages as the spec names them.
    pub own: Transform,
}

/// Brings what the catalog says to the lanes of this host.
pub struct Deployer {
    /// This host's name, of this run.
    pub host: String,
    /// The store that holds the catalog.
    pub store: Arc<dyn Store>,
    /// Compiles modules.
    pub engine: Engine,
    /// The pipelines of this host.
    pub sites: Vec<Site>,
    /// Told by the lanes that they have taken something up.
    pub taken_up: Arc<Notify>,
    /// Told by whoever in this process has changed the catalog.
    pub wake: Arc<Notify>,
}

/// What a deployer remembers.
#[derive(Default)]
struct Memory {
    changes: Option<i64>,
    reported: HashMap<(String, i32), LaneReport>,
    /// Activations that cannot be taken up here, and why.
    trouble: BTreeMap<i64, String>,
}

impl Deployer {
    /// Works until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let (store, wake, listening) = (self.store.clone(), self.wake.clone(), stop.clone());
        tokio::spawn(async move {
            while !listening.is_cancelled() {
                tokio::select! {
                    () = listening.cancelled() => {}
                    () = store.catalog_changed(LOOK) => wake.notify_one(),
                }
            }
        });
        let mut verdicts = self.verdicts();
        let mut alive = tokio::time::interval(ALIVE);
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => self.look(&mut memory).await,
                () = self.taken_up.notified() => self.report_lanes(&mut memory).await,
                Some((pipeline, verdict)) = verdicts.recv() => self.take_back(&pipeline, verdict).await,
                _ = alive.tick() => {
                    self.report_lanes(&mut memory).await;
                    self.report_host(&memory).await;
                }
            }
        }
    }

    /// The trials that are lost in any pipeline.
    fn verdicts(&self) -> UnboundedReceiver<(String, Verdict)> {
        let (to, all): (UnboundedSender<(String, Verdict)>, _) = unbounded_channel();
        for site in &self.sites {
            let (name, to) = (site.pipeline.spec().name.clone(), to.clone());
            if let Some(mut verdicts) = site.pipeline.live().verdicts() {
                tokio::spawn(async move {
                    while let Some(verdict) = verdicts.recv().await {
                        if to.send((name.clone(), verdict)).is_err() {
                            return;
                        }
                    }
                });
            }
        }
        all
    }

    /// Deploys what has changed since the last look, if anything has.
    async fn look(&self, memory: &mut Memory) {
        let changes = match self.store.catalog_changes().await {
            Ok(changes) if memory.changes == Some(changes) => return,
            Ok(changes) => changes,
            Err(error) => return tracing::debug!(%error, "looking into the catalog"),
        };
        let mut all = true;
        for site in &self.sites {
            if let Err(error) = self.look_at(site, memory).await {
                tracing::warn!(pipeline = site.pipeline.spec().name, %error, "the catalog cannot be read; trying again");
                all = false;
            }
        }
        if all {
            memory.changes = Some(changes);
        }
        self.report_host(memory).await;
    }

    async fn look_at(&self, site: &Site, memory: &mut Memory) -> Result<(), crate::store::Error> {
        let (spec, live) = (site.pipeline.spec(), site.pipeline.live());
        let paused = self.store.paused().await?.contains(&spec.name);
        if live.pause(paused) {
            tracing::info!(pipeline = spec.name, "{}", if paused { "paused" } else { "goes on" });
        }
        let current = live.current();
        let in_force = self.store.in_force(&spec.name).await?;
        let lanes = site.pipeline.works_with().len();
        let mut stages = Vec::new();
        for (index, now) in current.transform.stages.iter().enumerate() {
            let Some(activation) = in_force.iter().find(|one| is_of(one, spec, index)) else {
                // None in force, or one that another spec was the base of: the spec's own.
                stages.extend(site.own.stages.get(index).cloned());
                continue;
            };
            if now.activation == activation.id {
                stages.push(now.clone());
                continue;
            }
            match self.prepare(site, index, activation, lanes).await {
                Ok(stage) => {
                    memory.trouble.remove(&activation.id);
                    stages.push(stage);
                }
                Err(Prepare::Store(error)) => return Err(error),
                Err(Prepare::Unfit(message)) => {
                    tracing::error!(
                        pipeline = spec.name,
                        activation = activation.id,
                        "cannot be taken up, the version before it goes on: {message}"
                    );
                    memory.trouble.insert(activation.id, message);
                    stages.push(now.clone());
                }
            }
        }
        let same = stages.iter().zip(&current.transform.stages).all(|(new, old)| new.is(old));
        if !same {
            for stage in &stages {
                tracing::info!(
                    pipeline = spec.name,
                    stage = &*stage.name,
                    module = stage.module.name,
                    digest = stage.module.digest,
                    activation = stage.activation,
                    "deployed"
                );
            }
            live.deploy(Transform { stages });
        }
        Ok(())
    }

    async fn prepare(
        &self,
        site: &Site,
        index: usize,
        activation: &Activation,
        lanes: usize,
    ) -> Result<Stage, Prepare> {
        let stage = stage_of(
            &self.store,
            &self.engine,
            site.pipeline.spec(),
            index,
            activation,
            &site.lookups,
            &site.own,
        )
        .await?;
        let warmed = stage.clone();
        // Beside the lanes: they find instances that are ready.
        let _ = tokio::task::spawn_blocking(move || warmed.warm(lanes)).await;
        Ok(stage)
    }

    async fn report_lanes(&self, memory: &mut Memory) {
        let mut reports = Vec::new();
        for site in &self.sites {
            for (lane, works_with) in site.pipeline.works_with() {
                let report = LaneReport {
                    pipeline: lane.pipeline.to_string(),
                    topic: lane.topic.to_string(),
                    partition: lane.partition,
                    host: self.host.clone(),
                    activations: works_with.activations.into_iter().collect(),
                    at_ms: works_with.at_ms,
                    pause_us: works_with.pause_us,
                };
                let place = (report.pipeline.clone(), report.partition);
                if memory.reported.get(&place) != Some(&report) {
                    reports.push((place, report));
                }
            }
        }
        if reports.is_empty() {
            return;
        }
        let lines: Vec<LaneReport> = reports.iter().map(|(_, report)| report.clone()).collect();
        match self.store.report_lanes(&lines).await {
            Ok(()) => memory.reported.extend(reports),
            Err(error) => tracing::debug!(%error, "reporting lanes; trying again"),
        }
    }

    async fn report_host(&self, memory: &Memory) {
        let report =
            HostReport { host: self.host.clone(), seen_ms: now_ms(), trouble: memory.trouble.clone() };
        if let Err(error) = self.store.report_host(&report).await {
            tracing::debug!(%error, "reporting the host; trying again");
        }
    }

    /// Takes a swap back whose trial was lost, unless somebody has done so already.
    async fn take_back(&self, pipeline: &str, verdict: Verdict) {
        let Verdict { stage, activation, reason } = verdict;
        let Some(site) = self.sites.iter().find(|site| site.pipeline.spec().name == pipeline) else { return };
        let target = Target { spec: site.pipeline.spec(), own: &site.own };
        tracing::error!(pipeline, stage, activation, "the new version lost its trial: {reason}");
        for attempt in 0..5_u32 {
            let by = format!("host {}", self.host);
            match rollback::roll_back(&self.store, &target, &stage, Some(activation), &by, &reason).await {
                Ok(_) => break,
                Err(rollback::Error::Store(error)) if attempt < 4 => {
                    tracing::warn!(pipeline, stage, %error, "taking the swap back; trying again");
                    tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
                }
                Err(error) => {
                    tracing::error!(pipeline, stage, %error, "the swap could not be taken back");
                    break;
                }
            }
        }
        self.wake.notify_one();
    }
}

/// Whether an activation is of the stage at `index`, and holds under this spec.
fn is_of(activation: &Activation, spec: &Spec, index: usize) -> bool {
    spec.stages
        .get(index)
        .is_some_and(|stage| stage.name == activation.stage && stage.base() == activation.base)
}

/// Why a stage could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Prepare {
    /// The store; to be tried again.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The module or its configuration.
    #[error("{0}")]
    Unfit(String),
}

impl From<Error> for Prepare {
    fn from(error: Error) -> Self {
        Prepare::Unfit(error.to_string())
    }
}

/// The stage that an activation makes.
async fn stage_of(
    store: &Arc<dyn Store>,
    engine: &Engine,
    spec: &Arc<Spec>,
    index: usize,
    activation: &Activation,
    lookups: &Arc<dyn Lookups>,
    own: &Transform,
) -> Result<Stage, Prepare> {
    let id = activation.id;
    if activation.version.is_empty() {
        let own = own.stages.get(index).cloned();
        return own
            .map(|stage| stage.activated(id))
            .ok_or_else(|| Prepare::Unfit(format!("the spec has no stage `{}`", activation.stage)));
    }
    let module = from_catalog(store, engine, &activation.module, &activation.digest).await?;
    let (spec, config, lookups) = (spec.clone(), activation.config.clone(), lookups.clone());
    let prepare = move || Stage::prepare_with(module, &spec, index, &config, Some(lookups));
    let stage = tokio::task::spawn_blocking(prepare)
        .await
        .map_err(|error| Prepare::Unfit(format!("preparing it ended: {error}")))??;
    Ok(stage.activated(id))
}

/// Compiles a module whose bytes lie in the catalog.
///
/// # Errors
/// [`Prepare`].
pub async fn from_catalog(
    store: &Arc<dyn Store>,
    engine: &Engine,
    name: &str,
    digest: &str,
) -> Result<Module, Prepare> {
    if let Some(module) = engine.known(name, digest) {
        return Ok(module);
    }
    let code = store
        .module_code(digest)
        .await?
        .ok_or_else(|| Prepare::Unfit(format!("the catalog has no bytes with the digest {digest}")))?;
    let (engine, name) = (engine.clone(), name.to_owned());
    let compiled = tokio::task::spawn_blocking(move || Module::compile(&engine, &name, &code)).await;
    Ok(compiled.map_err(|error| Prepare::Unfit(format!("compiling it ended: {error}")))??)
}

/// The stages as a spec names them: modules of the catalog by `NAME@VERSION`, others from files.
///
/// # Errors
/// The first module that is not there or does not fit, and why.
pub async fn own_stages(
    store: &Arc<dyn Store>,
    engine: &Engine,
    spec: &Arc<Spec>,
    lookups: &Arc<dyn Lookups>,
) -> anyhow::Result<Transform> {
    let mut modules = Vec::new();
    for stage in &spec.stages {
        modules.push(own_module(store, engine, spec, &stage.module).await?);
    }
    let (spec, lookups) = (spec.clone(), lookups.clone());
    Ok(tokio::task::spawn_blocking(move || Transform::assemble(modules, &spec, &lookups)).await??)
}

async fn own_module(
    store: &Arc<dyn Store>,
    engine: &Engine,
    spec: &Arc<Spec>,
    named: &str,
) -> anyhow::Result<Module> {
    if let Ok((name, version)) = names::parse(named) {
        let Some(found) = store.module_version(name, version).await? else {
            anyhow::bail!("module `{named}` is not in the catalog: push it with `gristmill module push`");
        };
        return Ok(from_catalog(store, engine, name, &found.digest).await?);
    }
    let (engine, spec, named) = (engine.clone(), spec.clone(), named.to_owned());
    Ok(tokio::task::spawn_blocking(move || Module::load(&engine, &named, &spec.folder)).await??)
}

/// The stages that a pipeline begins with on this host: those of the catalog, where it has any.
///
/// # Errors
/// What does not fit: a host that cannot do what the catalog says does not begin with something else.
pub async fn first_stages(
    store: &Arc<dyn Store>,
    engine: &Engine,
    spec: &Arc<Spec>,
    lookups: &Arc<dyn Lookups>,
    own: &Transform,
) -> anyhow::Result<Transform> {
    use anyhow::Context;
    let in_force = store.in_force(&spec.name).await?;
    let mut stages = Vec::new();
    for (index, stage) in own.stages.iter().enumerate() {
        stages.push(match in_force.iter().find(|one| is_of(one, spec, index)) {
            None => stage.clone(),
            Some(activation) => {
                let prepared = stage_of(store, engine, spec, index, activation, lookups, own).await;
                prepared.with_context(|| {
                    let (module, version) = (&activation.module, &activation.version);
                    format!("stage {}: {module}@{version} of activation {}", stage.name, activation.id)
                })?
            }
        });
    }
    Ok(Transform { stages })
}
