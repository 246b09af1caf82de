//! The contract as generated from `wit/`. Authors need not look here: `export!` and the other modules stand
//! in front of it.
#![allow(unsafe_code, reason = "generated: the canonical ABI passes pointers into linear memory")]
#![allow(missing_docs, clippy::all, reason = "generated: the documentation is in wit/*.wit")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "generated"
)]

// The widest world: a component imports only what its guest calls, the rest vanishes when it is made.
wit_bindgen::generate!({
    world: "enriching-transform",
    path: "../../wit",
    pub_export_macro: true,
    default_bindings_module: "gristmill_sdk::bindings",
    additional_derives: [Clone, PartialEq],
    generate_all,
});
