//! Measures what the sandbox costs: the same pipelines natively, with guests, a plain `\copy` of the same rows, and
//! the embedded set, all in one run. `cargo xtask bench` builds and calls it; docs/benchmark.md explains the figures.

mod backlog;
mod calls;
mod convert;
mod culprits;
mod database;
mod drain;
mod host;
mod lanes;
mod latency;
mod load;
mod machine;
mod native;
mod pipelines;
mod plot;
mod process;
mod profile;
mod proxy;
mod report;
mod run;
mod scenarios;
mod site;
mod vault;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

// The host's own, since this program is the host, too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(name = "gristmill-bench", about = "Measures what the sandbox costs", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the benchmark and prints its figures
    #[command(args_override_self = true)]
    Run(run::Arguments),
    /// Shows where the time goes, function by function, on the same load
    #[command(args_override_self = true)]
    Profile(profile::Arguments),
    /// Measures examples/order-vault: as one pipeline and as three, natively and with guests
    #[command(args_override_self = true)]
    Vault(vault::Arguments),
    /// Measures the examples, one by one and all in one host
    #[command(args_override_self = true)]
    Scenarios(scenarios::Arguments),
    /// What is measured: a host like that of `gristmill run`
    Host(Box<host::Arguments>),
}

fn main() -> ExitCode {
    gristmill::telemetry::install_logging("warn");
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Vault(arguments) => vault::run(&arguments),
        Command::Scenarios(arguments) => scenarios::run(&arguments),
        Command::Host(arguments) => serve(*arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// On the very kind of runtime that `gristmill` has.
fn serve(arguments: host::Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(host::run(arguments));
    runtime.shutdown_background();
    outcome
}
