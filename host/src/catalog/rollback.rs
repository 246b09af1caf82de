//! Going back: to the newest earlier activation of the stage that was not taken back and does something else, or to
//! what the spec names.

use super::{Activation, NewActivation};
use crate::lane::now_ms;
use crate::spec::Spec;
use crate::store::{self, Store};
use crate::transform::Pipeline as Transform;
use std::sync::Arc;

/// How many activations are looked through.
const HISTORY: u32 = 1_000;

/// What is rolled back on.
pub struct Target<'a> {
    /// The pipeline's spec.
    pub spec: &'a Spec,
    /// The stages as the spec names them.
    pub own: &'a Transform,
}

/// Why there is nothing to go back to, or it cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The pipeline has no such stage.
    #[error("pipeline `{0}` has no stage `{1}`")]
    NoStage(String, String),
    /// No swap is in force.
    #[error("nothing was swapped in stage `{0}`: what the spec names is at work")]
    Nothing(String),
    /// Another activation is in force than was expected.
    #[error("another activation is in force by now")]
    Changed,
}

/// Takes the activation in force back, if it is the one that is expected. Answers the new activation.
///
/// # Errors
/// [`Error`].
pub async fn roll_back(
    store: &Arc<dyn Store>,
    target: &Target<'_>,
    stage: &str,
    expected: Option<i64>,
    by: &str,
    reason: &str,
) -> Result<Activation, Error> {
    let spec = target.spec;
    let index = spec.stages.iter().position(|declared| declared.name == stage);
    let declared = index.and_then(|index| spec.stages.get(index));
    let own = index.and_then(|index| target.own.stages.get(index));
    let (Some(declared), Some(own)) = (declared, own) else {
        return Err(Error::NoStage(spec.name.clone(), stage.to_owned()));
    };
    let base = declared.base();
    let history = store.activations(&spec.name, Some(stage), HISTORY).await?;
    let Some((bad, earlier)) = history.split_first().filter(|(newest, _)| newest.base == base) else {
        return Err(Error::Nothing(stage.to_owned()));
    };
    if expected.is_some_and(|expected| expected != bad.id) {
        return Err(Error::Changed);
    }
    let is_own = |one: &Activation| one.digest == own.module.digest && one.config == *own.config;
    if expected.is_none() && is_own(bad) && bad.version.is_empty() {
        return Err(Error::Nothing(stage.to_owned()));
    }
    // What was taken back once is bad, under whichever number it is there again.
    let taken_back =
        |one: &Activation| history.iter().any(|bad| bad.taken_back.is_some() && bad.does_as(one));
    let mut good = None;
    for one in earlier.iter().take_while(|one| one.base == base) {
        if one.does_as(bad) || taken_back(one) {
            continue;
        }
        let there = store.module_version(&one.module, &one.version).await?;
        if one.version.is_empty() || there.is_some_and(|there| there.digest == one.digest) {
            good = Some(one);
            break;
        }
    }
    let instead = NewActivation {
        pipeline: spec.name.clone(),
        stage: stage.to_owned(),
        module: good.map_or_else(|| declared.module.clone(), |good| good.module.clone()),
        version: good.map_or_else(String::new, |good| good.version.clone()),
        digest: good.map_or_else(|| own.module.digest.clone(), |good| good.digest.clone()),
        config: good.map_or_else(|| declared.config.clone(), |good| good.config.clone()),
        base,
        by: by.to_owned(),
        at_ms: now_ms(),
        note: format!("instead of activation {}: {reason}", bad.id),
    };
    let id = store.take_back(bad.id, reason, &instead).await?.ok_or(Error::Changed)?;
    store.activation(id).await?.ok_or(Error::Changed)
}
