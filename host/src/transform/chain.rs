//! A pipeline's stages, one after the other: what one sends to `next`, the one after it reads. Effects of all
//! stages are gathered per record of the batch; a record that any stage refuses goes no further.

use super::bisect::{StageWorker, Worked};
use super::check::Checked;
use super::engine::Engine;
use super::error::Error;
use super::instance::Stage;
use super::module::Module;
use crate::effect::{Effects, Failure, Mail, MessageValues, Messages, TakenOut, Verdict};
use crate::lookup::{Lookups, Unavailable};
use crate::record::{Batch, Blobs, Header, header_bytes, headers_at, present};
use crate::spec::Spec;
use crate::store::StageRun;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// A pipeline's stages, compiled and checked: what the lanes' chains are made from.
#[derive(Clone)]
pub struct Pipeline {
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

impl Pipeline {
    /// Loads, compiles, configures and checks the modules of all stages.
    ///
    /// # Errors
    /// The first stage that does not fit, and why.
    pub fn load(engine: &Engine, spec: &Spec, lookups: &Arc<dyn Lookups>) -> Result<Self, Error> {
        let modules = spec
            .stages
            .iter()
            .map(|declared| Module::load(engine, &declared.module, spec.folder.as_deref()))
            .collect::<Result<Vec<_>, _>>()?;
        Self::assemble(modules, spec, lookups)
    }

    /// Configures and checks modules that were compiled, one for each stage.
    ///
    /// # Errors
    /// The first stage that does not fit, and why.
    pub fn assemble(modules: Vec<Module>, spec: &Spec, lookups: &Arc<dyn Lookups>) -> Result<Self, Error> {
        let stages = modules
            .into_iter()
            .enumerate()
            .map(|(index, module)| Stage::prepare(module, spec, index, Some(lookups.clone())))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Pipeline { stages })
    }

    /// The tables that stages both write and look up: the pipeline's state.
    fn counted_on(&self) -> Vec<usize> {
        let written = |table: &usize| {
            self.stages.iter().any(|stage| stage.plan.tables.values().any(|planned| planned.table == *table))
        };
        let mut tables: Vec<usize> = self
            .stages
            .iter()
            .flat_map(|stage| stage.plan.looks_up.iter().copied())
            .filter(written)
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }
}

/// One lane's own instances of a pipeline's stages.
pub struct Chain {
    stages: Vec<StageWorker>,
    /// The tables that stages both write and look up.
    counted_on: Vec<usize>,
}

/// How a batch fared whose records may count on each other.
pub enum InOrder {
    /// It went through, without the records that were taken out of it.
    Worked(Effects, Vec<StageRun>, TakenOut),
    /// A guest failed at it as a whole: its halves are to be batches of their own, the second one worked through when the
    /// first one is committed. The records that were taken out of it are handed back.
    Halve(TakenOut),
}

/// What a stage reads: its records, and which record of the lane's batch each of them is.
struct Input<'a> {
    batch: Cow<'a, Batch>,
    /// `None`: record n is record n of the lane's batch.
    origins: Option<Vec<u32>>,
    /// Whether every value is byte for byte that of its record of the lane's batch.
    same_values: bool,
}

impl<'a> Input<'a> {
    fn whole(batch: &'a Batch) -> Self {
        Input { batch: Cow::Borrowed(batch), origins: None, same_values: true }
    }

    /// What is left of a batch.
    fn without(batch: &'a Batch, taken_out: &TakenOut) -> Self {
        if taken_out.is_empty() {
            return Self::whole(batch);
        }
        let records = 0..u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let origins: Vec<u32> = records.filter(|record| !taken_out.contains(*record)).collect();
        let left = batch.subset(origins.iter().map(|record| *record as usize));
        Input { batch: Cow::Owned(left), origins: Some(origins), same_values: true }
    }

    fn origin(&self, input: u32) -> u32 {
        match &self.origins {
            None => input,
            Some(origins) => origins.get(input as usize).copied().unwrap_or(input),
        }
    }
}

impl Chain {
    /// Instances are made at the first batch.
    pub fn new(pipeline: &Pipeline) -> Self {
        let stages = pipeline.stages.iter().cloned().map(StageWorker::new).collect();
        Chain { stages, counted_on: pipeline.counted_on() }
    }

    /// Whether records may count on each other: a stage looks up a table that a stage writes (DESIGN.md D6). Each batch is
    /// to be worked through by [`Chain::apply_in_order`] then, when the one before it is committed.
    pub fn has_state(&self) -> bool {
        !self.counted_on.is_empty()
    }

    /// Goes over to other stages, between two batches: those that stay the same keep their instances.
    ///
    /// Answers what is left of the others: instances take a moment to drop.
    #[must_use]
    pub fn change_to(&mut self, pipeline: &Pipeline) -> impl Send + 'static + use<> {
        let mut old: Vec<Option<StageWorker>> = self.stages.drain(..).map(Some).collect();
        self.counted_on = pipeline.counted_on();
        self.stages = pipeline
            .stages
            .iter()
            .enumerate()
            .map(|(index, stage)| {
                let same = old.get_mut(index).and_then(|old| old.take_if(|old| old.stage.is(stage)));
                same.unwrap_or_else(|| StageWorker::new(stage.clone()))
            })
            .collect();
        old
    }

    /// Gives back the memory of instances that have grown by more than their batches have needed of late. Answers how much
    /// the instances have, bytes.
    pub fn give_back(&mut self, now: Instant) -> u64 {
        self.stages.iter_mut().map(|worker| worker.give_back(now)).sum()
    }

    /// Takes a batch through all stages.
    ///
    /// # Errors
    /// [`Unavailable`]: a lookup's source cannot be reached; try the whole batch again later.
    pub fn apply(&mut self, batch: &Batch) -> Result<(Effects, Vec<StageRun>), Unavailable> {
        let mut effects = Effects::default();
        let mut runs = Vec::with_capacity(self.stages.len());
        let mut input = Input::whole(batch);
        for worker in &mut self.stages {
            if input.batch.is_empty() {
                break;
            }
            let worked = worker.work(&input.batch).map_err(|message| unavailable(&worker.stage, message))?;
            runs.push(run_of(&worker.stage, &input, &worked));
            input = gather(worked, &worker.stage, input, &mut effects);
        }
        Ok((effects, runs))
    }

    /// Takes a batch through all stages whose records may count on each other, without those that were taken out before.
    /// Where a later stage, or the host, takes a record out that others may have counted on, it is done anew without it.
    /// `searching`: whether the batch is a half of one that a guest failed at.
    ///
    /// # Errors
    /// [`Unavailable`], as [`Chain::apply`].
    pub fn apply_in_order(
        &mut self,
        batch: &Batch,
        mut taken_out: TakenOut,
        searching: bool,
    ) -> Result<InOrder, Unavailable> {
        loop {
            let mut effects = Effects {
                failures: taken_out.failures.clone(),
                duplicates: taken_out.duplicates.clone(),
                counted_on: self.counted_on.clone(),
                ..Effects::default()
            };
            let mut runs = Vec::with_capacity(self.stages.len());
            let (mut input, mut counted, mut more) =
                (Input::without(batch, &taken_out), false, BTreeMap::new());
            for worker in &mut self.stages {
                if input.batch.is_empty() {
                    break;
                }
                let worked = worker.work_whole(&input.batch, searching);
                let Some(worked) = worked.map_err(|message| unavailable(&worker.stage, message))? else {
                    return Ok(InOrder::Halve(taken_out));
                };
                runs.push(run_of(&worker.stage, &input, &worked));
                // What a stage itself refuses, it does not count on; but the stages before it may.
                let own = if counted { BTreeSet::new() } else { refused(&worked, &input) };
                let known: BTreeSet<u32> = effects.failures.keys().copied().collect();
                input = gather(worked, &worker.stage, input, &mut effects);
                counted |= worker.stage.plan.looks_up.iter().any(|table| self.counted_on.contains(table));
                if counted {
                    let new = |record: &u32| !known.contains(record) && !own.contains(record);
                    let new = effects.failures.iter().filter(|(record, _)| new(record));
                    more.extend(new.map(|(record, failure)| (*record, failure.clone())));
                }
            }
            if more.is_empty() {
                return Ok(InOrder::Worked(effects, runs, taken_out));
            }
            taken_out.failures.extend(more);
        }
    }
}

fn unavailable(stage: &Stage, message: String) -> Unavailable {
    Unavailable { lookup: format!("of stage {}", stage.name), message }
}

fn run_of(stage: &Stage, input: &Input<'_>, worked: &Worked) -> StageRun {
    StageRun {
        stage: stage.name.to_string(),
        digest: stage.module.digest.clone(),
        activation: stage.activation,
        records: u32::try_from(input.batch.len()).unwrap_or(u32::MAX),
        time_us: u64::try_from(worked.time.as_micros()).unwrap_or(u64::MAX),
    }
}

/// The records that a stage itself refuses, or fails at.
fn refused(worked: &Worked, input: &Input<'_>) -> BTreeSet<u32> {
    let refused = worked.parts.iter().flat_map(|(start, checked)| {
        checked.failures.iter().map(move |(record, ..)| input.origin(start + record))
    });
    refused.chain(worked.culprits.iter().map(|(record, _)| input.origin(*record))).collect()
}

/// Adds a stage's effects to the batch's, and makes the next stage's input.
fn gather<'a>(worked: Worked, stage: &Stage, input: Input<'a>, effects: &mut Effects) -> Input<'a> {
    let digest = &stage.module.digest;
    for (culprit, fault) in worked.culprits {
        let failure = Failure::one(Verdict::Reject, &stage.name, digest, fault.code(), fault.to_string());
        effects.refuse(input.origin(culprit), failure);
    }
    let mut next = Vec::new();
    for (start, checked) in worked.parts {
        let Checked { rows, messages, next: forwarded, mails, failures } = checked;
        let origin = |record: u32| input.origin(start + record);
        for (record, verdict, faults) in failures {
            let failure = Failure { verdict, stage: stage.name.to_string(), digest: digest.clone(), faults };
            effects.refuse(origin(record), failure);
        }
        for mut rows in rows {
            rows.records.iter_mut().for_each(|record| *record = origin(*record));
            effects.rows.push(rows);
        }
        for mut messages in messages {
            refuse_large(&messages, start, &input, stage, effects);
            if messages.values == MessageValues::Same && !input.same_values {
                messages.values = copied_values(&messages.records, start, &input.batch);
            }
            messages.records.iter_mut().for_each(|record| *record = origin(*record));
            effects.messages.push(messages);
        }
        effects.mails.extend(mails.into_iter().map(|mail| Mail { record: origin(mail.record), ..mail }));
        next.extend(forwarded.into_iter().map(|messages| (start, messages)));
    }
    next_input(input, next, effects)
}

/// Refuses the records whose messages no broker would take: after the commit it would be too late to.
fn refuse_large(messages: &Messages, start: u32, input: &Input<'_>, stage: &Stage, effects: &mut Effects) {
    let bytes_max = stage.limits.message_bytes_max as usize;
    for (index, &record) in messages.records.iter().enumerate() {
        let key = messages.keys.as_ref().map_or(0, |keys| keys.get(index).len());
        let value = match &messages.values {
            _ if !present(&messages.no_value, index) => 0,
            MessageValues::Same => input.batch.values.get((start + record) as usize).len(),
            MessageValues::Each(values) => values.get(index).len(),
        };
        let headers: usize = headers_at(&messages.headers, index)
            .iter()
            .map(|header| header_bytes(&header.name, header.value.as_deref()))
            .sum();
        let bytes = key + value + headers;
        if bytes > bytes_max {
            let reason = format!("a message of {bytes} bytes, and limits.message_bytes_max is {bytes_max}");
            let digest = &stage.module.digest;
            let failure = Failure::one(Verdict::Reject, &stage.name, digest, "message-too-large", reason);
            effects.refuse(input.origin(start + record), failure);
        }
    }
}

/// The values of the messages' inputs, copied: for `same` where the input is not the lane's own batch.
fn copied_values(inputs: &[u32], start: u32, batch: &Batch) -> MessageValues {
    let mut values = Blobs::default();
    for &input in inputs {
        values.push(batch.values.get((start + input) as usize));
    }
    MessageValues::Each(values)
}

/// What the next stage reads: the messages to `next` of the records that are not refused, in the records' order.
fn next_input<'a>(input: Input<'a>, next: Vec<(u32, Messages)>, effects: &Effects) -> Input<'a> {
    if let ([(0, messages)], true) = (next.as_slice(), effects.failures.is_empty())
        && is_whole(messages, input.batch.len())
    {
        return input;
    }
    let mut batch = Batch::new(&input.batch.topic, input.batch.partition);
    let mut origins = Vec::new();
    let same_values =
        input.same_values && next.iter().all(|(_, messages)| messages.values == MessageValues::Same);
    let mut order: Vec<(u32, usize, usize)> = Vec::new();
    for (list, (start, messages)) in next.iter().enumerate() {
        order
            .extend(messages.records.iter().enumerate().map(|(index, record)| (start + record, list, index)));
    }
    if next.len() > 1 {
        order.sort_unstable();
    }
    for (record, list, index) in order {
        let origin = input.origin(record);
        if effects.failures.contains_key(&origin) {
            continue;
        }
        if let Some((_, messages)) = next.get(list) {
            push_forwarded(&mut batch, &input.batch, record as usize, messages, index);
            origins.push(origin);
        }
    }
    Input { batch: Cow::Owned(batch), origins: Some(origins), same_values }
}

/// Whether the messages are just all records of a batch, unchanged.
fn is_whole(messages: &Messages, records: usize) -> bool {
    messages.values == MessageValues::Same
        && messages.keys.is_none()
        && messages.headers.is_empty()
        && messages.no_value.is_empty()
        && messages.records.len() == records
        && messages.records.iter().enumerate().all(|(index, record)| *record as usize == index)
}

/// One record on its way to the next stage: key and headers are kept unless the message has its own.
fn push_forwarded(batch: &mut Batch, from: &Batch, record: usize, messages: &Messages, index: usize) {
    let key = match &messages.keys {
        Some(keys) if present(&messages.no_key, index) => Some(keys.get(index)),
        _ => from.key(record),
    };
    let value = match &messages.values {
        _ if !present(&messages.no_value, index) => None,
        MessageValues::Same => from.value(record),
        MessageValues::Each(values) => Some(values.get(index)),
    };
    batch.push(from.offset(record), from.timestamp_ms(record), key, value);
    let own: &[Header] = headers_at(&messages.headers, index);
    let headers = if own.is_empty() { from.headers_of(record) } else { own };
    for header in headers {
        batch.push_header(&header.name, header.value.as_deref());
    }
}
