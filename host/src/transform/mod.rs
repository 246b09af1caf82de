//! The sandbox: from a batch of records to checked effects.
//!
//! Three lifetimes, three types. [`Engine`]: the process. [`Module`]: a digest, compiled. [`Instance`]: one lane's
//! one stage, recycled after a trap, because a trap poisons its whole wasmtime store.
//!
//! [`Chain`] takes a batch through a pipeline's stages. Nothing that a guest does gets out of here unchecked
//! ([`check`]), and nothing that it does loses or doubles a record ([`bisect`]): a batch that traps, exceeds a
//! limit or comes back as garbage is cut into parts until the record that does it stands alone.
//!
//! [`Trial`] is a module outside of any pipeline, in the same sandbox: what its own test cases run in.

mod bindings;
mod bisect;
mod cache;
mod chain;
mod check;
mod compiler;
mod cpu_time;
mod ended;
mod engine;
mod error;
mod footprint;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod inspect;
mod instance;
mod interrupt;
mod memory;
mod module;
#[cfg(feature = "native-stages")]
pub mod native;
mod plan;
mod state;
mod stoppable;
mod trial;
mod wasi;
mod watchdog;

pub use chain::{Chain, InOrder, Pipeline};
pub use check::Checked;
pub use compiler::{CompileLimits, compile_as_child};
pub use engine::Engine;
pub use error::{Error, Fault};
pub use inspect::{Inspection, inspect};
pub use instance::{Instance, Stage};
pub use module::{Module, Refusal, transformer};
pub use plan::{ColumnShape, Kind, Plan, Shape, TablePlan, TableShape};
pub use trial::{Cost, Trial, Unready};
