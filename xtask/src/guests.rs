//! Guests: built for wasm and put where the host finds them, `<target>/modules/<name>.wasm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{progress, workspace};

/// The profile of the workspace that guests are built with.
const PROFILE: &str = "guest";
/// No ambient imports at all: the host makes a component of it.
const PLAIN: &str = "wasm32-unknown-unknown";
/// Imports WASI 0.2, which the host links with nothing granted.
const WASI: &str = "wasm32-wasip2";

/// A package of `guests/` that becomes a module of the same name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest {
    name: &'static str,
    target: &'static str,
    /// Exists to be caught or measured; kept apart, so that no pipeline names it by accident.
    for_tests: bool,
}

const ALL: [Guest; 11] = [
    Guest { name: "validate", target: PLAIN, for_tests: false },
    Guest { name: "route", target: PLAIN, for_tests: false },
    Guest { name: "enrich", target: PLAIN, for_tests: false },
    Guest { name: "data-vault", target: PLAIN, for_tests: false },
    Guest { name: "mart", target: PLAIN, for_tests: false },
    Guest { name: "stock-ledger", target: PLAIN, for_tests: false },
    Guest { name: "store-events", target: PLAIN, for_tests: false },
    Guest { name: "core-orders", target: PLAIN, for_tests: true },
    Guest { name: "misbehave", target: PLAIN, for_tests: true },
    Guest { name: "every-effect", target: PLAIN, for_tests: true },
    Guest { name: "wasi-sample", target: WASI, for_tests: true },
];

/// A built module.
pub(crate) struct Module {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
}

pub(crate) fn modules_folder() -> Result<PathBuf> {
    Ok(workspace::target_folder()?.join("modules"))
}

/// Builds every guest.
pub(crate) fn build_all() -> Result<Vec<Module>> {
    build(&ALL, &[])
}

/// Builds what pipelines use, without cargo's progress; the demo's first build is what a newcomer waits for.
pub(crate) fn build_for_use() -> Result<Vec<Module>> {
    let guests: Vec<_> = ALL.into_iter().filter(|guest| !guest.for_tests).collect();
    build(&guests, &["--quiet"])
}

/// Lints the guests as what they are built for; some code exists only there. In the profile of their build,
/// which has compiled their macros already.
pub(crate) fn lint() -> Result<()> {
    each_target(&ALL, |target, guests| {
        let mut clippy = workspace::cargo();
        clippy.args(["clippy", "--profile", PROFILE, "--target", target]);
        name_packages(&mut clippy, guests);
        workspace::run(clippy.args(["--", "-D", "warnings"]))
    })
}

fn build(guests: &[Guest], options: &[&str]) -> Result<Vec<Module>> {
    each_target(guests, |target, guests| {
        let mut build = workspace::cargo();
        build.args(["build", "--profile", PROFILE, "--target", target]).args(options);
        name_packages(&mut build, guests);
        workspace::run(&mut build)
    })?;
    guests.iter().map(|guest| place(*guest)).collect()
}

/// One call of cargo per target: it shares what the guests have in common.
fn each_target(guests: &[Guest], act: impl Fn(&str, &[Guest]) -> Result<()>) -> Result<()> {
    for target in [PLAIN, WASI] {
        let of_target: Vec<_> = guests.iter().copied().filter(|guest| guest.target == target).collect();
        if !of_target.is_empty() {
            install_target(target)?;
            act(target, &of_target)?;
        }
    }
    Ok(())
}

fn name_packages(cargo: &mut Command, guests: &[Guest]) {
    for guest in guests {
        cargo.args(["--package", guest.name]);
    }
}

fn install_target(target: &str) -> Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(workspace::root())
        .output()
        .context("cannot start `rustc`")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && folder.is_dir() {
        return Ok(());
    }
    progress::say(&format!("rustup: adding {target}"));
    let mut rustup = Command::new("rustup");
    workspace::run_quietly(rustup.args(["target", "add", target]).current_dir(workspace::root()))
}

/// Copies under another name and renames: a host that is reading sees the old module or the new one.
fn place(guest: Guest) -> Result<Module> {
    let built = built_file(guest)?;
    let modules = modules_folder()?;
    let folder = if guest.for_tests { modules.join("test") } else { modules };
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{}.wasm", guest.name));
    let new = folder.join(format!(".{}.new", guest.name));
    let bytes = fs::copy(&built, &new).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Module { name: guest.name, bytes, path })
}

/// Libraries are named with `_`, programs as the package is.
fn built_file(guest: Guest) -> Result<PathBuf> {
    let folder = workspace::target_folder()?.join(guest.target).join(PROFILE);
    let names = [guest.name.replace('-', "_"), guest.name.to_owned()];
    let files = names.iter().map(|name| folder.join(format!("{name}.wasm")));
    match files.into_iter().find(|file| Path::is_file(file)) {
        Some(file) => Ok(file),
        None => bail!("cargo has built no {}.wasm in {}", guest.name, folder.display()),
    }
}
