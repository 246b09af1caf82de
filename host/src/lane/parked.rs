//! Parked records: when the next one is due, taking those that are, and what a commit changes about it. The feed takes
//! them, the commit tells.

use super::{LaneContext, now_ms};
use crate::record::Batch;
use crate::store::{Committed, Origin, ParkedOrigin, Work};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What the lane knows of its parked records.
pub(super) struct Parked {
    /// Whether a batch of parked records is between reading and the store: they must not be taken twice.
    in_flight: AtomicBool,
    /// When the next one is due, milliseconds since 1970-01-01 UTC.
    due_ms: AtomicI64,
}

impl Default for Parked {
    fn default() -> Self {
        Parked { in_flight: AtomicBool::new(false), due_ms: AtomicI64::new(i64::MAX) }
    }
}

impl Parked {
    /// Asks the store when the next one is due.
    pub(super) fn look(&self, context: &LaneContext) {
        match context.runtime.block_on(context.store.next_parked_due(&context.id)) {
            Ok(due) => self.due_ms.store(due.unwrap_or(i64::MAX), Ordering::Relaxed),
            Err(error) => tracing::debug!(lane = %context.id, %error, "looking for parked records"),
        }
    }

    /// A batch of those that are due, unless one is under way.
    pub(super) fn take_due(&self, context: &LaneContext) -> Option<(Batch, Origin)> {
        let now = now_ms();
        if self.due_ms.load(Ordering::Relaxed) > now || self.in_flight.load(Ordering::Acquire) {
            return None;
        }
        let limits = &context.spec.limits;
        let (records_max, bytes_max) = (limits.batch_records_max as usize, limits.batch_bytes_max as usize);
        let due = context.store.due_parked(&context.id, now, records_max, bytes_max);
        let records = match context.runtime.block_on(due) {
            Ok(records) => records,
            Err(error) => {
                tracing::debug!(lane = %context.id, %error, "taking parked records");
                return None;
            }
        };
        if records.is_empty() {
            self.due_ms.store(i64::MAX, Ordering::Relaxed);
            return None;
        }
        let mut batch = Batch::new(&context.id.topic, context.id.partition);
        let mut origins = Vec::with_capacity(records.len());
        for record in &records {
            batch.push(record.offset, record.timestamp_ms, record.key.as_deref(), record.value.as_deref());
            for (name, value) in &record.headers {
                batch.push_header(name, value.as_deref());
            }
            origins.push(ParkedOrigin { id: record.id, attempts: record.attempts });
        }
        self.under_way();
        Some((batch, Origin::Parked(origins)))
    }

    /// Parked records are on their way to the store.
    pub(super) fn under_way(&self) {
        self.in_flight.store(true, Ordering::Release);
    }

    /// After a batch of parked records the next ones may be taken; after any, some may have been parked.
    pub(super) fn note(&self, work: &Work, committed: &Committed) {
        if let Some(due) = committed.parked_due_ms {
            self.due_ms.fetch_min(due, Ordering::Relaxed);
        }
        if matches!(work.origin, Origin::Parked(_)) {
            // There may be more of them: look at once.
            self.due_ms.store(0, Ordering::Relaxed);
            self.in_flight.store(false, Ordering::Release);
        }
    }
}
