//! The fault harness (docs/chaos.md), with everything that it needs: the guests, the servers of tests that it does not
//! kill, and the harness itself, which brings up those that it does.

use anyhow::Result;

use crate::progress::{self, Steps};
use crate::{guests, packages, workspace};

/// The arguments are the harness's own; it knows which are wrong.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    progress::finish_steps_when_interrupted()?;
    let mut steps = Steps::default();
    let outcome = all(&mut steps, arguments);
    steps.print_summary();
    outcome
}

fn all(steps: &mut Steps, arguments: &[String]) -> Result<()> {
    steps.run("compilers", packages::install_compilers)?;
    steps.run("guests", guests::build_all)?;
    steps.run("chaos", || harness(arguments))
}

/// The harness, with arguments of its own; without any a short run.
pub(crate) fn harness(arguments: &[String]) -> Result<()> {
    let mut test = workspace::cargo();
    test.args([
        "test",
        "--package",
        "gristmill",
        "--features",
        "gristmill/crash-points",
        "--test",
        "chaos",
        "--",
    ]);
    // The harness runs in its package's folder: a file is meant from where the person is.
    let mut json = false;
    for argument in arguments {
        match std::path::absolute(argument) {
            Ok(path) if json => test.arg(path),
            _ => test.arg(argument),
        };
        json = argument == "--json";
    }
    test.env("GRISTMILL_TEST_MODULES", guests::modules_folder()?);
    workspace::run(&mut test)
}
