//! Everything that must hold, cheapest first, stopping at the first thing that does not. CI is this command.

use anyhow::{Context, Result};

use crate::progress::Steps;
use crate::services::{self, Folder, Running};
use crate::{guests, packages, workspace};

/// Crash points are compiled into the host that tests kill, and into no other.
const FEATURES: &str = "gristmill/crash-points";
const DENY_VERSION: &str = "0.20.2";

/// With a filter only the tests whose names contain it, and what they need.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    let mut steps = Steps::default();
    let outcome = everything(&mut steps, filter);
    steps.print_summary();
    outcome
}

fn everything(steps: &mut Steps, filter: Option<&str>) -> Result<()> {
    steps.run("compilers", packages::install_compilers)?;
    if filter.is_none() {
        check_sources(steps)?;
    }
    steps.run("guests", guests::build_all)?;
    if filter.is_none() {
        steps.run("clippy for wasm", guests::lint)?;
    }
    let folder = Folder::open(None)?;
    let running = steps.run("services up", || services::up(&folder))?;
    let outcome = steps.run("cargo test", || test(filter, &running));
    // After a failure the servers' data and logs stay, for a look.
    let down = steps.run("services down", || services::down(&folder, &running.started, outcome.is_ok()));
    outcome.and(down)
}

fn check_sources(steps: &mut Steps) -> Result<()> {
    steps.run("format", || workspace::run(workspace::cargo().args(["fmt", "--all", "--check"])))?;
    steps.run("cargo deny", deny)?;
    steps.run("clippy", clippy)?;
    steps.run("docs", document)
}

fn clippy() -> Result<()> {
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--features", FEATURES]);
    workspace::run(clippy.args(["--", "-D", "warnings"]))
}

fn document() -> Result<()> {
    let mut doc = workspace::cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--features", FEATURES]).env("RUSTDOCFLAGS", "-D warnings");
    workspace::run(&mut doc)
}

fn deny() -> Result<()> {
    if workspace::run_quietly(workspace::cargo().args(["deny", "--version"])).is_err() {
        // Unoptimised and without a TLS stack: it is built in a third of the time, and checks no advisories,
        // the only thing that would fetch anything.
        let mut install = workspace::cargo();
        install.args(["install", "cargo-deny", "--version", DENY_VERSION, "--locked", "--debug"]);
        install
            .arg("--no-default-features")
            .arg("--target-dir")
            .arg(workspace::target_folder()?.join("tools"));
        workspace::run(&mut install).context("cannot install cargo-deny")?;
    }
    let mut deny = workspace::cargo();
    // Errors only: the crates that are there in two versions would fill the screen.
    deny.args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]);
    workspace::run(&mut deny)
}

/// One call for units, guests and the host's integration tests, so that dependencies are compiled once, with
/// one set of features.
fn test(filter: Option<&str>, running: &Running) -> Result<()> {
    let mut test = workspace::cargo();
    test.args(["test", "--workspace", "--features", FEATURES]);
    test.args(filter);
    test.envs(running.variables.iter().map(|(name, value)| (name, value)));
    workspace::run(test.env("GRISTMILL_TEST_MODULES", guests::modules_folder()?))
}
