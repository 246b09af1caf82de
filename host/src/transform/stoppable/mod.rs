//! Modules rewritten so that they can be stopped from outside without asking: before they are compiled, checks go into
//! their code that read a byte of a memory of their own, which nobody but the host can write to, and trap if it is not 0.
//!
//! wasmtime's epochs do the same with a comparison and a call, and it is the call that costs: whatever the code around it
//! has in registers must survive one. A check here calls nothing, so that a loop keeps its registers.
//!
//! [`rewrite`] knows the usual shape of a component: one module with the code, and others that only pass calls on.
//! Whatever looks different is left as it is, and stopped by epochs.

mod checks;
mod component;
mod graph;
mod module;
#[cfg(test)]
mod tests;

use component::Parts;
use wasmparser::{Validator, WasmFeatures};

/// What the rewritten component exports more: a function that answers with the bytes to be written to.
pub(super) const STOP: &str = "gristmill-stop";

/// Counts up with every change of what is written into modules: compiled ones are kept by it.
pub(super) const REVISION: u32 = 1;

/// What code may use that is to be rewritten: nothing here jumps in ways that [`checks`] does not follow.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::COMPONENT_MODEL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::RELAXED_SIMD);

/// Why a component stays as it is, for whoever looks into it.
pub(super) type Unusual = &'static str;

/// Rewrites a component so that a byte that is not 0 in what [`STOP`] answers with stops it.
///
/// # Errors
/// What about it is unusual: it must be stopped otherwise.
pub(super) fn rewrite(component: &[u8]) -> Result<Vec<u8>, Unusual> {
    Validator::new_with_features(FEATURES).validate_all(component).map_err(|_| "other features")?;
    let parts = Parts::read(component)?;
    let mut rewritten = None;
    for index in 0..parts.modules.len() {
        let reentered = parts.reentered(index);
        if let Some(bytes) = module::rewrite(parts.module(component, index)?, &reentered)?
            && rewritten.replace((index, bytes)).is_some()
        {
            return Err("several modules with code");
        }
    }
    let (index, bytes) = rewritten.ok_or("no code")?;
    let written = parts.write(component, index, &bytes)?;
    Validator::new_with_features(FEATURES).validate_all(&written).map_err(|_| "rewritten wrongly")?;
    Ok(written)
}
