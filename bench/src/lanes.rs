//! Few lanes and many: one source with 1 to 64 partitions, and one whose rows collide across partitions.

use crate::backlog::Backlog;
use crate::drain::Drained;
use crate::load::{self, Expected};
use crate::pipelines::{Pipeline, set_source};
use crate::process::Stages;
use crate::report::median;
use crate::site::{Bench, say};
use std::sync::Arc;

/// Partitions, and whether each order comes twice, into any two of them.
const CASES: [(i32, bool); 6] = [(1, false), (2, false), (4, false), (16, false), (64, false), (16, true)];

/// What so many lanes came to.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Lanes {
    pub(crate) partitions: i32,
    /// Whether lanes write the same rows.
    pub(crate) colliding: bool,
    /// The median.
    pub(crate) per_second: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The median, of host and guests.
    pub(crate) cpu_seconds_per_million: f64,
    pub(crate) peak_mib: f64,
    /// Over all rounds: a deadlock would be one.
    pub(crate) retries: u64,
}

/// Drains *core* with guests, in turns.
pub(crate) fn measure(bench: &mut Bench, records: u64, rounds: usize) -> anyhow::Result<Vec<Lanes>> {
    let mut drained: Vec<Vec<Drained>> = vec![Vec::new(); CASES.len()];
    for (partitions, colliding) in CASES {
        bench.fill(&backlog(bench, partitions, colliding), records)?;
    }
    for round in 0..rounds {
        for ((partitions, colliding), runs) in CASES.into_iter().zip(&mut drained) {
            let run = one(bench, partitions, colliding, round, records)?;
            say(&format!(
                "{} lanes, round {}: {:.0}/s",
                name(partitions, colliding),
                round + 1,
                run.records_per_second
            ));
            runs.push(run);
        }
    }
    Ok(CASES
        .into_iter()
        .zip(drained)
        .map(|((partitions, colliding), runs)| summary(partitions, colliding, &runs))
        .collect())
}

fn name(partitions: i32, colliding: bool) -> String {
    format!("{partitions}{}", if colliding { "-colliding" } else { "" })
}

fn backlog(bench: &Bench, partitions: i32, colliding: bool) -> Backlog {
    let topic = bench.topic(&format!("lanes-{}", name(partitions, colliding)));
    if colliding {
        Backlog { topic, partitions, make: Arc::new(load::colliding) }
    } else {
        Backlog { topic, partitions, ..bench.backlog(Pipeline::Core) }
    }
}

fn one(
    bench: &Bench,
    partitions: i32,
    colliding: bool,
    round: usize,
    records: u64,
) -> anyhow::Result<Drained> {
    let topic = backlog(bench, partitions, colliding).topic;
    let run = format!("lanes-{}-{round}", name(partitions, colliding));
    let ready = bench.ready(Pipeline::Core, &run, |spec| {
        set_source(spec, topic, partitions);
    })?;
    let expected: Expected =
        if colliding { load::expected_colliding(records) } else { load::expected(records) };
    bench.real(ready, Stages::Guests, expected).map(|(drained, _)| drained)
}

fn summary(partitions: i32, colliding: bool, runs: &[Drained]) -> Lanes {
    let rates: Vec<f64> = runs.iter().map(|run| run.records_per_second).collect();
    let cpu: Vec<f64> = runs.iter().map(|run| run.cpu_seconds_per_million.total()).collect();
    Lanes {
        partitions,
        colliding,
        per_second: median(&rates),
        min: rates.iter().copied().fold(f64::INFINITY, f64::min),
        max: rates.iter().copied().fold(0.0, f64::max),
        cpu_seconds_per_million: median(&cpu),
        peak_mib: runs.iter().map(|run| run.peak_mib).fold(0.0, f64::max),
        retries: runs.iter().map(|run| run.retries).sum(),
    }
}
