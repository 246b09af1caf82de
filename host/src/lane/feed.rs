//! The lane's first step: reads batches (or takes parked records that are due) and has the guests work them through.

use super::commit::Ended;
use super::parked::Parked;
use super::{LaneContext, WorksWith, now_ms};
use crate::effect::TakenOut;
use crate::live::Deployment;
use crate::log::{ReadBounds, Reader};
use crate::lookup::Unavailable;
use crate::record::{Batch, Room};
use crate::store::{Origin, Work};
use crate::telemetry;
use crate::transform::{Chain, InOrder};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

/// How long a reader waits for the first record before the lane looks at parked records and at being stopped.
const IDLE: Duration = Duration::from_millis(50);
/// How often a lane sees to what no batch brings up: the store is asked when the next parked record is due (an operator's
/// replay is seen after that time), and guests give memory back.
const LOOK: Duration = Duration::from_secs(1);

/// The feed's side of the commits: batches go out, and how they ended comes back.
pub(super) struct Commits {
    to_commit: SyncSender<Arc<Work>>,
    endings: Receiver<Ended>,
    parked: Arc<Parked>,
    /// The batches whose end was not heard of yet, oldest first; those that may have to be worked through once more, as
    /// they are.
    under_way: VecDeque<Option<Given>>,
}

/// A batch that was given to be committed.
struct Given {
    work: Arc<Work>,
    taken_out: TakenOut,
    searching: bool,
}

impl Commits {
    pub(super) fn new(
        to_commit: SyncSender<Arc<Work>>,
        endings: Receiver<Ended>,
        parked: Arc<Parked>,
    ) -> Self {
        Commits { to_commit, endings, parked, under_way: VecDeque::new() }
    }

    /// Gives a batch to be committed whose records do not count on each other; `None` if the lane is to end.
    fn send(&mut self, work: Work) -> Option<()> {
        while self.endings.try_recv().is_ok() {
            self.under_way.pop_front();
        }
        self.to_commit.send(Arc::new(work)).ok()?;
        self.under_way.push_back(None);
        Some(())
    }

    /// Gives one whose records may; no other is under way then.
    fn send_in_order(&mut self, work: Work, taken_out: TakenOut, searching: bool) -> Option<()> {
        let work = Arc::new(work);
        if matches!(work.origin, Origin::Parked(_)) {
            // One part of parked records being committed does not say that others may be taken.
            self.parked.under_way();
        }
        self.to_commit.send(work.clone()).ok()?;
        self.under_way.push_back(Some(Given { work, taken_out, searching }));
        Some(())
    }

    /// Waits until all batches are committed; the outer `None` if the lane is to end. What is not, since records are taken
    /// out of it, is handed back, to be worked through without them.
    fn settled(&mut self) -> Option<Option<Piece>> {
        while let Some(oldest) = self.under_way.pop_front() {
            if let (Ended::TakenOut(more), Some(given)) = (self.endings.recv().ok()?, oldest) {
                let Given { work, mut taken_out, searching } = given;
                taken_out.extend(more);
                let Work { batch, origin, .. } = Arc::unwrap_or_clone(work);
                return Some(Some(Piece { batch, origin, taken_out, searching }));
            }
        }
        Some(None)
    }
}

pub(super) fn run(context: &LaneContext, mut reader: Box<dyn Reader>, mut commits: Commits) {
    let mut looked: Option<Instant> = None;
    let mut failures = 0;
    let wait_max = Duration::from_millis(context.spec.limits.batch_wait_ms_max);
    // A lane that has been idle gives a record on at once; under load a batch collects until its time has come.
    let mut collect_until = Instant::now();
    let mut room = Room::default();
    let mut read_up_to = context.progress.next_offset.load(Ordering::Relaxed);
    let mut worker = Worker::begin(context);
    while !context.draining() {
        if worker.is_old(context) {
            // What is under way may have to be worked through once more: by the stages that it was worked through by.
            if settle(context, &mut worker, &mut commits).is_none() {
                return;
            }
            worker.take_up(context);
        }
        let now = Instant::now();
        if looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK) {
            commits.parked.look(context);
            context.progress.guest_memory_bytes.store(worker.chain.give_back(now), Ordering::Relaxed);
            looked = Some(now);
        }
        if context.live.paused() {
            if settle(context, &mut worker, &mut commits).is_none() {
                return;
            }
            context.progress.seen_all_up_to.store(-1, Ordering::Relaxed);
            std::thread::sleep(IDLE);
            continue;
        }
        let next = match commits.parked.take_due(context) {
            Some(next) => Ok(Some(next)),
            None => next_batch(context, reader.as_mut(), collect_until, &mut room),
        };
        if settle(context, &mut worker, &mut commits).is_none() {
            return;
        }
        match next {
            Ok(None) => context.progress.seen_all_up_to.store(read_up_to, Ordering::Relaxed),
            Ok(Some((batch, origin))) => {
                context.progress.seen_all_up_to.store(-1, Ordering::Relaxed);
                if let Origin::Log { next_offset } = origin {
                    read_up_to = next_offset;
                }
                failures = 0;
                let took = Duration::from_micros(context.progress.commit_us.load(Ordering::Relaxed));
                collect_until = Instant::now() + collect_for(took, wait_max);
                let piece = Piece { batch, origin, taken_out: TakenOut::default(), searching: false };
                if work_through(context, &mut worker, &mut commits, piece).is_none() {
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
    // What was read is finished.
    settle(context, &mut worker, &mut commits);
}

/// How long a batch collects at least, unless the spec says less.
const COLLECT_MIN: Duration = Duration::from_millis(20);
/// How many times as long as the last batch took to be committed: the lane commits for a quarter of its time at most, and when
/// many lanes share a machine, or a broker, and each commit takes longer, there are fewer and wider ones.
const COLLECT_TIMES: u32 = 3;

/// How long a batch collects if the last one took so long to be committed.
fn collect_for(took: Duration, max: Duration) -> Duration {
    (took * COLLECT_TIMES).max(COLLECT_MIN).min(max)
}

/// A batch, or a part of one that is committed by itself.
struct Piece {
    batch: Batch,
    origin: Origin,
    taken_out: TakenOut,
    /// Whether it is a part of a batch that a guest failed at.
    searching: bool,
}

impl Piece {
    /// Its halves, in order.
    fn halves(self) -> (Piece, Piece) {
        let Piece { batch, origin, taken_out, .. } = self;
        let middle = batch.len() / 2;
        let (before, behind) = match origin {
            Origin::Log { next_offset } => {
                (Origin::Log { next_offset: batch.offset(middle) }, Origin::Log { next_offset })
            }
            Origin::Parked(mut origins) => {
                let behind = origins.split_off(middle);
                (Origin::Parked(origins), Origin::Parked(behind))
            }
        };
        let (out_before, out_behind) = taken_out.split_at(u32::try_from(middle).unwrap_or(u32::MAX));
        let half = |range, origin, taken_out| Piece {
            batch: batch.slice(range),
            origin,
            taken_out,
            searching: true,
        };
        (half(0..middle, before, out_before), half(middle..batch.len(), behind, out_behind))
    }
}

/// Where records may count on each other: waits until what was given is committed, and works through once more what was
/// not; `None` if the lane is to end.
fn settle(context: &LaneContext, worker: &mut Worker, commits: &mut Commits) -> Option<()> {
    while worker.chain.has_state() {
        let Some(piece) = commits.settled()? else { break };
        in_order(context, worker, commits, piece)?;
    }
    Some(())
}

/// Has the guests work a batch through, and gives what comes of it to be committed; `None` if the lane is to end.
fn work_through(
    context: &LaneContext,
    worker: &mut Worker,
    commits: &mut Commits,
    piece: Piece,
) -> Option<()> {
    loop {
        settle(context, worker, commits)?;
        if worker.chain.has_state() {
            return in_order(context, worker, commits, piece);
        }
        if let Some((effects, stages)) = transform(context, worker, |chain| chain.apply(&piece.batch))? {
            context.live.judge(&worker.deployment, &effects, &stages);
            let Piece { batch, origin, .. } = piece;
            return commits.send(Work { batch, origin, effects, stages });
        }
    }
}

/// The same where records may count on each other: a batch that a guest fails at is cut in halves, and the second one is
/// worked through when the first one is committed.
fn in_order(context: &LaneContext, worker: &mut Worker, commits: &mut Commits, piece: Piece) -> Option<()> {
    let mut waiting = vec![piece];
    while let Some(piece) = waiting.pop() {
        let worked = transform(context, worker, |chain| {
            chain.apply_in_order(&piece.batch, piece.taken_out.clone(), piece.searching)
        })?;
        match worked {
            None => waiting.push(piece),
            Some(InOrder::Halve(taken_out)) => {
                let (before, behind) = Piece { taken_out, ..piece }.halves();
                waiting.extend([behind, before]);
            }
            Some(InOrder::Worked(effects, stages, taken_out)) => {
                context.live.judge(&worker.deployment, &effects, &stages);
                let Piece { batch, origin, searching, .. } = piece;
                commits.send_in_order(Work { batch, origin, effects, stages }, taken_out, searching)?;
                // The last part may be under way while the next batch is read.
                if !waiting.is_empty() {
                    waiting.extend(commits.settled()?);
                }
            }
        }
    }
    Some(())
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

/// Has the guests work a batch through, as often as it takes; the outer `None` if the lane is to end, the inner one if it
/// has other stages now.
fn transform<T>(
    context: &LaneContext,
    worker: &mut Worker,
    apply: impl Fn(&mut Chain) -> Result<T, Unavailable>,
) -> Option<Option<T>> {
    let mut attempt = 0;
    loop {
        let start = Instant::now();
        match context.slots.run(|| apply(&mut worker.chain)) {
            Ok(worked) => {
                telemetry::step(&context.id.pipeline, "transform", start.elapsed());
                if attempt > 0 {
                    context.recovered();
                }
                return Some(Some(worked));
            }
            // Draining gives the batch up: it is not committed, so whoever comes next reads it again.
            Err(unavailable) => {
                if context.draining() || !context.back_off("transform", attempt, &unavailable) {
                    return None;
                }
                attempt += 1;
                // What helps may be another version.
                if worker.take_up(context) {
                    return Some(None);
                }
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

    fn is_old(&self, context: &LaneContext) -> bool {
        context.live.is_newer_than(&self.deployment)
    }

    /// Between two batches: goes over to what was deployed meanwhile, if anything was; answers whether it was. Each batch
    /// is worked through by one deployment only.
    fn take_up(&mut self, context: &LaneContext) -> bool {
        if !self.is_old(context) {
            return false;
        }
        let start = Instant::now();
        self.deployment = context.live.current();
        let old = self.chain.change_to(&self.deployment.transform);
        self.say(context, start.elapsed());
        // Who is woken for this takes a core that the lane may be on: last of all.
        context.runtime.spawn_blocking(move || drop(old));
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_collect_for_as_long_as_commits_leave_room() {
        let millis = Duration::from_millis;
        for (took, max, expected) in
            [(0, 500, 20), (4, 500, 20), (10, 500, 30), (3_000, 500, 500), (10, 5, 5)]
        {
            assert_eq!(collect_for(millis(took), millis(max)), millis(expected), "{took} ms");
        }
    }
}
