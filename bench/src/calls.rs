//! What a guest costs beside the same functions natively: both in this process and on this thread, in turns, on the
//! same batches, through the very chain that a lane has.

use crate::load;
use crate::native;
use crate::pipelines::{Names, Pipeline, write_spec};
use crate::report::median;
use gristmill::generate::Scenario;
use gristmill::lookup::{Answers, Lookups, Unavailable};
use gristmill::record::Batch;
use gristmill::spec::Spec;
use gristmill::transform::{Chain, Engine, Pipeline as Stages};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Records of one batch. One alone shows what a call costs, which an idle host pays; nothing is asked of that.
const SIZES: [usize; 3] = [1, 100, 2_000];
/// Records of one round, so far as batches of that size make them up.
const ROUND_RECORDS: usize = 20_000;
/// Calls of one round, at most.
const ROUND_CALLS: usize = 2_000;
/// Records of one turn. Short ones: who else uses the machine slows neighbouring turns down alike.
const TURN_RECORDS: usize = 2_000;

/// Processor time per record, in microseconds.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Calls {
    pub(crate) pipeline: Pipeline,
    pub(crate) batch_records: usize,
    pub(crate) native_us: f64,
    pub(crate) guest_us: f64,
    /// The median of the rounds' ratios.
    pub(crate) ratio: f64,
    pub(crate) ratio_min: f64,
    pub(crate) ratio_max: f64,
}

impl Calls {
    /// Whether the batches are as wide as those of a host that has work to do.
    pub(crate) fn under_load(&self) -> bool {
        self.batch_records > 1
    }
}

/// What order-vault looks up, in this process: a lookup's own time is not the guest's.
struct Known(HashMap<Vec<u8>, Vec<u8>>);

impl Known {
    fn all() -> Self {
        let all = Scenario::OrderVault.reference().into_iter();
        Known(all.map(|made| (made.key.into_bytes(), made.value.into_bytes())).collect())
    }
}

impl Lookups for Known {
    fn get_many(&self, _: &str, keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        Ok(keys.iter().map(|key| self.0.get(key).cloned()).collect())
    }
}

/// Measures a pipeline's chain.
pub(crate) fn measure(
    pipeline: Pipeline,
    modules: &Path,
    folder: &Path,
    rounds: usize,
) -> anyhow::Result<Vec<Calls>> {
    let names = Names { pipeline: "calls", topic: "calls", prefix: "calls", modules };
    let spec = Spec::read(&write_spec(pipeline, &names, folder, |_| {})?)?;
    let lookups: Arc<dyn Lookups> = Arc::new(Known::all());
    let stages = Stages::load(&Engine::new(None)?, &spec, &lookups)?;
    let native = native::replace(stages.clone())?;
    SIZES.into_iter().map(|size| of_size(pipeline, size, rounds, &stages, &native)).collect()
}

fn of_size(
    pipeline: Pipeline,
    size: usize,
    rounds: usize,
    stages: &Stages,
    native: &Stages,
) -> anyhow::Result<Calls> {
    let batches: Vec<Batch> =
        (0..(ROUND_RECORDS / size).clamp(1, ROUND_CALLS)).map(|index| batch(pipeline, index, size)).collect();
    let (mut guest_chain, mut native_chain) = (Chain::new(stages), Chain::new(native));
    let (mut guests, mut natives, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let per_record = 1e6 / (batches.len() * size) as f64;
    // The first round makes the instances and is not counted.
    for round in 0..=rounds {
        let (mut native_us, mut guest_us) = (0.0, 0.0);
        for (turn, batches) in batches.chunks((TURN_RECORDS / size).max(1)).enumerate() {
            if turn % 2 == 0 {
                native_us += seconds(&mut native_chain, batches)? * per_record;
            }
            guest_us += seconds(&mut guest_chain, batches)? * per_record;
            if turn % 2 == 1 {
                native_us += seconds(&mut native_chain, batches)? * per_record;
            }
        }
        if round > 0 {
            natives.push(native_us);
            guests.push(guest_us);
            ratios.push(guest_us / native_us);
        }
    }
    Ok(Calls {
        pipeline,
        batch_records: size,
        native_us: median(&natives),
        guest_us: median(&guests),
        ratio: median(&ratios),
        ratio_min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratio_max: ratios.iter().copied().fold(0.0, f64::max),
    })
}

fn batch(pipeline: Pipeline, index: usize, size: usize) -> Batch {
    let mut batch = Batch::new("calls", 0);
    for number in index * size..(index + 1) * size {
        let made = load::record(pipeline, number as u64);
        let offset = i64::try_from(number).unwrap_or(i64::MAX);
        batch.push(offset, 0, Some(made.key.as_bytes()), Some(made.value.as_bytes()));
    }
    batch
}

/// Works batches through; answers the processor time that it took.
fn seconds(chain: &mut Chain, batches: &[Batch]) -> anyhow::Result<f64> {
    let start = thread_seconds();
    for batch in batches {
        std::hint::black_box(chain.apply(batch)?);
    }
    Ok(thread_seconds() - start)
}

fn thread_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
