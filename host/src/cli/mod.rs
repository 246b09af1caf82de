//! The command line: what a person types, and what scripts depend on. Exit code 0 done, 1 failed, 2 used wrongly.

mod api;
mod audit;
mod check;
mod dead_letter;
mod demo;
mod explain;
mod generate;
mod ingest;
mod mail;
mod module;
mod pipeline;
mod reference;
mod revision;
mod run;
mod show;
mod swap;
mod token;

use crate::config::Settings;
use crate::telemetry;
use crate::transform::{self, CompileLimits};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs sandboxed WebAssembly transforms over the records of Kafka topics and writes their effects exactly once:
/// rows, messages, mail.
#[derive(Parser)]
#[command(name = "gristmill", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Runs pipelines until it is told to stop (SIGTERM, SIGINT): then it finishes what it has read
    Run(run::Arguments),
    /// Runs an example on the embedded set, with no server, and prints what came out
    Demo(demo::Arguments),
    /// Checks a pipeline spec and its modules, and prints the guarantee of each kind of effect
    Check(check::Arguments),
    /// Looks after pipelines
    #[command(subcommand)]
    Pipeline(pipeline::Command),
    /// Looks after modules
    #[command(subcommand)]
    Module(module::Command),
    /// Makes a version of a module, or another configuration, active in a stage, on every host, while records flow
    Swap(swap::SwapArguments),
    /// Goes back to what was active in a stage before, and was good
    Rollback(swap::RollbackArguments),
    /// Looks after dead letters
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    /// Looks after mails that were given up
    #[command(subcommand)]
    Mail(mail::Command),
    /// Looks after the tokens of the HTTP interface: makes, lists and revokes them in the store itself
    #[command(subcommand)]
    Token(token::Command),
    /// Tells who did what: modules, swaps, pipelines, tokens, dead letters
    Audit(audit::Arguments),
    /// Appends the lines of a file, or the rows of a CSV, to a topic, one record each
    Ingest(ingest::Arguments),
    /// Tells which records made a row, in which batches, by which modules
    Explain(explain::Arguments),
    /// Makes up records of an example, repeatable by a seed
    Generate(generate::Arguments),
    /// Looks after the data that lookups are answered from
    #[command(subcommand)]
    Reference(reference::Command),
    /// Compiles the component on standard input; hosts call this for what is pushed to them
    #[command(hide = true)]
    CompileModule {
        #[arg(long)]
        cpu_s_max: u64,
        #[arg(long)]
        memory_bytes_max: u64,
        #[arg(long)]
        metered: bool,
    },
}

/// Parses the arguments, does what they say, and says how it ended.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::CompileModule { cpu_s_max, memory_bytes_max, metered } = arguments.command {
        let code = transform::compile_as_child(&CompileLimits { cpu_s_max, memory_bytes_max }, metered);
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let quiet = !matches!(arguments.command, Command::Run(_));
    telemetry::install_logging(if quiet { "warn" } else { "info,rdkafka=warn" });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(carry_out(arguments));
    // Whatever still waits for a server in the background is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(arguments: Arguments) -> anyhow::Result<()> {
    let mut settings = arguments.settings.complete()?;
    settings.compiler = std::env::current_exe().ok();
    match arguments.command {
        Command::Run(arguments) => run::run(&settings, arguments).await,
        Command::Demo(arguments) => demo::run(settings, arguments).await,
        Command::Check(arguments) => check::run(&settings, &arguments).await,
        Command::Module(command) => module::run(&settings, command).await,
        Command::Pipeline(command) => pipeline::run(&settings, command).await,
        Command::Swap(arguments) => swap::swap(&settings, arguments).await,
        Command::Rollback(arguments) => swap::roll_back(&settings, arguments).await,
        Command::CompileModule { .. } => Ok(()),
        Command::DeadLetter(command) => dead_letter::run(&settings, command).await,
        Command::Mail(command) => mail::run(&settings, command).await,
        Command::Token(command) => token::run(&settings, command).await,
        Command::Audit(arguments) => audit::run(&settings, arguments).await,
        Command::Ingest(arguments) => ingest::run(&settings, arguments).await,
        Command::Explain(arguments) => explain::run(&settings, arguments).await,
        Command::Generate(arguments) => generate::run(&settings, arguments).await,
        Command::Reference(command) => reference::run(&settings, command).await,
    }
}

/// A spec's file.
fn read_spec(path: &std::path::Path) -> anyhow::Result<std::sync::Arc<crate::spec::Spec>> {
    Ok(std::sync::Arc::new(crate::spec::Spec::read(path)?))
}

/// A spec's file, for flags.
type SpecPath = PathBuf;
