//! From a row to the records that made it: nothing about that is written down with the rows, for modules give the same
//! effects for the same records. The records of the topic are worked through once more, in the sandbox, and those whose
//! effects have the row's key are told, with the batches that the ledger has for them.

use crate::log::{Log, StoredRecord};
use crate::lookup::Lookups;
use crate::record::{Batch, LaneId};
use crate::spec::{Spec, Table};
use crate::store::{Error as StoreError, Key, LedgerBatch, Store};
use crate::transform::{Chain, Pipeline as Transform};
use anyhow::Context;
use std::sync::Arc;

/// Records that are worked through in one call: a batch of the usual size.
const CHUNK: usize = 2_000;

/// A record that causes a row with the key.
#[derive(Clone, Debug)]
pub struct Maker {
    /// The record.
    pub record: StoredRecord,
    /// The batches that may have worked it through, as the ledger tells.
    pub batches: Vec<LedgerBatch>,
}

/// What is asked.
pub struct Question<'q> {
    /// The pipeline.
    pub spec: Arc<Spec>,
    /// The table's place in the spec.
    pub table: usize,
    /// A text for each of the key's columns.
    pub key: &'q [String],
    /// Only this partition.
    pub partition: Option<i32>,
    /// At most so many records are told.
    pub limit: usize,
}

/// What there is to be told.
#[derive(Debug)]
pub struct Answer {
    /// The records, by partition and offset.
    pub makers: Vec<Maker>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// How many records were worked through.
    pub looked_at: usize,
    /// Modules by stage, as they worked now.
    pub stages: Vec<(String, String)>,
}

/// Finds the records of a row.
///
/// # Errors
/// A key that is none; a store, a log or a module that cannot do its part.
pub async fn explain(
    store: &Arc<dyn Store>,
    log: &Arc<dyn Log>,
    transform: Transform,
    question: &Question<'_>,
) -> anyhow::Result<Answer> {
    let spec = question.spec.clone();
    let table = spec.tables.get(question.table).context("a table of the spec")?;
    Key::parse(table, question.key)?;
    let stages = transform.stages.iter();
    let stages = stages.map(|stage| (stage.name.to_string(), stage.module.digest.clone())).collect();
    let mut answer = Answer { makers: Vec::new(), more: false, looked_at: 0, stages };
    let topic = &spec.source.topic;
    let partitions = log.partitions(topic).await?.with_context(|| format!("there is no topic {topic}"))?;
    let mut chain = Chain::new(&transform);
    anyhow::ensure!(
        !chain.has_state(),
        "pipeline {} looks up tables that it writes itself: what a record caused depended on what stood there then, so that \
         working it through once more does not tell which records made a row. Read the table, or the topic by its key",
        spec.name
    );
    for partition in
        (0..partitions).filter(|partition| question.partition.is_none_or(|only| only == *partition))
    {
        let lane = LaneId { pipeline: spec.name.as_str().into(), topic: topic.as_str().into(), partition };
        let end = store.lane(&lane).await?.and_then(|state| state.next_offset).unwrap_or(0);
        let (mut next, _) = log.bounds(topic, partition).await?;
        while next < end && answer.makers.len() <= question.limit {
            let records = log.read_range(topic, partition, next, CHUNK).await?;
            let Some(last) = records.last() else { break };
            next = last.position.offset + 1;
            answer.looked_at += records.len();
            let (makers, used) = work(chain, records, question, table).await?;
            chain = used;
            for record in makers.into_iter().filter(|record| record.position.offset < end) {
                let batches = store.batches_with(&lane, record.position.offset).await?;
                answer.makers.push(Maker { record, batches });
            }
        }
    }
    answer.more = answer.makers.len() > question.limit;
    answer.makers.truncate(question.limit);
    Ok(answer)
}

/// Works records through, off the threads that wait; answers those that cause a row with the key.
async fn work(
    mut chain: Chain,
    records: Vec<StoredRecord>,
    question: &Question<'_>,
    table: &Table,
) -> anyhow::Result<(Vec<StoredRecord>, Chain)> {
    let (key, place, table) = (question.key.to_vec(), question.table, table.clone());
    let topic = question.spec.source.topic.clone();
    let worked = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let partition = records.first().map_or(0, |record| record.position.partition);
        let mut batch = Batch::new(&topic, partition);
        for record in &records {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            batch.push(record.position.offset, record.timestamp_ms, key, value);
            record.headers.iter().for_each(|(name, value)| batch.push_header(name, value.as_deref()));
        }
        let (effects, _) = chain.apply(&batch)?;
        let makers = Key::parse(&table, &key)?.records(&effects, place);
        let maker = |record: u32| records.get(record as usize).cloned();
        Ok((makers.into_iter().filter_map(maker).collect(), chain))
    });
    worked.await?
}

/// The pipeline of the catalog, or of a file, that writes a table, and the table's place in it.
///
/// # Errors
/// That there is none.
pub fn writer(specs: &[Arc<Spec>], table: &str) -> Result<(Arc<Spec>, usize), StoreError> {
    let found = specs.iter().find_map(|spec| {
        spec.tables.iter().position(|known| known.name == table).map(|place| (spec.clone(), place))
    });
    found.ok_or_else(|| {
        StoreError::BadRequest(format!("no pipeline that is known here writes a table `{table}`"))
    })
}

/// The stages that work now: those of the spec.
///
/// # Errors
/// The first module that is not there or does not fit, and why.
pub async fn stages(
    store: &Arc<dyn Store>,
    engine: &crate::transform::Engine,
    spec: &Arc<Spec>,
    lookups: &Arc<dyn Lookups>,
) -> anyhow::Result<Transform> {
    let own = crate::deploy::own_stages(store, engine, spec, lookups).await?;
    crate::deploy::first_stages(store, engine, spec, lookups, &own).await
}
