//! From the catalog to the lanes: a host hears of swaps and pauses, prepares what is new beside its lanes, gives it to
//! them, and reports back which lane works with what. Trials that a new version loses end here too: its swap is taken
//! back for all hosts.
//!
//! ```text
//! catalog ──changed──> fetch, compile, configure, make instances ──deploy──> Live ──next batch──> lanes
//!    ^                                                                                              │
//!    └──────────── lane reports, host reports, take-backs <──────────── taken up, trials lost ──────┘
//! ```

mod stages;

pub use stages::{Prepare, first_stages, from_catalog, own_stages};

use self::stages::{is_of, stage_of};
use crate::catalog::rollback::{self, Target};
use crate::catalog::wake::Wake;
use crate::catalog::{Activation, HostReport, LaneReport};
use crate::lane::now_ms;
use crate::live::Verdict;
use crate::sites::{Site, Sites};
use crate::store::Store;
use crate::transform::{Engine, Pipeline as Transform, Stage};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How often a host says that it is alive.
pub const ALIVE: Duration = Duration::from_secs(2);
/// How long a host that was silent is taken to be alive, milliseconds.
pub const ALIVE_MS_MAX: i64 = 10_000;

/// Brings what the catalog says to the lanes of this host.
pub struct Deployer {
    /// This host's name, of this run.
    pub host: String,
    /// The store that holds the catalog.
    pub store: Arc<dyn Store>,
    /// Compiles modules.
    pub engine: Engine,
    /// The pipelines of this host.
    pub sites: Arc<Sites>,
    /// Whether the host works pipelines of the catalog.
    pub follows: bool,
    /// Told by the lanes that they have taken something up.
    pub taken_up: Arc<Notify>,
    /// Told when the catalog was changed, or what pipelines there are.
    pub wake: Wake,
}

/// What a deployer remembers.
#[derive(Default)]
struct Memory {
    /// Of the catalog and of the host's pipelines, as they were looked at last.
    changes: Option<(i64, u64)>,
    reported: HashMap<(String, i32), LaneReport>,
    /// Activations that cannot be taken up here, and why.
    trouble: BTreeMap<i64, String>,
}

impl Deployer {
    /// Works until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let (to, mut verdicts) = unbounded_channel();
        let mut woken = self.wake.listen();
        let mut alive = tokio::time::interval(ALIVE);
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = woken.up() => {
                    self.hear_verdicts(&to);
                    self.look(&mut memory).await;
                }
                () = self.taken_up.notified() => self.report_lanes(&mut memory).await,
                Some((pipeline, verdict)) = verdicts.recv() => self.take_back(&pipeline, verdict).await,
                _ = alive.tick() => {
                    self.report_lanes(&mut memory).await;
                    self.report_host(&memory).await;
                }
            }
        }
    }

    /// Listens to the trials of pipelines that are new here.
    fn hear_verdicts(&self, to: &UnboundedSender<(String, Verdict)>) {
        for site in self.sites.all() {
            let (name, to) = (site.spec().name.clone(), to.clone());
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
    }

    /// Deploys what has changed since the last look, if anything has.
    async fn look(&self, memory: &mut Memory) {
        let here = self.sites.changes();
        let changes = match self.store.catalog_changes().await {
            Ok(changes) if memory.changes == Some((changes, here)) => return,
            Ok(changes) => (changes, here),
            Err(error) => return tracing::debug!(%error, "looking into the catalog"),
        };
        let mut all = true;
        for site in self.sites.all() {
            if let Err(error) = self.look_at(&site, memory).await {
                tracing::warn!(pipeline = site.spec().name, %error, "the catalog cannot be read; trying again");
                all = false;
            }
        }
        if all {
            memory.changes = Some(changes);
        }
        self.report_host(memory).await;
    }

    async fn look_at(&self, site: &Site, memory: &mut Memory) -> Result<(), crate::store::Error> {
        let (spec, live) = (site.spec(), site.pipeline.live());
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
        let stage =
            stage_of(&self.store, &self.engine, site.spec(), index, activation, &site.lookups, &site.own)
                .await?;
        let warmed = stage.clone();
        // Beside the lanes: they find instances that are ready.
        let _ = tokio::task::spawn_blocking(move || warmed.warm(lanes)).await;
        Ok(stage)
    }

    async fn report_lanes(&self, memory: &mut Memory) {
        let mut reports = Vec::new();
        for site in self.sites.all() {
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
        let report = HostReport {
            host: self.host.clone(),
            seen_ms: now_ms(),
            trouble: memory.trouble.clone(),
            pipelines: self.follows.then(|| self.sites.reports()),
        };
        if let Err(error) = self.store.report_host(&report).await {
            tracing::debug!(%error, "reporting the host; trying again");
        }
    }

    /// Takes a swap back whose trial was lost, unless somebody has done so already.
    async fn take_back(&self, pipeline: &str, verdict: Verdict) {
        let Verdict { stage, activation, reason } = verdict;
        let Some(site) = self.sites.get(pipeline) else { return };
        let target = Target { spec: site.spec(), own: &site.own };
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
        self.wake.all();
    }
}
