//! The driver: backlogs once, then round after round every variant of every pipeline, in turns; then what is measured
//! by itself.

use crate::culprits;
use crate::drain::Drained;
use crate::lanes;
use crate::latency;
use crate::load;
use crate::machine::Machine;
use crate::pipelines::Pipeline;
use crate::process::Stages;
use crate::report::Report;
use crate::site::{Bench, Place, say};
use crate::{calls, plot};

/// How a pipeline's work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Variant {
    /// (a) natively, on the same log and store code
    Native,
    /// (b) with guests
    Guests,
    /// (c) the same rows by psql's \copy, with nothing else
    Copy,
    /// (d) with guests on the embedded set
    Embedded,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Records of one run
    #[arg(long, default_value_t = 500_000)]
    records: u64,
    /// Rounds: every figure is the median of so many runs
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Records that drain while memory is watched; 0 for no such run
    #[arg(long, default_value_t = 1_000_000)]
    memory_records: u64,
    /// Turns of the measurement in one process; 0 for none
    #[arg(long, default_value_t = 15)]
    call_rounds: usize,
    /// Records of one run with few or many lanes; 0 for none
    #[arg(long, default_value_t = 200_000)]
    lane_records: u64,
    /// Seconds of the steady load under which latency is taken; 0 for none
    #[arg(long, default_value_t = 60)]
    latency_seconds: u64,
    /// Records of one run with guests that fail; 0 for none
    #[arg(long, default_value_t = 200_000)]
    culprit_records: u64,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["core", "city", "city-whole"])]
    pipelines: Vec<Pipeline>,
    /// How the work is done
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["native", "guests", "copy", "embedded"])]
    variants: Vec<Variant>,
    #[command(flatten)]
    place: Place,
}

/// One run's outcome.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Run {
    pub(crate) pipeline: Pipeline,
    pub(crate) variant: Variant,
    pub(crate) round: usize,
    /// Records (of `\copy`: rows) per second.
    pub(crate) per_second: f64,
    /// Nothing for `\copy`.
    pub(crate) drained: Option<Drained>,
}

fn one(
    bench: &Bench,
    pipeline: Pipeline,
    variant: Variant,
    round: usize,
    records: u64,
) -> anyhow::Result<Run> {
    let expected = load::expected_of(pipeline, records);
    let run = format!("{}-{variant:?}-{round}", pipeline.slug()).to_lowercase();
    let (per_second, drained) = match variant {
        Variant::Native | Variant::Guests => {
            let ready = bench.ready(pipeline, &run, |_| {})?;
            let stages = if variant == Variant::Native { Stages::Native } else { Stages::Guests };
            let (drained, database) = bench.real(ready, stages, expected)?;
            if pipeline != Pipeline::Vault {
                bench.keep_rows(pipeline, &database)?;
            }
            (drained.records_per_second, Some(drained))
        }
        Variant::Embedded => {
            let drained = bench.embedded(pipeline, &run, expected)?;
            (drained.records_per_second, Some(drained))
        }
        Variant::Copy => (bench.copy(pipeline, &run, expected)?, None),
    };
    say(&format!("{} {variant:?}, round {}: {per_second:.0}/s", pipeline.name(), round + 1));
    Ok(Run { pipeline, variant, round, per_second, drained })
}

/// The whole benchmark; leaves a table, a JSON file and a plot.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let machine = Machine::look(&arguments.place.store)?;
    let mut bench = Bench::open(&arguments.place)?;
    let runs = rounds(&mut bench, arguments)?;
    let memory = (arguments.memory_records > 0).then(|| memory(&mut bench, arguments)).transpose()?;
    let mut calls = Vec::new();
    for pipeline in arguments.pipelines.iter().filter(|_| arguments.call_rounds > 0) {
        say(&format!("{}: calls in one process", pipeline.name()));
        let folder = bench.folder.join("calls");
        calls.extend(calls::measure(*pipeline, &bench.place.modules, &folder, arguments.call_rounds)?);
    }
    let lanes = match arguments.lane_records {
        0 => Vec::new(),
        records => lanes::measure(&mut bench, records, arguments.rounds)?,
    };
    let latency = match arguments.latency_seconds {
        0 => None,
        seconds => Some(latency::measure(&bench, seconds)?),
    };
    let culprits = match arguments.culprit_records {
        0 => None,
        records => Some(culprits::measure(&mut bench, records, arguments.rounds, arguments.latency_seconds)?),
    };
    let report = Report {
        machine,
        records: arguments.records,
        rounds: arguments.rounds,
        runs,
        memory,
        calls,
        lanes,
        latency,
        culprits,
    };
    println!("{}", report.text());
    let (json, svg) = (bench.place.out.join("bench.json"), bench.place.out.join("bench.svg"));
    std::fs::write(&json, serde_json::to_string_pretty(&report)?)?;
    plot::draw(&report, &svg)?;
    println!("\n{}\n{}", json.display(), svg.display());
    Ok(())
}

fn rounds(bench: &mut Bench, arguments: &Arguments) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for pipeline in &arguments.pipelines {
        bench.fill(&bench.backlog(*pipeline), arguments.records)?;
    }
    for round in 0..arguments.rounds {
        for pipeline in &arguments.pipelines {
            // `\copy` comes last in the first round, which makes its rows; then to and fro, so that whatever grows
            // or wears off with time falls on all alike.
            let mut variants = [Variant::Native, Variant::Guests, Variant::Embedded, Variant::Copy].to_vec();
            if round % 2 == 1 {
                variants.reverse();
            }
            variants.retain(|variant| arguments.variants.contains(variant));
            // Its rows are those of `city-orders` without topics.
            variants.retain(|variant| *variant != Variant::Copy || *pipeline != Pipeline::CityWhole);
            // Its rows go to many tables, and its lookups' answers are not in the copied file.
            variants.retain(|variant| {
                *pipeline != Pipeline::Vault || !matches!(variant, Variant::Copy | Variant::Embedded)
            });
            for variant in variants {
                runs.push(one(bench, *pipeline, variant, round, arguments.records)?);
            }
        }
    }
    Ok(runs)
}

fn memory(bench: &mut Bench, arguments: &Arguments) -> anyhow::Result<Drained> {
    let records = arguments.memory_records.max(arguments.records);
    bench.fill(&bench.backlog(Pipeline::Core), records)?;
    say(&format!("memory while {records} records drain"));
    let ready = bench.ready(Pipeline::Core, "memory", |_| {})?;
    bench.real(ready, Stages::Guests, load::expected(records)).map(|(drained, _)| drained)
}
