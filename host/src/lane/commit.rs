//! The lane's second step: commits batches, in order, as often as it takes. A commit is safe to repeat: the store
//! finds out whether an earlier attempt arrived. The first step hears of each batch how it ended.

use super::parked::Parked;
use super::{LaneContext, after_commit, now_ms};
use crate::effect::TakenOut;
use crate::sabotage;
use crate::store::{self, Committed, Fence, Origin, Work};
use crate::telemetry::{self, BATCHES, DEAD_LETTERS, GUEST_MICROSECONDS, MAILS, RECORDS, ROWS};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::time::Instant;

/// A committed batch on its way to being published.
pub(super) struct ToPublish {
    pub(super) batch: i64,
    pub(super) next_offset: i64,
    pub(super) outbox: Vec<u8>,
}

/// How a batch ended.
pub(super) enum Ended {
    /// It is committed.
    Committed,
    /// Records are taken out of it that others may have counted on: nothing is written, and it is to be worked through
    /// without them.
    TakenOut(TakenOut),
}

pub(super) fn run(
    context: &LaneContext,
    mut fence: Fence,
    parked: &Parked,
    committing: &Receiver<Arc<Work>>,
    ended: &Sender<Ended>,
    to_publish: &SyncSender<ToPublish>,
) {
    while let Ok(work) = committing.recv() {
        let start = Instant::now();
        fence.published = context.progress.published.load(Ordering::Relaxed);
        if sabotage::publish_first() && !published_first(context, fence, &work, to_publish) {
            return;
        }
        let committed = match commit(context, fence, &work) {
            Some(Ok(committed)) => committed,
            Some(Err(taken_out)) => {
                // Nobody listens only where the lane ends.
                let _ = ended.send(Ended::TakenOut(taken_out));
                continue;
            }
            None => return,
        };
        fence = after_commit(fence, &committed);
        context.progress.batch.store(fence.batch, Ordering::Relaxed);
        context.progress.next_offset.store(fence.next_offset, Ordering::Relaxed);
        parked.note(&work, &committed);
        let _ = ended.send(Ended::Committed);
        count(context, &work, &committed);
        if committed.mails > 0 {
            context.mail_committed.notify_one();
        }
        let Committed { batch, next_offset, outbox, .. } = committed;
        if sabotage::publish_first() {
            continue;
        }
        if to_publish.send(ToPublish { batch, next_offset, outbox }).is_err() {
            return;
        }
        let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        context.progress.commit_us.store(took, Ordering::Relaxed);
    }
}

/// The order that must not be: publishes what the batch will presumably send, and waits until it is out.
fn published_first(
    context: &LaneContext,
    fence: Fence,
    work: &Work,
    to_publish: &SyncSender<ToPublish>,
) -> bool {
    let keeps = |record| !work.effects.failures.contains_key(&record);
    let outbox = crate::publish::outbox::encode(&context.spec, work, keeps, &[]);
    let next_offset = match work.origin {
        Origin::Log { next_offset } => next_offset,
        Origin::Parked(_) => fence.next_offset,
    };
    if to_publish.send(ToPublish { batch: fence.batch + 1, next_offset, outbox }).is_err() {
        return false;
    }
    while context.progress.published.load(Ordering::Relaxed) <= fence.batch && !context.abandoned() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    !context.abandoned()
}

/// Commits one batch, or finds what has to be taken out of it; `None` if the lane is to end.
fn commit(context: &LaneContext, fence: Fence, work: &Arc<Work>) -> Option<Result<Committed, TakenOut>> {
    let mut attempt = 0;
    let start = Instant::now();
    loop {
        if context.abandoned() {
            return None;
        }
        match context.runtime.block_on(context.store.commit(&context.spec, &context.id, fence, work)) {
            Ok(committed) => {
                telemetry::step(&context.id.pipeline, "commit", start.elapsed());
                if attempt > 0 {
                    context.recovered();
                }
                return Some(Ok(committed));
            }
            Err(store::Error::TakenOut(taken_out)) => return Some(Err(*taken_out)),
            Err(error @ store::Error::Fenced { .. }) => {
                context.give_up(&error);
                return None;
            }
            Err(error) => {
                if !context.back_off("commit", attempt, &error) {
                    return None;
                }
                attempt += 1;
            }
        }
    }
}

fn count(context: &LaneContext, work: &Work, committed: &Committed) {
    let pipeline = &*context.id.pipeline;
    let records = work.batch.len() as u64;
    let dead: u64 = committed.dead_letters.iter().map(|(_, count)| count).sum();
    let worked = records.saturating_sub(dead + committed.parked + committed.duplicates);
    telemetry::count(BATCHES, pipeline, None, 1);
    if let Origin::Log { .. } = work.origin {
        telemetry::record_to_commit(pipeline, &work.batch.timestamps_ms, now_ms());
    }
    for (outcome, count) in [
        ("worked", worked),
        ("dead-letter", dead),
        ("parked", committed.parked),
        ("duplicate", committed.duplicates),
    ] {
        telemetry::count(RECORDS, pipeline, Some(("outcome", outcome)), count);
    }
    for (table, rows) in context.spec.tables.iter().zip(&committed.rows) {
        telemetry::count(ROWS, pipeline, Some(("table", &table.name)), *rows);
    }
    for (code, count) in &committed.dead_letters {
        telemetry::count(DEAD_LETTERS, pipeline, Some(("code", code)), *count);
    }
    telemetry::count(MAILS, pipeline, None, committed.mails);
    for run in &work.stages {
        telemetry::count(GUEST_MICROSECONDS, pipeline, Some(("stage", &run.stage)), run.time_us);
    }
}
