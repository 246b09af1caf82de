//! Modules in other languages than Rust: their own tests, and their builds by the scripts that a stranger runs. They
//! land in `<target>/modules/other/<name>.wasm`, beside the Rust modules that they do the same as.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{guests, packages, workspace};

/// A folder of `examples/` with a module that does what the guest `twin` does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Other {
    folder: &'static str,
    /// What its tests are run by, in its folder.
    tests: &'static [&'static str],
    /// The guest with the same results, whose cases it has to pass.
    pub(crate) twin: &'static str,
}

pub(crate) const ALL: [Other; 2] = [
    Other { folder: "javascript", tests: &["node", "--test", "tests/"], twin: "route" },
    Other { folder: "python", tests: &["python3", "-m", "unittest", "--quiet"], twin: "route" },
];

/// The tools of the languages: what the builds install themselves needs these. Debian 12's own Node.js is 18, too
/// old; where another one is there it is used, else the newest that Debian has is asked for and the build says so.
pub(crate) fn install_tools() -> Result<()> {
    let mut missing = Vec::new();
    if workspace::find_program("node").is_none() || workspace::find_program("npm").is_none() {
        missing.extend(["nodejs", "npm"]);
    }
    if workspace::find_program("python3").is_none() {
        missing.extend(["python3", "python3-venv"]);
    } else if !has_venv() {
        missing.push("python3-venv");
    }
    packages::install(&missing)
}

fn has_venv() -> bool {
    let mut python = Command::new("python3");
    workspace::run_quietly(python.args(["-c", "import ensurepip, venv"])).is_ok()
}

/// Runs the tests that need no sandbox.
pub(crate) fn test_natively() -> Result<()> {
    for other in ALL {
        let [program, arguments @ ..] = other.tests else { bail!("{} has no tests", other.folder) };
        let mut tests = Command::new(program);
        workspace::run(tests.args(arguments).current_dir(other.source()))?;
    }
    Ok(())
}

/// Builds them all. Their tools go where the workspace builds to, so that a clean clone stays clean.
pub(crate) fn build_all() -> Result<()> {
    let tools = workspace::target_folder()?.join("tools");
    for other in ALL {
        let mut build = Command::new("sh");
        build.arg(other.source().join("build.sh")).arg(other.module()?).env("GRISTMILL_TOOLS", &tools);
        for variable in ["GRISTMILL_WIT", "WORLD", "ENGINE"] {
            build.env_remove(variable);
        }
        workspace::run(&mut build).with_context(|| format!("examples/{}", other.folder))?;
    }
    Ok(())
}

impl Other {
    fn source(self) -> PathBuf {
        workspace::root().join("examples").join(self.folder)
    }

    /// Where its module is, once built.
    pub(crate) fn module(self) -> Result<PathBuf> {
        let name = format!("{}-{}.wasm", self.twin, self.folder);
        Ok(guests::modules_folder()?.join("other").join(name))
    }
}

/// The program that sends what an OpenAPI document allows, and what it forbids; installed on first use into a virtual
/// environment of its own.
pub(crate) fn schemathesis() -> Result<PathBuf> {
    const VERSION: &str = "4.32.5";
    let folder = workspace::target_folder()?.join("tools").join(format!("schemathesis-{VERSION}"));
    let program = folder.join("bin/schemathesis");
    if !program.is_file() {
        let mut venv = Command::new("python3");
        workspace::run_quietly(venv.args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]);
        workspace::run(pip.arg(format!("schemathesis=={VERSION}"))).context("cannot install schemathesis")?;
    }
    Ok(program)
}
