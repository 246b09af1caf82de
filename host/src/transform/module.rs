//! A module, compiled: from wasm bytes to something that instances are made of. Once per digest and process.

use super::Error;
use super::bindings::EnrichingTransformPre;
use super::compiler;
use super::engine::Engine;
use super::interrupt::Code;
use super::state::GuestState;
use super::watchdog::Watchdog;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The interface that every module exports.
const TRANSFORMER: &str = "gristmill:transform/transformer@0.1.0";

/// What a module may import without being granted anything more.
const OWN_IMPORTS: [&str; 4] = [
    "gristmill:transform/types@0.1.0",
    "gristmill:transform/log@0.1.0",
    "gristmill:transform/hashing@0.1.0",
    "gristmill:transform/lookup@0.1.0",
];

/// A compiled module.
#[derive(Clone)]
pub struct Module {
    /// Its name: the file's, without `.wasm`.
    pub name: String,
    /// The sha256 of the bytes as they were given, hex.
    pub digest: String,
    /// What it imports, `gristmill:transform/types` aside (that is types only).
    pub imports: Vec<String>,
    pub(super) pre: EnrichingTransformPre<GuestState>,
    /// Who stops its instances, and where their code is, if that is done by interrupting it.
    pub(super) watched: Option<(Arc<Watchdog>, Code)>,
}

impl Module {
    /// Compiles a component, or a core module with an embedded component type (what
    /// `cargo build --target wasm32-unknown-unknown` makes). Takes from a tenth of a second to many seconds: keep
    /// it off the path of records.
    ///
    /// # Errors
    /// [`Error::Module`] with what is wrong with the bytes and what to do.
    pub fn compile(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |(code, message): Refusal| Error::Module { module: name.to_owned(), code, message };
        let digest = hex(&Sha256::digest(bytes));
        let compiled = engine.compiled.lock().get(&digest).cloned();
        if let Some(module) = compiled {
            return Ok(Module { name: name.to_owned(), ..module });
        }
        let kept = engine.kept(&digest).map_err(|error| refuse(compiler::unavailable(error)))?;
        let (sandbox, component) = match kept {
            Some(kept) => kept,
            None => {
                let (sandbox, component) = engine.compile(bytes).map_err(refuse)?;
                engine.keep(&sandbox, &digest, &component);
                (sandbox, component)
            }
        };
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(&sandbox.engine).map(|(name, _)| name.to_owned()).collect();
        let exports: Vec<String> = ty.exports(&sandbox.engine).map(|(name, _)| name.to_owned()).collect();
        transformer(&exports).map_err(refuse)?;
        let foreign: Vec<&str> = imports
            .iter()
            .map(String::as_str)
            .filter(|import| !OWN_IMPORTS.contains(import) && !is_wasi(import))
            .collect();
        if !foreign.is_empty() {
            let message = format!("it imports what no transform is granted: {}", foreign.join(", "));
            return Err(refuse(("import-refused", message)));
        }
        let wasi = imports.iter().any(|import| is_wasi(import));
        let linker = if wasi { &sandbox.wasi_linker } else { &sandbox.linker };
        let pre =
            linker.instantiate_pre(&component).and_then(EnrichingTransformPre::new).map_err(|error| {
                let message = format!("its imports or exports do not fit the contract: {error:#}");
                refuse(("contract-unfit", message))
            })?;
        let imports = imports.into_iter().filter(|import| import != OWN_IMPORTS[0]).collect();
        let code = |watchdog| Ok((watchdog, Code::of(&component)?));
        let watched = sandbox.watchdog.map(code).transpose();
        let watched = watched.map_err(|error| refuse(compiler::unavailable(error)))?;
        let module = Module { name: name.to_owned(), digest: digest.clone(), imports, pre, watched };
        engine.compiled.lock().insert(digest, module.clone());
        Ok(module)
    }

    /// Whether its instances are interrupted when their time is up, which costs them nothing before; they are stopped by
    /// wasmtime's epochs otherwise.
    pub fn is_interrupted(&self) -> bool {
        self.watched.is_some()
    }

    /// The digest that a module with these bytes has.
    pub fn digest_of(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    /// Finds, reads and compiles the module that a stage names; in the spec's folder too, if it has one.
    ///
    /// # Errors
    /// [`Error::Module`] with where it was looked for.
    pub fn load(engine: &Engine, module: &str, spec_folder: Option<&Path>) -> Result<Self, Error> {
        let refuse =
            |message: String| Error::Module { module: module.to_owned(), code: "not-found", message };
        let path = find(module, spec_folder).map_err(refuse)?;
        let bytes = std::fs::read(&path)
            .map_err(|error| refuse(format!("{} cannot be read: {error}", path.display())))?;
        let name =
            path.file_stem().map_or_else(|| module.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self::compile(engine, &name, &bytes)
    }
}

/// A code and what to tell a person.
pub type Refusal = (&'static str, String);

/// Whether exports (of a component, or of a core module, which names functions behind a `#`) are those of a transform
/// that this host knows.
///
/// # Errors
/// A code, and what to do.
pub fn transformer(exports: &[String]) -> Result<(), Refusal> {
    let interface = |export: &String| export.split('#').next().unwrap_or_default().to_owned();
    if exports.iter().any(|export| interface(export) == TRANSFORMER) {
        return Ok(());
    }
    let other =
        exports.iter().map(interface).find(|export| export.starts_with("gristmill:transform/transformer@"));
    Err(match other {
        Some(other) => (
            "contract-version",
            format!(
                "it exports {other}, and this host speaks {TRANSFORMER}: build it against this host's wit/"
            ),
        ),
        None => (
            "export-missing",
            format!("it does not export {TRANSFORMER}: build it with the SDK or against wit/"),
        ),
    })
}

/// The bytes of a component, whichever form the module has.
pub(super) fn componentized(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if is_component(bytes) { Ok(Cow::Borrowed(bytes)) } else { componentize(bytes).map(Cow::Owned) }
}

/// The preamble's layer tells a component (1) from a core module (0).
fn is_component(bytes: &[u8]) -> bool {
    bytes.get(..8) == Some(&[0, b'a', b's', b'm', 0x0d, 0, 1, 0])
}

pub(super) fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:") && import.contains("@0.2.")
}

fn componentize(core: &[u8]) -> Result<Vec<u8>, Refusal> {
    if core.starts_with(b"\x7fELF") {
        return Err((
            "precompiled",
            "this is compiled code, not WebAssembly: hosts compile modules by themselves".to_owned(),
        ));
    }
    if !core.starts_with(b"\0asm") {
        return Err((
            "not-wasm",
            "these bytes are not WebAssembly: push what `module build` made".to_owned(),
        ));
    }
    wit_component::ComponentEncoder::default()
        .validate(true)
        .module(core)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| {
            let message = format!(
                "this core module cannot be made a component: {error:#}: build it with the SDK, or against wit/ with \
                 wit-bindgen"
            );
            ("core-unfit", message)
        })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where a module's file is: a path that ends in `.wasm` is relative to the spec; a name is looked for in
/// `GRISTMILL_MODULES`, or else in `modules/` beside the spec, beside this program, and one folder up from it.
fn find(module: &str, spec_folder: Option<&Path>) -> Result<PathBuf, String> {
    let candidates: Vec<PathBuf> =
        if Path::new(module).extension().is_some_and(|extension| extension == "wasm") {
            spec_folder.map(|folder| folder.join(module)).into_iter().collect()
        } else {
            folders(spec_folder).into_iter().map(|folder| folder.join(format!("{module}.wasm"))).collect()
        };
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let tried: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        format!("not found; looked for {}", tried.join(", "))
    })
}

fn folders(spec_folder: Option<&Path>) -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os("GRISTMILL_MODULES") {
        return vec![PathBuf::from(folder)];
    }
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent);
    [spec_folder, beside, beside.and_then(Path::parent)]
        .into_iter()
        .flatten()
        .map(|folder| folder.join("modules"))
        .collect()
}
