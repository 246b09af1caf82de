//! The fault harness: real hosts, Kafka, PostgreSQL and SQLite, and a schedule of faults from a seed, judged against a
//! model of what must be there (docs/chaos.md). `cargo xtask chaos` runs it at length; `cargo test` without arguments
//! runs the short form. Not one of libtest's tests: it prints what it does while it does it, and takes flags.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod breaks;
mod embedded;
mod facts;
mod hosts;
mod judge;
mod load;
mod model;
mod options;
mod proxy;
mod report;
mod rest;
mod run;
mod schedule;
mod servers;
mod site;
mod smtp;

use options::{Asked, BREAKS, Options, USAGE};
use report::Report;
use schedule::SHORT_REAL;
use servers::Servers;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Instant;

/// Faults of the short run on the embedded set.
const SHORT_EMBEDDED: usize = 25;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Progress, with the seconds since the start.
pub fn say(text: &str) {
    eprintln!("[{:6.1} s] {text}", START.elapsed().as_secs_f64());
}

fn main() -> ExitCode {
    let _ = *START;
    match options::parse(std::env::args().skip(1)) {
        Err(message) => {
            eprintln!("error: {message}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Ok(Asked::Nothing) => ExitCode::SUCCESS,
        Ok(Asked::Run(options)) => {
            if run_all(&options) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Everything that was asked for; answers whether all is as it must be.
fn run_all(options: &Options) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut reports = Vec::new();
    let mut wrong = Vec::new();
    let short = options.faults.is_none() && options.breaks.is_empty();
    if options.embedded && options.breaks.is_empty() {
        let count = options.faults.unwrap_or(SHORT_EMBEDDED);
        reports.push(embedded::embedded(runtime.handle(), options, count));
    }
    if options.real || !options.breaks.is_empty() {
        let servers = Servers::start();
        say("servers up");
        if options.breaks.is_empty() {
            reports.push(run::real(
                runtime.handle(),
                &servers,
                options,
                options.faults.unwrap_or(SHORT_REAL),
            ));
        }
        let rules = if short { &BREAKS[..] } else { &options.breaks[..] };
        for rule in rules {
            wrong.extend(caught(&runtime, &servers, options, rule, short).err());
        }
    }
    for report in &reports {
        report.print();
        if !report.verdict.is_clean() {
            wrong.push(format!("{} set: {}", report.set, report.verdict));
        }
        if short && report.set == "real" && report.kills() < 60 {
            wrong.push(format!("only {} kills", report.kills()));
        }
    }
    if let Some(path) = &options.json {
        let all: Vec<_> = reports.iter().map(Report::json).collect();
        std::fs::write(path, serde_json::to_string_pretty(&all).unwrap()).unwrap();
    }
    runtime.shutdown_background();
    println!("\nchaos: {}", if wrong.is_empty() { "all is as it must be" } else { "FAILED" });
    // Last, and where a log is looked at first.
    wrong.iter().for_each(|what| eprintln!("error: {what}"));
    wrong.is_empty()
}

/// Whether a host that breaks the rule is caught, and one that keeps it is not. `Err`: what is not so.
fn caught(
    runtime: &tokio::runtime::Runtime,
    servers: &Servers,
    options: &Options,
    rule: &'static str,
    short: bool,
) -> Result<(), String> {
    say(&format!("hosts that break a rule on purpose: {rule}"));
    let broken = breaks::scenario(runtime.handle(), servers, options, rule, true);
    let verdict = &broken.verdict;
    let is_caught = !verdict.is_clean();
    let word = if is_caught { "caught" } else { "NOT CAUGHT" };
    println!("\n{rule}: {word} after {:.0} s: {verdict}", broken.took.as_secs_f64());
    if !is_caught {
        return Err(format!("hosts that break the rule {rule} are not caught"));
    }
    if short {
        return Ok(());
    }
    let right = breaks::scenario(runtime.handle(), servers, options, rule, false);
    if right.verdict.is_clean() {
        return Ok(());
    }
    right.print();
    Err(format!("{rule}: the same scenario is not passed by hosts that keep the rules: {}", right.verdict))
}
