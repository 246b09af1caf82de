//! Fuzz targets, built with coverage and run one after the other. The release build of what they depend on is shared
//! with the benchmark; only this workspace's own crates are instrumented (`fuzz/instrument`).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cli::Fuzz;
use crate::progress::Steps;
use crate::{guests, packages, progress, workspace};

const PACKAGE: &str = "gristmill-fuzz";
const BENCH: &str = "gristmill-bench";
/// What the targets' inputs look like: libFuzzer changes what is in this folder.
const SAMPLES: &str = "examples/city-orders";
/// The longest input, bytes.
const INPUT_BYTES_MAX: u32 = 4_096;
/// An input that takes longer than this is a hang, seconds.
const INPUT_SECONDS_MAX: u32 = 10;

/// A target: `fuzz/targets/<name>.rs`.
pub(crate) const TARGETS: [&str; 5] = ["effects", "records", "spec", "http", "outbox"];

/// Builds the targets and runs them; ends with the first one that finds something.
pub(crate) fn run(fuzz: &Fuzz) -> Result<()> {
    progress::finish_steps_when_interrupted()?;
    let mut steps = Steps::default();
    let outcome = everything(&mut steps, fuzz);
    steps.print_summary();
    outcome
}

fn everything(steps: &mut Steps, fuzz: &Fuzz) -> Result<()> {
    steps.run("compilers", packages::install_compilers)?;
    steps.run("guests", guests::build_all)?;
    steps.run("build of the targets", build)?;
    for target in &fuzz.targets {
        steps.run(target, || run_target(target, fuzz))?;
    }
    Ok(())
}

/// The benchmark is named, and not built, so that what both depend on is compiled with the same features, once.
fn build() -> Result<()> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", PACKAGE, "--package", BENCH]);
    for target in TARGETS {
        build.arg("--bin").arg(format!("fuzz-{target}"));
    }
    workspace::run(build.env("RUSTC_WORKSPACE_WRAPPER", workspace::root().join("fuzz/instrument")))
}

fn run_target(target: &str, fuzz: &Fuzz) -> Result<()> {
    let folder = workspace::target_folder()?.join("fuzz").join(target);
    let (corpus, found) = (folder.join("corpus"), folder.join("found"));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let program = workspace::target_folder()?.join("release").join(format!("fuzz-{target}"));
    let mut command = Command::new(program);
    command.arg(format!("-artifact_prefix={}/", found.display()));
    command.arg(format!("-max_len={INPUT_BYTES_MAX}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.arg("-print_final_stats=1").arg(format!("-max_total_time={}", fuzz.seconds));
    command.args(fuzz.runs.map(|runs| format!("-runs={runs}")));
    command.arg(&corpus).args(cases(target)).current_dir(workspace::root());
    command.env("GRISTMILL_MODULES", guests::modules_folder()?);
    workspace::run(&mut command)
}

/// Where inputs begin: what was found once, and samples.
fn cases(target: &str) -> Vec<std::path::PathBuf> {
    let root = workspace::root();
    [root.join("fuzz/cases").join(target), root.join(SAMPLES)]
        .into_iter()
        .filter(|folder| Path::is_dir(folder))
        .collect()
}
