//! The demo: from a fresh clone to city orders that become rows, records, mail and dead letters.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::progress::Steps;
use crate::{guests, packages, progress, workspace};

const SCENARIO: &str = "examples/city-orders";

/// Builds what the demo runs, and becomes it: Ctrl-C then reaches the host and nobody else, and its exit code
/// is the command's. Everything but the host's own words goes to stderr.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    steps.run("compilers", packages::install_compilers)?;
    steps.run("host and guests", build)?;
    steps.print_summary();
    progress::say(&format!("> gristmill demo {SCENARIO}"));
    let host = workspace::target_folder()?.join("debug/gristmill");
    let mut demo = Command::new(&host);
    demo.args(["demo", SCENARIO]).args(arguments).current_dir(workspace::root());
    Err(demo.exec()).with_context(|| format!("cannot start {}", host.display()))
}

/// Side by side: linking a guest keeps one core busy for a minute, and the host's crates fill the other. They
/// build into folders of their own, so neither cargo waits for the other; only one shows its progress.
fn build() -> Result<()> {
    std::thread::scope(|scope| {
        let guests = scope.spawn(build_guests);
        let host = build_host();
        let guests = guests.join().unwrap_or_else(|_| Err(anyhow!("the thread that builds guests died")));
        host.and(guests)
    })
}

fn build_guests() -> Result<()> {
    for module in guests::build_for_use()? {
        progress::say(&format!("guest {}: {} KiB", module.name, module.bytes.div_ceil(1024)));
    }
    Ok(())
}

fn build_host() -> Result<()> {
    workspace::run(workspace::cargo().args(["build", "--package", "gristmill"]))?;
    progress::say("host: built");
    Ok(())
}
