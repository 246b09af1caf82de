//! Stages worked natively: the same batch in, the same effects out, checked in the same way, without a sandbox between.
//! For the benchmark, which asks what the sandbox costs; the shipped program is built without this file.

use super::bindings::exports::gristmill::transform::transformer;
use super::bisect::{StageWorker, Worked};
use super::check::{Checked, check_effects};
use super::cpu_time;
use super::ended::bounded;
use super::error::Fault;
use super::instance::Stage;
use crate::lookup::Lookups;
use crate::record::Batch;
use std::sync::Arc;

/// The contract's types as the host has them: what a [`NativeTransform`] answers is made of these.
pub mod contract {
    pub use crate::transform::bindings::gristmill::transform::types::*;
}

/// What a guest does, as native code.
pub trait NativeTransform: Send {
    /// Turns a batch into effects, as the contract's `apply` does.
    ///
    /// # Errors
    /// Why the batch could not be worked through.
    fn apply(&mut self, batch: &Batch) -> Result<transformer::Effects, String>;
}

/// Makes a stage's native transform, one for each lane.
pub type NativeMaker = Arc<dyn Fn() -> Result<Box<dyn NativeTransform>, String> + Send + Sync>;

impl Stage {
    /// Where its lookups are answered, if it may ask any.
    pub fn lookups(&self) -> Option<Arc<dyn Lookups>> {
        self.lookups.clone()
    }

    /// The same stage with native code in place of its module's. Its plan stays that of the module.
    #[must_use]
    pub fn natively(mut self, maker: NativeMaker) -> Self {
        self.native = Some(maker);
        self
    }
}

impl StageWorker {
    /// One call of the stage's native code, timed and checked as a guest's call is; `None` if the stage has none.
    pub(super) fn call_natively(
        &mut self,
        batch: &Batch,
        worked: &mut Worked,
    ) -> Option<Result<Checked, Fault>> {
        let maker = self.stage.native.clone()?;
        let mut native = match self.native.take().map_or_else(|| maker(), Ok) {
            Ok(native) => native,
            Err(message) => return Some(Err(Fault::Unavailable(message))),
        };
        let start = cpu_time::of_this_thread();
        let result = match native.apply(batch) {
            Ok(effects) => check_effects(effects, batch.len(), &self.stage.plan, &self.stage.limits)
                .map_err(Fault::Garbage),
            Err(message) => Err(Fault::GaveUp(bounded(&message))),
        };
        worked.time += cpu_time::of_this_thread().saturating_sub(start);
        self.native = Some(native);
        Some(result)
    }
}
