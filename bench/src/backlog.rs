//! Backlogs: topics full of records before any host reads them, and the end of those topics.

use crate::load::Made;
use anyhow::Context;
use gristmill::log::{Error, Log, NewRecord, NewTopic};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Records that are appended in one call. A repeated record stays beside its original.
const CHUNK: u64 = 5_000;
/// Calls under way at once.
const CALLS: u64 = 3;

/// A topic, and what stands in it: record n is always the same.
#[derive(Clone)]
pub(crate) struct Backlog {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    pub(crate) make: Arc<dyn Fn(u64) -> Made + Send + Sync>,
}

impl Backlog {
    pub(crate) fn new_topic(&self) -> NewTopic {
        NewTopic { name: self.topic.clone(), partitions: self.partitions, replication: 1 }
    }
}

/// Makes the topic unless it is there, and appends records of a range.
pub(crate) async fn append(log: &Arc<dyn Log>, backlog: &Backlog, range: Range<u64>) -> anyhow::Result<()> {
    log.ensure_topic(&backlog.new_topic()).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..CALLS {
        let (log, backlog, range) = (log.clone(), backlog.clone(), range.clone());
        tasks.spawn(async move {
            let mut start = range.start + lane * CHUNK;
            while start < range.end {
                append_chunk(&log, &backlog, start..(start + CHUNK).min(range.end)).await?;
                start += CALLS * CHUNK;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Appends records in one call.
pub(crate) async fn append_chunk(
    log: &Arc<dyn Log>,
    backlog: &Backlog,
    range: Range<u64>,
) -> anyhow::Result<()> {
    let records: Vec<NewRecord> = range.map(|number| NewRecord::from((backlog.make)(number))).collect();
    loop {
        match log.append(&backlog.topic, records.clone()).await {
            Ok(_) => return Ok(()),
            // Nothing was sent: the log has enough on its way.
            Err(Error::Busy) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => return Err(error).context("the backlog cannot be written"),
        }
    }
}

/// Removes the Kafka topics whose names begin so: they are of no use to anybody else.
pub(crate) async fn remove_topics(log_url: &str, log: &Arc<dyn Log>, prefix: &str) -> anyhow::Result<()> {
    let Some(bootstrap) = log_url.strip_prefix("kafka://") else { return Ok(()) };
    let topics = log.topics().await?;
    let ours: Vec<&str> =
        topics.iter().map(String::as_str).filter(|topic| topic.starts_with(prefix)).collect();
    if ours.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    for (topic, error) in admin.delete_topics(&ours, &options).await?.into_iter().filter_map(Result::err) {
        eprintln!("topic {topic} cannot be removed: {error}");
    }
    Ok(())
}
