//! What a pipeline's lanes on this host work with at the moment: it may be changed while they work, and each lane goes
//! over between two of its batches.
//!
//! A stage that was changed is on trial for its first batches here: if it refuses (or traps on) many more records than
//! the one before it did, the lanes say so ([`Verdict`]), and the swap is taken back.

use crate::effect::{Effects, Verdict as RecordVerdict};
use crate::spec::Swap;
use crate::store::StageRun;
use crate::transform::Pipeline as Transform;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Records after which a trial may be decided before its batches are over.
const EVIDENCE_RECORDS: u64 = 100;
/// Refused records without which no trial is lost: one bad record is no reason.
const EVIDENCE_REFUSED: u64 = 2;
/// Records that a stage's share of refused ones is remembered over.
const MEMORY_RECORDS: u64 = 100_000;

/// A pipeline's stages as they are at work on this host.
pub struct Live {
    current: RwLock<Arc<Deployment>>,
    /// The current deployment's number, to look at without a lock.
    number: AtomicU64,
    paused: AtomicBool,
    swap: Swap,
    /// Told when a lane has begun to work with other stages.
    pub taken_up: Arc<Notify>,
    lost: UnboundedSender<Verdict>,
    verdicts: Mutex<Option<UnboundedReceiver<Verdict>>>,
}

/// Stages that lanes work with.
pub struct Deployment {
    /// The stages.
    pub transform: Transform,
    number: u64,
    tallies: Vec<Tally>,
}

/// What a stage has done since it was deployed.
struct Tally {
    /// The share of refused records before this version.
    before: f64,
    counts: Mutex<Counts>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    batches: u32,
    records: u64,
    refused: u64,
    decided: bool,
}

/// A trial that was lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The stage.
    pub stage: String,
    /// The activation that was on trial.
    pub activation: i64,
    /// What happened, for people.
    pub reason: String,
}

impl Live {
    /// The stages that a pipeline begins with.
    pub fn new(transform: Transform, swap: Swap, taken_up: Arc<Notify>) -> Arc<Self> {
        let (lost, verdicts) = unbounded_channel();
        let tallies = transform.stages.iter().map(|_| Tally::untried()).collect();
        let first = Deployment { transform, number: 1, tallies };
        Arc::new(Live {
            current: RwLock::new(Arc::new(first)),
            number: AtomicU64::new(1),
            paused: AtomicBool::new(false),
            swap,
            taken_up,
            lost,
            verdicts: Mutex::new(Some(verdicts)),
        })
    }

    /// What lanes work with now.
    pub fn current(&self) -> Arc<Deployment> {
        self.current.read().clone()
    }

    /// Whether something was deployed since.
    pub fn is_newer_than(&self, deployment: &Deployment) -> bool {
        self.number.load(Ordering::Acquire) != deployment.number
    }

    /// Gives the lanes other stages, which they take up between two batches.
    pub fn deploy(&self, transform: Transform) {
        let mut current = self.current.write();
        let number = current.number + 1;
        let tallies = transform
            .stages
            .iter()
            .enumerate()
            .map(|(index, stage)| match (current.transform.stages.get(index), current.tallies.get(index)) {
                (Some(old), Some(tally)) if old.is(stage) => tally.go_on(),
                (_, Some(tally)) => Tally::after(tally.share()),
                _ => Tally::after(0.0),
            })
            .collect();
        *current = Arc::new(Deployment { transform, number, tallies });
        self.number.store(number, Ordering::Release);
    }

    /// Whether lanes are to begin no batch.
    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Pauses the lanes, or lets them go on. Answers whether that is a change.
    pub fn pause(&self, paused: bool) -> bool {
        self.paused.swap(paused, Ordering::Relaxed) != paused
    }

    /// The trials that are lost, for the one who takes swaps back; once.
    pub fn verdicts(&self) -> Option<UnboundedReceiver<Verdict>> {
        self.verdicts.lock().take()
    }

    /// Counts a batch, and decides trials.
    pub fn judge(&self, deployment: &Deployment, effects: &Effects, runs: &[StageRun]) {
        for ((stage, tally), run) in deployment.transform.stages.iter().zip(&deployment.tallies).zip(runs) {
            let refused = if effects.failures.is_empty() {
                0
            } else {
                let of_stage = |failure: &&crate::effect::Failure| {
                    failure.verdict == RecordVerdict::Reject && failure.stage == *stage.name
                };
                effects.failures.values().filter(of_stage).count() as u64
            };
            let on_trial = stage.activation != 0;
            if let Some(reason) = tally.count(u64::from(run.records), refused, on_trial, &self.swap) {
                let (stage, activation) = (stage.name.to_string(), stage.activation);
                // Nobody listens only where nobody could do anything about it.
                let _ = self.lost.send(Verdict { stage, activation, reason });
            }
        }
    }
}

impl Tally {
    fn after(before: f64) -> Self {
        Tally { before, counts: Mutex::default() }
    }

    /// Of a stage that this host begins with: how it did before nobody here has seen, so there is nothing to judge it by,
    /// and what has long been good must not be taken back because a host was started.
    fn untried() -> Self {
        Tally { before: 0.0, counts: Mutex::new(Counts { decided: true, ..Counts::default() }) }
    }

    fn go_on(&self) -> Self {
        Tally { before: self.before, counts: Mutex::new(*self.counts.lock()) }
    }

    fn share(&self) -> f64 {
        self.counts.lock().share()
    }

    /// Counts a batch; answers why the trial is lost, once.
    fn count(&self, records: u64, refused: u64, on_trial: bool, swap: &Swap) -> Option<String> {
        let mut counts = self.counts.lock();
        counts.batches = counts.batches.saturating_add(1);
        counts.records += records;
        counts.refused += refused;
        if counts.records > MEMORY_RECORDS {
            counts.records /= 2;
            counts.refused /= 2;
        }
        if !on_trial || counts.decided || swap.trial_batches == 0 {
            return None;
        }
        let over = counts.batches >= swap.trial_batches;
        let (share, allowed) = (counts.share(), self.before + swap.refused_share_max);
        let bad = share > allowed && counts.refused >= EVIDENCE_REFUSED;
        counts.decided = over;
        if !bad || !(over || counts.records >= EVIDENCE_RECORDS) {
            return None;
        }
        counts.decided = true;
        Some(format!(
            "it refused {} of its first {} records ({:.0} %); before it were {:.0} %, and {:.0} % more are allowed",
            counts.refused,
            counts.records,
            share * 100.0,
            self.before * 100.0,
            swap.refused_share_max * 100.0,
        ))
    }
}

impl Counts {
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    fn share(self) -> f64 {
        if self.records == 0 { 0.0 } else { self.refused as f64 / self.records as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWAP: Swap = Swap { trial_batches: 10, refused_share_max: 0.1 };

    #[test]
    fn a_version_that_refuses_much_more_than_the_one_before_loses_its_trial() {
        let tally = Tally::after(0.5);
        for _ in 0..9 {
            assert_eq!(tally.count(10, 6, true, &SWAP), None);
        }
        assert_eq!(tally.count(100, 60, true, &SWAP), None, "no more than a tenth above");
        let tally = Tally::after(0.5);
        let reason = tally.count(100, 61, true, &SWAP).unwrap();
        assert!(reason.contains("61 of its first 100 records"), "{reason}");
        assert_eq!(tally.count(100, 100, true, &SWAP), None, "said once");
    }

    #[test]
    fn what_a_host_begins_with_is_not_on_trial() {
        assert_eq!(Tally::untried().count(1_000, 500, true, &SWAP), None);
    }

    #[test]
    fn few_records_are_judged_when_the_trial_is_over() {
        let tally = Tally::after(0.0);
        for _ in 0..9 {
            assert_eq!(tally.count(1, 1, true, &SWAP), None);
        }
        assert!(tally.count(1, 1, true, &SWAP).is_some());
        let tally = Tally::after(0.0);
        for batch in 0..20 {
            assert_eq!(tally.count(1, u64::from(batch == 3), true, &SWAP), None, "one is no reason");
        }
    }

    #[test]
    fn after_the_trial_and_without_one_nothing_is_decided() {
        let tally = Tally::after(0.0);
        for _ in 0..10 {
            assert_eq!(tally.count(10, 0, true, &SWAP), None);
        }
        assert_eq!(tally.count(1_000, 1_000, true, &SWAP), None);
        let tally = Tally::after(0.0);
        assert_eq!(tally.count(1_000, 1_000, false, &SWAP), None);
        assert_eq!(tally.count(1_000, 1_000, true, &Swap { trial_batches: 0, ..SWAP }), None);
    }
}
