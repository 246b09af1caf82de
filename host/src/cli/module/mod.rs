//! `gristmill module …`: modules are written, tested, pushed, looked at, removed.

mod push;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Hands a module to a host, which checks it and keeps it
    Push(push::PushArguments),
    /// Lists the modules of a host
    List(push::ListArguments),
    /// Shows a module's versions and what the check of each found
    Show(push::ShowArguments),
    /// Removes a version that is active nowhere
    Remove(push::RemoveArguments),
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Push(arguments) => push::push(arguments).await,
        Command::List(arguments) => push::list(arguments).await,
        Command::Show(arguments) => push::show(arguments).await,
        Command::Remove(arguments) => push::remove(arguments).await,
    }
}
