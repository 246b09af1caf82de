//! What wasmtime generates from `wit/`: this file holds nothing else.
#![allow(missing_docs, clippy::all, clippy::indexing_slicing, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "enriching-transform",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});
