//! The figures of a run: as a table with verdicts, and as JSON.

use crate::calls::Calls;
use crate::culprits::Culprits;
use crate::drain::Drained;
use crate::lanes::Lanes;
use crate::latency::Latency;
use crate::machine::Machine;
use crate::pipelines::Pipeline;
use crate::process::Cpu;
use crate::run::{Run, Variant};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;

/// What is asked of the figures.
const GUESTS_TO_NATIVE_MIN: f64 = 0.8;
const NATIVE_TO_COPY_MIN: f64 = 0.3;
const CPU_SECONDS_MAX: f64 = 8.0;
const CALL_RATIO_MAX: f64 = 1.6;
const MEMORY_MIB_MAX: f64 = 300.0;
/// How much more memory the last quarter may have than the second, for a curve that is called flat.
pub const GROWTH_MAX: f64 = 0.1;
const STEADY_P99_MS_MAX: f64 = 250.0;
const IDLE_P99_MS_MAX: f64 = 50.0;
const TRAPPED_TO_CLEAN_MIN: f64 = 0.5;
/// A record that loops takes its batch's whole time, a search among ever fewer records with much shorter times, and a
/// record's whole time: so many times the limit, with what waits meanwhile.
const LOOP_DEADLINES_MAX: f64 = 4.0;

/// Everything that was measured.
#[derive(serde::Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) records: u64,
    pub(crate) rounds: usize,
    pub(crate) runs: Vec<Run>,
    pub(crate) memory: Option<Drained>,
    pub(crate) calls: Vec<Calls>,
    pub(crate) lanes: Vec<Lanes>,
    pub(crate) latency: Option<Latency>,
    pub(crate) culprits: Option<Culprits>,
}

/// One line of the table.
pub(crate) struct Summary {
    pub(crate) pipeline: Pipeline,
    pub(crate) variant: Variant,
    pub(crate) per_second: f64,
    min: f64,
    max: f64,
    pub(crate) cpu: Option<Cpu>,
    peak_mib: f64,
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(value), 1) => *value,
        (Some(above), _) => sorted.get(middle.wrapping_sub(1)).map_or(*above, |below| (above + below) / 2.0),
        (None, _) => f64::NAN,
    }
}

impl Report {
    /// Medians, by pipeline and variant.
    pub(crate) fn summaries(&self) -> Vec<Summary> {
        let mut kinds: Vec<_> = self.runs.iter().map(|run| (run.pipeline, run.variant)).collect();
        kinds.sort();
        kinds.dedup();
        kinds.into_iter().map(|(pipeline, variant)| self.summary(pipeline, variant)).collect()
    }

    fn summary(&self, pipeline: Pipeline, variant: Variant) -> Summary {
        let runs = || self.runs.iter().filter(move |run| (run.pipeline, run.variant) == (pipeline, variant));
        let rates: Vec<f64> = runs().map(|run| run.per_second).collect();
        let drained: Vec<&Drained> = runs().filter_map(|run| run.drained.as_ref()).collect();
        let of = |part: fn(&Cpu) -> f64| {
            median(&drained.iter().map(|drained| part(&drained.cpu_seconds_per_million)).collect::<Vec<_>>())
        };
        let cpu = (!drained.is_empty()).then(|| Cpu {
            guests: of(|cpu| cpu.guests),
            host: of(|cpu| cpu.host),
            store_client: of(|cpu| cpu.store_client),
            log_client: of(|cpu| cpu.log_client),
        });
        Summary {
            pipeline,
            variant,
            per_second: median(&rates),
            min: rates.iter().copied().fold(f64::INFINITY, f64::min),
            max: rates.iter().copied().fold(0.0, f64::max),
            cpu,
            peak_mib: drained.iter().map(|drained| drained.peak_mib).fold(0.0, f64::max),
        }
    }

    /// The table, the measurement in one process, memory, verdicts.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}\n{} records of 1 KB on 4 partitions, 1 % faulty; medians of {} runs in turns; from the first commit \
             that is seen to the last\n{}\n",
            self.machine.line(),
            self.records,
            self.rounds,
            self.table()
        );
        if !self.calls.is_empty() {
            let _ = write!(
                text,
                "\nProcessor time per record, both in one process, in turns\n{}\n",
                self.calls_table()
            );
        }
        if let Some(memory) = &self.memory {
            let _ = write!(
                text,
                "\nMemory while {} records drain in {:.0} s, from 0 to {MEMORY_MIB_MAX:.0} MiB\n{}\n",
                memory.committed.last().map_or(0, |(_, records)| *records),
                memory.seconds,
                curve(&memory.memory_mib)
            );
        }
        if !self.lanes.is_empty() {
            let _ = write!(text, "\ncore, with guests, by the number of lanes\n{}\n", self.lanes_table());
        }
        if let Some(Latency { records_per_second, steady, idle }) = &self.latency {
            let _ = write!(
                text,
                "\ncore, from a record to its row: at {records_per_second:.0}/s p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms \
                 ({} samples); at one per second p50 {:.1} ms, p99 {:.1} ms ({} samples)\n",
                steady.p50_ms,
                steady.p99_ms,
                steady.max_ms,
                steady.samples,
                idle.p50_ms,
                idle.p99_ms,
                idle.samples
            );
        }
        if let Some(culprits) = &self.culprits {
            let _ = write!(
                text,
                "\nitems: {:.0}/s, and {:.0}/s where one in a hundred traps. At {:.0}/s, of which one in ten thousand loops \
                 (calls end after {} ms): p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms ({} samples)\n",
                culprits.clean_per_second,
                culprits.trapped_per_second,
                culprits.records_per_second,
                culprits.guest_time_ms_max,
                culprits.looping.p50_ms,
                culprits.looping.p99_ms,
                culprits.looping.max_ms,
                culprits.looping.samples
            );
        }
        text.push('\n');
        text.push_str(&self.verdicts().join("\n"));
        text
    }

    fn lanes_table(&self) -> Table {
        let mut table =
            new_table(&["lanes", "per second", "min–max", "CPU s per million", "peak MiB", "repeated"]);
        for lanes in &self.lanes {
            table.add_row([
                format!("{}{}", lanes.partitions, if lanes.colliding { ", rows collide" } else { "" }),
                format!("{:.0}", lanes.per_second),
                format!("{:.0}–{:.0}", lanes.min, lanes.max),
                format!("{:.2}", lanes.cpu_seconds_per_million),
                format!("{:.0}", lanes.peak_mib),
                lanes.retries.to_string(),
            ]);
        }
        table
    }

    fn table(&self) -> Table {
        let header = [
            "pipeline",
            "",
            "per second",
            "min–max",
            "CPU s per million",
            "guests",
            "host",
            "store client",
            "log client",
            "peak MiB",
        ];
        let mut table = new_table(&header);
        for line in self.summaries() {
            let cpu = |part: fn(&Cpu) -> f64| {
                line.cpu.as_ref().map_or("–".to_owned(), |cpu| format!("{:.2}", part(cpu)))
            };
            let peak = line.cpu.map_or("–".to_owned(), |_| format!("{:.0}", line.peak_mib));
            table.add_row([
                line.pipeline.name().to_owned(),
                label(line.variant).to_owned(),
                format!("{:.0}", line.per_second),
                format!("{:.0}–{:.0}", line.min, line.max),
                cpu(|cpu| cpu.total()),
                cpu(|cpu| cpu.guests),
                cpu(|cpu| cpu.host),
                cpu(|cpu| cpu.store_client),
                cpu(|cpu| cpu.log_client),
                peak,
            ]);
        }
        table
    }

    fn calls_table(&self) -> Table {
        let mut table =
            new_table(&["pipeline", "batch", "native µs", "guest µs", "guest / native", "min–max"]);
        for calls in &self.calls {
            table.add_row([
                calls.pipeline.name().to_owned(),
                calls.batch_records.to_string(),
                format!("{:.2}", calls.native_us),
                format!("{:.2}", calls.guest_us),
                format!("{:.2}", calls.ratio),
                format!("{:.2}–{:.2}", calls.ratio_min, calls.ratio_max),
            ]);
        }
        table
    }

    fn rate(&self, pipeline: Pipeline, variant: Variant) -> Option<f64> {
        let found = self.summaries();
        found
            .iter()
            .find(|line| (line.pipeline, line.variant) == (pipeline, variant))
            .map(|line| line.per_second)
    }

    /// What is asked of the figures, and whether it holds here.
    fn verdicts(&self) -> Vec<String> {
        let mut verdicts = Vec::new();
        for pipeline in Pipeline::ALL {
            let rates = (self.rate(pipeline, Variant::Guests), self.rate(pipeline, Variant::Native));
            if let (Some(guests), Some(native)) = rates {
                let what = format!("{}: (b) guests to (a) native, records/s", pipeline.name());
                verdicts.push(at_least(&what, guests / native, GUESTS_TO_NATIVE_MIN));
            }
        }
        let rates = (self.rate(Pipeline::Core, Variant::Native), self.rate(Pipeline::Core, Variant::Copy));
        if let (Some(native), Some(copy)) = rates {
            verdicts.push(at_least("core: (a) native to (c) \\copy", native / copy, NATIVE_TO_COPY_MIN));
        }
        for line in self.summaries() {
            if let (Pipeline::Core, Variant::Guests, Some(cpu)) = (line.pipeline, line.variant, line.cpu) {
                let what = "core: CPU seconds per million records, host and guests";
                verdicts.push(at_most(what, cpu.total(), CPU_SECONDS_MAX));
            }
        }
        for calls in self.calls.iter().filter(|calls| calls.under_load()) {
            let what = format!(
                "{}: CPU per record, guest to native, batches of {}",
                calls.pipeline.name(),
                calls.batch_records
            );
            verdicts.push(at_most(&what, calls.ratio, CALL_RATIO_MAX));
        }
        if let Some(memory) = &self.memory {
            verdicts.push(at_most("memory at its peak, MiB", memory.peak_mib, MEMORY_MIB_MAX));
            if let Some(growth) = growth(&memory.memory_mib) {
                verdicts.push(at_most("memory, last quarter to second quarter", growth, 1.0 + GROWTH_MAX));
            }
        }
        verdicts.extend(self.verdicts_of_lanes());
        if let Some(latency) = &self.latency {
            let of_load = latency.records_per_second / crate::latency::PER_SECOND as f64;
            verdicts.push(at_least("latency: the load as it was, to the one that was meant", of_load, 0.95));
            verdicts.push(at_most(
                "latency at a steady load, p99, ms",
                latency.steady.p99_ms,
                STEADY_P99_MS_MAX,
            ));
            verdicts.push(at_most("latency of a lone record, p99, ms", latency.idle.p99_ms, IDLE_P99_MS_MAX));
        }
        if let Some(culprits) = &self.culprits {
            let what = "items: one in a hundred traps, to none, records/s";
            verdicts.push(at_least(what, culprits.ratio, TRAPPED_TO_CLEAN_MIN));
            let deadlines = culprits.looping.max_ms / culprits.guest_time_ms_max as f64;
            verdicts.push(at_most(
                "items: latency beside loops, in time limits",
                deadlines,
                LOOP_DEADLINES_MAX,
            ));
        }
        verdicts
    }

    fn verdicts_of_lanes(&self) -> Vec<String> {
        let of =
            |partitions| self.lanes.iter().find(|lanes| lanes.partitions == partitions && !lanes.colliding);
        let mut verdicts = Vec::new();
        if let (Some(one), Some(two)) = (of(1), of(2)) {
            verdicts.push(at_least(
                "core: two lanes to one, records/s",
                two.per_second / one.per_second,
                1.0,
            ));
            let retries: u64 = self.lanes.iter().map(|lanes| lanes.retries).sum();
            verdicts.push(at_most("lanes: commits that were repeated", retries as f64, 0.0));
        }
        verdicts
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(crate) fn label(variant: Variant) -> &'static str {
    match variant {
        Variant::Native => "(a) native",
        Variant::Guests => "(b) guests",
        Variant::Copy => "(c) \\copy",
        Variant::Embedded => "(d) embedded",
    }
}

fn at_least(what: &str, found: f64, wanted: f64) -> String {
    format!("{} {what}: {found:.2}, at least {wanted}", word(found >= wanted))
}

fn at_most(what: &str, found: f64, wanted: f64) -> String {
    format!("{} {what}: {found:.2}, at most {wanted}", word(found <= wanted))
}

fn word(holds: bool) -> &'static str {
    if holds { "holds " } else { "MISSED" }
}

/// The mean of the last quarter in proportion to that of the second: a leak grows for as long as records come.
fn growth(memory_mib: &[(f64, f64)]) -> Option<f64> {
    let quarter = memory_mib.len() / 4;
    let mean = |from: usize| {
        let part = memory_mib.get(from..from + quarter)?;
        Some(part.iter().map(|(_, mib)| mib).sum::<f64>() / part.len().max(1) as f64)
    };
    (quarter > 0).then(|| Some(mean(memory_mib.len() - quarter)? / mean(quarter)?))?
}

/// A curve in one line.
fn curve(memory_mib: &[(f64, f64)]) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 100;
    let step = memory_mib.len().div_ceil(WIDTH).max(1);
    let height = |mib: f64| (mib / MEMORY_MIB_MAX * STEPS.len() as f64) as usize;
    memory_mib
        .iter()
        .step_by(step)
        .filter_map(|(_, mib)| STEPS.get(height(*mib).min(STEPS.len() - 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn growth_is_seen() {
        let flat: Vec<_> = (0..40).map(|at| (f64::from(at), 100.0)).collect();
        let leaking: Vec<_> = (0..40).map(|at| (f64::from(at), 100.0 + f64::from(at))).collect();
        assert!(growth(&flat).unwrap() < 1.01 && growth(&leaking).unwrap() > 1.1);
        assert_eq!(growth(&[]), None);
        assert_eq!(curve(&[(0.0, 0.0), (1.0, 299.0), (2.0, 900.0)]), "▁██");
    }
}
