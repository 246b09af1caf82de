//! `gristmill generate SCENARIO`: records of an example, made up; on standard output, or right into a topic.

use crate::config::Settings;
use crate::generate::Scenario;
use crate::intake;
use crate::log::{NewRecord, NewTopic};
use anyhow::Context;
use serde_json::json;
use std::io::Write;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Records that are appended in one call.
const CHUNK: usize = 1_000;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The example that the records are of
    scenario: Scenario,
    /// How many records
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    number: usize,
    /// Other records for other seeds; the same seed and --at give the same ones
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// When they are made up to be sent; now if not said
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Append them to this topic, with their keys, instead of printing them
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Make the topic with so many partitions unless it is there
    #[arg(long, value_name = "N", requires = "topic")]
    partitions: Option<i32>,
    /// Print what the records refer to instead, for `gristmill reference load`: keys and values
    #[arg(long, conflicts_with_all = ["topic", "number", "at", "seed"])]
    reference: bool,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.reference {
        let lines = arguments.scenario.reference().into_iter().map(|made| {
            let value: serde_json::Value = serde_json::from_str(&made.value).unwrap_or_default();
            json!({ "key": made.key, "value": value }).to_string()
        });
        return print(lines);
    }
    let at = match &arguments.at {
        Some(text) => OffsetDateTime::parse(text, &Rfc3339)
            .with_context(|| format!("--at: `{text}` is not a point in time like 2026-11-21T09:00:00Z"))?,
        None => OffsetDateTime::now_utc(),
    };
    let at_ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).context("--at: out of range")?;
    let records = arguments.scenario.records(arguments.seed, at_ms, arguments.number);
    let Some(topic) = &arguments.topic else {
        return print(records.map(|made| made.value));
    };
    let (_, log) = settings.open().await?;
    if let Some(partitions) = arguments.partitions {
        log.ensure_topic(&NewTopic { name: topic.clone(), partitions, replication: 1 }).await?;
    }
    let (mut records, mut total) = (records.peekable(), 0);
    while records.peek().is_some() {
        let chunk: Vec<NewRecord> = records.by_ref().take(CHUNK).map(NewRecord::from).collect();
        total += intake::append(&log, topic, chunk)
            .await
            .with_context(|| format!("after {total} records, which are in the log"))?;
    }
    println!("{total} records to topic {topic}");
    Ok(())
}

/// Prints lines; a reader that has enough is no error.
fn print(lines: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            outcome => outcome?,
        }
    }
    out.flush()?;
    Ok(())
}
