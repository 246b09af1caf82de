//! The order vault: orders per second and what an order costs, as one pipeline natively and with guests, and as three that
//! are joined by topics; how long ten thousand orders take from the generator to the last counter; and whether an order
//! costs the same when the vault is full.

mod growth;
mod site;

use crate::backlog;
use crate::calls::{self, Calls};
use crate::machine::Machine;
use crate::pipelines::Pipeline;
use crate::process::{Cpu, Stages};
use crate::report::median;
use crate::site::{Bench, Place, say};
use anyhow::ensure;
use comfy_table::{CellAlignment, Table, presets};
use growth::{Growth, growth};
use site::{Leg, Vault};
use std::time::{Duration, Instant};

/// What is asked of the figures.
const TEN_THOUSAND_SECONDS_MAX: f64 = 5.0;
const CALL_RATIO_MAX: f64 = 1.5;
/// How long a host may take to be up.
const UP_MAX: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Orders of one run
    #[arg(long, default_value_t = 100_000)]
    orders: u64,
    /// Rounds: every figure is the median of so many runs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Turns of the measurement in one process; 0 for none
    #[arg(long, default_value_t = 9)]
    call_rounds: usize,
    /// Orders whose way from the generator to the last counter is timed; 0 for none
    #[arg(long, default_value_t = 10_000)]
    fresh_orders: u64,
    /// Orders that are in a vault when what an order costs there is compared with what it costs in one of 10,000; 0 for no
    /// such comparison
    #[arg(long, default_value_t = 1_000_000)]
    many_orders: u64,
    /// How often that is compared
    #[arg(long, default_value = "3")]
    many_rounds: std::num::NonZeroUsize,
    #[command(flatten)]
    place: Place,
}

/// How the example is worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    OneNatively,
    One,
    Three,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::OneNatively => "one pipeline, natively",
            Way::One => "one pipeline, guests",
            Way::Three => "three joined by topics, guests",
        }
    }

    fn stages(self) -> Stages {
        if self == Way::OneNatively { Stages::Native } else { Stages::Guests }
    }

    /// How often an order is read.
    fn readings(self) -> u64 {
        if self == Way::Three { 3 } else { 1 }
    }
}

#[derive(serde::Serialize)]
struct Run {
    way: Way,
    orders_per_second: f64,
    rows_per_second: f64,
    /// Processor time per order, microseconds.
    cpu_us: Cpu,
    database_cpu_us: f64,
}

#[derive(serde::Serialize)]
struct Report {
    machine: Machine,
    orders: u64,
    runs: Vec<Run>,
    /// Seconds for the orders of `--fresh-orders`, by way.
    fresh: Vec<(Way, f64)>,
    calls: Vec<Calls>,
    growth: Option<Growth>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let machine = Machine::look(&arguments.place.store)?;
    let mut bench = Bench::open(&arguments.place)?;
    bench.load_reference(gristmill::generate::Scenario::OrderVault)?;
    let backlog = bench.backlog(Pipeline::Vault);
    bench.fill(&backlog, arguments.orders)?;
    let mut runs = Vec::new();
    for round in 0..arguments.rounds {
        let mut ways = vec![Way::OneNatively, Way::One, Way::Three];
        if round % 2 == 1 {
            ways.reverse();
        }
        for way in ways {
            let run = one(&bench, way, round, arguments.orders)?;
            say(&format!("{}, round {}: {:.0} orders/s", way.name(), round + 1, run.orders_per_second));
            runs.push(run);
        }
    }
    let mut fresh = Vec::new();
    for way in [Way::One, Way::Three].into_iter().filter(|_| arguments.fresh_orders > 0) {
        let seconds = from_generator_to_counter(&bench, way, arguments.fresh_orders)?;
        say(&format!("{}: {} orders in {seconds:.2} s", way.name(), arguments.fresh_orders));
        fresh.push((way, seconds));
    }
    let calls = match arguments.call_rounds {
        0 => Vec::new(),
        rounds => calls::measure(Pipeline::Vault, &bench.place.modules, &bench.folder.join("calls"), rounds)?,
    };
    let growth = match arguments.many_orders {
        0 => None,
        many => Some(growth(&mut bench, many, arguments.orders, arguments.many_rounds.get())?),
    };
    let report = Report { machine, orders: arguments.orders, runs, fresh, calls, growth };
    println!("{}", report.text(arguments));
    let json = bench.place.out.join("vault.json");
    std::fs::write(&json, serde_json::to_string_pretty(&report)?)?;
    println!("\n{}", json.display());
    Ok(())
}

fn one(bench: &Bench, way: Way, round: usize, orders: u64) -> anyhow::Result<Run> {
    let name = format!("vault-{way:?}-{round}").to_lowercase();
    let vault = Vault::ready(bench, way, &name, &bench.topic(Pipeline::Vault.backlog()))?;
    let Leg { drained, database_cpu_us } = vault.drain(orders)?;
    let rows = vault.check(orders)?;
    let readings = way.readings() as f64;
    let orders_per_second = drained.records_per_second / readings;
    let us = |seconds_per_million: f64| seconds_per_million * readings;
    let cpu = drained.cpu_seconds_per_million;
    Ok(Run {
        way,
        orders_per_second,
        rows_per_second: orders_per_second * rows as f64 / orders as f64,
        cpu_us: Cpu {
            guests: us(cpu.guests),
            host: us(cpu.host),
            store_client: us(cpu.store_client),
            log_client: us(cpu.log_client),
        },
        database_cpu_us,
    })
}

/// A host that is up and has nothing to do is given orders: seconds until all of them are counted.
fn from_generator_to_counter(bench: &Bench, way: Way, orders: u64) -> anyhow::Result<f64> {
    let name = format!("fresh-{way:?}").to_lowercase();
    // A topic of its own, which is empty when the host begins.
    let topic = bench.topic(&name);
    let vault = Vault::ready(bench, way, &name, &topic)?;
    let backlog = backlog::Backlog { topic, ..bench.backlog(Pipeline::Vault) };
    bench.runtime.block_on(backlog::append(&bench.log, &backlog, 0..0))?;
    let mut host = vault.start()?;
    let up = Instant::now();
    while host.progress()?.is_none() || !host.is_ready() {
        ensure!(up.elapsed() < UP_MAX, "the host is not up: {}", host.status()?);
        std::thread::sleep(Duration::from_millis(20));
    }
    let start = Instant::now();
    bench.runtime.block_on(backlog::append(&bench.log, &backlog, 0..orders))?;
    loop {
        let progress = host.progress()?.unwrap_or_default();
        if progress.records == orders * way.readings() {
            break;
        }
        ensure!(start.elapsed() < Duration::from_secs(120), "the host stands still: {}", host.status()?);
        std::thread::sleep(Duration::from_millis(10));
    }
    let seconds = start.elapsed().as_secs_f64();
    host.stop()?;
    vault.check(orders)?;
    Ok(seconds)
}

/// How a goal is spoken of.
fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "DOES NOT HOLD" }
}

impl Report {
    fn text(&self, arguments: &Arguments) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header([
            "",
            "orders/s",
            "rows/s",
            "CPU µs/order: guests",
            "host",
            "store client",
            "log client",
            "PostgreSQL",
        ]);
        for way in [Way::OneNatively, Way::One, Way::Three] {
            let of = |figure: fn(&Run) -> f64| {
                let values: Vec<f64> = self.runs.iter().filter(|run| run.way == way).map(figure).collect();
                if values.is_empty() { String::new() } else { format!("{:.0}", median(&values)) }
            };
            table.add_row([
                way.name().to_owned(),
                of(|run| run.orders_per_second),
                of(|run| run.rows_per_second),
                of(|run| run.cpu_us.guests),
                of(|run| run.cpu_us.host),
                of(|run| run.cpu_us.store_client),
                of(|run| run.cpu_us.log_client),
                of(|run| run.database_cpu_us),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut lines = vec![table.to_string()];
        for (way, seconds) in &self.fresh {
            lines.push(format!(
                "{} orders, generator to last counter, {}: {seconds:.2} s (under {TEN_THOUSAND_SECONDS_MAX} s: {})",
                arguments.fresh_orders,
                way.name(),
                verdict(*seconds < TEN_THOUSAND_SECONDS_MAX)
            ));
        }
        for call in &self.calls {
            let mut line = format!(
                "batches of {}: natively {:.1} µs per order, guests {:.1}, ratio {:.2} ({:.2} to {:.2}",
                call.batch_records, call.native_us, call.guest_us, call.ratio, call.ratio_min, call.ratio_max,
            );
            if call.under_load() {
                line += &format!("; at most {CALL_RATIO_MAX}: {}", verdict(call.ratio <= CALL_RATIO_MAX));
            }
            lines.push(line + ")");
        }
        lines.extend(self.growth.as_ref().map(Growth::text));
        lines.join("\n")
    }
}
