//! `gristmill module …`: modules are written, built, tested, pushed, looked at, removed.

mod build;
mod new;
mod push;
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
    /// Hands a module to a host, which checks it and keeps it
    Push(push::PushArguments),
    /// Lists the modules of a host
    List(push::ListArguments),
    /// Shows a module's versions and what the check of each found
    Show(push::ShowArguments),
    /// Removes a version that is active nowhere
    Remove(push::RemoveArguments),
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(settings, arguments).await,
        Command::Test(arguments) => test::run(settings, arguments).await,
        Command::Push(arguments) => push::push(settings, arguments).await,
        Command::List(arguments) => push::list(settings, arguments).await,
        Command::Show(arguments) => push::show(settings, arguments).await,
        Command::Remove(arguments) => push::remove(settings, arguments).await,
    }
}
