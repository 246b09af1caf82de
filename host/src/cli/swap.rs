//! `gristmill swap`, `gristmill rollback`: what is active in a stage, on every host, and how far it is.

use super::api::{Api, Body, HostArguments, segment};
use super::show;
use crate::config::Settings;
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a swap's progress is asked for.
const LOOK: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(super) struct SwapArguments {
    /// The pipeline
    pipeline: String,
    /// The stage
    stage: String,
    /// The version to swap in; the one that is active, if only the configuration changes
    #[arg(value_name = "MODULE@VERSION", required_unless_present = "config")]
    module: Option<String>,
    /// The file of its configuration, TOML or JSON; the one that is active, if absent
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Why, for whoever reads the history
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
pub(super) struct RollbackArguments {
    /// The pipeline
    pipeline: String,
    /// The stage
    stage: String,
    /// Why, for whoever reads the history
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
struct Wait {
    /// Do not wait until every lane has taken it up
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    timeout_s: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn swap(settings: &Settings, arguments: SwapArguments) -> anyhow::Result<()> {
    let api = arguments.host.open(settings)?;
    let mut order = Map::new();
    if let Some(module) = arguments.module {
        order.insert("module".into(), json!(module));
    }
    if let Some(path) = &arguments.config {
        order.insert("config".into(), config(path)?);
    }
    order.insert("note".into(), json!(arguments.note));
    let path =
        format!("/v1/pipelines/{}/stages/{}/swap", segment(&arguments.pipeline), segment(&arguments.stage));
    let activation = api.call("POST", &path, Body::Json(Value::Object(order))).await?;
    finish(&api, &arguments.pipeline, activation, &arguments.wait).await
}

pub(super) async fn roll_back(settings: &Settings, arguments: RollbackArguments) -> anyhow::Result<()> {
    let api = arguments.host.open(settings)?;
    let (pipeline, stage) = (segment(&arguments.pipeline), segment(&arguments.stage));
    let path = format!("/v1/pipelines/{pipeline}/stages/{stage}/rollback");
    let activation = api.call("POST", &path, Body::Json(json!({ "reason": arguments.reason }))).await?;
    finish(&api, &arguments.pipeline, activation, &arguments.wait).await
}

/// A configuration's file as JSON.
fn config(path: &Path) -> anyhow::Result<Value> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        let table: toml::Table = toml::from_str(&text).with_context(|| format!("{shown}"))?;
        return Ok(serde_json::to_value(table)?);
    }
    serde_json::from_str(&text)
        .with_context(|| format!("{shown} is not JSON (a name in .toml is read as TOML)"))
}

/// Waits until every lane has taken the activation up, if that is wanted, and shows when each did.
async fn finish(api: &Api, pipeline: &str, activation: Value, wait: &Wait) -> anyhow::Result<()> {
    let id =
        activation.get("id").and_then(Value::as_i64).context("the host answered without an activation")?;
    if wait.no_wait {
        return print(&json!({ "activation": activation }), wait.json, Duration::ZERO);
    }
    let path = format!("/v1/pipelines/{}/activations/{id}", segment(pipeline));
    let start = Instant::now();
    loop {
        let progress = api.call("GET", &path, Body::None).await?;
        let taken_back = progress.pointer("/activation/taken_back").and_then(Value::as_str);
        if let Some(reason) = taken_back {
            bail!("activation {id} was rolled back: {reason}");
        }
        let is = |name: &str| progress.get(name).and_then(Value::as_bool).unwrap_or(false);
        if is("done") {
            return print(&progress, wait.json, start.elapsed());
        }
        if is("superseded") {
            bail!("another swap of this stage came after activation {id}");
        }
        let trouble =
            progress.get("trouble").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if let Some(trouble) = trouble.first() {
            let said = |name| trouble.get(name).and_then(Value::as_str).unwrap_or_default();
            bail!("host {} cannot take activation {id} up: {}", said("host"), said("message"));
        }
        if start.elapsed() > Duration::from_secs(wait.timeout_s) {
            if wait.json {
                println!("{}", serde_json::to_string_pretty(&progress)?);
            }
            bail!(
                "activation {id} holds, but after {} s not every lane has taken it up{}",
                wait.timeout_s,
                missing(&progress)
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Which lanes have not.
fn missing(progress: &Value) -> String {
    let lanes = progress.get("lanes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if lanes.is_empty() {
        return ": no host works this pipeline at the moment".to_owned();
    }
    let late = lanes.iter().filter(|lane| {
        let is = |name: &str| lane.get(name).and_then(Value::as_bool).unwrap_or(false);
        !is("taken_up") || !is("alive")
    });
    let shown = late.map(|lane| {
        let alive = lane.get("alive").and_then(Value::as_bool).unwrap_or(false);
        let (partition, host) = (show::at(lane, "partition"), show::at(lane, "host"));
        format!("partition {partition} (host {host}{})", if alive { "" } else { ", silent" })
    });
    format!(": {}", shown.collect::<Vec<_>>().join(", "))
}

fn print(progress: &Value, json: bool, took: Duration) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(progress)?);
        return Ok(());
    }
    let activation = progress.get("activation").unwrap_or(&Value::Null);
    let at = |name| show::at(activation, name);
    let version = at("version");
    let module = if version.is_empty() {
        format!("{} (as the spec names it)", at("module"))
    } else {
        format!("{}@{version}", at("module"))
    };
    println!("{}/{}: {module}, activation {}", at("pipeline"), at("stage"), at("id"));
    let lanes = progress.get("lanes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if lanes.is_empty() {
        return Ok(());
    }
    let since = activation.get("at_ms").and_then(Value::as_i64).unwrap_or(0);
    let mut table = show::table(&["partition", "host", "taken up after", "the lane stood still for"]);
    for lane in lanes {
        let number = |name| lane.get(name).and_then(Value::as_i64).unwrap_or(0);
        table.add_row([
            show::at(lane, "partition"),
            show::at(lane, "host"),
            format!("{} ms", (number("at_ms") - since).max(0)),
            format!("{} µs", number("pause_us")),
        ]);
    }
    println!("{table}");
    println!("every lane works with it after {} ms", took.as_millis());
    Ok(())
}
