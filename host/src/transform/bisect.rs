//! Finding the record that makes a guest fail: the batch is cut in halves until that record stands alone; it runs
//! once more in a fresh instance, and only if it fails again is it refused. The halves are batches of their own,
//! worked through in order. If the first one goes through, what makes the guest fail is in the second one, which is cut at
//! once: a call that fails costs an instance.
//!
//! The limit on time is shortened while a culprit is looked for: a part of a batch that has timed out gets what its
//! records need by experience, many times over, and at least [`SEARCH_MIN`]. A part that is cut off wrongly is only
//! cut once more; a record alone always gets the full time. And such a part is cut in [`TIMEOUT_PARTS`] at once: those that
//! go through take next to nothing, each that does not takes all of its time. So a record that loops costs two full limits
//! and, in a batch of a thousand, three short ones. Where records may count on each other ([`StageWorker::work_whole`]) it is halves
//! all the way: each is a batch to be committed before the next.

use super::check::Checked;
use super::error::Fault;
use super::footprint::Footprint;
use super::instance::{Instance, Stage};
use crate::record::Batch;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The least time that a part of a batch gets in a search.
const SEARCH_MIN: Duration = Duration::from_millis(50);
/// How many times what its records need by experience a part gets in a search.
const SEARCH_FACTOR: u32 = 20;
/// Into how many parts a part is cut that has timed out.
const TIMEOUT_PARTS: usize = 16;

/// One lane's one stage: the stage and its live instance.
pub(super) struct StageWorker {
    pub(super) stage: Stage,
    instance: Option<Instance>,
    /// What its batches needed.
    footprint: Footprint,
    /// Time per record by experience, of calls that ended well.
    per_record: Duration,
    #[cfg(feature = "native-stages")]
    pub(super) native: Option<Box<dyn super::native::NativeTransform>>,
}

/// What a stage made of a batch.
#[derive(Default)]
pub(super) struct Worked {
    /// The effects of each part that went through, with the index of the part's first record.
    pub(super) parts: Vec<(u32, Checked)>,
    /// The records that make the guest fail.
    pub(super) culprits: Vec<(u32, Fault)>,
    /// Processor time in the guest.
    pub(super) time: Duration,
}

impl StageWorker {
    pub(super) fn new(stage: Stage) -> Self {
        StageWorker {
            stage,
            instance: None,
            footprint: Footprint::default(),
            per_record: Duration::from_micros(20),
            #[cfg(feature = "native-stages")]
            native: None,
        }
    }

    /// Works a batch through; every record ends in a part or among the culprits.
    ///
    /// # Errors
    /// The message of [`Fault::Unavailable`]: try the whole batch again later.
    pub(super) fn work(&mut self, batch: &Batch) -> Result<Worked, String> {
        let mut worked = Worked::default();
        let full = Duration::from_millis(self.stage.limits.guest_time_ms_max);
        match self.call(batch, full, &mut worked) {
            Ok(checked) => worked.parts.push((0, checked)),
            Err(Fault::Unavailable(message)) => return Err(message),
            Err(fault) => {
                tracing::debug!(place = %self.stage.place, records = batch.len(), %fault, "looking for the culprit");
                self.search(batch, 0..batch.len(), fault, &mut worked)?;
            }
        }
        Ok(worked)
    }

    /// Works a batch through in one call, as one whose records may count on each other has to be: its halves are batches of
    /// their own, to be committed one after the other. `None`: the guest fails at it, and it must be cut in halves.
    /// `searching`: whether it is such a half already.
    ///
    /// # Errors
    /// As [`StageWorker::work`].
    pub(super) fn work_whole(&mut self, batch: &Batch, searching: bool) -> Result<Option<Worked>, String> {
        let mut worked = Worked::default();
        let full = Duration::from_millis(self.stage.limits.guest_time_ms_max);
        let limit = if searching { self.search_limit(batch.len()) } else { full };
        match self.call(batch, limit, &mut worked) {
            Ok(checked) => worked.parts.push((0, checked)),
            Err(Fault::Unavailable(message)) => return Err(message),
            Err(fault) if batch.len() > 1 => {
                tracing::debug!(place = %self.stage.place, records = batch.len(), %fault, "to be cut in halves");
                return Ok(None);
            }
            Err(fault) => self.last_chance(batch, 0..batch.len(), fault, &mut worked)?,
        }
        Ok(Some(worked))
    }

    /// Cuts a part that has failed, or what is left of one without what went through.
    fn search(
        &mut self,
        batch: &Batch,
        part: Range<usize>,
        fault: Fault,
        worked: &mut Worked,
    ) -> Result<(), String> {
        if part.len() <= 1 {
            return self.last_chance(batch, part, fault, worked);
        }
        if matches!(fault, Fault::Timeout(_)) {
            // None is spared: parts may be in time one by one where the whole was not.
            let records = part.len().div_ceil(TIMEOUT_PARTS);
            for start in part.clone().step_by(records) {
                self.work_part(batch, start..part.end.min(start + records), worked)?;
            }
            return Ok(());
        }
        let middle = part.start + part.len() / 2;
        if self.work_part(batch, part.start..middle, worked)? {
            return self.search(batch, middle..part.end, fault, worked);
        }
        self.work_part(batch, middle..part.end, worked)?;
        Ok(())
    }

    /// Works a part through, or as much of it as goes through; answers whether it went through at once.
    fn work_part(&mut self, batch: &Batch, part: Range<usize>, worked: &mut Worked) -> Result<bool, String> {
        let limit = self.search_limit(part.len());
        match self.call(&batch.slice(part.clone()), limit, worked) {
            Ok(checked) => {
                worked.parts.push((index(part.start), checked));
                Ok(true)
            }
            Err(Fault::Unavailable(message)) => Err(message),
            Err(fault) => self.search(batch, part, fault, worked).map(|()| false),
        }
    }

    /// A record that failed alone, or is left of a part that did: in a fresh instance and with all the time that a call may
    /// take.
    fn last_chance(
        &mut self,
        batch: &Batch,
        part: Range<usize>,
        fault: Fault,
        worked: &mut Worked,
    ) -> Result<(), String> {
        let start = index(part.start);
        if part.is_empty() {
            return Ok(());
        }
        self.instance = None;
        let full = Duration::from_millis(self.stage.limits.guest_time_ms_max);
        match self.call(&batch.slice(part), full, worked) {
            Ok(checked) => {
                // Too much together, as a rule: memory, effects.
                tracing::info!(place = %self.stage.place, %fault, "what failed went through by itself, in a fresh instance");
                worked.parts.push((start, checked));
            }
            Err(Fault::Unavailable(message)) => return Err(message),
            Err(fault) => worked.culprits.push((start, fault)),
        }
        Ok(())
    }

    /// Gives the instance back if it has grown by more than its batches have needed of late: the next batch gets a new
    /// one. Answers how much linear memory it has, bytes.
    pub(super) fn give_back(&mut self, now: Instant) -> u64 {
        let bytes = self.instance.as_ref().map_or(0, Instance::memory_bytes);
        if !self.footprint.is_outgrown(bytes, now) {
            return bytes;
        }
        tracing::debug!(place = %self.stage.place, bytes, "giving back an instance that has grown");
        self.instance = None;
        0
    }

    fn search_limit(&self, records: usize) -> Duration {
        let full = Duration::from_millis(self.stage.limits.guest_time_ms_max);
        let expected = self.per_record.saturating_mul(u32::try_from(records).unwrap_or(u32::MAX));
        expected.saturating_mul(SEARCH_FACTOR).max(SEARCH_MIN).min(full)
    }

    /// One call, in the live instance or in a new one.
    fn call(&mut self, batch: &Batch, limit: Duration, worked: &mut Worked) -> Result<Checked, Fault> {
        #[cfg(feature = "native-stages")]
        if let Some(result) = self.call_natively(batch, worked) {
            return result;
        }
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            // It was possible when the stage was prepared: what fails now is the host's lack, not the record's fault.
            None => {
                let instance = self.stage.instance().map_err(Fault::Unavailable)?;
                self.footprint = Footprint::of(instance.memory_bytes());
                instance
            }
        };
        self.footprint.works(batch.bytes(), Instant::now());
        let (result, took) = instance.apply(&self.stage, batch, limit);
        worked.time += took;
        match &result {
            Ok(_) => {
                let records = u32::try_from(batch.len().max(1)).unwrap_or(u32::MAX);
                // A moving average: one slow call does not make the next search slow.
                self.per_record = (self.per_record * 7 + took / records) / 8;
                self.instance = Some(instance);
            }
            Err(fault) if fault.keeps_instance() => self.instance = Some(instance),
            Err(_) => {}
        }
        result
    }
}

fn index(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
