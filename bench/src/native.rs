//! The guests' own crates, compiled natively, in the places of their modules.

use crate::convert;
use anyhow::bail;
use gristmill::lookup::Lookups;
use gristmill::record::Batch;
use gristmill::transform::native::{NativeMaker, NativeTransform, contract};
use gristmill::transform::{Pipeline, Stage};
use gristmill_sdk::Transform;
use gristmill_sdk::bindings::gristmill::transform::types as sdk;
use gristmill_sdk::instance::Instance;
use std::sync::Arc;

/// A guest's transform without its sandbox.
struct Native<T> {
    instance: Instance<T>,
    /// Filled anew for each call: its memory is kept, as a guest keeps its own.
    batch: sdk::Batch,
    lookups: Option<Arc<dyn Lookups>>,
}

impl<T: Transform + Send> NativeTransform for Native<T> {
    fn apply(&mut self, batch: &Batch) -> Result<contract::Effects, String> {
        convert::fill(&mut self.batch, batch);
        let lookups = self.lookups.as_ref();
        let mut ask = |name: &str, keys: &[Vec<u8>]| match lookups {
            Some(lookups) => lookups.get_many(name, keys).map_err(|unavailable| unavailable.to_string()),
            None => Err(format!("lookup `{name}`: there are none")),
        };
        self.instance.apply(&self.batch, &mut ask).map(convert::effects)
    }
}

fn maker<T: Transform + Send + 'static>(stage: &Stage) -> NativeMaker {
    let (config, lookups) = (stage.config.clone(), stage.lookups());
    Arc::new(move || {
        let instance = Instance::<T>::configure(&config)?;
        Ok(Box::new(Native { instance, batch: convert::empty_batch(), lookups: lookups.clone() }))
    })
}

/// The same stages with native code in place of all modules.
pub(crate) fn replace(stages: Pipeline) -> anyhow::Result<Pipeline> {
    let mut native = Vec::with_capacity(stages.stages.len());
    for stage in stages.stages {
        let maker = match stage.module.name.as_str() {
            "core-orders" => maker::<native_core_orders::CoreOrders>(&stage),
            "validate" => maker::<native_validate::Validate>(&stage),
            "enrich" => maker::<native_enrich::Enrich>(&stage),
            "data-vault" => maker::<native_data_vault::DataVault>(&stage),
            "mart" => maker::<native_mart::Mart>(&stage),
            "route" => maker::<native_route::Route>(&stage),
            other => bail!("the module `{other}` is not there natively"),
        };
        native.push(stage.natively(maker));
    }
    Ok(Pipeline { stages: native })
}
