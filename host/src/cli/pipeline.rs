//! `gristmill pipeline list|apply|remove|revisions|status|pause|resume|resolve`.

use super::api::{Api, Body, HostArguments, segment};
use super::{SpecPath, read_spec, revision, show};
use crate::config::Settings;
use crate::record::LaneId;
use crate::store::Resolution;
use anyhow::bail;
use serde_json::Value;
use std::sync::Arc;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Lists the pipelines of a host
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        host: HostArguments,
    },
    /// Applies a spec: it becomes the newest revision of its pipeline in the catalog, and the hosts of the catalog (`gristmill run` without a spec) go over to it
    Apply(revision::ApplyArguments),
    /// Removes a pipeline from the catalog: its hosts end it; what it has written stays
    Remove(revision::RemoveArguments),
    /// Lists what was applied, or prints one revision's spec
    Revisions(revision::ListArguments),
    /// Pauses a pipeline on every host: batches under way are finished, no further one is begun; records wait in the log
    Pause {
        /// The pipeline's name
        pipeline: String,
        #[command(flatten)]
        host: HostArguments,
    },
    /// Lets a paused pipeline go on
    Resume {
        /// The pipeline's name
        pipeline: String,
        #[command(flatten)]
        host: HostArguments,
    },
    /// Shows how far each lane is, in the store, in the group, and in the log
    Status {
        /// The pipeline's spec
        #[arg(value_name = "SPEC")]
        spec: SpecPath,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Decides what to believe where a lane's ledgers contradict each other; stop the pipeline's hosts first
    Resolve {
        /// The pipeline's name
        pipeline: String,
        /// The source topic
        #[arg(long)]
        topic: String,
        /// The partition
        #[arg(long)]
        partition: i32,
        /// What to believe: `store`: its offset and its outbox hold, and what may have been published is published
        /// again; `group`: go on at the group's offset, or where it has none take everything as published; `log`: go
        /// on at the log's start, taking everything as published
        #[arg(long, value_enum)]
        trust: Trust,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Trust {
    Store,
    Group,
    Log,
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { json, host } => list(&host.open(settings)?, json).await,
        Command::Apply(arguments) => revision::apply(settings, arguments).await,
        Command::Remove(arguments) => revision::remove(settings, arguments).await,
        Command::Revisions(arguments) => revision::list(settings, arguments).await,
        Command::Pause { pipeline, host } => set_paused(&host.open(settings)?, &pipeline, "pause").await,
        Command::Resume { pipeline, host } => set_paused(&host.open(settings)?, &pipeline, "resume").await,
        Command::Status { spec, json } => {
            let spec = read_spec(&spec)?;
            let (store, log) = settings.open().await?;
            let partitions = log.partitions(&spec.source.topic).await?.unwrap_or(0);
            let mut lanes = Vec::new();
            for partition in 0..partitions {
                let lane = lane(&spec.name, &spec.source.topic, partition);
                let state = store.lane(&lane).await?;
                let (first, end) = log.bounds(&lane.topic, partition).await?;
                let next = state.as_ref().and_then(|state| state.next_offset).unwrap_or(first);
                lanes.push(show::LaneFacts {
                    partition,
                    state,
                    group: log.group_ledger_now(&lane).await?,
                    end,
                    lag: log.lag(&lane.topic, partition, next).await?,
                });
            }
            show::pipeline(&spec, &store, &lanes, json).await
        }
        Command::Resolve { pipeline, topic, partition, trust } => {
            resolve(settings, &lane(&pipeline, &topic, partition), trust).await
        }
    }
}

async fn list(api: &Api, json: bool) -> anyhow::Result<()> {
    let answer = api.call("GET", "/v1/pipelines", Body::None).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let mut table = show::table(&["pipeline", "state", "lanes here", "lag", "error"]);
    for pipeline in answer.get("pipelines").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
        table.add_row(["name", "state", "lanes", "lag", "error"].map(|name| show::at(pipeline, name)));
    }
    println!("{table}");
    Ok(())
}

async fn set_paused(api: &Api, pipeline: &str, action: &str) -> anyhow::Result<()> {
    let path = format!("/v1/pipelines/{}/{action}", segment(pipeline));
    let answer = api.call("POST", &path, Body::None).await?;
    let changed = answer.get("changed").and_then(Value::as_bool).unwrap_or(true);
    let is = if action == "pause" { "paused" } else { "at work" };
    println!("{pipeline} {} {is}", if changed { "is" } else { "was already" });
    Ok(())
}

fn lane(pipeline: &str, topic: &str, partition: i32) -> LaneId {
    LaneId { pipeline: Arc::from(pipeline), topic: Arc::from(topic), partition }
}

async fn resolve(settings: &Settings, lane: &LaneId, trust: Trust) -> anyhow::Result<()> {
    let (store, log) = settings.open().await?;
    let state = store.lane(lane).await?;
    let next_offset = state.as_ref().and_then(|state| state.next_offset);
    let decision = match trust {
        Trust::Store => Resolution::TrustStore,
        Trust::Group => match (log.group_ledger(lane).await?.next_offset, next_offset) {
            (Some(next_offset), _) | (None, Some(next_offset)) => Resolution::ContinueAt { next_offset },
            (None, None) => bail!("neither the store nor the group knows {lane}"),
        },
        Trust::Log => {
            Resolution::ContinueAt { next_offset: log.bounds(&lane.topic, lane.partition).await?.0 }
        }
    };
    store.resolve(lane, decision).await?;
    match decision {
        Resolution::TrustStore => {
            println!("{lane}: the store holds; the next host that takes it over goes on there")
        }
        Resolution::ContinueAt { next_offset } => {
            println!("{lane}: the next host that takes it over goes on at offset {next_offset}");
        }
    }
    Ok(())
}
