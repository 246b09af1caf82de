//! Stages made ready for a pipeline: of the modules that its spec names, or of those that activations name.

use crate::catalog::{Activation, names};
use crate::lookup::Lookups;
use crate::spec::Spec;
use crate::store::Store;
use crate::transform::{Engine, Error, Module, Pipeline as Transform, Stage};
use std::sync::Arc;

/// Whether an activation is of the stage at `index`, and holds under this spec.
pub(super) fn is_of(activation: &Activation, spec: &Spec, index: usize) -> bool {
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
pub(super) async fn stage_of(
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
    store.keep_recipes(&stage.plan.recipes).await?;
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
    Ok(tokio::task::spawn_blocking(move || Module::load(&engine, &named, spec.folder.as_deref())).await??)
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
