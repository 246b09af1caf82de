//! The benchmark: built with the profile that ships, against real servers, its results in `<target>/bench`.

use std::path::Path;

use anyhow::Result;

use crate::cli::{Bench, What};
use crate::progress::Steps;
use crate::services::{self, Folder, Running};
use crate::{guests, packages, progress, workspace};

const PACKAGE: &str = "gristmill-bench";
/// Enough to see that everything works, in the build that tests have; too little for figures.
const QUICK: [&str; 14] = [
    "--records",
    "20000",
    "--rounds",
    "1",
    "--memory-records",
    "40000",
    "--call-rounds",
    "3",
    "--lane-records",
    "20000",
    "--latency-seconds",
    "5",
    "--culprit-records",
    "20000",
];
const QUICK_PROFILE: [&str; 2] = ["--records", "60000"];
const QUICK_VAULT: [&str; 12] = [
    "--orders",
    "5000",
    "--rounds",
    "1",
    "--call-rounds",
    "2",
    "--fresh-orders",
    "2000",
    "--many-orders",
    "20000",
    "--many-rounds",
    "1",
];

const QUICK_SCENARIOS: [&str; 6] = ["--records", "20000", "--rounds", "1", "--together-seconds", "60"];

/// Runs it, and leaves its results.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    progress::finish_steps_when_interrupted()?;
    let mut steps = Steps::default();
    let outcome = everything(&mut steps, bench);
    steps.print_summary();
    outcome
}

fn everything(steps: &mut Steps, bench: &Bench) -> Result<()> {
    steps.run("compilers", packages::install_compilers)?;
    if bench.what == What::Profile && workspace::find_program("perf").is_none() {
        steps.run("perf", || packages::install(&["linux-perf"]))?;
    }
    steps.run("guests", guests::build_all)?;
    steps.run("build of the benchmark", || {
        let mut build = workspace::cargo();
        build.args(["build", "--package", PACKAGE]).args((!bench.quick).then_some("--release"));
        workspace::run(&mut build)
    })?;
    let folder = Folder::open(None)?;
    let running = steps.run("services up", || services::up(&folder))?;
    let outcome = steps.run("benchmark", || measure(bench, &running));
    let purge = outcome.is_ok();
    let down = steps.run_always("services down", || services::down(&folder, &running.started, purge));
    outcome.and(down)
}

fn measure(bench: &Bench, running: &Running) -> Result<()> {
    let target = workspace::target_folder()?;
    let profile = if bench.quick { "debug" } else { "release" };
    let mut command = std::process::Command::new(target.join(profile).join(PACKAGE));
    let (what, quick): (_, &[&str]) = match bench.what {
        What::Vault => ("vault", &QUICK_VAULT),
        What::Scenarios => ("scenarios", &QUICK_SCENARIOS),
        What::Profile => ("profile", &QUICK_PROFILE),
        What::Run => ("run", &QUICK),
    };
    command
        .arg(what)
        .args(if bench.quick { quick } else { &[] })
        .args(&bench.arguments)
        .arg("--out")
        .arg(results(&target));
    command.envs(running.variables.iter().map(|(name, value)| (name, value)));
    command.env("GRISTMILL_TEST_MODULES", guests::modules_folder()?).current_dir(workspace::root());
    workspace::run(&mut command)
}

fn results(target: &Path) -> std::path::PathBuf {
    target.join("bench")
}
