//! The driver: backlogs once, then round after round every variant of every pipeline, in turns.

use crate::database::Database;
use crate::drain::{Drained, drain};
use crate::load::{self, Expected};
use crate::machine::Machine;
use crate::pipelines::{Names, Pipeline, write_spec};
use crate::process::Setup;
use crate::report::Report;
use crate::{backlog, calls, plot};
use anyhow::{Context, bail};
use gristmill::config::Settings;
use gristmill::log::Log;
use gristmill::spec::Spec;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;

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
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["core", "city", "city-whole"])]
    pipelines: Vec<Pipeline>,
    /// How the work is done
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["native", "guests", "copy", "embedded"])]
    variants: Vec<Variant>,
    #[command(flatten)]
    place: Place,
}

/// Where things are.
#[derive(Clone, clap::Args)]
pub(crate) struct Place {
    /// The folder of results, and of what runs leave behind while they are at it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// A Kafka cluster: kafka://host:port
    #[arg(long, env = "GRISTMILL_TEST_LOG", value_name = "URL")]
    pub(crate) log: String,
    /// A PostgreSQL server on which databases may be made: postgres://user:password@host/database
    #[arg(long, env = "GRISTMILL_TEST_STORE", value_name = "URL", hide_env_values = true)]
    pub(crate) store: String,
    /// The folder of modules
    #[arg(long, env = "GRISTMILL_TEST_MODULES", value_name = "FOLDER")]
    pub(crate) modules: PathBuf,
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

/// A benchmark at work. What it makes on the servers is named by `id`, and goes with it.
pub(crate) struct Bench {
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) folder: PathBuf,
    pub(crate) runtime: Runtime,
    log: Arc<dyn Log>,
    /// Records in each Kafka backlog.
    written: BTreeMap<&'static str, u64>,
}

impl Bench {
    pub(crate) fn open(place: &Place) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let id = format!("bench{}", time::OffsetDateTime::now_utc().unix_timestamp());
        let place = Place { out: std::path::absolute(&place.out)?, ..place.clone() };
        let folder = place.out.join(&id);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // The store is of no interest here: opening the two together wants one.
        let store = Some(format!("sqlite:{}", folder.join("unused.db").display()));
        let settings = Settings { log: Some(place.log.clone()), store, ..Settings::default() };
        let (_, log) = runtime.block_on(settings.open())?;
        Ok(Bench { id, place, folder, runtime, log, written: BTreeMap::new() })
    }

    pub(crate) fn topic(&self, pipeline: Pipeline) -> String {
        format!("{}.{}", self.id, pipeline.backlog())
    }

    /// Brings the Kafka backlog of a pipeline to so many records.
    pub(crate) fn fill(&mut self, pipeline: Pipeline, records: u64) -> anyhow::Result<()> {
        let topic = self.topic(pipeline);
        let written = self.written.entry(pipeline.backlog()).or_default();
        if *written < records {
            let start = Instant::now();
            self.runtime.block_on(backlog::append(&self.log, &topic, pipeline, *written..records))?;
            say(&format!(
                "{} records written to {topic} in {:.1} s",
                records - *written,
                start.elapsed().as_secs_f64()
            ));
            *written = records;
        }
        Ok(())
    }

    /// Writes the spec of a run that is called `run` into a folder of its own.
    pub(crate) fn spec(&self, pipeline: Pipeline, run: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        let folder = self.folder.join(run);
        let names = Names {
            pipeline: &format!("{}-{run}", self.id),
            topic: &self.topic(pipeline),
            prefix: &format!("{}.out", self.id),
            modules: &self.place.modules,
        };
        Ok((write_spec(pipeline, &names, &folder)?, folder))
    }

    /// A new database for a run.
    pub(crate) fn database(&self, run: &str) -> anyhow::Result<Database> {
        Database::create(&self.place.store, &format!("{}_{}", self.id, run.replace('-', "_")))
    }

    /// A run from Kafka into a new database, which is handed back.
    pub(crate) fn real(
        &self,
        pipeline: Pipeline,
        run: &str,
        natively: bool,
        expected: Expected,
    ) -> anyhow::Result<(Drained, Database)> {
        let (spec, folder) = self.spec(pipeline, run)?;
        let database = self.database(run)?;
        let setup = Setup {
            log: self.place.log.clone(),
            store: database.url(),
            modules: self.place.modules.clone(),
            folder: folder.clone(),
        };
        let drained = drain(&self.runtime, &setup, &spec, natively, expected)?;
        std::fs::remove_dir_all(folder)?;
        Ok((drained, database))
    }

    /// The journal and SQLite in one file, copied from one that holds the backlog.
    fn embedded(&self, pipeline: Pipeline, run: &str, expected: Expected) -> anyhow::Result<Drained> {
        let full = self.folder.join(format!("{}.db", pipeline.backlog()));
        if !full.exists() {
            let settings = Settings {
                log: Some("journal:".to_owned()),
                store: Some(format!("sqlite:{}", full.display())),
                ..Settings::default()
            };
            let (_, log) = self.runtime.block_on(settings.open())?;
            let topic = self.topic(pipeline);
            self.runtime.block_on(backlog::append(&log, &topic, pipeline, 0..expected.records))?;
        }
        let (spec, folder) = self.spec(pipeline, run)?;
        let file = folder.join("gristmill.db");
        copy_database(&full, &file)?;
        let setup = Setup {
            log: "journal:".to_owned(),
            store: format!("sqlite:{}", file.display()),
            modules: self.place.modules.clone(),
            folder: folder.clone(),
        };
        let drained = drain(&self.runtime, &setup, &spec, false, expected)?;
        std::fs::remove_dir_all(folder)?;
        Ok(drained)
    }

    /// Loads a file of rows into a table as the host makes it; answers rows per second.
    fn copy(&self, pipeline: Pipeline, run: &str, expected: Expected) -> anyhow::Result<f64> {
        let (spec, _) = self.spec(pipeline, run)?;
        let spec = Spec::read(&spec)?;
        let table = spec.tables.first().context("a spec without a table")?;
        let database = self.database(run)?;
        let settings = Settings {
            log: Some(self.place.log.clone()),
            store: Some(database.url()),
            ..Settings::default()
        };
        self.runtime.block_on(async {
            let (store, _) = settings.open().await?;
            anyhow::Ok(store.prepare_tables(&spec).await?)
        })?;
        let seconds = database.import(&table.name, &self.rows_file(pipeline))?;
        let rows = database.count(&table.name)?;
        if rows != expected.rows {
            bail!("\\copy loaded {rows} rows instead of {}", expected.rows);
        }
        Ok(rows as f64 / seconds)
    }

    fn rows_file(&self, pipeline: Pipeline) -> PathBuf {
        self.folder.join(format!("{}.copy", pipeline.backlog()))
    }

    /// Keeps the rows of the first run for `\copy`.
    fn keep_rows(&self, pipeline: Pipeline, database: &Database) -> anyhow::Result<()> {
        let file = self.rows_file(pipeline);
        let table = if pipeline == Pipeline::Core { "core_orders" } else { "orders" };
        if file.exists() { Ok(()) } else { database.export(table, &file) }
    }

    fn one(&self, pipeline: Pipeline, variant: Variant, round: usize, records: u64) -> anyhow::Result<Run> {
        let expected = load::expected(records);
        let run = format!("{}-{variant:?}-{round}", pipeline.slug()).to_lowercase();
        let (per_second, drained) = match variant {
            Variant::Native | Variant::Guests => {
                let natively = variant == Variant::Native;
                let (drained, database) = self.real(pipeline, &run, natively, expected)?;
                self.keep_rows(pipeline, &database)?;
                (drained.records_per_second, Some(drained))
            }
            Variant::Embedded => {
                let drained = self.embedded(pipeline, &run, expected)?;
                (drained.records_per_second, Some(drained))
            }
            Variant::Copy => (self.copy(pipeline, &run, expected)?, None),
        };
        say(&format!("{} {variant:?}, round {}: {per_second:.0}/s", pipeline.name(), round + 1));
        Ok(Run { pipeline, variant, round, per_second, drained })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let removed = self.runtime.block_on(backlog::remove_topics(&self.place.log, &self.log, &self.id));
        if let Err(error) = removed {
            eprintln!("topics that begin with {} are left behind: {error:#}", self.id);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A SQLite file and what belongs to it.
fn copy_database(from: &Path, to: &Path) -> anyhow::Result<()> {
    for ending in ["", "-wal"] {
        let (from, to) = (format!("{}{ending}", from.display()), format!("{}{ending}", to.display()));
        if Path::new(&from).exists() {
            std::fs::copy(&from, &to).with_context(|| format!("cannot copy {from}"))?;
        }
    }
    Ok(())
}

/// Tells a person how far it is.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// The whole benchmark; leaves a table, a JSON file and a plot.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let machine = Machine::look(&arguments.place.store)?;
    if !machine.commits_are_durable() {
        bail!(
            "the database's server does not wait for its disk (fsync, synchronous_commit): its figures mean nothing"
        );
    }
    let mut bench = Bench::open(&arguments.place)?;
    let runs = rounds(&mut bench, arguments)?;
    let memory = (arguments.memory_records > 0).then(|| memory(&mut bench, arguments)).transpose()?;
    let mut calls = Vec::new();
    for pipeline in arguments.pipelines.iter().filter(|_| arguments.call_rounds > 0) {
        say(&format!("{}: calls in one process", pipeline.name()));
        let folder = bench.folder.join("calls");
        calls.extend(calls::measure(*pipeline, &bench.place.modules, &folder, arguments.call_rounds)?);
    }
    let report =
        Report { machine, records: arguments.records, rounds: arguments.rounds, runs, memory, calls };
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
        bench.fill(*pipeline, arguments.records)?;
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
            for variant in variants {
                runs.push(bench.one(*pipeline, variant, round, arguments.records)?);
            }
        }
    }
    Ok(runs)
}

fn memory(bench: &mut Bench, arguments: &Arguments) -> anyhow::Result<Drained> {
    bench.fill(Pipeline::Core, arguments.memory_records.max(arguments.records))?;
    let records = arguments.memory_records.max(arguments.records);
    say(&format!("memory while {records} records drain"));
    bench.real(Pipeline::Core, "memory", false, load::expected(records)).map(|(drained, _)| drained)
}
