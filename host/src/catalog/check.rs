//! What a module goes through before it is accepted: cheapest first, each refusal with a code of its own and a sentence
//! that says what to do. Nothing of a refused module stays behind.

use super::signature::{Bad, TrustedKeys};
use super::{Version, names};
use crate::cases::{self, Cases, Subject};
use crate::spec::Limits;
use crate::transform::{Engine, Error, Inspection, Module, inspect, transformer};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;
use wasmparser::{Parser, Payload};

/// Which modules a host takes.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Bytes of a module.
    pub code_bytes_max: usize,
    /// Functions of a module, in all its core modules together: CPython has some 30,000.
    pub functions_max: u64,
    /// Whether a module may import WASI, which grants it nothing.
    pub wasi: bool,
    /// Whether a module must be signed.
    pub require_signature: bool,
    /// The keys that count.
    pub trusted: TrustedKeys,
    /// How much more fuel per record a version may take than the one before it, in the cases that both have.
    pub fuel_factor_max: f64,
    /// The bounds of what is asked of a module before it is accepted.
    pub limits: Limits,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            // Python's guests have 18 MB, JavaScript's 12.
            code_bytes_max: 64 << 20,
            functions_max: 80_000,
            wasi: false,
            require_signature: false,
            trusted: TrustedKeys::default(),
            fuel_factor_max: 3.0,
            limits: Limits::default(),
        }
    }
}

/// A module that somebody wants to be taken.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// The module's name.
    pub name: String,
    /// The version's name.
    pub version: String,
    /// The wasm bytes.
    pub code: Vec<u8>,
    /// Its cases: JSON, files by path in base64.
    pub cases: Option<String>,
    /// A detached Ed25519 signature over the bytes, base64.
    pub signature: Option<String>,
    /// Imports that it may have although the version before it does not.
    pub grants: Vec<String>,
    /// Whether it may be slower than allowed.
    pub force: bool,
    /// Who wants it.
    pub by: String,
}

/// Why something is refused: a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Short and stable.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
    /// More about it, for programs.
    pub more: Value,
}

impl Refused {
    /// A refusal with nothing more to it.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Refused { code, message: message.into(), more: Value::Null }
    }
}

impl From<(&'static str, String)> for Refused {
    fn from((code, message): (&'static str, String)) -> Self {
        Refused::new(code, message)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Module { code, message, .. } => Refused::new(code, message),
            Error::Stage { message, .. } => Refused::new("plan-unfit", message),
        }
    }
}

/// What the check of a module found, as far as it needs no store.
pub struct Checked {
    /// The module, compiled.
    pub module: Module,
    /// The trusted key that its signature was made with.
    pub signed_by: Option<String>,
    /// What it says of itself.
    pub inspection: Inspection,
    /// How long compiling took, milliseconds; little if it was compiled already.
    pub compiled_in_ms: u64,
    /// What became of its cases, if it came with any.
    pub cases: Option<cases::Report>,
}

/// The names, the size, the signature: what costs nothing to look at.
///
/// # Errors
/// The first thing that is wrong.
pub fn outside(upload: &Upload, policy: &Policy) -> Result<Option<String>, Refused> {
    for (code, what, name) in
        [("bad-name", "a module's name", &upload.name), ("bad-version", "a version's name", &upload.version)]
    {
        if let Some(fault) = names::fault(name) {
            return Err(Refused::new(code, format!("`{}` cannot be {what}: {fault}", name.escape_debug())));
        }
    }
    if upload.code.len() > policy.code_bytes_max {
        let message = format!(
            "the module has {} bytes, and this host takes {} (GRISTMILL_UPLOAD_BYTES_MAX)",
            upload.code.len(),
            policy.code_bytes_max
        );
        return Err(Refused::new("too-large", message));
    }
    let Some(signature) = &upload.signature else {
        if policy.require_signature {
            let message = "this host takes signed modules only: push it with --signature FILE";
            return Err(Refused::new("signature-missing", message));
        }
        return Ok(None);
    };
    match policy.trusted.signer(&upload.code, signature) {
        Ok(key) => Ok(Some(key)),
        Err(Bad::Malformed) => {
            let message = "the signature is not an Ed25519 signature in base64 (64 bytes)";
            Err(Refused::new("signature-malformed", message))
        }
        Err(Bad::Untrusted) => {
            let message = "none of the keys that this host trusts has signed these bytes: sign them with one that it \
                           does, or have the key put into GRISTMILL_TRUSTED_KEYS";
            Err(Refused::new("signature-untrusted", message))
        }
    }
}

/// The engines that a check needs.
#[derive(Clone)]
pub struct Engines {
    /// As pipelines use it.
    pub work: Engine,
    /// Counts fuel.
    pub meter: Engine,
}

/// Parses, compiles, asks the module what it is, and runs its cases. Takes from a tenth of a second to a minute: not on the path of
/// records. Blocking.
///
/// # Errors
/// The first thing that is wrong.
pub fn inside(
    engines: &Engines,
    upload: &Upload,
    policy: &Policy,
    signed_by: Option<String>,
    before: Option<&Version>,
) -> Result<Checked, Refused> {
    structure(&upload.code, policy)?;
    let start = Instant::now();
    let module = Module::compile(&engines.work, &upload.name, &upload.code)?;
    let compiled_in_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    imports(&module, upload, policy, before)?;
    let inspection = inspect(&module, &policy.limits)?;
    let cases = match &upload.cases {
        Some(bundle) => Some(run_cases(engines, &module, upload, bundle, policy, before)?),
        None => None,
    };
    Ok(Checked { module, signed_by, inspection, compiled_in_ms, cases })
}

/// Runs the cases that came with a module: all must pass, for not much more fuel than those of the version before.
fn run_cases(
    engines: &Engines,
    module: &Module,
    upload: &Upload,
    bundle: &str,
    policy: &Policy,
    before: Option<&Version>,
) -> Result<cases::Report, Refused> {
    let unreadable = |message: String| Refused::new("cases-unreadable", message);
    let files: BTreeMap<String, String> = serde_json::from_str(bundle).map_err(|error| {
        unreadable(format!("the cases are not a JSON object of files in base64: {error}"))
    })?;
    let decoded = files.into_iter().map(|(path, text)| match BASE64_STANDARD.decode(text) {
        Ok(bytes) => Ok((path, bytes)),
        Err(error) => Err(unreadable(format!("{}: not base64: {error}", path.escape_debug()))),
    });
    let cases = Cases::from_bundle(decoded.collect::<Result<_, _>>()?)
        .map_err(|error| unreadable(error.to_string()))?;
    let metered = Module::compile(&engines.meter, &upload.name, &upload.code);
    let metered = metered.inspect_err(|_| engines.meter.forget(&module.digest))?;
    let subject = Subject { module: module.clone(), metered };
    let report = cases::run(&subject, &cases, &policy.limits);
    // It is asked for once: nothing of it need stay.
    engines.meter.forget(&module.digest);
    if !report.passed() {
        let (passed, failed, broken) = report.counts();
        let message = format!(
            "{} of its {} cases do not pass: `gristmill module test` shows the same\n{}",
            failed + broken,
            passed + failed + broken,
            cases::text(&report)
        );
        return Err(Refused {
            more: json!({ "cases": report.cases }),
            ..Refused::new("cases-failed", message)
        });
    }
    cheap_enough(&report, upload, policy, before)?;
    Ok(report)
}

/// Whether the cases that both versions have cost not much more fuel than before.
fn cheap_enough(
    report: &cases::Report,
    upload: &Upload,
    policy: &Policy,
    before: Option<&Version>,
) -> Result<(), Refused> {
    let Some(before) = before.filter(|_| !upload.force) else { return Ok(()) };
    let theirs = before.report.pointer("/cases/cases").and_then(Value::as_array);
    let theirs = theirs.map(Vec::as_slice).unwrap_or_default();
    let (mut now, mut then) = (0_u64, 0_u64);
    for case in &report.cases {
        let same = theirs.iter().find(|old| {
            old.get("name").and_then(Value::as_str) == Some(case.name.as_str())
                && old.get("records").and_then(Value::as_u64) == Some(case.records as u64)
        });
        if let Some(fuel) = same.and_then(|old| old.get("fuel")?.as_u64()) {
            now = now.saturating_add(case.fuel);
            then = then.saturating_add(fuel);
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    let factor = now as f64 / then.max(1) as f64;
    if then == 0 || factor <= policy.fuel_factor_max {
        return Ok(());
    }
    let message = format!(
        "in the cases that both have it takes {factor:.1} times the fuel of {}@{}, and {:.1} times is allowed: make it \
         cheaper, or push it with --force if that is meant",
        before.name, before.version, policy.fuel_factor_max
    );
    Err(Refused { more: json!({ "fuel": now, "fuel_before": then }), ..Refused::new("too-slow", message) })
}

/// Whether the bytes are WebAssembly to their end, and no more of it than can be handled.
fn structure(code: &[u8], policy: &Policy) -> Result<(), Refused> {
    if !code.starts_with(b"\0asm") {
        // Compiling has the words for what it is instead.
        return Ok(());
    }
    let malformed = |error: wasmparser::BinaryReaderError| {
        let message = format!(
            "the bytes are not whole WebAssembly (byte {}: {}): push the file again",
            error.offset(),
            error.message()
        );
        Refused::new("malformed", message)
    };
    let (mut functions, mut exports, mut depth) = (0_u64, Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(code) {
        match payload.map_err(malformed)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            // A component's own exports, or those that a core module will have as a component.
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(malformed)?.name.to_owned());
                }
            }
            Payload::FunctionSection(section) => functions += u64::from(section.count()),
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(malformed)?;
                    let bytes = memory.initial.saturating_mul(1 << memory.page_size_log2.unwrap_or(16));
                    if bytes > policy.limits.guest_memory_bytes_max {
                        let message = format!(
                            "it wants {bytes} bytes of memory from the start, and a guest may have {} \
                             (limits.guest_memory_bytes_max)",
                            policy.limits.guest_memory_bytes_max
                        );
                        return Err(Refused::new("start-memory", message));
                    }
                }
            }
            _ => {}
        }
    }
    if functions > policy.functions_max {
        let message = format!("it has {functions} functions, and at most {} are taken", policy.functions_max);
        return Err(Refused::new("too-complex", message));
    }
    Ok(transformer(&exports)?)
}

/// Whether every import is granted: the contract's own always, WASI by the policy, and what the version before does not
/// import only if whoever pushes it says so.
fn imports(
    module: &Module,
    upload: &Upload,
    policy: &Policy,
    before: Option<&Version>,
) -> Result<(), Refused> {
    let wasi: Vec<&String> = module.imports.iter().filter(|import| import.starts_with("wasi:")).collect();
    if !wasi.is_empty() && !policy.wasi {
        let message = format!(
            "it imports WASI ({} interfaces), which this host does not take (GRISTMILL_UPLOAD_WASI): build it for \
             wasm32-unknown-unknown, or without WASI",
            wasi.len()
        );
        return Err(Refused { more: json!({ "imports": wasi }), ..Refused::new("wasi-forbidden", message) });
    }
    let Some(before) = before else { return Ok(()) };
    let granted = |import: &str| upload.grants.iter().any(|grant| grants(grant, import));
    let added: Vec<&String> = module
        .imports
        .iter()
        .filter(|import| !before.imports.contains(import) && !is_harmless(import) && !granted(import))
        .collect();
    if added.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = added.iter().map(|import| import.as_str()).collect();
    let message = format!(
        "it imports what {}@{} does not: {}: grant it with --grant, if that is meant",
        before.name,
        before.version,
        names.join(", ")
    );
    Err(Refused {
        more: json!({ "added": added, "before": before.imports, "before_version": before.version }),
        ..Refused::new("grant-needed", message)
    })
}

/// Whether a grant covers an import: it names the import with or without its version, the interface alone (`lookup`), or
/// all of a package (`wasi:cli`) or of a namespace (`wasi`).
fn grants(grant: &str, import: &str) -> bool {
    let interface = import.split_once('@').map_or(import, |(name, _)| name);
    let (package, name) = interface.split_once('/').unwrap_or((interface, ""));
    let namespace = package.split_once(':').map_or(package, |(namespace, _)| namespace);
    !grant.is_empty() && [import, interface, name, package, namespace].contains(&grant)
}

/// What tells a guest nothing and lets it do nothing.
fn is_harmless(import: &str) -> bool {
    ["gristmill:transform/types@", "gristmill:transform/log@", "gristmill:transform/hashing@"]
        .iter()
        .any(|harmless| import.starts_with(harmless))
}

#[cfg(test)]
mod tests {
    use super::grants;

    #[test]
    fn a_grant_names_an_import_an_interface_a_package_or_a_namespace() {
        let import = "wasi:cli/stdout@0.2.9";
        for grant in [import, "wasi:cli/stdout", "stdout", "wasi:cli", "wasi"] {
            assert!(grants(grant, import), "{grant}");
        }
        for grant in ["", "wasi:", "was", "cli", "out", "wasi:cli/stdout@0.2.8", "gristmill"] {
            assert!(!grants(grant, import), "{grant}");
        }
        assert!(grants("lookup", "gristmill:transform/lookup@0.1.0") && !grants("", "lookup"));
    }
}
