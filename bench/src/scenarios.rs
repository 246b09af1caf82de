//! The examples: records per second and what a record costs in each one's heaviest pipeline; and all of them in one host at
//! once, fed at a steady pace, while one is poisoned and while the lookup of another is down.

use crate::backlog::{Backlog, append_chunk};
use crate::database::{Database, psql};
use crate::drain::watch;
use crate::load::{self, Made};
use crate::machine::Machine;
use crate::pipelines::{Pipeline, repository};
use crate::process::{HostProcess, Setup, Stages};
use crate::proxy::Proxy;
use crate::report::median;
use crate::site::{Bench, Place, say};
use anyhow::{Context, bail, ensure};
use comfy_table::{CellAlignment, Table, presets};
use gristmill::generate::{Orders, Scenario};
use gristmill::lookup::{KeyValues, Redis};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When the generators begin: the same for all runs.
const AT_MS: i64 = 1_790_000_000_000;
/// The longest that one record in a hundred may take to its row, seconds.
const P99_SECONDS_MAX: f64 = 1.0;
/// How long a phase settles before it is measured.
const SETTLING: Duration = Duration::from_secs(10);
/// How long lag may take to be gone when nothing is fed any more.
const DRAIN_MAX: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Records of one run
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Rounds: every figure is the median of so many runs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that all pipelines work at once in one host, in three phases; 0 for not at all
    #[arg(long, default_value_t = 600)]
    together_seconds: u64,
    #[command(flatten)]
    place: Place,
}

/// One of the examples.
#[derive(Clone, Copy)]
struct Example {
    name: &'static str,
    /// Its specs; the first one is the heaviest.
    specs: &'static [&'static str],
    /// The topics that its specs name, the source of the heaviest first.
    topics: &'static [&'static str],
    partitions: i32,
    /// Records per second that are asked for.
    goal: f64,
    /// Records per second that it is fed with beside the others.
    pace: u64,
}

const EXAMPLES: [Example; 5] = [
    Example {
        name: "city-orders",
        specs: &["pipeline.toml"],
        topics: &["product_orders"],
        partitions: 4,
        goal: 5_000.0,
        pace: 300,
    },
    Example {
        name: "order-vault",
        specs: &["pipeline.toml"],
        topics: &["stg_topic"],
        partitions: 4,
        goal: 2_000.0,
        pace: 100,
    },
    Example {
        name: "stock-ledger",
        specs: &["pipeline.toml"],
        topics: &["events", "errors"],
        partitions: 4,
        goal: 20_000.0,
        pace: 500,
    },
    Example {
        name: "shop-sync",
        specs: &["pipeline.toml", "categories.toml", "products.toml", "descriptions.toml", "local.toml"],
        topics: &[
            "oltp_update_product_quantity",
            "local_db_upsert_category",
            "local_db_upsert_product",
            "local_db_update_product_desc",
            "local_catalogue",
        ],
        partitions: 3,
        goal: 15_000.0,
        pace: 100,
    },
    Example {
        name: "store-events",
        specs: &["pipeline.toml"],
        topics: &["store-topic"],
        partitions: 4,
        goal: 20_000.0,
        pace: 500,
    },
];

/// What record n of an example is.
type Maker = Arc<dyn Fn(u64) -> Made + Send + Sync>;

impl Example {
    fn maker(self, records: u64) -> anyhow::Result<Maker> {
        Ok(match self.name {
            "city-orders" => Arc::new(|n| load::record(Pipeline::City, n)),
            "order-vault" => {
                let orders = Orders::new(2, AT_MS);
                Arc::new(move |n| {
                    let made = orders.nth(n);
                    Made { key: made.key, value: made.value }
                })
            }
            "stock-ledger" => Arc::new(stock),
            name => {
                // What one tells depends on what was told before: made beforehand.
                let scenario = Scenario::named(name).context("a scenario without a generator")?;
                let made = scenario.records(3, AT_MS, usize::try_from(records)?);
                let all: Vec<Made> =
                    made.map(|made| Made { key: made.key, value: self.sized(made.value) }).collect();
                Arc::new(move |n| {
                    let place = usize::try_from(n).unwrap_or(0) % all.len().max(1);
                    all.get(place).map_or_else(
                        || stock(n),
                        |made| Made { key: made.key.clone(), value: made.value.clone() },
                    )
                })
            }
        })
    }

    /// The load of shop-sync is of 5 products a message.
    fn sized(self, value: String) -> String {
        if self.name != "shop-sync" {
            return value;
        }
        let Ok(mut message) = serde_json::from_str::<serde_json::Value>(&value) else { return value };
        if let Some(products) = message.get_mut("updated_products").and_then(serde_json::Value::as_object_mut)
        {
            let kept = std::mem::take(products).into_iter().take(5);
            products.extend(kept);
        }
        message.to_string()
    }

    fn backlog(self, bench: &Bench, records: u64) -> anyhow::Result<Backlog> {
        let source = self.topics.first().copied().unwrap_or_default();
        Ok(Backlog { topic: bench.topic(source), partitions: self.partitions, make: self.maker(records)? })
    }

    /// Writes its specs, and what they name, into a folder; names are this run's own.
    fn write(self, bench: &Bench, run: &str, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)?;
        let example = repository().join("examples").join(self.name);
        for entry in std::fs::read_dir(&example)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "toml" || ending == "json") {
                let name = path.file_name().context("a file without a name")?;
                std::fs::copy(&path, folder.join(name))?;
            }
        }
        let mut paths = Vec::new();
        for file in self.specs {
            let mut spec = std::fs::read_to_string(example.join(file))?;
            for topic in self.topics {
                spec = spec.replace(&format!("\"{topic}"), &format!("\"{}", bench.topic(topic)));
            }
            spec = spec.replace("topic = \"{}\"", &format!("topic = \"{}.city.{{}}\"", bench.id)).replace(
                &format!("name = \"{}", self.name),
                &format!("name = \"{}-{run}-{}", bench.id, self.name),
            );
            let path = folder.join(file);
            std::fs::write(&path, spec)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// What comes in and what is sold of it, of 500 items in turn.
fn stock(number: u64) -> Made {
    const ITEMS: u64 = 500;
    let (item, turn) = (number % ITEMS, number / ITEMS);
    let (kind, value) = if turn.is_multiple_of(2) { ("incoming", 10) } else { ("sale", 9) };
    let key = format!("{}-{item}", item % 20);
    let value = serde_json::json!({
        "transaction_id": format!("00000000-0000-4000-8000-{number:012}"), "event_type": kind,
        "date": "2026-11-21T09:00:00Z", "store_number": (item % 20).to_string(), "item_number": item.to_string(),
        "value": value.to_string(),
    });
    Made { key, value: value.to_string() }
}

#[derive(serde::Serialize)]
struct Run {
    example: &'static str,
    records_per_second: f64,
    cpu_us_per_record: f64,
    guests_us_per_record: f64,
    peak_mib: f64,
}

/// How a pipeline was in one phase.
#[derive(serde::Serialize)]
struct Phase {
    phase: &'static str,
    example: &'static str,
    records: u64,
    /// The bucket that the slowest hundredth ends in, seconds.
    p99_seconds: f64,
}

#[derive(Default, serde::Serialize)]
struct Together {
    phases: Vec<Phase>,
    /// Resident memory at the end of each phase, MiB.
    memory_mib: Vec<(&'static str, f64)>,
    /// Seconds from the end of feeding until every lag was 0.
    drained_seconds: f64,
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
    if !machine.commits_are_durable() {
        bail!("the database's server does not wait for its disk: its figures mean nothing");
    }
    let mut bench = Bench::open(&arguments.place)?;
    bench.load_reference()?;
    load_shops(&bench)?;
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

/// The shops of each city, where shop-sync looks them up.
fn load_shops(bench: &Bench) -> anyhow::Result<()> {
    let url = bench.place.lookup.as_ref().context("the examples need a Redis (--lookup)")?;
    let redis = Redis::new(url).map_err(anyhow::Error::msg)?;
    let entries = Scenario::ShopSync.reference().into_iter();
    let entries = entries.map(|made| (made.key.into_bytes(), made.value.into_bytes())).collect();
    bench.runtime.block_on(redis.put_many(entries)).map_err(anyhow::Error::msg)
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
    let specs = example.write(bench, &run, &folder)?;
    let database = bench.database(&run)?;
    let setup = setup(bench, &database, folder, bench.place.lookup.clone());
    let heaviest = specs.first().context("an example without a spec")?;
    let mut host = HostProcess::start(&setup, &[heaviest], Stages::Guests)?;
    let drained = watch(&mut host, records)?;
    host.stop()?;
    let letters: u64 =
        psql(&database.url(), "SELECT count(*) FROM gristmill.dead_letters")?.trim().parse()?;
    let faulty = if example.name == "city-orders" { load::expected(records).dead_letters } else { 0 };
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

/// All examples in one host, each fed at its pace.
fn together(bench: &Bench, time: Duration) -> anyhow::Result<Together> {
    let run = "together";
    let folder = bench.folder.join(run);
    let database = bench.database(run)?;
    let proxy = Proxy::start(bench.place.lookup.as_deref().context("no Redis")?)?;
    let (mut specs, mut feeds) = (Vec::new(), Vec::new());
    for example in EXAMPLES {
        specs.extend(example.write(bench, run, &folder.join(example.name))?);
        let source = example.topics.first().copied().unwrap_or_default();
        let mut backlog = example.backlog(bench, example.pace * time.as_secs())?;
        // Topics of their own: those of the runs before are full.
        backlog.topic = bench.topic(&format!("together.{source}"));
        bench.runtime.block_on(bench.log.ensure_topic(&backlog.new_topic()))?;
        feeds.push((example, backlog));
    }
    for path in &specs {
        let spec = std::fs::read_to_string(path)?;
        let spec = EXAMPLES.iter().flat_map(|example| example.topics.first()).fold(spec, |spec, topic| {
            spec.replace(
                &format!("\"{}\"", bench.topic(topic)),
                &format!("\"{}\"", bench.topic(&format!("together.{topic}"))),
            )
        });
        std::fs::write(path, spec)?;
    }
    let setup = setup(bench, &database, folder, Some(proxy.url()));
    let paths: Vec<&Path> = specs.iter().map(AsRef::as_ref).collect();
    let mut host = HostProcess::start(&setup, &paths, Stages::Guests)?;
    let up = Instant::now();
    while host.progress()?.is_none() || !host.is_ready() {
        ensure!(up.elapsed() < Duration::from_secs(120), "the host is not up: {}", host.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (stop, poison) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let feeding: Vec<_> = feeds
        .into_iter()
        .map(|(example, backlog)| {
            let poison = (example.name == "city-orders").then(|| poison.clone());
            let feed = feed(bench.log.clone(), backlog, example.pace, stop.clone(), poison);
            bench.runtime.spawn(feed)
        })
        .collect();
    let mut together = Together::default();
    for phase in ["all well", "city-orders poisoned", "order-vault's lookup down"] {
        poison.store(phase.contains("poisoned"), Ordering::Relaxed);
        proxy.cut(phase.contains("down"));
        std::thread::sleep(SETTLING);
        let before = histograms(&host)?;
        std::thread::sleep((time / 3).saturating_sub(SETTLING));
        let after = histograms(&host)?;
        for example in EXAMPLES {
            let of = |all: &Histograms| {
                all.get(&format!("{}-{run}-{}", bench.id, example.name)).cloned().unwrap_or_default()
            };
            let (records, p99_seconds) = p99(&of(&before), &of(&after));
            say(&format!("{phase}: {}: {records} records, p99 ≤ {p99_seconds} s", example.name));
            together.phases.push(Phase { phase, example: example.name, records, p99_seconds });
        }
        together.memory_mib.push((phase, host.memory_mib()?.0));
    }
    proxy.cut(false);
    stop.store(true, Ordering::Relaxed);
    for feed in feeding {
        bench.runtime.block_on(feed)??;
    }
    let ended = Instant::now();
    while lag(&host)? > 0 {
        ensure!(ended.elapsed() < DRAIN_MAX, "lag does not return to 0: {}", host.status()?);
        std::thread::sleep(Duration::from_millis(200));
    }
    together.drained_seconds = ended.elapsed().as_secs_f64();
    host.stop()?;
    Ok(together)
}

/// Appends at a steady pace until it is told to stop. Poisoned, every second record is no JSON.
async fn feed(
    log: Arc<dyn gristmill::log::Log>,
    backlog: Backlog,
    per_second: u64,
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
        let due = (start.elapsed().as_secs_f64() * per_second as f64) as u64;
        if due > fed {
            append_chunk(&log, &backlog, fed..due).await?;
            fed = due;
        }
    }
    Ok(())
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

fn lag(host: &HostProcess) -> anyhow::Result<u64> {
    let metrics = host.metrics()?;
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{}{{", gristmill::telemetry::LAG)));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64)
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
        let Some(together) = &self.together else { return text };
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["all in one host", "pipeline", "records", "p99 to the row, s"]);
        for phase in &together.phases {
            table.add_row([
                phase.phase.to_owned(),
                phase.example.to_owned(),
                phase.records.to_string(),
                format!("≤ {}", phase.p99_seconds),
            ]);
        }
        text.push_str(&format!("\n{}\n", aligned(table)));
        for (phase, mib) in &together.memory_mib {
            text.push_str(&format!("memory at the end of \"{phase}\": {mib:.0} MiB\n"));
        }
        text.push_str(&format!("lag was 0 again after {:.1} s\n", together.drained_seconds));
        let slow = |phase: &&Phase| phase.p99_seconds > P99_SECONDS_MAX && !phase.is_the_broken_one();
        for phase in together.phases.iter().filter(slow) {
            text.push_str(&format!(
                "MISSED: {} while {}: p99 {} s\n",
                phase.example, phase.phase, phase.p99_seconds
            ));
        }
        text
    }
}

impl Phase {
    /// Whether it is the pipeline whose own lookup is down.
    fn is_the_broken_one(&self) -> bool {
        self.phase.contains(self.example) && self.phase.contains("down")
    }
}

fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
