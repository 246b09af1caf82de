//! What `gristmill module new` writes: compiled, linted and tested with the workspace, so that it stays true.
//! It is formatted as crates are that have no settings of their own.

#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "its own tests")]
#[rustfmt::skip]
#[path = "../../../host/src/cli/module/template/lib.rs"]
mod template;
