//! `gristmill ingest TOPIC FILE`: lines become records. Answers once the log has acknowledged all of them.

use crate::config::Settings;
use crate::log::{Log, NewRecord, NewTopic};
use anyhow::Context;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Records that are sent in one call.
const CHUNK: usize = 1_000;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The topic
    topic: String,
    /// The file: one record in each line; empty lines are skipped
    file: PathBuf,
    /// The JSON pointer of the value that becomes the record's key: /order_id
    #[arg(long, value_name = "POINTER")]
    key: Option<String>,
    /// Make the topic with so many partitions unless it is there
    #[arg(long, value_name = "N")]
    partitions: Option<i32>,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    let (_, log) = settings.open().await?;
    if let Some(partitions) = arguments.partitions {
        log.ensure_topic(&NewTopic { name: arguments.topic.clone(), partitions, replication: 1 }).await?;
    }
    let records = append_lines(&log, &arguments.topic, &arguments.file, arguments.key.as_deref()).await?;
    println!("{records} records to topic {}", arguments.topic);
    Ok(())
}

/// Appends a file's lines to a topic; answers how many.
pub(super) async fn append_lines(
    log: &Arc<dyn Log>,
    topic: &str,
    file: &Path,
    key: Option<&str>,
) -> anyhow::Result<usize> {
    let opened = std::fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (mut chunk, mut total, mut first) = (Vec::new(), 0, 1);
    for (number, line) in std::io::BufReader::new(opened).split(b'\n').enumerate() {
        let mut line = line.with_context(|| format!("{}:{}", file.display(), number + 1))?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.is_empty() {
            continue;
        }
        let key = key.and_then(|pointer| key_of(&line, pointer));
        chunk.push(NewRecord { key, value: Some(line), ..NewRecord::default() });
        if chunk.len() == CHUNK {
            total += append_from(log, topic, file, first, std::mem::take(&mut chunk)).await?;
            first = number + 2;
        }
    }
    Ok(total + append_from(log, topic, file, first, chunk).await?)
}

/// Appends one chunk of a file.
async fn append_from(
    log: &Arc<dyn Log>,
    topic: &str,
    file: &Path,
    first: usize,
    chunk: Vec<NewRecord>,
) -> anyhow::Result<usize> {
    let count = chunk.len();
    append(log, topic, chunk).await.with_context(|| {
        format!(
            "{}, in the {count} records from line {first} on; the lines before are in the log",
            file.display()
        )
    })
}

/// Appends records; waits while the log has too much on its way. Answers how many.
pub(super) async fn append(
    log: &Arc<dyn Log>,
    topic: &str,
    records: Vec<NewRecord>,
) -> Result<usize, crate::log::Error> {
    let count = records.len();
    if count == 0 {
        return Ok(0);
    }
    loop {
        match log.append(topic, records.clone()).await {
            Err(crate::log::Error::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
            outcome => return outcome.map(|_| count),
        }
    }
}

/// The key out of a JSON value: a text as it is, a number as its text.
fn key_of(line: &[u8], pointer: &str) -> Option<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    match value.pointer(pointer)? {
        serde_json::Value::String(text) => Some(text.clone().into_bytes()),
        serde_json::Value::Number(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}
