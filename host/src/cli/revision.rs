//! `gristmill pipeline apply|remove|revisions`: the pipelines of the catalog.

use super::api::{Api, Body, HostArguments, segment};
use super::{SpecPath, read_spec, show};
use crate::config::Settings;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often a revision's progress is asked for.
const LOOK: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(super) struct ApplyArguments {
    /// The pipeline's spec; what it names in `config_file` goes with it
    #[arg(value_name = "SPEC", required_unless_present = "pipeline")]
    spec: Option<SpecPath>,
    /// Instead of a spec: the pipeline of which an earlier revision is to hold again
    #[arg(long, requires = "revision", conflicts_with = "spec")]
    pipeline: Option<String>,
    /// The earlier revision
    #[arg(long, requires = "pipeline")]
    revision: Option<i64>,
    /// Only look whether it fits
    #[arg(long)]
    dry_run: bool,
    /// Why, for whoever reads the history
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
pub(super) struct RemoveArguments {
    /// The pipeline's name
    pipeline: String,
    /// Why, for whoever reads the history
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
pub(super) struct ListArguments {
    /// The pipeline's name
    pipeline: String,
    /// Print the spec of this revision
    #[arg(long)]
    revision: Option<i64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
struct Wait {
    /// Do not wait until every host works it
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    timeout_s: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn apply(settings: &Settings, arguments: ApplyArguments) -> anyhow::Result<()> {
    let (name, mut order) = match (&arguments.spec, arguments.pipeline, arguments.revision) {
        (Some(path), ..) => {
            let spec = read_spec(path)?;
            (spec.name.clone(), json!({ "spec": spec.text, "files": spec.files }))
        }
        (None, Some(name), Some(revision)) => (name, json!({ "revision": revision })),
        _ => bail!("name a spec, or a pipeline and one of its revisions"),
    };
    if let Value::Object(order) = &mut order {
        order.insert("note".into(), json!(arguments.note));
    }
    let api = arguments.host.open(settings)?;
    let dry_run = if arguments.dry_run { "?dry_run=true" } else { "" };
    let path = format!("/v1/pipelines/{}{dry_run}", segment(&name));
    let answer = api.call("PUT", &path, Body::Json(order)).await?;
    finish(&api, &name, answer, &arguments.wait).await
}

pub(super) async fn remove(settings: &Settings, arguments: RemoveArguments) -> anyhow::Result<()> {
    let api = arguments.host.open(settings)?;
    let (name, note) = (segment(&arguments.pipeline), segment(&arguments.note));
    let answer = api.call("DELETE", &format!("/v1/pipelines/{name}?note={note}"), Body::None).await?;
    finish(&api, &arguments.pipeline, answer, &arguments.wait).await
}

/// Waits until every host of the catalog works the revision, if that is wanted.
async fn finish(api: &Api, pipeline: &str, answer: Value, wait: &Wait) -> anyhow::Result<()> {
    let outcome = show::at(&answer, "outcome");
    if outcome == "fits" {
        return print(&answer, wait.json, &format!("{pipeline}: it fits"));
    }
    let number = answer.pointer("/revision/revision").and_then(Value::as_i64);
    let number = number.context("the host answered without a revision")?;
    let said = match outcome.as_str() {
        "unchanged" => format!("{pipeline}: revision {number} says the same already"),
        "removed" => format!("{pipeline}: removed (revision {number})"),
        _ => format!("{pipeline}: revision {number}"),
    };
    if wait.no_wait {
        return print(&answer, wait.json, &said);
    }
    let path = format!("/v1/pipelines/{}/revisions/{number}", segment(pipeline));
    let start = Instant::now();
    loop {
        let progress = api.call("GET", &path, Body::None).await?;
        let is = |name: &str| progress.get(name).and_then(Value::as_bool).unwrap_or(false);
        let hosts = progress.get("hosts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if is("done") {
            let said = format!("{said}, on {} hosts after {} ms", hosts.len(), start.elapsed().as_millis());
            return print(&progress, wait.json, &said);
        }
        if is("superseded") {
            bail!("another revision came after revision {number}");
        }
        if let Some(host) = hosts.iter().find(|host| host.get("trouble").is_some()) {
            let (host, why) = (show::at(host, "host"), show::at(host, "trouble"));
            bail!("host {host} cannot work revision {number}: {why}");
        }
        if hosts.is_empty() {
            let none = "no host follows the catalog at the moment: `gristmill run` without a spec does";
            return print(&progress, wait.json, &format!("{said}; {none}"));
        }
        if start.elapsed() > Duration::from_secs(wait.timeout_s) {
            let late =
                hosts.iter().filter(|host| !host.get("done").and_then(Value::as_bool).unwrap_or(false));
            let late: Vec<String> = late.map(|host| show::at(host, "host")).collect();
            bail!("revision {number} holds, but after {} s not on {}", wait.timeout_s, late.join(", "));
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn list(settings: &Settings, arguments: ListArguments) -> anyhow::Result<()> {
    let api = arguments.host.open(settings)?;
    let name = segment(&arguments.pipeline);
    if let Some(number) = arguments.revision {
        let progress =
            api.call("GET", &format!("/v1/pipelines/{name}/revisions/{number}"), Body::None).await?;
        let spec = progress.pointer("/revision/spec").and_then(Value::as_str).unwrap_or_default();
        return print(&progress, arguments.json, spec.trim_end());
    }
    let answer = api.call("GET", &format!("/v1/pipelines/{name}/revisions"), Body::None).await?;
    if arguments.json {
        return print(&answer, true, "");
    }
    let mut table = show::table(&["revision", "at (ms)", "by", "what", "digest", "note"]);
    for one in answer.get("revisions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
        let removed = one.get("removed").and_then(Value::as_bool).unwrap_or(false);
        let digest: String = show::at(one, "digest").chars().take(12).collect();
        let what = if removed { "removed" } else { "applied" };
        table.add_row([
            show::at(one, "revision"),
            show::at(one, "at_ms"),
            show::at(one, "by"),
            what.to_owned(),
            digest,
            show::at(one, "note"),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn print(answer: &Value, json: bool, said: &str) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(answer)?);
    } else {
        println!("{said}");
    }
    Ok(())
}
