//! Where things are, and how other programs are run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's root. `cargo run` names this package's folder at run time; asked first, because a target
/// folder shared by several clones may hold a binary that another clone has built.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}

/// Where cargo builds to.
pub(crate) fn target_folder() -> Result<PathBuf> {
    match variable("CARGO_TARGET_DIR") {
        // cargo takes a relative one from where the person is
        Some(folder) => std::path::absolute(&folder).with_context(|| format!("CARGO_TARGET_DIR={folder}")),
        None => Ok(root().join("target")),
    }
}

/// cargo, at the workspace's root. `cargo run` has told this program about the package xtask; were that handed
/// on, build scripts that look at it (ring's) would run, and their crates be compiled, once with it and once
/// without.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(variable("CARGO").unwrap_or_else(|| "cargo".to_owned()));
    cargo.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    if let Ok(target) = target_folder() {
        cargo.env("CARGO_TARGET_DIR", target);
    }
    cargo
}

/// What outlives a clone: `$XDG_CACHE_HOME/gristmill`, else `~/.cache/gristmill`.
pub(crate) fn cache() -> Result<PathBuf> {
    variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .map(|cache| cache.join("gristmill"))
        .context("neither XDG_CACHE_HOME nor HOME is set")
}

/// The environment variable, if it is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where `program` is found: `$PATH`, and the folder of administrators' programs that users often lack.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs a command whose output the person sees; an exit code other than 0 is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = words(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs a command quietly; its output becomes part of the error when it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let line = words(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{line}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}

/// The command as a person would type it.
pub(crate) fn words(command: &Command) -> String {
    let all: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    all.join(" ")
}
