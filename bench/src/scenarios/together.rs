//! All examples in one host at once, each fed at a steady pace by its generator: while all is well, while one is poisoned,
//! while the lookup of another is down, after that, and until nothing is left to do.

use super::example::{EXAMPLES, Feed, Maker};
use super::{aligned, setup};
use crate::backlog::{Backlog, append_chunk};
use crate::load::Made;
use crate::process::{HostProcess, Stages};
use crate::proxy::Proxy;
use crate::report::{GROWTH_MAX, median};
use crate::site::{Bench, say};
use anyhow::{Context, ensure};
use comfy_table::{Table, presets};
use gristmill::generate::Scenario;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest that one record in a hundred may take to its row, seconds.
const P99_SECONDS_MAX: f64 = 1.0;
/// How long a phase settles before it is measured.
const SETTLING: Duration = Duration::from_secs(10);
/// How long lag may take to be gone when nothing is fed any more.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// How long the host is looked at when it has nothing to do any more.
const AFTER: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const POISONED: &str = "city-orders poisoned";
const LOOKUP_DOWN: &str = "lookup down";
const AGAIN: &str = "all well again";
const PHASES: [&str; 4] = ["all well", POISONED, LOOKUP_DOWN, AGAIN];
/// The pipelines that ask the lookup that is down.
const WAITING: [&str; 2] = ["order-vault", "shop-sync-local"];

/// How a pipeline was in one phase.
#[derive(serde::Serialize)]
struct Phase {
    phase: &'static str,
    pipeline: String,
    records: u64,
    /// The bucket that the slowest hundredth ends in, seconds.
    p99_seconds: f64,
}

/// Resident memory in a phase, MiB.
#[derive(serde::Serialize)]
struct Memory {
    phase: &'static str,
    min: f64,
    median: f64,
    max: f64,
}

#[derive(Default, serde::Serialize)]
pub(super) struct Together {
    phases: Vec<Phase>,
    memory_mib: Vec<Memory>,
    /// Seconds from the lookup's return until no more waited than comes in a second.
    recovered_seconds: f64,
    /// Seconds from the end of feeding until every lag was 0.
    drained_seconds: f64,
}

/// A host with all examples, and what feeds it.
struct Running {
    host: HostProcess,
    /// What the names of its pipelines begin with.
    prefix: String,
    stop: Arc<AtomicBool>,
    poison: Arc<AtomicBool>,
    feeding: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

/// Feeds all examples for so long.
pub(super) fn together(bench: &Bench, time: Duration) -> anyhow::Result<Together> {
    let proxy = Proxy::start(bench.place.lookup.as_deref().context("no Redis")?)?;
    let database = bench.database("together")?;
    let mut running = start(bench, &database, &proxy, time)?;
    let mut together = Together::default();
    for phase in PHASES {
        running.poison.store(phase == POISONED, Ordering::Relaxed);
        proxy.cut(phase == LOOKUP_DOWN);
        if phase == AGAIN {
            let second = EXAMPLES.iter().flat_map(|example| example.feeds).map(|feed| feed.pace).sum();
            together.recovered_seconds = until_lag(&running.host, second)?;
        }
        let mut memory = watch(&running.host, SETTLING)?;
        let before = histograms(&running.host)?;
        memory.extend(watch(&running.host, (time / PHASES.len() as u32).saturating_sub(SETTLING))?);
        for (pipeline, after) in histograms(&running.host)? {
            let Some(name) = pipeline.strip_prefix(&running.prefix) else { continue };
            let (records, p99_seconds) = p99(before.get(&pipeline).map_or(&[][..], Vec::as_slice), &after);
            let of = Phase { phase, pipeline: name.to_owned(), records, p99_seconds };
            say(&format!("{phase}: {name}: {records} records, p99 {}", of.p99()));
            together.phases.push(of);
        }
        together.memory_mib.push(Memory::of(phase, &memory));
    }
    running.stop.store(true, Ordering::Relaxed);
    for feed in std::mem::take(&mut running.feeding) {
        bench.runtime.block_on(feed)??;
    }
    together.drained_seconds = until_lag(&running.host, 0)?;
    together.memory_mib.push(Memory::of("nothing to do", &watch(&running.host, AFTER)?));
    running.host.stop()?;
    Ok(together)
}

/// Starts the host, waits until it is up, and begins to feed it.
fn start(
    bench: &Bench,
    database: &crate::database::Database,
    proxy: &Proxy,
    time: Duration,
) -> anyhow::Result<Running> {
    let run = "together";
    let folder = bench.folder.join(run);
    let (mut specs, mut backlogs) = (Vec::new(), Vec::new());
    for example in EXAMPLES {
        // Topics of their own: those of the runs before are full.
        specs.extend(example.write(bench, run, &folder.join(example.name), "together.")?);
        for feed in example.feeds {
            let topic = bench.topic(&format!("together.{}", feed.topic));
            let make = feed.maker(feed.pace * time.as_secs())?;
            let backlog = Backlog { topic, partitions: feed.partitions, make };
            bench.runtime.block_on(bench.log.ensure_topic(&backlog.new_topic()))?;
            backlogs.push((*feed, backlog));
        }
    }
    let setup = setup(bench, database, folder, Some(proxy.url()));
    let paths: Vec<&Path> = specs.iter().map(AsRef::as_ref).collect();
    let mut host = HostProcess::start(&setup, &paths, Stages::Guests)?;
    let up = Instant::now();
    while host.progress()?.is_none() || !host.is_ready() {
        ensure!(up.elapsed() < Duration::from_secs(120), "the host is not up: {}", host.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (stop, poison) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let feeding = backlogs.into_iter().map(|(feed, backlog)| {
        let poison = (feed.scenario == Scenario::CityOrders).then(|| poison.clone());
        bench.runtime.spawn(keep_feeding(bench.log.clone(), feed, backlog, stop.clone(), poison))
    });
    let feeding = feeding.collect();
    Ok(Running { host, prefix: format!("{}-{run}-", bench.id), stop, poison, feeding })
}

/// Appends at a steady pace until it is told to stop. Poisoned, every second record is no JSON.
async fn keep_feeding(
    log: Arc<dyn gristmill::log::Log>,
    feed: Feed,
    backlog: Backlog,
    stop: Arc<AtomicBool>,
    poison: Option<Arc<AtomicBool>>,
) -> anyhow::Result<()> {
    let make = backlog.make.clone();
    let poisoned: Maker = Arc::new(move |n| {
        let made = make(n);
        let bad = poison.as_ref().is_some_and(|poison| poison.load(Ordering::Relaxed)) && n.is_multiple_of(2);
        if bad { Made { value: "{no JSON".to_owned(), ..made } } else { made }
    });
    let backlog = Backlog { make: poisoned, ..backlog };
    let (start, mut fed) = (Instant::now(), 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * feed.pace as f64) as u64;
        if due > fed {
            append_chunk(&log, &backlog, fed..due).await?;
            fed = due;
        }
    }
    Ok(())
}

/// Resident memory, looked at again and again for so long, MiB.
fn watch(host: &HostProcess, time: Duration) -> anyhow::Result<Vec<f64>> {
    let (start, mut seen) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        seen.push(host.memory_mib()?.0);
        std::thread::sleep(LOOK_EVERY.min(time));
    }
    Ok(seen)
}

impl Memory {
    fn of(phase: &'static str, seen: &[f64]) -> Self {
        let (min, max) =
            seen.iter().fold((f64::INFINITY, 0.0_f64), |(min, max), mib| (min.min(*mib), max.max(*mib)));
        Memory { phase, min, median: median(seen), max }
    }
}

/// Counts by upper bound, by pipeline.
type Histograms = BTreeMap<String, Vec<(f64, u64)>>;

fn histograms(host: &HostProcess) -> anyhow::Result<Histograms> {
    let mut all = Histograms::new();
    let begin = format!("{}_bucket{{", gristmill::telemetry::RECORD_TO_COMMIT_SECONDS);
    for line in host.metrics()?.lines().filter(|line| line.starts_with(&begin)) {
        let label = |name: &str| {
            line.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"')).map(|(v, _)| v)
        };
        let (Some(pipeline), Some(le), Some((_, count))) =
            (label("pipeline"), label("le"), line.rsplit_once(' '))
        else {
            continue;
        };
        let bound = if le == "+Inf" { f64::INFINITY } else { le.parse()? };
        all.entry(pipeline.to_owned()).or_default().push((bound, count.parse::<f64>()? as u64));
    }
    Ok(all)
}

/// How many records there were between two looks, and the bound of the bucket that 99 of 100 are within.
fn p99(before: &[(f64, u64)], after: &[(f64, u64)]) -> (u64, f64) {
    let count = |bound: f64| before.iter().find(|(b, _)| *b == bound).map_or(0, |(_, count)| *count);
    let between: Vec<(f64, u64)> = after.iter().map(|(bound, n)| (*bound, n - count(*bound))).collect();
    let total = between.last().map_or(0, |(_, n)| *n);
    let enough = (total as f64 * 0.99).ceil() as u64;
    let bound = between.iter().find(|(_, n)| *n >= enough).map_or(f64::NAN, |(bound, _)| *bound);
    (total, bound)
}

/// Waits until no more records wait than so many; answers after how many seconds that was.
fn until_lag(host: &HostProcess, records: u64) -> anyhow::Result<f64> {
    let start = Instant::now();
    while lag(host)? > records {
        ensure!(start.elapsed() < DRAIN_MAX, "lag stays above {records}: {}", host.status()?);
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(start.elapsed().as_secs_f64())
}

fn lag(host: &HostProcess) -> anyhow::Result<u64> {
    let metrics = host.metrics()?;
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{}{{", gristmill::telemetry::LAG)));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64)
}

impl Together {
    pub(super) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["all in one host", "pipeline", "records", "p99 to the row, s"]);
        for phase in &self.phases {
            table.add_row([
                phase.phase.to_owned(),
                phase.pipeline.clone(),
                phase.records.to_string(),
                phase.p99(),
            ]);
        }
        let mut memory = Table::new();
        memory.load_style(presets::UTF8_HORIZONTAL_ONLY);
        memory.set_header(["memory, MiB", "min", "median", "max"]);
        for of in &self.memory_mib {
            let mib = |mib: f64| format!("{mib:.0}");
            memory.add_row([of.phase.to_owned(), mib(of.min), mib(of.median), mib(of.max)]);
        }
        let mut text = format!("\n{}\n\n{}\n", aligned(table), aligned(memory));
        text.push_str(&format!(
            "after the lookup's return nothing was late any more within {:.1} s; lag was 0 {:.1} s after the last record\n",
            self.recovered_seconds, self.drained_seconds
        ));
        let slow = |phase: &&Phase| phase.p99_seconds > P99_SECONDS_MAX && !phase.is_the_broken_one();
        for phase in self.phases.iter().filter(slow) {
            text.push_str(&format!(
                "MISSED: {} while {}: p99 {} s\n",
                phase.pipeline, phase.phase, phase.p99_seconds
            ));
        }
        if let Some(growth) = self.growth().filter(|growth| *growth > 1.0 + GROWTH_MAX) {
            text.push_str(&format!("MISSED: memory is {growth:.2} of what it was two phases before\n"));
        }
        text
    }

    /// The memory of the last phase that is fed in proportion to that of the second: a leak grows for as long as records
    /// come, and what a backlog took must have been given back.
    fn growth(&self) -> Option<f64> {
        let median =
            |phase| self.memory_mib.iter().find(|memory| memory.phase == phase).map(|memory| memory.median);
        Some(median(AGAIN)? / median(POISONED)?)
    }
}

impl Phase {
    fn p99(&self) -> String {
        if self.records == 0 { "(waits)".to_owned() } else { format!("≤ {}", self.p99_seconds) }
    }

    /// Whether it is a pipeline whose own lookup is down.
    fn is_the_broken_one(&self) -> bool {
        WAITING.contains(&self.pipeline.as_str()) && self.phase == LOOKUP_DOWN
    }
}
