//! What is done with modules: pushed, listed, removed, swapped in, taken back. The HTTP interface and the command line
//! both come here.

use super::check::{self, Checked, Engines, Policy, Refused, Upload};
use super::rollback::{self, Target};
use super::wake::Wake;
use super::{Activation, HostReport, Kept, LaneReport, NewActivation, NewVersion, Removed, Version, names};
use crate::deploy::{self, ALIVE_MS_MAX, Prepare};
use crate::lane::now_ms;
use crate::lookup::Sources;
use crate::sites::{Site, Sites};
use crate::spec::Spec;
use crate::store::{self, Store};
use crate::transform::{Engine, Module, Stage};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Handles modules and swaps for one host.
pub struct Registry {
    /// The store that holds the catalog.
    pub store: Arc<dyn Store>,
    /// Compiles modules.
    pub engine: Engine,
    /// Counts the fuel of modules' cases.
    pub meter: Engine,
    /// Which modules are taken.
    pub policy: Policy,
    /// The pipelines of this host.
    pub sites: Arc<Sites>,
    /// What pipelines' lookups ask.
    pub sources: Sources,
    /// Tells this host of a change.
    pub wake: Wake,
    /// Modules that are checked at once: checking one takes a core and much memory.
    pub checks: Semaphore,
}

/// Why something was not done.
#[derive(Debug)]
pub enum Error {
    /// It is refused.
    Refused(Refused),
    /// It contradicts what is there.
    Conflict(Refused),
    /// There is no such thing.
    NotFound(String),
    /// The store.
    Store(store::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Error::Store(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Error::Refused(refused)
    }
}

/// What is to be swapped in.
#[derive(Clone, Debug, Default)]
pub struct SwapOrder {
    /// `MODULE@VERSION`; the module that is active if absent (another configuration for it).
    pub module: Option<String>,
    /// The configuration, JSON; the one that is active if absent.
    pub config: Option<Value>,
    /// Why, for people.
    pub note: String,
    /// Who.
    pub by: String,
}

/// How far a swap is.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// The swap.
    pub activation: Activation,
    /// Whether another one of the same stage came after it.
    pub superseded: bool,
    /// Whether every lane that anybody works has taken it up.
    pub done: bool,
    /// The lanes.
    pub lanes: Vec<LaneProgress>,
    /// Hosts that cannot take it up, and why.
    pub trouble: Vec<Trouble>,
}

/// How far a swap is in one lane.
#[derive(Clone, Debug, Serialize)]
pub struct LaneProgress {
    /// What the lane reported last.
    #[serde(flatten)]
    pub report: LaneReport,
    /// Whether its host is alive.
    pub alive: bool,
    /// Whether it has taken the swap up, or a later one.
    pub taken_up: bool,
}

/// Why a host cannot take a swap up.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// The host.
    pub host: String,
    /// Why.
    pub message: String,
}

impl Registry {
    /// Checks a module and keeps it. Answers the version, and whether it is new.
    ///
    /// # Errors
    /// What it is refused for; nothing of it stays behind then.
    pub async fn push(&self, upload: Upload) -> Result<(Version, bool), Error> {
        let signed_by = check::outside(&upload, &self.policy)?;
        let digest = Module::digest_of(&upload.code);
        if let Some(there) = self.store.module_version(&upload.name, &upload.version).await? {
            return if there.digest == digest { Ok((there, false)) } else { Err(taken(&there)) };
        }
        let before = self.version_before(&upload.name).await?;
        let known = self.engine.known(&upload.name, &digest).is_some();
        let kept = self.check_and_keep(upload, signed_by, before).await;
        let others = if kept.is_err() { self.store.module_code(&digest).await.ok().flatten() } else { None };
        if kept.is_err() && !known && others.is_none() {
            self.engine.forget(&digest);
        }
        kept
    }

    async fn check_and_keep(
        &self,
        upload: Upload,
        signed_by: Option<String>,
        before: Option<Version>,
    ) -> Result<(Version, bool), Error> {
        // The one who waits is told so by the client's own time limit.
        let _turn = self.checks.acquire().await;
        let start = Instant::now();
        let engines = Engines { work: self.engine.clone(), meter: self.meter.clone() };
        let policy = self.policy.clone();
        let check = move || {
            let checked = check::inside(&engines, &upload, &policy, signed_by, before.as_ref());
            checked.map(|checked| (checked, upload, before))
        };
        let (checked, upload, before) = blocking(check).await??;
        let uses = self.fits(&checked.module).await?;
        let Checked { module, signed_by, inspection, compiled_in_ms, cases } = checked;
        let report = json!({
            "compiled_in_ms": compiled_in_ms,
            "instantiated_in_us": u64::try_from(inspection.instantiated_in.as_micros()).unwrap_or(u64::MAX),
            "memory_bytes": inspection.memory_bytes,
            "config_schema": inspection.config_schema.as_deref().map(|text| {
                serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
            }),
            "fits": uses,
            "cases": cases.map(|report| json!({ "passed": report.counts().0, "cases": report.cases })),
            "checked_against": before.map(|before| before.version),
            "checked_in_ms": u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        let version = Version {
            name: upload.name,
            version: upload.version,
            digest: module.digest.clone(),
            bytes: i64::try_from(upload.code.len()).unwrap_or(i64::MAX),
            about: inspection.about,
            imports: module.imports.clone(),
            signed_by,
            report,
            pushed_by: upload.by,
            pushed_at_ms: now_ms(),
        };
        let new = NewVersion {
            version: version.clone(),
            code: upload.code,
            cases: upload.cases.unwrap_or_else(|| "{}".to_owned()),
        };
        match self.store.put_module(&new).await? {
            Kept::New => Ok((version, true)),
            Kept::Same => Ok((version, false)),
            Kept::Other(digest) => Err(taken(&Version { digest, ..version })),
        }
    }

    /// The version that a new one is compared with: the one that is active somewhere, or else the newest.
    async fn version_before(&self, name: &str) -> Result<Option<Version>, Error> {
        let versions = self.store.module_versions(Some(name)).await?;
        for known in self.sites.all() {
            for active in self.store.in_force(&known.spec().name).await? {
                if let Some(version) =
                    versions.iter().find(|one| active.module == name && one.version == active.version)
                {
                    return Ok(Some(version.clone()));
                }
            }
        }
        Ok(versions.into_iter().next())
    }

    /// Whether a module fits everywhere where a module of its name is active now, under the configuration that it would
    /// get. Answers where that is.
    async fn fits(&self, module: &Module) -> Result<Vec<String>, Error> {
        let mut places = Vec::new();
        for known in self.sites.all() {
            let in_force = self.store.in_force(&known.spec().name).await?;
            for (index, stage) in known.spec().stages.iter().enumerate() {
                let active = in_force.iter().find(|one| one.stage == stage.name && one.base == stage.base());
                let name = active.map_or_else(|| module_name(&stage.module), |active| active.module.clone());
                if name != module.name {
                    continue;
                }
                let config = active.map_or(&stage.config, |active| &active.config).clone();
                let place = format!("{}/{}", known.spec().name, stage.name);
                self.prepare(&known, index, module.clone(), config).await.map_err(|refused| {
                    Refused {
                        code: "does-not-fit",
                        message: format!(
                            "it does not fit {place}, where `{name}` is active: {}: change the module, or give it \
                             another name",
                            refused.message
                        ),
                        more: json!({ "place": place }),
                    }
                })?;
                places.push(place);
            }
        }
        Ok(places)
    }

    async fn prepare(
        &self,
        known: &Site,
        index: usize,
        module: Module,
        config: String,
    ) -> Result<Stage, Refused> {
        let (spec, lookups) = (known.spec().clone(), known.lookups.clone());
        let prepare = move || Stage::prepare_with(module, &spec, index, &config, Some(lookups));
        Ok(blocking(prepare).await??)
    }

    /// The versions of one module, or of all.
    ///
    /// # Errors
    /// The store, or that there is no such module.
    pub async fn versions(&self, name: Option<&str>) -> Result<Vec<Version>, Error> {
        let versions = self.store.module_versions(name).await?;
        match name {
            Some(name) if versions.is_empty() => Err(Error::NotFound(format!("there is no module `{name}`"))),
            _ => Ok(versions),
        }
    }

    /// One version.
    ///
    /// # Errors
    /// The store, or that there is no such version.
    pub async fn version(&self, name: &str, version: &str) -> Result<Version, Error> {
        let found = self.store.module_version(name, version).await?;
        found.ok_or_else(|| Error::NotFound(format!("there is no module {name}@{version}")))
    }

    /// Removes a version that is active nowhere.
    ///
    /// # Errors
    /// The store, that there is none, or where it is active.
    pub async fn remove(&self, name: &str, version: &str, by: &str) -> Result<(), Error> {
        let digest = self.version(name, version).await?.digest;
        let named = format!("{name}@{version}");
        for known in self.sites.all() {
            if let Some(stage) = known.spec().stages.iter().find(|stage| stage.module == named) {
                return Err(in_use(&named, &[format!("{}/{}", known.spec().name, stage.name)]));
            }
        }
        for revision in self.store.newest_revisions().await?.into_iter().filter(|one| !one.removed) {
            let spec = Spec::of_catalog(&revision.pipeline, revision.spec, &revision.files);
            let stages = spec.map(|spec| spec.stages).unwrap_or_default();
            if let Some(stage) = stages.iter().find(|stage| stage.module == named) {
                return Err(in_use(&named, &[format!("{}/{}", revision.pipeline, stage.name)]));
            }
        }
        match self.store.remove_module(name, version, by, now_ms()).await? {
            Removed::Gone => {
                if self.store.module_code(&digest).await?.is_none() {
                    self.engine.forget(&digest);
                }
                Ok(())
            }
            Removed::Missing => Err(Error::NotFound(format!("there is no module {named}"))),
            Removed::InUse(places) => Err(in_use(&named, &places)),
        }
    }

    /// Makes a version, or another configuration, active in a stage, on every host.
    ///
    /// # Errors
    /// What does not fit.
    pub async fn swap(&self, pipeline: &str, stage: &str, order: SwapOrder) -> Result<Activation, Error> {
        let (known, index) = self.stage(pipeline, stage)?;
        let declared = known.spec().stages.get(index);
        let base = declared.map(crate::spec::Stage::base).unwrap_or_default();
        let in_force = self.store.in_force(pipeline).await?;
        let newest = in_force.iter().find(|one| one.stage == stage);
        let active = newest.filter(|one| one.base == base);
        let own = known.own.stages.get(index).ok_or_else(|| no_stage(pipeline, stage))?;
        let config = match (order.config, active) {
            (Some(config), _) => config.to_string(),
            (None, Some(active)) => active.config.clone(),
            (None, None) => own.config.to_string(),
        };
        let (name, version, module) = match &order.module {
            Some(named) => {
                let (name, version) =
                    names::parse(named).map_err(|message| Refused::new("bad-module", message))?;
                let found = self.version(name, version).await?;
                let module = self.module(name, &found.digest).await?;
                (name.to_owned(), version.to_owned(), module)
            }
            None => match active {
                Some(active) if !active.version.is_empty() => {
                    let module = self.module(&active.module, &active.digest).await?;
                    (active.module.clone(), active.version.clone(), module)
                }
                _ => {
                    let message = "what the spec itself names is active here: name a version of the catalog \
                                   (MODULE@VERSION) together with the configuration";
                    return Err(Refused::new("module-needed", message).into());
                }
            },
        };
        let digest = module.digest.clone();
        let prepared = self.prepare(&known, index, module, config.clone()).await;
        let prepared = prepared.map_err(|refused| Refused {
            code: "does-not-fit",
            message: format!("{name}@{version} does not fit {pipeline}/{stage}: {}", refused.message),
            more: refused.more,
        })?;
        makes_the_same_keys(&self.store, &prepared).await?;
        let activation = NewActivation {
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            module: name,
            version,
            digest,
            config,
            base,
            by: order.by,
            at_ms: now_ms(),
            note: order.note,
        };
        let id = self.store.activate(&activation, Some(newest.map_or(0, |one| one.id))).await?;
        let Some(id) = id else {
            let message =
                format!("somebody else has swapped {pipeline}/{stage} at this moment: look, and try again");
            return Err(Error::Conflict(Refused::new("swapped-meanwhile", message)));
        };
        self.wake.all();
        let written = self.store.activation(id).await?;
        written.ok_or_else(|| Error::NotFound(format!("there is no activation {id}")))
    }

    /// Goes back to what was active before, and was good.
    ///
    /// # Errors
    /// That there is nothing to go back to.
    pub async fn roll_back(
        &self,
        pipeline: &str,
        stage: &str,
        by: &str,
        reason: &str,
    ) -> Result<Activation, Error> {
        let (known, _) = self.stage(pipeline, stage)?;
        let target = Target { spec: known.spec(), own: &known.own };
        let rolled_back = rollback::roll_back(&self.store, &target, stage, None, by, reason).await;
        self.wake.all();
        rolled_back.map_err(|error| match error {
            rollback::Error::Store(error) => Error::Store(error),
            rollback::Error::NoStage(..) => Error::NotFound(error.to_string()),
            rollback::Error::Nothing(_) => {
                Error::Conflict(Refused::new("nothing-to-roll-back", error.to_string()))
            }
            rollback::Error::Changed => Error::Conflict(Refused::new("swapped-meanwhile", error.to_string())),
        })
    }

    /// How far a swap is, on every host.
    ///
    /// # Errors
    /// The store, or that there is no such swap.
    pub async fn progress(&self, pipeline: &str, id: i64) -> Result<Progress, Error> {
        let found = self.store.activation(id).await?.filter(|one| one.pipeline == pipeline);
        let activation =
            found.ok_or_else(|| Error::NotFound(format!("there is no activation {id} in `{pipeline}`")))?;
        let hosts = self.store.hosts_since(now_ms() - ALIVE_MS_MAX).await?;
        let reports = self.store.lane_reports(pipeline).await?;
        let newest = self.store.in_force(pipeline).await?;
        let newest = newest.iter().find(|one| one.stage == activation.stage).map_or(0, |one| one.id);
        // Of another revision, which read another topic, reports may be left.
        let topic = self.sites.get(pipeline).map(|site| site.spec().source.topic.clone());
        let reports =
            reports.into_iter().filter(|report| topic.as_ref().is_none_or(|topic| report.topic == *topic));
        let lanes: Vec<LaneProgress> =
            reports.map(|report| lane_progress(report, &activation, &hosts)).collect();
        let trouble = hosts.iter().filter_map(|host| {
            let message = host.trouble.get(&id)?.clone();
            Some(Trouble { host: host.host.clone(), message })
        });
        let done = !lanes.is_empty() && lanes.iter().all(|lane| lane.alive && lane.taken_up);
        Ok(Progress { superseded: newest > id, done, trouble: trouble.collect(), lanes, activation })
    }

    /// Pauses a pipeline on every host, or lets it go on. Answers whether that is a change.
    ///
    /// # Errors
    /// The store, or that there is no such pipeline.
    pub async fn pause(&self, pipeline: &str, paused: bool, by: &str) -> Result<bool, Error> {
        self.known(pipeline)?;
        let changed = self.store.set_paused(pipeline, paused, by, now_ms()).await?;
        self.wake.all();
        Ok(changed)
    }

    fn known(&self, pipeline: &str) -> Result<Arc<Site>, Error> {
        let found = self.sites.get(pipeline);
        found.ok_or_else(|| Error::NotFound(format!("there is no pipeline `{pipeline}` here")))
    }

    fn stage(&self, pipeline: &str, stage: &str) -> Result<(Arc<Site>, usize), Error> {
        let known = self.known(pipeline)?;
        let index = known.spec().stages.iter().position(|declared| declared.name == stage);
        let index = index.ok_or_else(|| no_stage(pipeline, stage))?;
        Ok((known, index))
    }

    async fn module(&self, name: &str, digest: &str) -> Result<Module, Error> {
        deploy::from_catalog(&self.store, &self.engine, name, digest).await.map_err(|error| match error {
            Prepare::Store(error) => Error::Store(error),
            Prepare::Unfit(message) => Refused::new("compile-failed", message).into(),
        })
    }
}

/// Whether a stage makes the keys of its tables as they are made in them already.
pub(super) async fn makes_the_same_keys(store: &Arc<dyn Store>, stage: &Stage) -> Result<(), Error> {
    match store.check_recipes(&stage.plan.recipes).await {
        Err(crate::store::Error::Unfit { message }) => Err(Refused::new("other-recipe", message).into()),
        outcome => Ok(outcome?),
    }
}

fn lane_progress(report: LaneReport, activation: &Activation, hosts: &[HostReport]) -> LaneProgress {
    let alive = hosts.iter().any(|host| host.host == report.host);
    let works_with = report.activations.get(&activation.stage).copied().unwrap_or(0);
    LaneProgress { alive, taken_up: works_with >= activation.id, report }
}

/// A module's name, as a spec names it: `NAME`, `NAME@VERSION`, or a file's path.
fn module_name(named: &str) -> String {
    let name = named.split('@').next().unwrap_or(named);
    let file = name.strip_suffix(".wasm").map(|path| path.rsplit('/').next().unwrap_or(path));
    file.unwrap_or(name).to_owned()
}

fn no_stage(pipeline: &str, stage: &str) -> Error {
    Error::NotFound(format!("pipeline `{pipeline}` has no stage `{stage}`"))
}

fn taken(there: &Version) -> Error {
    Error::Conflict(Refused {
        code: "version-exists",
        message: format!(
            "{}@{} is there with other bytes ({}): a version never changes; push this under another one",
            there.name,
            there.version,
            there.digest.get(..12).unwrap_or_default()
        ),
        more: json!({ "digest": there.digest }),
    })
}

fn in_use(named: &str, places: &[String]) -> Error {
    Error::Conflict(Refused {
        code: "in-use",
        message: format!("{named} is active in {}: swap something else in first", places.join(", ")),
        more: json!({ "places": places }),
    })
}

/// Runs what takes long where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    let ended = |error| Refused::new("check-failed", format!("the check ended before its time: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(ended)
}
