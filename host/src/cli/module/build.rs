//! `gristmill module build [DIR]`: a guest crate becomes a module, with the settings that guests are built with.

use crate::config::Settings;
use crate::transform::{Engine, Module};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TARGET: &str = "wasm32-unknown-unknown";
/// Speed over size, one unit, no unwinding: as the profile `guest` of Gristmill's own modules. Said here too, for
/// crates whose manifest does not say it.
const SETTINGS: [&str; 5] = [
    "profile.release.opt-level=3",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.strip=\"debuginfo\"",
];
/// For the crate itself, and so for all of a module, which is optimised as a whole: each function looks at its stack first,
/// so that more of them are worth taking into others than LLVM takes by itself.
const FLAGS: [&str; 2] = ["-C", "llvm-args=-inline-threshold=600"];
const INSTALL: &str = "install Rust with rustup: https://rustup.rs";

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The folder of the module's crate
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    let cache = settings.cache_folder();
    tokio::task::spawn_blocking(move || {
        let manifest = Manifest::read(&arguments.folder)?;
        add_target(&manifest.folder)?;
        let built = build(&manifest)?;
        let path = place(&manifest, &built)?;
        let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        // What would not be taken later is told now; and it is in the cache then.
        let module = Module::compile(&Engine::new(Some(&cache))?, &manifest.name, &bytes)?;
        print(&arguments, &path, bytes.len(), &module)
    })
    .await?
}

/// The crate.
struct Manifest {
    folder: PathBuf,
    path: PathBuf,
    name: String,
}

impl Manifest {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("{}", folder.display()))?;
        let path = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{} cannot be read; `gristmill module new NAME` makes a module's crate", path.display())
        })?;
        let manifest: toml::Table = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        let name =
            manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        let name = name.with_context(|| format!("{} is not that of a package", path.display()))?.to_owned();
        let kinds = manifest.get("lib").and_then(|lib| lib.get("crate-type")).and_then(toml::Value::as_array);
        if !kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind.as_str() == Some("cdylib"))) {
            bail!("{}: a module needs\n[lib]\ncrate-type = [\"cdylib\"]", path.display());
        }
        Ok(Manifest { folder, path, name })
    }
}

/// Makes sure that the compiler knows the target. Asked in the crate's folder: a file there may name a toolchain.
fn add_target(folder: &Path) -> anyhow::Result<()> {
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output()
        .with_context(|| format!("cannot start `rustc`; {INSTALL}"))?;
    let library = PathBuf::from(String::from_utf8_lossy(&rustc.stdout).trim());
    if rustc.status.success() && library.is_dir() {
        return Ok(());
    }
    eprintln!("adding the target {TARGET}");
    let status = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(folder)
        .stdout(Stdio::null())
        .status()
        .with_context(|| {
            format!("the compiler has no target {TARGET}, and there is no rustup to add it; {INSTALL}")
        })?;
    if !status.success() {
        bail!("`rustup target add {TARGET}` failed ({status})");
    }
    Ok(())
}

/// Builds the crate; answers where cargo put it.
fn build(manifest: &Manifest) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "rustc",
        "--lib",
        "--release",
        "--target",
        TARGET,
        "--message-format",
        "json-render-diagnostics",
    ]);
    cargo.arg("--manifest-path").arg(&manifest.path);
    for setting in SETTINGS {
        cargo.args(["--config", setting]);
    }
    cargo.arg("--").args(FLAGS);
    cargo.current_dir(&manifest.folder).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().with_context(|| format!("cannot start `cargo`; {INSTALL}"))?;
    if !output.status.success() {
        bail!("the module does not build (cargo says why, above)");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let built = built.filter_map(|message: Value| artifact(&message, &manifest.path)).next_back();
    built.with_context(|| format!("cargo has built no .wasm of {}", manifest.path.display()))
}

/// The module that one of cargo's messages tells of.
fn artifact(message: &Value, manifest: &Path) -> Option<PathBuf> {
    let is = |key: &str, value: &str| message.get(key).and_then(Value::as_str) == Some(value);
    if !is("reason", "compiler-artifact") || !is("manifest_path", manifest.to_str()?) {
        return None;
    }
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// Puts the module where its path is short and it has the crate's name: `target/modules/NAME.wasm`. By renaming: who
/// reads it meanwhile sees the old one or the new one.
fn place(manifest: &Manifest, built: &Path) -> anyhow::Result<PathBuf> {
    // TARGET-FOLDER/wasm32-unknown-unknown/release/name.wasm
    let target = built.ancestors().nth(3).unwrap_or(&manifest.folder);
    let folder = target.join("modules");
    let (path, new) =
        (folder.join(format!("{}.wasm", manifest.name)), folder.join(format!(".{}.new", manifest.name)));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    std::fs::copy(built, &new).with_context(|| format!("{} cannot be copied", built.display()))?;
    std::fs::rename(&new, &path).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

fn print(arguments: &Arguments, path: &Path, bytes: usize, module: &Module) -> anyhow::Result<()> {
    if arguments.json {
        let facts = json!({
            "module": module.name, "path": path, "bytes": bytes, "digest": module.digest, "imports": module.imports,
        });
        println!("{}", serde_json::to_string_pretty(&facts)?);
        return Ok(());
    }
    let here = std::env::current_dir().ok();
    let short = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    println!("module   {}", short.display());
    println!("size     {} KiB", bytes.div_ceil(1_024));
    println!("digest   {}", module.digest);
    let imports = if module.imports.is_empty() { "nothing".to_owned() } else { module.imports.join(", ") };
    println!("imports  {imports}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_crate_that_makes_a_module_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("Cargo.toml"), text).unwrap();
            Manifest::read(folder.path()).map(|manifest| manifest.name)
        };
        assert!(Manifest::read(folder.path()).err().unwrap().to_string().contains("gristmill module new"));
        assert!(read("[workspace]").unwrap_err().to_string().contains("not that of a package"));
        assert!(read("[package]\nname = \"a\"").unwrap_err().to_string().contains("cdylib"));
        assert!(read("[").is_err());
        let name = read("[package]\nname = \"a\"\n[lib]\ncrate-type = [\"rlib\", \"cdylib\"]").unwrap();
        assert_eq!(name, "a");
    }

    #[test]
    fn cargos_messages_tell_where_the_module_is() {
        let message = |manifest: &str, file: &str| json!({"reason": "compiler-artifact", "manifest_path": manifest, "filenames": [file]});
        let of = |message: &Value| artifact(message, Path::new("/m/Cargo.toml"));
        assert_eq!(of(&message("/m/Cargo.toml", "/t/m.wasm")), Some(PathBuf::from("/t/m.wasm")));
        assert_eq!(of(&message("/other/Cargo.toml", "/t/m.wasm")), None);
        assert_eq!(of(&message("/m/Cargo.toml", "/t/libm.rlib")), None);
        assert_eq!(of(&json!({"reason": "build-finished"})), None);
    }
}
