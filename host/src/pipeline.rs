//! A pipeline at work on this host: its source's partitions come and go, and each one has a lane while it is here.
//! The only module that knows every part.

use crate::lane::{GuestSlots, Lane, LaneContext, Progress, TakeOverError, Taken, WorksWith, take_over};
use crate::live::Live;
use crate::log::{Log, PartitionEvents, Reader};
use crate::record::LaneId;
use crate::spec::Spec;
use crate::store::Store;
use crate::telemetry;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a lane that was fenced, or whose thread has panicked, may stay assigned before the pipeline joins its
/// group anew: by then the log has told a host that has really lost the partition.
const DEAD_MAX: Duration = Duration::from_secs(15);
/// How long to wait before the source is opened again after it ended by an error.
const REOPEN: Duration = Duration::from_secs(1);

/// What a pipeline works with.
pub struct Parts {
    /// Its spec.
    pub spec: Arc<Spec>,
    /// Its stages, compiled and checked; they may be changed while it works.
    pub live: Arc<Live>,
    /// Where records come from and messages go.
    pub log: Arc<dyn Log>,
    /// Where effects become facts.
    pub store: Arc<dyn Store>,
    /// Where waiting is done.
    pub runtime: Handle,
    /// Guest calls that may run at once.
    pub slots: Arc<GuestSlots>,
    /// Told when mails were committed.
    pub mail_committed: Arc<Notify>,
}

/// What a pipeline is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not joined its group yet.
    #[default]
    Starting,
    /// It is in its group, with partitions or standing by.
    Running,
    /// It stopped: an operator must decide.
    Stopped(String),
}

/// One lane, as a person sees it.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// The partition.
    pub partition: i32,
    /// The last committed batch.
    pub batch: i64,
    /// The last published batch.
    pub published: i64,
    /// The next offset to read.
    pub next_offset: i64,
    /// Whether it has committed all that there is to be read.
    has_all: bool,
    /// Records between that and the log's end; absent if the log did not answer.
    pub lag: Option<i64>,
    /// What is being repeated, and why.
    pub trouble: Option<String>,
}

/// A pipeline at work.
pub struct Pipeline {
    parts: Parts,
    lanes: Mutex<BTreeMap<i32, Slot>>,
    state: Mutex<State>,
    /// Ends the pipeline.
    stop: CancellationToken,
    /// Ends the present run of the source, to join the group anew.
    rejoin: Mutex<CancellationToken>,
}

/// A partition that is ours: taken over, then at work.
enum Slot {
    Taken(Arc<LaneContext>, Taken),
    Working(Lane),
    /// It could not be taken over: the log counts on this host, which does not read it.
    Left(Arc<LaneContext>),
}

impl Pipeline {
    /// A pipeline that does not work yet.
    pub fn new(parts: Parts, stop: CancellationToken) -> Arc<Self> {
        let rejoin = Mutex::new(stop.child_token());
        Arc::new(Pipeline { parts, lanes: Mutex::default(), state: Mutex::default(), stop, rejoin })
    }

    /// The pipeline's spec.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.parts.spec
    }

    /// The pipeline's stages, which may be changed while it works.
    pub fn live(&self) -> &Arc<Live> {
        &self.parts.live
    }

    /// Tells the pipeline to stop: its lanes finish what they have begun.
    pub fn finish(&self) {
        self.stop.cancel();
    }

    /// Which activations the lanes of this host work with.
    pub fn works_with(&self) -> Vec<(LaneId, WorksWith)> {
        let lanes = self.lanes.lock();
        let working = lanes.values().filter_map(|slot| match slot {
            Slot::Working(lane) => Some((lane.id().clone(), lane.progress().works_with.lock().clone())),
            Slot::Taken(..) | Slot::Left(_) => None,
        });
        working.filter(|(_, works_with)| works_with.at_ms > 0).collect()
    }

    /// What the pipeline is doing.
    pub fn state(&self) -> State {
        self.state.lock().clone()
    }

    /// Works until it is told to stop, or must: an operator's decision is needed then, and the error says which.
    /// Blocking, on a thread of its own.
    ///
    /// # Errors
    /// Why it stopped by itself.
    pub fn run(self: &Arc<Self>) -> Result<(), String> {
        while !self.stop.is_cancelled() {
            let round = self.stop.child_token();
            *self.rejoin.lock() = round.clone();
            let watcher = self.watch(round.clone());
            let events = Arc::new(Events(self.clone()));
            let ended = self.parts.log.run_source(self.spec(), events, round.clone());
            round.cancel();
            watcher.abort();
            if let State::Stopped(why) = self.state() {
                return Err(why);
            }
            if let Err(error) = ended {
                tracing::error!(pipeline = self.spec().name, %error, "the source ended; opening it again");
                let until = Instant::now() + REOPEN;
                while Instant::now() < until && !self.stop.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        Ok(())
    }

    /// Joins the group anew when a lane that has ended by itself stays with us, and keeps the metrics of lag and memory.
    fn watch(self: &Arc<Self>, round: CancellationToken) -> tokio::task::JoinHandle<()> {
        let pipeline = self.clone();
        self.parts.runtime.spawn(async move {
            let mut dead_since: Option<Instant> = None;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let dead = pipeline.lanes.lock().values().any(|slot| match slot {
                    Slot::Working(lane) => lane.is_dead(),
                    Slot::Left(context) => context.is_dead(),
                    Slot::Taken(..) => false,
                });
                dead_since = if dead { dead_since.or(Some(Instant::now())) } else { None };
                if dead_since.is_some_and(|since| since.elapsed() > DEAD_MAX) {
                    tracing::warn!(
                        pipeline = pipeline.spec().name,
                        "a lane that no longer works is still ours; joining the group anew"
                    );
                    round.cancel();
                    return;
                }
                pipeline.count_memory();
                for lane in pipeline.lanes().await {
                    if let Some(lag) = lane.lag {
                        let lag = f64::from(i32::try_from(lag).unwrap_or(i32::MAX));
                        telemetry::partition_gauge(
                            telemetry::LAG,
                            &pipeline.spec().name,
                            lane.partition,
                            lag,
                        );
                    }
                }
            }
        })
    }

    /// The lanes of this host.
    pub async fn lanes(&self) -> Vec<LaneView> {
        let mut views: Vec<LaneView> =
            self.lanes.lock().iter().map(|(partition, slot)| view(*partition, slot)).collect();
        for view in &mut views {
            let bounds = self.parts.log.bounds(&self.spec().source.topic, view.partition);
            if view.has_all {
                // Whatever offsets are behind its own (markers of transactions), no reader gets to see anything there.
                view.lag = Some(0);
            } else if let Ok(Ok((_, end))) = tokio::time::timeout(Duration::from_secs(2), bounds).await {
                view.lag = Some((end - view.next_offset).max(0));
            }
        }
        views
    }

    fn lane_context(&self, partition: i32) -> Arc<LaneContext> {
        let parts = &self.parts;
        let id = LaneId {
            pipeline: Arc::from(parts.spec.name.as_str()),
            topic: Arc::from(parts.spec.source.topic.as_str()),
            partition,
        };
        LaneContext::new(
            id,
            parts.spec.clone(),
            parts.store.clone(),
            parts.log.clone(),
            parts.runtime.clone(),
            parts.live.clone(),
            parts.slots.clone(),
            parts.mail_committed.clone(),
        )
    }

    /// Stops the pipeline for good: the others of this host go on.
    fn halt(&self, why: String) {
        tracing::error!(pipeline = self.spec().name, "stopped: {why}");
        *self.state.lock() = State::Stopped(why);
        self.rejoin.lock().cancel();
        self.stop.cancel();
    }

    /// Takes lanes out of the map and ends them.
    fn end(&self, partitions: &[i32], drain: bool) {
        let lanes: Vec<Lane> = {
            let mut lanes = self.lanes.lock();
            let taken = partitions.iter().filter_map(|partition| lanes.remove(partition));
            taken.filter_map(|slot| if let Slot::Working(lane) = slot { Some(lane) } else { None }).collect()
        };
        for lane in &lanes {
            if drain { lane.drain() } else { lane.abandon() }
        }
        let deadline = Instant::now() + Duration::from_millis(self.spec().limits.drain_ms_max);
        for lane in &lanes {
            lane.join(deadline);
        }
        self.count_lanes();
        self.count_memory();
    }

    fn count_memory(&self) {
        let of = |slot: &Slot| match slot {
            Slot::Working(lane) => lane.progress().guest_memory_bytes.load(Ordering::Relaxed),
            Slot::Left(_) | Slot::Taken(..) => 0,
        };
        let bytes: u64 = self.lanes.lock().values().map(of).sum();
        metrics::gauge!(telemetry::GUEST_MEMORY, "pipeline" => self.spec().name.clone()).set(bytes as f64);
    }

    fn count_lanes(&self) {
        let lanes = f64::from(u32::try_from(self.lanes.lock().len()).unwrap_or(u32::MAX));
        metrics::gauge!(telemetry::LANES, "pipeline" => self.spec().name.clone()).set(lanes);
    }
}

fn view(partition: i32, slot: &Slot) -> LaneView {
    match slot {
        Slot::Taken(_, taken) => LaneView {
            partition,
            batch: taken.fence.batch,
            published: taken.fence.published,
            next_offset: taken.fence.next_offset,
            has_all: false,
            lag: None,
            trouble: None,
        },
        Slot::Working(lane) => progress_view(partition, lane.progress()),
        Slot::Left(context) => LaneView { has_all: false, ..progress_view(partition, &context.progress) },
    }
}

fn progress_view(partition: i32, progress: &Progress) -> LaneView {
    LaneView {
        partition,
        batch: progress.batch.load(Ordering::Relaxed),
        published: progress.published.load(Ordering::Relaxed),
        next_offset: progress.next_offset.load(Ordering::Relaxed),
        has_all: progress.seen_all_up_to.load(Ordering::Relaxed)
            == progress.next_offset.load(Ordering::Relaxed),
        lag: None,
        trouble: progress.trouble.lock().clone(),
    }
}

/// What the log calls.
struct Events(Arc<Pipeline>);

impl PartitionEvents for Events {
    fn assigned(&self, partitions: &[i32]) -> Vec<(i32, i64)> {
        let pipeline = &self.0;
        {
            // In the group; whether there is a partition for this host is the group's matter.
            let mut state = pipeline.state.lock();
            if *state == State::Starting {
                *state = State::Running;
            }
        }
        let contexts: Vec<Arc<LaneContext>> =
            partitions.iter().map(|partition| pipeline.lane_context(*partition)).collect();
        // Side by side: one after the other, 64 publishers would take seconds to open.
        let taken: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                contexts.iter().map(|context| scope.spawn(move || pipeline.take_over(context))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(TakeOverError::LetGo))).collect()
        });
        let mut starts = Vec::new();
        for (context, taken) in contexts.into_iter().zip(taken) {
            let partition = context.id.partition;
            match taken {
                Ok(taken) => {
                    starts.push((partition, taken.fence.next_offset));
                    pipeline.lanes.lock().insert(partition, Slot::Taken(context, taken));
                }
                Err(TakeOverError::Contradiction(contradiction)) => pipeline.halt(contradiction.to_string()),
                Err(TakeOverError::LetGo) => {
                    pipeline.lanes.lock().insert(partition, Slot::Left(context));
                }
            }
        }
        starts
    }

    fn started(&self, partition: i32, reader: Box<dyn Reader>) {
        let pipeline = &self.0;
        let taken = match pipeline.lanes.lock().entry(partition) {
            Entry::Occupied(slot) if matches!(slot.get(), Slot::Taken(..)) => slot.remove(),
            _ => return,
        };
        let Slot::Taken(context, taken) = taken else { return };
        match Lane::start(context, taken, reader) {
            Ok(lane) => {
                pipeline.lanes.lock().insert(partition, Slot::Working(lane));
            }
            Err(error) => pipeline.halt(format!("no thread for the lane of partition {partition}: {error}")),
        }
        pipeline.count_lanes();
    }

    fn revoked(&self, partitions: &[i32]) {
        self.0.end(partitions, true);
    }

    fn lost(&self, partitions: &[i32]) {
        self.0.end(partitions, false);
    }
}

impl Pipeline {
    /// Takes one lane over, unless the pipeline is told to stop meanwhile.
    fn take_over(&self, context: &Arc<LaneContext>) -> Result<Taken, TakeOverError> {
        let (done, watched) = (CancellationToken::new(), context.clone());
        let (stop, over) = (self.rejoin.lock().clone(), done.clone());
        self.parts.runtime.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => watched.let_go(),
                () = over.cancelled() => {}
            }
        });
        let taken = take_over(context);
        done.cancel();
        taken
    }
}
