//! `gristmill ingest TOPIC FILE`: lines, or rows of a CSV, become records. Answers once the log has acknowledged all of them.

use crate::config::Settings;
use crate::intake::{self, FileFormat, KeyRule, RecordFile};
use crate::log::NewTopic;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The topic
    topic: String,
    /// The file: one record in each line, empty lines are skipped; of a .csv one in each row, a JSON object of texts named
    /// by the first row
    file: PathBuf,
    /// How a record's key is made: the JSON pointer of a value, /order_id, or several in braces, {/store}-{/item}
    #[arg(long, value_name = "RULE")]
    key: Option<KeyRule>,
    /// Make the topic with so many partitions unless it is there
    #[arg(long, value_name = "N")]
    partitions: Option<i32>,
    /// What the file is, if its name does not tell
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    let (_, log) = settings.open().await?;
    if let Some(partitions) = arguments.partitions {
        log.ensure_topic(&NewTopic { name: arguments.topic.clone(), partitions, replication: 1 }).await?;
    }
    let format = arguments.format.unwrap_or_else(|| FileFormat::of(&arguments.file));
    let source = RecordFile { file: &arguments.file, format, key: arguments.key.as_ref() };
    let records = intake::append_file(&log, &arguments.topic, &source).await?;
    println!("{records} records to topic {}", arguments.topic);
    Ok(())
}
