//! The demo: from a fresh clone to city orders that become rows, records, mail and dead letters.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Steps;
use crate::{guests, packages, progress, workspace};

const SCENARIO: &str = "examples/city-orders";

/// Builds what the demo runs, and becomes it: Ctrl-C then reaches the host and nobody else, and its exit code
/// is the command's. Everything but the host's own words goes to stderr.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    steps.run("compilers", packages::install_compilers)?;
    steps.run("guests", guests::build_for_use)?;
    steps.run("host", build_host)?;
    steps.print_summary();
    progress::say(&format!("> gristmill demo {SCENARIO}"));
    let host = workspace::target_folder()?.join("debug/gristmill");
    let mut demo = Command::new(&host);
    demo.args(["demo", SCENARIO]).args(arguments).current_dir(workspace::root());
    Err(demo.exec()).with_context(|| format!("cannot start {}", host.display()))
}

fn build_host() -> Result<()> {
    workspace::run(workspace::cargo().args(["build", "--package", "gristmill"]))
}
