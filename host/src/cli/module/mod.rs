//! `gristmill module …`: modules while they are written.

mod build;
mod new;
mod test;

use crate::config::Settings;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Makes the crate of a new module, with tests and a case
    New(new::Arguments),
    /// Builds the crate of a module, and says what it imports
    Build(build::Arguments),
    /// Runs a module's test cases in the sandbox that pipelines use
    Test(test::Arguments),
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(settings, arguments).await,
        Command::Test(arguments) => test::run(settings, arguments).await,
    }
}
