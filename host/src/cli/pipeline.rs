//! `gristmill pipeline status|resolve`.

use super::{SpecPath, read_spec, show};
use crate::config::Settings;
use crate::record::LaneId;
use crate::store::Resolution;
use anyhow::bail;
use std::sync::Arc;

#[derive(clap::Subcommand)]
pub(super) enum Command {
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
        Command::Status { spec, json } => {
            let spec = read_spec(&spec)?;
            let (store, log) = settings.open().await?;
            let partitions = log.partitions(&spec.source.topic).await?.unwrap_or(0);
            let mut lanes = Vec::new();
            for partition in 0..partitions {
                let lane = lane(&spec.name, &spec.source.topic, partition);
                let (_, end) = log.bounds(&lane.topic, partition).await?;
                lanes.push((partition, store.lane(&lane).await?, log.group_ledger(&lane).await?, end));
            }
            show::pipeline(&spec, &store, &lanes, json).await
        }
        Command::Resolve { pipeline, topic, partition, trust } => {
            resolve(settings, &lane(&pipeline, &topic, partition), trust).await
        }
    }
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
