//! One run: a host drains a backlog, is watched while it does, and must have made exactly what the load says.

use crate::load::Expected;
use crate::process::{Cpu, HostProcess, Progress, Setup, Stages};
use anyhow::{Context, bail, ensure};
use gristmill::config::Settings;
use gristmill::record::LaneId;
use gristmill::spec::Spec;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often progress is asked for: the error of a run's time is twice this.
const LOOK: Duration = Duration::from_millis(50);
/// How often memory is looked at.
const MEMORY_LOOK: Duration = Duration::from_millis(250);
/// How long a host may make no progress.
const STALLED_MAX: Duration = Duration::from_secs(90);

/// What a host did and what it cost. Time is counted from the first commit that was seen to the last one, and the
/// records of that time; processor time from when the host was up until then, and all records: at the first commit some
/// batches are in guests already. Opening and compiling are in neither.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Drained {
    pub(crate) seconds: f64,
    /// The records of that time.
    pub(crate) records: u64,
    pub(crate) records_per_second: f64,
    pub(crate) cpu_seconds_per_million: Cpu,
    pub(crate) peak_mib: f64,
    /// Seconds since the start of the process, and resident memory then.
    pub(crate) memory_mib: Vec<(f64, f64)>,
    /// Seconds since the start of the process, and records committed then.
    pub(crate) committed: Vec<(f64, u64)>,
    /// What failed for the moment and was repeated: none unless something is wrong, deadlocks among it.
    pub(crate) retries: u64,
}

/// The first commit that was seen.
struct Begun {
    at: Instant,
    records: u64,
}

/// Starts a host, waits until it has committed and published everything, ends it and checks the counts.
pub(crate) fn drain(
    runtime: &Runtime,
    setup: &Setup,
    spec: &Path,
    stages: Stages,
    expected: Expected,
) -> anyhow::Result<Drained> {
    let mut host = HostProcess::start(setup, &[spec], stages)?;
    let drained = watch(&mut host, expected.records)?;
    host.stop()?;
    runtime.block_on(check(setup, spec, expected))?;
    Ok(drained)
}

/// Watches a host until it has committed and published so many records.
pub(crate) fn watch(host: &mut HostProcess, records: u64) -> anyhow::Result<Drained> {
    let start = Instant::now();
    let mut begun: Option<Begun> = None;
    let mut up: Option<Cpu> = None;
    let (mut last, mut moved) = (Progress::default(), start);
    let (mut memory_mib, mut committed) = (Vec::new(), Vec::new());
    loop {
        let now = match host.progress()? {
            Some(now) => {
                if up.is_none() {
                    up = Some(host.cpu(now.guest_seconds)?);
                }
                now
            }
            None => last,
        };
        let seconds = start.elapsed().as_secs_f64();
        if now.records != last.records || now.published != last.published {
            (last, moved) = (now, Instant::now());
        }
        if moved.elapsed() > STALLED_MAX {
            bail!("the host stands still at {} of {records} records: {}", now.records, host.said());
        }
        ensure!(now.records <= records, "{} records out of {records}", now.records);
        if begun.is_none() && now.records > 0 {
            begun = Some(Begun { at: Instant::now(), records: now.records });
        }
        if memory_mib.last().is_none_or(|(at, _)| seconds - at >= MEMORY_LOOK.as_secs_f64()) {
            memory_mib.push((seconds, host.memory_mib()?.0));
            committed.push((seconds, now.records));
        }
        if now.records == records && host.has_published()? {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let begun = begun.filter(|begun| begun.records < records).context("too few records to measure")?;
    let counted = records - begun.records;
    let seconds = begun.at.elapsed().as_secs_f64();
    Ok(Drained {
        seconds,
        records: counted,
        records_per_second: counted as f64 / seconds,
        cpu_seconds_per_million: host
            .cpu(last.guest_seconds)?
            .since(up.unwrap_or_default(), records as f64 / 1e6),
        peak_mib: host.memory_mib()?.1,
        memory_mib,
        committed,
        retries: last.retries,
    })
}

/// A run whose rows, dead letters or offsets are not those of its load measures nothing.
async fn check(setup: &Setup, spec: &Path, expected: Expected) -> anyhow::Result<()> {
    let settings =
        Settings { log: Some(setup.log.clone()), store: Some(setup.store.clone()), ..Settings::default() };
    let (store, _) = settings.open().await?;
    let spec = Spec::read(spec)?;
    let table = spec.tables.first().context("a spec without a table")?;
    let mut offsets = 0;
    for partition in 0..spec.source.partitions {
        let lane = LaneId {
            pipeline: spec.name.as_str().into(),
            topic: spec.source.topic.as_str().into(),
            partition,
        };
        offsets += store.lane(&lane).await?.and_then(|lane| lane.next_offset).unwrap_or(0);
    }
    let letters = store.dead_letter_counts(&spec.name).await?;
    let found = Expected {
        records: u64::try_from(offsets)?,
        rows: store.count_rows(table).await?,
        dead_letters: letters.iter().map(|(_, count)| count).sum(),
    };
    ensure!(found == expected, "the run made {found:?} instead of {expected:?}; dead letters: {letters:?}");
    Ok(())
}
