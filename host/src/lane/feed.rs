//! The lane's first step: reads batches (or takes parked records that are due) and has the guests work them through.

use super::{LaneContext, WorksWith, now_ms};
use crate::live::Deployment;
use crate::log::{ReadBounds, Reader};
use crate::record::{Batch, Room};
use crate::store::{Origin, ParkedOrigin, Work};
use crate::telemetry;
use crate::transform::Chain;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// How long a reader waits for the first record before the lane looks at parked records and at being stopped.
const IDLE: Duration = Duration::from_millis(50);
/// How often the store is asked when the next parked record is due: an operator's replay is seen after that time.
const PARKED_LOOK: Duration = Duration::from_secs(1);

/// What the lane knows of its parked records.
pub(super) struct Parked {
    /// Whether a batch of parked records is between reading and the store: they must not be taken twice.
    pub(super) in_flight: AtomicBool,
    /// When the next one is due, milliseconds since 1970-01-01 UTC.
    pub(super) due_ms: AtomicI64,
}

impl Default for Parked {
    fn default() -> Self {
        Parked { in_flight: AtomicBool::new(false), due_ms: AtomicI64::new(i64::MAX) }
    }
}

pub(super) fn run(
    context: &LaneContext,
    mut reader: Box<dyn Reader>,
    parked: &Parked,
    to_commit: &SyncSender<Arc<Work>>,
) {
    let mut looked: Option<Instant> = None;
    let mut failures = 0;
    let wait = Duration::from_millis(context.spec.limits.batch_wait_ms_max);
    // A lane that has been idle gives a record on at once; under load a batch collects until its time has come.
    let mut collect_until = Instant::now();
    let mut room = Room::default();
    let mut read_up_to = context.progress.next_offset.load(Ordering::Relaxed);
    let mut worker = Worker::begin(context);
    while !context.draining() {
        worker.take_up(context);
        if context.live.paused() {
            context.progress.seen_all_up_to.store(-1, Ordering::Relaxed);
            std::thread::sleep(IDLE);
            continue;
        }
        if looked.is_none_or(|at| at.elapsed() >= PARKED_LOOK) {
            look_for_parked(context, parked);
            looked = Some(Instant::now());
        }
        let next = match next_parked(context, parked) {
            Some(next) => Ok(Some(next)),
            None => next_batch(context, reader.as_mut(), collect_until, &mut room),
        };
        match next {
            Ok(None) => context.progress.seen_all_up_to.store(read_up_to, Ordering::Relaxed),
            Ok(Some((batch, origin))) => {
                context.progress.seen_all_up_to.store(-1, Ordering::Relaxed);
                if let Origin::Log { next_offset } = origin {
                    read_up_to = next_offset;
                }
                failures = 0;
                collect_until = Instant::now() + wait;
                let Some(work) = transform(context, &mut worker, batch, origin) else { return };
                if to_commit.send(work).is_err() {
                    return;
                }
            }
            Err(error) => {
                context.progress.seen_all_up_to.store(-1, Ordering::Relaxed);
                // Final for this reader or not: what helps is waiting, and an operator who reads this.
                if !context.back_off("read", failures, &error) {
                    return;
                }
                failures += 1;
            }
        }
    }
}

fn look_for_parked(context: &LaneContext, parked: &Parked) {
    match context.runtime.block_on(context.store.next_parked_due(&context.id)) {
        Ok(due) => parked.due_ms.store(due.unwrap_or(i64::MAX), Ordering::Relaxed),
        Err(error) => tracing::debug!(lane = %context.id, %error, "looking for parked records"),
    }
}

/// A batch of parked records that are due, unless one is under way.
fn next_parked(context: &LaneContext, parked: &Parked) -> Option<(Batch, Origin)> {
    let now = now_ms();
    if parked.due_ms.load(Ordering::Relaxed) > now || parked.in_flight.load(Ordering::Acquire) {
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
        parked.due_ms.store(i64::MAX, Ordering::Relaxed);
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
    parked.in_flight.store(true, Ordering::Release);
    Some((batch, Origin::Parked(origins)))
}

fn next_batch(
    context: &LaneContext,
    reader: &mut dyn Reader,
    collect_until: Instant,
    room: &mut Room,
) -> Result<Option<(Batch, Origin)>, crate::log::Error> {
    let limits = &context.spec.limits;
    let bounds = ReadBounds {
        records_max: limits.batch_records_max as usize,
        bytes_max: limits.batch_bytes_max as usize,
        idle: IDLE,
        collect_until,
    };
    let mut batch = Batch::new(&context.id.topic, context.id.partition);
    batch.reserve_like(room);
    let next_offset = reader.read(&mut batch, &bounds)?;
    *room = batch.room();
    Ok(next_offset.map(|next_offset| (batch, Origin::Log { next_offset })))
}

/// Has the guests work a batch through, as often as it takes; `None` if the lane is to end.
fn transform(context: &LaneContext, worker: &mut Worker, batch: Batch, origin: Origin) -> Option<Arc<Work>> {
    let mut attempt = 0;
    loop {
        let start = Instant::now();
        match context.slots.run(|| worker.chain.apply(&batch)) {
            Ok((effects, stages)) => {
                context.live.judge(&worker.deployment, &effects, &stages);
                telemetry::step(&context.id.pipeline, "transform", start.elapsed());
                if attempt > 0 {
                    context.recovered();
                }
                return Some(Arc::new(Work { batch, origin, effects, stages }));
            }
            // Draining gives the batch up: it is not committed, so whoever comes next reads it again.
            Err(unavailable) => {
                if context.draining() || !context.back_off("transform", attempt, &unavailable) {
                    return None;
                }
                attempt += 1;
                // What helps may be another version.
                worker.take_up(context);
            }
        }
    }
}

/// The stages that the lane works with.
struct Worker {
    deployment: Arc<Deployment>,
    chain: Chain,
}

impl Worker {
    fn begin(context: &LaneContext) -> Self {
        let deployment = context.live.current();
        let chain = Chain::new(&deployment.transform);
        let worker = Worker { deployment, chain };
        worker.say(context, Duration::ZERO);
        worker
    }

    /// Between two batches: goes over to what was deployed meanwhile, if anything was. Each batch is worked through by
    /// one deployment only.
    fn take_up(&mut self, context: &LaneContext) {
        if !context.live.is_newer_than(&self.deployment) {
            return;
        }
        let start = Instant::now();
        self.deployment = context.live.current();
        let old = self.chain.change_to(&self.deployment.transform);
        context.runtime.spawn_blocking(move || drop(old));
        self.say(context, start.elapsed());
    }

    fn say(&self, context: &LaneContext, pause: Duration) {
        let stages = &self.deployment.transform.stages;
        *context.progress.works_with.lock() = WorksWith {
            activations: stages.iter().map(|stage| (stage.name.to_string(), stage.activation)).collect(),
            at_ms: now_ms(),
            pause_us: i64::try_from(pause.as_micros()).unwrap_or(i64::MAX),
        };
        if !pause.is_zero() {
            telemetry::step(&context.id.pipeline, "swap", pause);
        }
        context.live.taken_up.notify_one();
    }
}
