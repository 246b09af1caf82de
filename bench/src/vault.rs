//! The order vault: orders per second and what an order costs, as one pipeline natively and with guests, and as three that
//! are joined by topics; how long ten thousand orders take from the generator to the last counter; and whether an order
//! costs the same when the vault is full.

use crate::backlog;
use crate::calls::{self, Calls};
use crate::database::psql;
use crate::drain::{Drained, watch};
use crate::load;
use crate::machine::Machine;
use crate::pipelines::Pipeline;
use crate::process::{Cpu, HostProcess, Stages};
use crate::report::median;
use crate::site::{Bench, Place, say};
use anyhow::{anyhow, bail, ensure};
use comfy_table::{CellAlignment, Table, presets};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is asked of the figures.
const TEN_THOUSAND_SECONDS_MAX: f64 = 5.0;
const CALL_RATIO_MAX: f64 = 1.5;
/// How much more an order may cost at the end of the long run than at its beginning, for a cost that is called flat.
const GROWTH_MAX: f64 = 0.2;
/// How often processor time is looked at.
const USE_LOOK: Duration = Duration::from_millis(250);
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
    /// Orders of the run that shows whether costs grow; 0 for no such run
    #[arg(long, default_value_t = 1_000_000)]
    many_orders: u64,
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
    /// The tenths of the long run.
    tenths: Vec<Tenth>,
    /// The long run itself.
    many: Option<Drained>,
}

/// A tenth of the orders of the long run.
#[derive(Debug, serde::Serialize)]
struct Tenth {
    orders_per_second: f64,
    /// Processor time per order, of the host and of PostgreSQL, microseconds.
    cpu_us: f64,
}

/// Processor time since some moment before the run, of the host and of PostgreSQL.
struct Used {
    /// Since the beginning of the run.
    seconds: f64,
    cpu_seconds: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let machine = Machine::look(&arguments.place.store)?;
    if !machine.commits_are_durable() {
        bail!(
            "the database's server does not wait for its disk (fsync, synchronous_commit): its figures mean nothing"
        );
    }
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
    let (tenths, many) = match arguments.many_orders {
        0 => (Vec::new(), None),
        orders => {
            bench.fill(&backlog, orders)?;
            let (drained, made) = drained(&bench, Way::One, "many", orders)?;
            (tenths(&drained, &made.used, orders), Some(drained))
        }
    };
    let report = Report { machine, orders: arguments.orders, runs, fresh, calls, tenths, many };
    println!("{}", report.text(arguments));
    let json = bench.place.out.join("vault.json");
    std::fs::write(&json, serde_json::to_string_pretty(&report)?)?;
    println!("\n{}", json.display());
    Ok(())
}

/// What a run made, beside what it cost.
struct Made {
    rows: u64,
    database_cpu_seconds: f64,
    /// In the order of time.
    used: Vec<Used>,
}

/// Drains the orders in a new database, and checks that each has been counted once for each of its products.
fn drained(bench: &Bench, way: Way, name: &str, orders: u64) -> anyhow::Result<(Drained, Made)> {
    let (specs, setup, database) = if way == Way::Three {
        bench.ready_joined(name)?
    } else {
        let ready = bench.ready(Pipeline::Vault, name, |_| {})?;
        (vec![ready.spec], ready.setup, ready.database)
    };
    let paths: Vec<&Path> = specs.iter().map(AsRef::as_ref).collect();
    let before = database_cpu_seconds()?;
    let mut host = HostProcess::start(&setup, &paths, way.stages())?;
    let (id, ended) = (host.id(), AtomicBool::new(false));
    let (drained, used) = std::thread::scope(|scope| {
        let used = scope.spawn(|| use_until(id, &ended));
        let drained = watch(&mut host, orders * way.readings());
        ended.store(true, Ordering::Relaxed);
        (drained, used.join())
    });
    let (drained, used) = (drained?, used.map_err(|_| anyhow!("who looks at processor time has panicked"))??);
    let database_cpu_seconds = database_cpu_seconds()? - before;
    host.stop()?;
    let number = |sql: &str| -> anyhow::Result<u64> { Ok(psql(&database.url(), sql)?.trim().parse()?) };
    let counted = number("SELECT coalesce(sum(order_cnt), 0) FROM cdm.user_product_counters")?;
    let expected = products(orders)?;
    ensure!(counted == expected, "{counted} products were counted instead of {expected}");
    let letters = number("SELECT count(*) FROM gristmill.dead_letters")?;
    ensure!(letters == 0, "{letters} dead letters");
    let rows = number(
        "SELECT sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', schemaname, tablename), \
         false, true, '')))[1]::text::bigint) FROM pg_tables WHERE schemaname IN ('stg', 'dds', 'cdm')",
    )?;
    std::fs::remove_dir_all(setup.folder)?;
    Ok((drained, Made { rows, database_cpu_seconds, used }))
}

fn one(bench: &Bench, way: Way, round: usize, orders: u64) -> anyhow::Result<Run> {
    let name = format!("vault-{way:?}-{round}").to_lowercase();
    let (drained, made) = drained(bench, way, &name, orders)?;
    let readings = way.readings() as f64;
    let orders_per_second = drained.records_per_second / readings;
    let us = |seconds_per_million: f64| seconds_per_million * readings;
    let cpu = drained.cpu_seconds_per_million;
    Ok(Run {
        way,
        orders_per_second,
        rows_per_second: orders_per_second * made.rows as f64 / orders as f64,
        cpu_us: Cpu {
            guests: us(cpu.guests),
            host: us(cpu.host),
            store_client: us(cpu.store_client),
            log_client: us(cpu.log_client),
        },
        database_cpu_us: made.database_cpu_seconds * 1e6 / orders as f64,
    })
}

/// A host that is up and has nothing to do is given orders: seconds until all of them are counted.
fn from_generator_to_counter(bench: &Bench, way: Way, orders: u64) -> anyhow::Result<f64> {
    let name = format!("fresh-{way:?}").to_lowercase();
    let topic = bench.topic(&name);
    let (specs, setup, _database) = if way == Way::Three {
        bench.ready_joined(&name)?
    } else {
        let ready = bench.ready(Pipeline::Vault, &name, |_| {})?;
        (vec![ready.spec], ready.setup, ready.database)
    };
    // A topic of its own, which is empty when the host begins.
    let first = specs.first().map(AsRef::<Path>::as_ref);
    if let Some(first) = first {
        let spec = std::fs::read_to_string(first)?;
        std::fs::write(
            first,
            spec.replace(&format!("\"{}\"", bench.topic("vault")), &format!("\"{topic}\"")),
        )?;
    }
    let paths: Vec<&Path> = specs.iter().map(AsRef::as_ref).collect();
    let backlog = backlog::Backlog { topic, ..bench.backlog(Pipeline::Vault) };
    bench.runtime.block_on(backlog::append(&bench.log, &backlog, 0..0))?;
    let mut host = HostProcess::start(&setup, &paths, way.stages())?;
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
    Ok(seconds)
}

/// How many products are in the first orders.
fn products(orders: u64) -> anyhow::Result<u64> {
    let mut count = 0;
    for number in 0..orders {
        let order: serde_json::Value = serde_json::from_str(&load::record(Pipeline::Vault, number).value)?;
        count += order.pointer("/payload/order_items").and_then(|items| items.as_array()).map_or(0, Vec::len)
            as u64;
    }
    Ok(count)
}

/// Processor time of all PostgreSQL processes of this machine, those that have ended included as far as their parent knows.
fn database_cpu_seconds() -> anyhow::Result<f64> {
    let per_second = procfs::ticks_per_second() as f64;
    let processes = procfs::process::all_processes()?.flatten().filter_map(|process| process.stat().ok());
    let of_postgres = processes.filter(|stat| stat.comm == "postgres");
    Ok(of_postgres
        .map(|stat| {
            let ended = stat.cutime.max(0) as f64 + stat.cstime.max(0) as f64;
            ((stat.utime + stat.stime) as f64 + ended) / per_second
        })
        .sum())
}

/// Looks at processor time until the run has ended.
fn use_until(host: u32, ended: &AtomicBool) -> anyhow::Result<Vec<Used>> {
    let start = Instant::now();
    let mut used = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let stat = procfs::process::Process::new(i32::try_from(host)?)?.stat()?;
        let of_host = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        let cpu_seconds = of_host + database_cpu_seconds()?;
        used.push(Used { seconds: start.elapsed().as_secs_f64(), cpu_seconds });
        std::thread::sleep(USE_LOOK);
    }
    Ok(used)
}

/// What each tenth of a run cost.
fn tenths(drained: &Drained, used: &[Used], orders: u64) -> Vec<Tenth> {
    let at = |count: f64| {
        let after = drained.committed.iter().find(|(_, committed)| *committed as f64 >= count);
        after.or(drained.committed.last()).map_or(0.0, |(seconds, _)| *seconds)
    };
    let cpu_at = |seconds: f64| {
        let after = used.iter().find(|used| used.seconds >= seconds).or(used.last());
        after.map_or(0.0, |used| used.cpu_seconds)
    };
    let first = drained.committed.iter().find(|(_, committed)| *committed > 0).map_or(0, |(_, n)| *n) as f64;
    let step = (orders as f64 - first) / 10.0;
    let bounds: Vec<f64> = (0..=10).map(|n| at(first + step * f64::from(n))).collect();
    let tenth = |from: f64, to: f64| Tenth {
        orders_per_second: step / (to - from).max(0.001),
        cpu_us: (cpu_at(to) - cpu_at(from)) * 1e6 / step,
    };
    bounds.windows(2).filter_map(|pair| Some(tenth(*pair.first()?, *pair.get(1)?))).collect()
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
        let verdict = |holds: bool| if holds { "holds" } else { "DOES NOT HOLD" };
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
        if let (Some(second), Some(last)) = (self.tenths.get(1), self.tenths.last()) {
            let of = |figure: fn(&Tenth) -> f64| {
                let figures: Vec<String> =
                    self.tenths.iter().map(|tenth| format!("{:.0}", figure(tenth))).collect();
                figures.join(" ")
            };
            lines.push(format!(
                "{} orders, in each tenth, CPU µs per order of host and PostgreSQL: {} (the last at most {:.1} times the \
                 second: {}); orders/s: {}",
                arguments.many_orders,
                of(|tenth| tenth.cpu_us),
                1.0 + GROWTH_MAX,
                verdict(last.cpu_us <= second.cpu_us * (1.0 + GROWTH_MAX)),
                of(|tenth| tenth.orders_per_second),
            ));
        }
        lines.join("\n")
    }
}
