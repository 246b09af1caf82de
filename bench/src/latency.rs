//! From a record to its row, looked at from outside: a record is appended, and the database is asked for its row until it
//! is there. Under a steady load that others make, and by itself.

use crate::backlog::{Backlog, append_chunk};
use crate::pipelines::{Pipeline, set_source};
use crate::process::{HostProcess, Stages};
use crate::site::{Bench, Ready, say};
use anyhow::bail;
use gristmill::log::Log;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The steady load, records per second.
pub(crate) const PER_SECOND: u64 = 5_000;
/// How often the steady load appends.
const TICK: Duration = Duration::from_millis(10);
/// The pause between two records that are looked for, under load and by themselves.
const PAUSE: Duration = Duration::from_millis(40);
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// Records that are looked for in an idle host.
const IDLE_SAMPLES: usize = 30;
/// How often the database is asked: what a figure can be too large by.
const LOOK: Duration = Duration::from_millis(1);
/// How long a steady load is left alone at first.
const SETTLING: Duration = Duration::from_secs(3);
/// A row that takes longer than this is worth a look at the host.
const LATE: Duration = Duration::from_secs(1);
/// A row that does not come in this time never comes.
const LOST: Duration = Duration::from_secs(60);
/// Records that are looked for have numbers from here on; the load's are below.
const PROBES_FROM: u64 = 1_000_000_000;

/// How long it took, milliseconds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Quantiles {
    pub(crate) samples: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Record to committed row.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Latency {
    /// What the steady load came to.
    pub(crate) records_per_second: f64,
    pub(crate) steady: Quantiles,
    /// One record per second, and nothing else.
    pub(crate) idle: Quantiles,
}

/// Takes both in a run of *core*.
pub(crate) fn measure(bench: &Bench, seconds: u64) -> anyhow::Result<Latency> {
    let backlog = Backlog { topic: bench.topic("latency"), ..bench.backlog(Pipeline::Core) };
    let topic = backlog.topic.clone();
    let ready = bench.ready(Pipeline::Core, "latency", |spec| set_source(spec, topic, backlog.partitions))?;
    let mut probe = Probe::start(bench, &backlog, &ready, Pipeline::Core, "order_id = $1")?;
    let (steady, records_per_second) = probe.under_load(PER_SECOND, Duration::from_secs(seconds))?;
    say(&format!(
        "latency at {records_per_second:.0}/s: p50 {:.0} ms, p99 {:.0} ms",
        steady.p50_ms, steady.p99_ms
    ));
    let idle = probe.samples(IDLE_PAUSE, |taken| taken >= IDLE_SAMPLES)?;
    say(&format!("latency, idle: p50 {:.0} ms, p99 {:.0} ms", idle.p50_ms, idle.p99_ms));
    probe.end()?;
    Ok(Latency { records_per_second, steady, idle })
}

/// Looks for the rows of single records in a run.
pub(crate) struct Probe<'a> {
    bench: &'a Bench,
    backlog: &'a Backlog,
    ready: &'a Ready,
    host: HostProcess,
    database: PgConnection,
    /// Asks for one row, by its record's key.
    sql: String,
    /// The number of the next record.
    next: u64,
}

impl<'a> Probe<'a> {
    /// Starts a host, and waits for a first row.
    pub(crate) fn start(
        bench: &'a Bench,
        backlog: &'a Backlog,
        ready: &'a Ready,
        pipeline: Pipeline,
        condition: &str,
    ) -> anyhow::Result<Self> {
        bench.runtime.block_on(bench.log.ensure_topic(&backlog.new_topic()))?;
        let mut host = HostProcess::start(&ready.setup, &[&ready.spec], Stages::Guests)?;
        let start = Instant::now();
        while host.progress()?.is_none() {
            if start.elapsed() > LOST {
                bail!("the host does not come up: {}", host.said());
            }
            std::thread::sleep(LOOK);
        }
        let database = bench.runtime.block_on(PgConnection::connect(&ready.database.url()))?;
        let sql = format!("SELECT 1 FROM {} WHERE {condition}", pipeline.table());
        let mut probe = Probe { bench, backlog, ready, host, database, sql, next: PROBES_FROM };
        // Each lane, and each of its instances, has worked once.
        probe.samples(PAUSE, |taken| taken >= 20)?;
        Ok(probe)
    }

    /// Samples while others append so many records per second, once they have done so for a few seconds. Answers also
    /// how many they really were.
    pub(crate) fn under_load(&mut self, per_second: u64, time: Duration) -> anyhow::Result<(Quantiles, f64)> {
        let stop = Arc::new(AtomicBool::new(false));
        let feeding = feed(self.bench.log.clone(), self.backlog.clone(), per_second, stop.clone());
        let (feeding, begun) = (self.bench.runtime.spawn(feeding), Instant::now());
        std::thread::sleep(SETTLING);
        let sampled = self.samples(PAUSE, |_| begun.elapsed() >= SETTLING + time);
        stop.store(true, Ordering::Relaxed);
        let fed = self.bench.runtime.block_on(feeding)??;
        Ok((sampled?, fed as f64 / begun.elapsed().as_secs_f64()))
    }

    /// One record after the other, until `enough` says so of their number.
    pub(crate) fn samples(
        &mut self,
        pause: Duration,
        enough: impl Fn(usize) -> bool,
    ) -> anyhow::Result<Quantiles> {
        let mut taken = Vec::new();
        while !enough(taken.len()) {
            taken.push(self.one()?.as_secs_f64() * 1e3);
            std::thread::sleep(pause);
        }
        Ok(quantiles(taken))
    }

    /// Appends one record; answers how long its row took.
    fn one(&mut self) -> anyhow::Result<Duration> {
        // Far from the faulty and the repeated ones of each hundred.
        self.next += 100;
        let number = self.next + 1;
        let key = (self.backlog.make)(number).key;
        let start = Instant::now();
        self.bench.runtime.block_on(append_chunk(&self.bench.log, self.backlog, number..number + 1))?;
        let (appended, mut told) = (start.elapsed(), false);
        loop {
            let query = sqlx::query(AssertSqlSafe(self.sql.as_str())).bind(&key);
            if self.bench.runtime.block_on(query.fetch_optional(&mut self.database))?.is_some() {
                return Ok(start.elapsed());
            }
            if start.elapsed() > LATE && !told {
                told = true;
                say(&format!(
                    "the row of {key} is late: appending took {} ms; {}",
                    appended.as_millis(),
                    self.host.status().unwrap_or_else(|error| error.to_string())
                ));
            }
            if start.elapsed() > LOST {
                bail!("the row of {key} does not come: {}", self.host.said());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends the host.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.host.stop()?;
        std::fs::remove_dir_all(&self.ready.setup.folder)?;
        Ok(())
    }
}

/// Appends at a steady pace until it is told to stop; what was late is made up for. Answers how many records.
async fn feed(
    log: Arc<dyn Log>,
    backlog: Backlog,
    per_second: u64,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<u64> {
    let (start, mut fed) = (Instant::now(), 0);
    let mut ticks = tokio::time::interval(TICK);
    let mut calls = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let due = (start.elapsed().as_secs_f64() * per_second as f64) as u64;
        let (log, backlog, range) = (log.clone(), backlog.clone(), fed..due);
        fed = due;
        calls.spawn(async move { append_chunk(&log, &backlog, range).await });
        while let Some(ended) = calls.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(fed)
}

/// Quantiles by nearest rank.
fn quantiles(mut taken: Vec<f64>) -> Quantiles {
    taken.sort_by(f64::total_cmp);
    let rank = |part: f64| {
        let index = (part * taken.len() as f64).ceil() as usize;
        taken.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    };
    Quantiles { samples: taken.len(), p50_ms: rank(0.5), p99_ms: rank(0.99), max_ms: rank(1.0) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn quantiles_are_samples() {
        let found = super::quantiles((1..=200).rev().map(f64::from).collect());
        assert_eq!((found.p50_ms, found.p99_ms, found.max_ms), (100.0, 198.0, 200.0));
        let lone = super::quantiles(vec![7.0]);
        assert_eq!((lone.p50_ms, lone.p99_ms, lone.samples), (7.0, 7.0, 1));
        assert!(super::quantiles(Vec::new()).max_ms.is_nan());
    }
}
