//! `gristmill check SPEC`: the spec, its modules and their plans, and what the pipeline promises.

use super::{SpecPath, read_spec};
use crate::config::Settings;
use crate::lookup::{Answers, Lookups, Unavailable};
use crate::secrets::{Secret, Secrets};
use crate::transform::Pipeline;
use std::sync::Arc;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pipeline spec
    #[arg(value_name = "SPEC")]
    spec: SpecPath,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Nothing is looked up while a spec is checked.
struct NoLookups(Secrets);

impl Lookups for NoLookups {
    fn get_many(&self, lookup: &str, _keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        Err(Unavailable { lookup: lookup.to_owned(), message: "not while a spec is checked".to_owned() })
    }

    fn secret(&self, name: &str) -> Result<Secret, String> {
        self.0.get(name)
    }
}

pub(super) async fn run(settings: &Settings, arguments: &Arguments) -> anyhow::Result<()> {
    let spec = read_spec(&arguments.spec)?;
    let (checked, engine, secrets) = (spec.clone(), settings.open_engine()?, settings.secrets());
    let transform = tokio::task::spawn_blocking(move || -> anyhow::Result<Pipeline> {
        let lookups: Arc<dyn Lookups> = Arc::new(NoLookups(secrets));
        Ok(Pipeline::load(&engine, &checked, &lookups)?)
    })
    .await??;
    super::show::check(&spec, &transform, settings, arguments.json)
}
