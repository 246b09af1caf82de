//! Modules prepared for being stopped. [`interrupt`](super::interrupt) stops a guest where its own code is, and where it
//! calls a function of the host's. What is left is what the host does for it without being called: copying and filling
//! memory, and the like, as much of it at once as there is memory. So before each such operator a check goes into the
//! code: it reads a byte of a memory of its own, which nobody but the host can write to, and traps if it is not 0. Copies of
//! a few bytes the guest is made to do itself ([`bulk`]).
//!
//! [`rewrite`] knows the usual shape of a component: one module with a memory and code, and others that only pass calls on.
//! Whatever looks different is left as it is, and stopped by wasmtime's epochs, which cost more.

mod bulk;
mod component;
mod module;
#[cfg(test)]
mod tests;

use component::Parts;
use wasmparser::{Validator, WasmFeatures};

/// What the rewritten component exports more: a function that answers with the byte to be written to.
pub(super) const STOP: &str = "gristmill-stop";

/// Counts up with every change of what is written into modules: compiled ones are kept by it.
pub(super) const REVISION: u32 = 3;

/// What code may use that is to be rewritten: [`bulk`] knows all of it that takes long.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::COMPONENT_MODEL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::RELAXED_SIMD);

/// Why a component stays as it is, for whoever looks into it.
pub(super) type Unusual = &'static str;

/// Rewrites a component so that it traps before it has the host work on its memory, if the byte that [`STOP`] answers with
/// is not 0.
///
/// # Errors
/// What about it is unusual: it must be stopped otherwise.
pub(super) fn rewrite(component: &[u8]) -> Result<Vec<u8>, Unusual> {
    Validator::new_with_features(FEATURES).validate_all(component).map_err(|_| "other features")?;
    let parts = Parts::read(component)?;
    let mut rewritten = None;
    for index in 0..parts.modules.len() {
        if let Some(bytes) = module::rewrite(parts.module(component, index)?)?
            && rewritten.replace((index, bytes)).is_some()
        {
            return Err("several modules with a memory");
        }
    }
    let (index, bytes) = rewritten.ok_or("no memory")?;
    let written = parts.write(component, index, &bytes)?;
    Validator::new_with_features(FEATURES).validate_all(&written).map_err(|_| "rewritten wrongly")?;
    Ok(written)
}
