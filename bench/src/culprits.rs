//! What records that make their guest fail cost the others: one in a hundred that traps, in records per second; one in
//! ten thousand that never ends, in latency.

use crate::backlog::Backlog;
use crate::latency::{Probe, Quantiles};
use crate::load::{self, Misdeed};
use crate::pipelines::{Pipeline, set_source};
use crate::process::Stages;
use crate::report::median;
use crate::site::{Bench, say};
use gristmill::spec::Spec;
use std::sync::Arc;
use std::time::Duration;

const TRAPS: Misdeed = Misdeed { name: "trap", one_in: 100 };
const LOOPS: Misdeed = Misdeed { name: "loop", one_in: 10_000 };
/// The load under which loops are met, records per second.
const PER_SECOND: u64 = 2_000;

/// What they cost.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Culprits {
    /// Records per second without any, and with one in a hundred that traps: medians.
    pub(crate) clean_per_second: f64,
    pub(crate) trapped_per_second: f64,
    /// The median of the rounds' ratios.
    pub(crate) ratio: f64,
    /// How long a call may take, and the latency of the others.
    pub(crate) guest_time_ms_max: u64,
    pub(crate) records_per_second: f64,
    pub(crate) looping: Quantiles,
}

/// Measures both, the second one for so many seconds.
pub(crate) fn measure(
    bench: &mut Bench,
    records: u64,
    rounds: usize,
    seconds: u64,
) -> anyhow::Result<Culprits> {
    let (mut clean, mut trapped) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        clean.push(drained(bench, None, round, records)?);
        trapped.push(drained(bench, Some(TRAPS), round, records)?);
    }
    let ratios: Vec<f64> = trapped.iter().zip(&clean).map(|(trapped, clean)| trapped / clean).collect();
    let (looping, records_per_second, guest_time_ms_max) = looping(bench, seconds)?;
    Ok(Culprits {
        clean_per_second: median(&clean),
        trapped_per_second: median(&trapped),
        ratio: median(&ratios),
        guest_time_ms_max,
        records_per_second,
        looping,
    })
}

fn backlog(bench: &Bench, name: &str, misdeed: Option<Misdeed>) -> Backlog {
    let make = Arc::new(move |number| load::item(number, misdeed));
    Backlog { topic: bench.topic(name), make, ..bench.backlog(Pipeline::Items) }
}

/// Records per second, all of them there before.
fn drained(bench: &mut Bench, misdeed: Option<Misdeed>, round: usize, records: u64) -> anyhow::Result<f64> {
    let name = misdeed.map_or("clean", |misdeed| misdeed.name);
    let backlog = backlog(bench, &format!("items-{name}"), misdeed);
    bench.fill(&backlog, records)?;
    let ready = bench.ready(Pipeline::Items, &format!("items-{name}-{round}"), |spec| {
        set_source(spec, backlog.topic, backlog.partitions)
    })?;
    let (drained, _) = bench.real(ready, Stages::Guests, load::expected_items(records, misdeed))?;
    say(&format!("items, {name}, round {}: {:.0}/s", round + 1, drained.records_per_second));
    Ok(drained.records_per_second)
}

/// The latency of records among which some never end.
fn looping(bench: &Bench, seconds: u64) -> anyhow::Result<(Quantiles, f64, u64)> {
    let backlog = backlog(bench, "items-looping", Some(LOOPS));
    let topic = backlog.topic.clone();
    let ready =
        bench.ready(Pipeline::Items, "items-looping", |spec| set_source(spec, topic, backlog.partitions))?;
    let limit = Spec::read(&ready.spec)?.limits.guest_time_ms_max;
    let mut probe = Probe::start(bench, &backlog, &ready, Pipeline::Items, "id = ($1::text)::bigint")?;
    let (found, per_second) = probe.under_load(PER_SECOND, Duration::from_secs(seconds))?;
    say(&format!("latency beside loops: p50 {:.0} ms, max {:.0} ms", found.p50_ms, found.max_ms));
    probe.end()?;
    Ok((found, per_second, limit))
}
