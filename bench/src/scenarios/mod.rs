//! The examples: records per second and what a record costs in each one's heaviest pipeline; and all of them in one host at
//! once, fed at a steady pace, while one is poisoned and while the lookup of another is down.

mod example;
mod together;

use crate::database::{Database, psql};
use crate::drain::watch;
use crate::machine::Machine;
use crate::process::{HostProcess, Setup, Stages};
use crate::report::median;
use crate::site::{Bench, Place, say};
use anyhow::{Context, ensure};
use comfy_table::{CellAlignment, Table, presets};
use example::{EXAMPLES, Example};
use gristmill::generate::Scenario;
use std::path::PathBuf;
use std::time::Duration;
use together::{Together, together};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Records of one run
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Rounds: every figure is the median of so many runs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that all pipelines work at once in one host, in four phases; 0 for not at all
    #[arg(long, default_value_t = 600)]
    together_seconds: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(serde::Serialize)]
struct Run {
    example: &'static str,
    records_per_second: f64,
    cpu_us_per_record: f64,
    guests_us_per_record: f64,
    peak_mib: f64,
}

#[derive(serde::Serialize)]
struct Report {
    machine: Machine,
    records: u64,
    runs: Vec<Run>,
    together: Option<Together>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let machine = Machine::look(&arguments.place.store)?;
    let mut bench = Bench::open(&arguments.place)?;
    bench.load_reference(Scenario::OrderVault)?;
    bench.load_reference(Scenario::ShopSync)?;
    let mut runs = Vec::new();
    if arguments.rounds > 0 {
        for example in EXAMPLES {
            let records = arguments.records;
            let backlog = example.backlog(&bench, records)?;
            bench.fill(&backlog, records)?;
            for round in 0..arguments.rounds {
                let run = one(&bench, example, round, records)?;
                say(&format!(
                    "{}, round {}: {:.0} records/s",
                    example.name,
                    round + 1,
                    run.records_per_second
                ));
                runs.push(run);
            }
        }
    }
    let together = match arguments.together_seconds {
        0 => None,
        seconds => Some(together(&bench, Duration::from_secs(seconds))?),
    };
    let report = Report { machine, records: arguments.records, runs, together };
    println!("{}", report.text());
    let json = bench.place.out.join("scenarios.json");
    std::fs::write(&json, serde_json::to_string_pretty(&report)?)?;
    println!("\n{}", json.display());
    Ok(())
}

fn setup(bench: &Bench, database: &Database, folder: PathBuf, lookup: Option<String>) -> Setup {
    Setup {
        log: bench.place.log.clone(),
        store: database.url(),
        lookup,
        modules: bench.place.modules.clone(),
        folder,
    }
}

/// Drains the backlog of an example's heaviest pipeline into a new database.
fn one(bench: &Bench, example: Example, round: usize, records: u64) -> anyhow::Result<Run> {
    let run = format!("{}-{round}", example.name);
    let folder = bench.folder.join(&run);
    let specs = example.write(bench, &run, &folder, "")?;
    let database = bench.database(&run)?;
    let setup = setup(bench, &database, folder, bench.place.lookup.clone());
    let heaviest = specs.first().context("an example without a spec")?;
    let mut host = HostProcess::start(&setup, &[heaviest], Stages::Guests)?;
    let drained = watch(&mut host, records)?;
    host.stop()?;
    let letters: u64 =
        psql(&database.url(), "SELECT count(*) FROM gristmill.dead_letters")?.trim().parse()?;
    let faulty = example.faulty(records)?;
    ensure!(letters == faulty, "{letters} dead letters instead of {faulty}");
    std::fs::remove_dir_all(setup.folder)?;
    let cpu = drained.cpu_seconds_per_million;
    Ok(Run {
        example: example.name,
        records_per_second: drained.records_per_second,
        cpu_us_per_record: cpu.total(),
        guests_us_per_record: cpu.guests,
        peak_mib: drained.peak_mib,
    })
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        if !self.runs.is_empty() {
            let mut table = Table::new();
            table.load_style(presets::UTF8_HORIZONTAL_ONLY);
            table.set_header(["", "records/s", "goal", "CPU µs/record", "of it guests", "peak MiB"]);
            for example in EXAMPLES {
                let of = |figure: fn(&Run) -> f64| {
                    let values: Vec<f64> =
                        self.runs.iter().filter(|run| run.example == example.name).map(figure).collect();
                    if values.is_empty() { f64::NAN } else { median(&values) }
                };
                table.add_row([
                    example.name.to_owned(),
                    format!("{:.0}", of(|run| run.records_per_second)),
                    format!("{:.0}", example.goal),
                    format!("{:.1}", of(|run| run.cpu_us_per_record)),
                    format!("{:.1}", of(|run| run.guests_us_per_record)),
                    format!("{:.0}", of(|run| run.peak_mib)),
                ]);
            }
            text.push_str(&aligned(table));
        }
        if let Some(together) = &self.together {
            text.push_str(&together.text());
        }
        text
    }
}

fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
