//! What a person types, CI types: `cargo xtask demo | test | chaos | fuzz | bench | services | guests`.
//!
//! Every command does its own set-up on a fresh Debian machine with rustup. The crate knows nothing of the
//! host's code, so that it builds in seconds and a broken host can still be tested.

mod bench;
mod chaos;
mod cli;
#[cfg(test)]
mod compose;
mod demo;
mod fuzz;
mod guests;
mod languages;
mod packages;
mod progress;
mod services;
mod test;
mod workspace;

use std::process::ExitCode;

use cli::{Command, USAGE};

fn main() -> ExitCode {
    progress::seconds(); // the clock starts
    match cli::parse(std::env::args().skip(1)) {
        Ok(command) => finish(run(command)),
        Err(message) => {
            eprintln!("error: {message}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Fuzz(fuzz) => fuzz::run(&fuzz),
        Command::Guests => list_modules(),
        Command::Bench(bench) => bench::run(&bench),
        Command::Test(filter) => test::run(filter.as_deref()),
        Command::Services(order) => services::carry_out(order),
    }
}

fn list_modules() -> anyhow::Result<()> {
    for module in guests::build_all()? {
        println!("{:<12} {:>7} KiB  {}", module.name, module.bytes.div_ceil(1024), module.path.display());
    }
    Ok(())
}

fn finish(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
