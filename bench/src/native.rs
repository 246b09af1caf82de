//! The guests' own crates, compiled natively, in the places of their modules.

use crate::convert;
use anyhow::bail;
use gristmill::record::Batch;
use gristmill::transform::Pipeline;
use gristmill::transform::native::{NativeMaker, NativeTransform, contract};
use gristmill_sdk::Transform;
use gristmill_sdk::bindings::gristmill::transform::types as sdk;
use gristmill_sdk::instance::{Instance, no_lookups};
use std::sync::Arc;

/// A guest's transform without its sandbox.
struct Native<T> {
    instance: Instance<T>,
    /// Filled anew for each call: its memory is kept, as a guest keeps its own.
    batch: sdk::Batch,
}

impl<T: Transform + Send> NativeTransform for Native<T> {
    fn apply(&mut self, batch: &Batch) -> Result<contract::Effects, String> {
        convert::fill(&mut self.batch, batch);
        self.instance.apply(&self.batch, &mut no_lookups).map(convert::effects)
    }
}

fn maker<T: Transform + Send + 'static>(config: Arc<str>) -> NativeMaker {
    Arc::new(move || {
        let instance = Instance::<T>::configure(&config)?;
        Ok(Box::new(Native { instance, batch: convert::empty_batch() }))
    })
}

/// The same stages with native code in place of all modules.
pub(crate) fn replace(stages: Pipeline) -> anyhow::Result<Pipeline> {
    let mut native = Vec::with_capacity(stages.stages.len());
    for stage in stages.stages {
        let config = stage.config.clone();
        let maker = match stage.module.name.as_str() {
            "core-orders" => maker::<native_core_orders::CoreOrders>(config),
            "validate" => maker::<native_validate::Validate>(config),
            "route" => maker::<native_route::Route>(config),
            other => bail!("the module `{other}` is not there natively"),
        };
        native.push(stage.natively(maker));
    }
    Ok(Pipeline { stages: native })
}
