//! `gristmill module test MODULE.wasm`: the module's cases, in the sandbox that pipelines use.

mod junit;

use crate::cases::{self, Cases, Report, Subject};
use crate::config::Settings;
use crate::spec::Limits;
use crate::transform::Engine;
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The module
    #[arg(value_name = "MODULE.wasm")]
    module: PathBuf,
    /// The folder of cases (docs/cases.md)
    #[arg(long, value_name = "FOLDER", default_value = "cases")]
    cases: PathBuf,
    /// Run only the cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what the module causes into each expected.json that says otherwise: read the difference before you
    /// commit it
    #[arg(long)]
    bless: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the outcome as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    let (engine, meter) = (settings.open_engine()?, settings.open_meter()?);
    tokio::task::spawn_blocking(move || test(&engine, &meter, &arguments)).await?
}

fn test(engine: &Engine, meter: &Engine, arguments: &Arguments) -> anyhow::Result<()> {
    let mut cases = Cases::read(&arguments.cases)?;
    if let Some(part) = &arguments.filter {
        cases = cases.filtered(part);
        if cases.names().is_empty() {
            bail!("no case in {} has `{part}` in its name", arguments.cases.display());
        }
    }
    let path = &arguments.module;
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let subject = Subject::compile(engine, meter, &name, &bytes)?;
    let limits = Limits::default();
    let (report, blessed) = if arguments.bless {
        cases::bless(&subject, &cases, &limits)
    } else {
        (cases::run(&subject, &cases, &limits), BTreeMap::new())
    };
    for (file, text) in &blessed {
        let path = arguments.cases.join(file);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if let Some(path) = &arguments.junit {
        let xml = junit::xml(&name, &report)?;
        std::fs::write(path, xml).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    print(arguments, &report, &blessed)?;
    if report.passed() {
        return Ok(());
    }
    let (passed, failed, broken) = report.counts();
    bail!("{} of {} cases did not pass", failed + broken, passed + failed + broken)
}

fn print(arguments: &Arguments, report: &Report, blessed: &BTreeMap<String, String>) -> anyhow::Result<()> {
    if arguments.json {
        let mut facts = serde_json::to_value(report)?;
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("passed".to_owned(), report.passed().into());
            facts.insert("written".to_owned(), blessed.keys().cloned().collect());
        }
        println!("{}", serde_json::to_string_pretty(&facts)?);
        return Ok(());
    }
    print!("{}", cases::text(report));
    for file in blessed.keys() {
        println!("written: {}", arguments.cases.join(file).display());
    }
    Ok(())
}
