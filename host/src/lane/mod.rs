//! A lane: the one worker of one source partition. `log.read → transform → store.commit → publish`, each step on a
//! thread of its own, a batch handed from one to the next:
//!
//! ```text
//!  reads, transforms  ──rendezvous──>  commits  ──rendezvous──>  publishes
//!  batch n+1                           batch n                     batch n-1
//! ```
//!
//! So the next batch is transformed while the last one commits, and never more than two are between reading and the
//! store (DESIGN.md D8); storing runs at most two batches ahead of publishing, as the commit's model has it. Batches
//! are committed and published in order. No store connection is held while a guest runs.
//!
//! Where a stage looks up what the pipeline itself writes, records count on each other (DESIGN.md D6): then a batch is
//! transformed only when the one before it is committed, and once more without a record that is taken out of it.
//!
//! A lane ends by draining (what was read is finished, within `limits.drain_ms_max`) or by being abandoned (nothing
//! more is written). Either way nothing is lost: what is not committed is read again by whoever comes next.

mod commit;
mod feed;
mod parked;
mod publish;
mod take_over;

pub use take_over::{TakeOverError, Taken, take_over};

use crate::live::Live;
use crate::log::{Log, Reader};
use crate::record::LaneId;
use crate::spec::Spec;
use crate::store::{Fence, Store};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// What a lane works with, shared by its threads.
pub struct LaneContext {
    /// The lane.
    pub id: LaneId,
    /// The pipeline's spec.
    pub spec: Arc<Spec>,
    /// Where effects go.
    pub store: Arc<dyn Store>,
    /// Where records come from.
    pub log: Arc<dyn Log>,
    /// Where waiting for the store is done.
    pub runtime: Handle,
    /// The stages that it works with, and whether it may.
    pub live: Arc<Live>,
    /// Guest calls of the pipeline that may run at once.
    pub slots: Arc<GuestSlots>,
    /// Told when mails were committed.
    pub mail_committed: Arc<Notify>,
    /// How the lane is doing.
    pub progress: Progress,
    control: Control,
}

/// How a lane is doing, for people and tests.
#[derive(Debug, Default)]
pub struct Progress {
    /// The last committed batch.
    pub batch: AtomicI64,
    /// The next offset to read.
    pub next_offset: AtomicI64,
    /// Up to where records were read, once there was no other one to be seen; -1 while there are more.
    pub seen_all_up_to: AtomicI64,
    /// The last published batch.
    pub published: AtomicI64,
    /// How long the last batch took to be committed and to be given on to be published, microseconds.
    pub commit_us: AtomicU64,
    /// Linear memory of the lane's guests, bytes.
    pub guest_memory_bytes: AtomicU64,
    /// What is being repeated, and why; `None` if all is well.
    pub trouble: Mutex<Option<String>>,
    /// Which activations it works with.
    pub works_with: Mutex<WorksWith>,
    /// Whether the lane was given up: another host has taken it over, or it must be taken over anew.
    pub given_up: AtomicBool,
    /// Whether one of the lane's threads has ended by a panic: a fault of this program.
    pub broken: AtomicBool,
}

/// Which activations a lane works with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorksWith {
    /// By stage; empty before the lane is at work.
    pub activations: Vec<(String, i64)>,
    /// Since when, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// How long the lane stood still for the last change, microseconds.
    pub pause_us: i64,
}

/// Tells a lane's threads to end.
#[derive(Default)]
struct Control {
    drain: AtomicBool,
    abandon: AtomicBool,
    /// The threads that are still at work.
    alive: Mutex<u32>,
    ended: Condvar,
}

impl LaneContext {
    /// A lane that is not at work yet.
    #[allow(clippy::too_many_arguments, reason = "one call site, named alike")]
    pub fn new(
        id: LaneId,
        spec: Arc<Spec>,
        store: Arc<dyn Store>,
        log: Arc<dyn Log>,
        runtime: Handle,
        live: Arc<Live>,
        slots: Arc<GuestSlots>,
        mail_committed: Arc<Notify>,
    ) -> Arc<Self> {
        let (progress, control) = (Progress::default(), Control::default());
        Arc::new(LaneContext {
            id,
            spec,
            store,
            log,
            runtime,
            live,
            slots,
            mail_committed,
            progress,
            control,
        })
    }

    /// Ends what is being tried on this lane's behalf before it is at work.
    pub fn let_go(&self) {
        self.control.abandon.store(true, Ordering::Relaxed);
    }

    /// Whether the lane has ended, or was not begun, although nobody said so: it was given up, or one of its threads
    /// has panicked.
    pub fn is_dead(&self) -> bool {
        self.progress.given_up.load(Ordering::Relaxed) || self.progress.broken.load(Ordering::Relaxed)
    }

    /// Whether to begin no further batch.
    fn draining(&self) -> bool {
        self.control.drain.load(Ordering::Relaxed) || self.abandoned()
    }

    /// Whether to write nothing more.
    fn abandoned(&self) -> bool {
        self.control.abandon.load(Ordering::Relaxed)
    }

    /// Gives the lane up: another host has it, or only a new take-over can tell where it stands.
    fn give_up(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(lane = %self.id, %error, "letting go of the lane");
        *self.progress.trouble.lock() = Some(error.to_string());
        self.progress.given_up.store(true, Ordering::Relaxed);
        self.control.abandon.store(true, Ordering::Relaxed);
    }

    /// Says what goes wrong and is tried again, then waits: a little longer each time. Answers whether to go on.
    fn back_off(&self, step: &'static str, attempt: u32, error: &dyn std::fmt::Display) -> bool {
        crate::telemetry::count(crate::telemetry::RETRIES, &self.id.pipeline, Some(("step", step)), 1);
        if attempt < 3 || attempt.is_multiple_of(10) {
            tracing::warn!(lane = %self.id, step, attempt, %error, "trying again");
        }
        *self.progress.trouble.lock() = Some(format!("{step}: {error}"));
        let wait = Duration::from_millis(50_u64.saturating_mul(1 << attempt.min(6)).min(2_000));
        let until = Instant::now() + wait;
        while Instant::now() < until && !self.abandoned() {
            std::thread::sleep(
                Duration::from_millis(10).min(until.saturating_duration_since(Instant::now())),
            );
        }
        !self.abandoned()
    }

    fn recovered(&self) {
        *self.progress.trouble.lock() = None;
    }
}

/// A lane at work.
pub struct Lane {
    context: Arc<LaneContext>,
}

impl Lane {
    /// Starts a lane that was taken over.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(context: Arc<LaneContext>, taken: Taken, reader: Box<dyn Reader>) -> std::io::Result<Self> {
        let Taken { fence, publisher } = taken;
        context.progress.batch.store(fence.batch, Ordering::Relaxed);
        context.progress.next_offset.store(fence.next_offset, Ordering::Relaxed);
        context.progress.seen_all_up_to.store(-1, Ordering::Relaxed);
        context.progress.published.store(fence.published, Ordering::Relaxed);
        let (to_commit, committing) = std::sync::mpsc::sync_channel(0);
        let (to_publish, publishing) = std::sync::mpsc::sync_channel(0);
        let (ended, endings) = std::sync::mpsc::channel();
        let parked = Arc::new(parked::Parked::default());
        let (feed_context, feed_parked) = (context.clone(), parked.clone());
        thread(&context, "feed", move || {
            let commits = feed::Commits::new(to_commit, endings, feed_parked);
            feed::run(&feed_context, reader, commits);
        })?;
        let commit_context = context.clone();
        thread(&context, "commit", move || {
            commit::run(&commit_context, fence, &parked, &committing, &ended, &to_publish)
        })?;
        let publish_context = context.clone();
        thread(&context, "publish", move || publish::run(&publish_context, fence, publisher, &publishing))?;
        Ok(Lane { context })
    }

    /// Which lane it is.
    pub fn id(&self) -> &LaneId {
        &self.context.id
    }

    /// How the lane is doing.
    pub fn progress(&self) -> &Progress {
        &self.context.progress
    }

    /// Whether it has ended although nobody told it to.
    pub fn is_dead(&self) -> bool {
        self.context.is_dead()
    }

    /// Tells the lane to finish what it has read; [`Lane::join`] waits for it.
    pub fn drain(&self) {
        self.context.control.drain.store(true, Ordering::Relaxed);
    }

    /// Tells the lane to write nothing more.
    pub fn abandon(&self) {
        self.context.control.abandon.store(true, Ordering::Relaxed);
    }

    /// Waits for the lane's threads to end; abandons the lane at the deadline. Answers whether all was finished.
    pub fn join(&self, deadline: Instant) -> bool {
        let control = &self.context.control;
        let mut alive = control.alive.lock();
        while *alive > 0 {
            if control.ended.wait_until(&mut alive, deadline).timed_out() {
                if control.abandon.swap(true, Ordering::Relaxed) {
                    return false;
                }
                tracing::warn!(lane = %self.context.id, "the lane did not finish in time and is abandoned");
                // Every loop looks at the flag within a few seconds; what is in the database's hands is fenced.
                let last = Instant::now() + Duration::from_secs(5);
                while *alive > 0 && !control.ended.wait_until(&mut alive, last).timed_out() {}
                return false;
            }
        }
        !self.context.abandoned()
    }
}

/// Runs one of the lane's threads, and counts it.
fn thread(
    context: &Arc<LaneContext>,
    step: &str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    /// Counts down also when the thread panics.
    struct Alive(Arc<LaneContext>);
    impl Drop for Alive {
        fn drop(&mut self) {
            if std::thread::panicking() {
                tracing::error!(lane = %self.0.id, "a thread of the lane ended by a panic: please report it");
                *self.0.progress.trouble.lock() = Some("a thread of the lane ended by a panic".to_owned());
                self.0.progress.broken.store(true, Ordering::Relaxed);
                self.0.control.abandon.store(true, Ordering::Relaxed);
            }
            *self.0.control.alive.lock() -= 1;
            self.0.control.ended.notify_all();
        }
    }
    *context.control.alive.lock() += 1;
    let alive = Alive(context.clone());
    let name = format!("{step}-{}-{}", context.id.topic, context.id.partition);
    std::thread::Builder::new().name(name).spawn(move || {
        let _alive = alive;
        work();
    })?;
    Ok(())
}

/// Bounds the guest calls that run at once, over all lanes of a pipeline: more than there are cores would only make each of
/// them slower. Each pipeline has its own: one whose guests loop, or wait for a lookup that does not answer, keeps no other
/// from working, and the system shares the cores out among those that have something to do. (Limits of time count processor
/// time, so that a shared core cuts nobody short.)
pub struct GuestSlots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl GuestSlots {
    /// So many calls at once.
    pub fn new(slots: usize) -> Self {
        GuestSlots { free: Mutex::new(slots.max(1)), freed: Condvar::new() }
    }

    /// Waits for a slot and runs the call in it.
    fn run<T>(&self, call: impl FnOnce() -> T) -> T {
        struct Slot<'a>(&'a GuestSlots);
        impl Drop for Slot<'_> {
            fn drop(&mut self) {
                *self.0.free.lock() += 1;
                self.0.freed.notify_one();
            }
        }
        {
            let mut free = self.free.lock();
            while *free == 0 {
                self.freed.wait(&mut free);
            }
            *free -= 1;
        }
        let _slot = Slot(self);
        call()
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What the fence becomes after a commit.
fn after_commit(fence: Fence, committed: &crate::store::Committed) -> Fence {
    Fence { batch: committed.batch, next_offset: committed.next_offset, ..fence }
}
