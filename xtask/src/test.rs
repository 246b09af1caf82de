//! Everything that must hold, cheapest first, stopping at the first thing that does not. CI is this command.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Steps;
use crate::services::{self, Folder, Running};
use crate::{chaos, guests, languages, packages, progress, workspace};

const HOST: &str = "gristmill";
/// Measures, and tests nothing: built with the host in it, it would cost more than all the others.
const BENCH: &str = "gristmill-bench";
/// Programs without an end of their own: `cargo xtask fuzz` runs them.
const FUZZ: &str = "gristmill-fuzz";
/// Crash points are compiled into the host that tests kill, and into no other.
const FEATURES: &str = "gristmill/crash-points";
const DENY_VERSION: &str = "0.20.2";

/// With a filter only the tests whose names contain it, and what they need.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    progress::finish_steps_when_interrupted()?;
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
    let modules = steps.run("guests", guests::build_all)?;
    steps.run("modules in other languages", || {
        languages::install_tools().and_then(|()| languages::build_all())
    })?;
    if filter.is_none() {
        steps.run("clippy for wasm", guests::lint)?;
        steps.run("tests in other languages", languages::test_natively)?;
        steps.run("cases of guests", || cases(&modules))?;
    }
    steps.run("modules of the examples, compiled", compile_modules)?;
    let folder = Folder::open(None)?;
    let running = steps.run("services up", || services::up(&folder))?;
    let outcome = test(steps, filter, &running);
    // After a failure the servers' data and logs stay, for a look.
    let purge = outcome.is_ok();
    let down = steps.run_always("services down", || services::down(&folder, &running.started, purge));
    outcome.and(down)?;
    // With servers of its own, which it kills: the others are out of its way by now.
    if filter.is_none() {
        steps.run("fault harness, a short run", || chaos::harness(&[]))?;
    }
    Ok(())
}

/// The host by itself: what it depends on is then compiled with the features that `cargo build -p gristmill`
/// and the demo want, once for all; beside the guests it would be compiled with theirs, wasmtime and all.
fn test(steps: &mut Steps, filter: Option<&str>, running: &Running) -> Result<()> {
    // The benchmark's native twins have the guests' own tests.
    let others =
        ["--workspace", "--exclude", HOST, "--exclude", BENCH, "--exclude", FUZZ, "--exclude", "native-*"];
    steps.run("tests of guests, models and xtask", || cargo_test(&others, filter, running))?;
    let host = ["--package", HOST, "--features", FEATURES];
    steps.run("tests of the host", || cargo_test(&host, filter, running))
}

/// The guests' own test cases, in the sandbox, by the host that the tests of the host are built with; and those same
/// cases with the modules that do the same in other languages.
fn cases(modules: &[guests::Module]) -> Result<()> {
    workspace::run(workspace::cargo().args(["build", "--package", HOST, "--features", FEATURES]))?;
    let host = workspace::target_folder()?.join("debug").join(HOST);
    let test = |module: &Path, guest: &str| {
        let cases = workspace::root().join("guests").join(guest).join("cases");
        if !cases.is_dir() {
            return Ok(());
        }
        let mut test = Command::new(&host);
        workspace::run(test.args(["module", "test"]).arg(module).arg("--cases").arg(&cases))
    };
    modules.iter().try_for_each(|module| test(&module.path, module.name))?;
    languages::ALL.iter().try_for_each(|other| test(&other.module()?, other.twin))
}

/// Fills the cache that all hosts of this user share: hosts that tests kill within a second would never get to the end of
/// compiling a module.
fn compile_modules() -> Result<()> {
    workspace::run(workspace::cargo().args(["build", "--package", HOST, "--features", FEATURES]))?;
    let host = workspace::target_folder()?.join("debug").join(HOST);
    for example in std::fs::read_dir(workspace::root().join("examples"))? {
        let spec = example?.path().join("pipeline.toml");
        if spec.is_file() {
            let mut check = Command::new(&host);
            check.arg("check").arg(spec).env("GRISTMILL_MODULES", guests::modules_folder()?);
            workspace::run_quietly(&mut check)?;
        }
    }
    Ok(())
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
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--features", FEATURES])
        .env("RUSTDOCFLAGS", "-D warnings");
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

fn cargo_test(packages: &[&str], filter: Option<&str>, running: &Running) -> Result<()> {
    let mut test = workspace::cargo();
    test.arg("test").args(packages).args(filter);
    test.envs(running.variables.iter().map(|(name, value)| (name, value)));
    test.env("GRISTMILL_TEST_SCHEMATHESIS", languages::schemathesis()?);
    workspace::run(test.env("GRISTMILL_TEST_MODULES", guests::modules_folder()?))
}
