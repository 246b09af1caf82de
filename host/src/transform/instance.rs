//! One guest instance: a wasmtime store of its own, configured, with its limits set before every call.

use super::bindings::EnrichingTransform;
use super::bindings::exports::gristmill::transform::transformer as wit;
use super::check::{Checked, check_effects};
use super::cpu_time;
use super::engine::EPOCH_TICK;
use super::error::{Error, Fault};
use super::module::Module;
use super::plan::{self, Plan};
use super::state::GuestState;
use crate::lookup::Lookups;
use crate::record::Batch;
use crate::spec::{Limits, Spec};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Store, Trap, UpdateDeadline};

/// How an error of [`Instance::configured`] begins if the guest itself refused its configuration.
pub(super) const REFUSED: &str = "its configuration is refused: ";

/// A stage's place in a running pipeline: what its instances are made from.
#[derive(Clone)]
pub struct Stage {
    /// The stage's name.
    pub name: Arc<str>,
    /// Its module.
    pub module: Module,
    /// Its configuration, JSON.
    pub config: Arc<str>,
    /// What it may do.
    pub plan: Arc<Plan>,
    pub(super) place: Arc<str>,
    pub(super) limits: Limits,
    pub(super) lookups: Option<Arc<dyn Lookups>>,
    /// What works in place of the module.
    #[cfg(feature = "native-stages")]
    pub(super) native: Option<super::native::NativeMaker>,
}

impl Stage {
    /// Makes a first instance of the stage at `index` of the spec, asks it for its plan and checks that.
    ///
    /// # Errors
    /// What does not fit: the configuration, or the plan.
    pub fn prepare(
        module: Module,
        spec: &Spec,
        index: usize,
        lookups: Option<Arc<dyn Lookups>>,
    ) -> Result<Self, Error> {
        let declared = spec.stages.get(index);
        let name = declared.map_or("", |stage| stage.name.as_str());
        let mut stage = Stage {
            name: Arc::from(name),
            config: Arc::from(declared.map_or("{}", |stage| stage.config.as_str())),
            plan: Arc::default(),
            place: Arc::from(format!("{}/{name}", spec.name)),
            limits: spec.limits,
            lookups,
            module,
            #[cfg(feature = "native-stages")]
            native: None,
        };
        let (_, wit_plan) = Instance::configured(&stage).map_err(|message| stage.refuse(message))?;
        let plan = plan::check(&wit_plan, spec, index).map_err(|message| stage.refuse(message))?;
        stage.plan = Arc::new(plan);
        Ok(stage)
    }

    /// A module in no pipeline.
    pub(super) fn alone(
        module: Module,
        place: &str,
        config: &str,
        limits: &Limits,
        lookups: Arc<dyn Lookups>,
    ) -> Self {
        Stage {
            name: Arc::from(place),
            config: Arc::from(config),
            plan: Arc::default(),
            place: Arc::from(place),
            limits: *limits,
            lookups: Some(lookups),
            module,
            #[cfg(feature = "native-stages")]
            native: None,
        }
    }

    fn refuse(&self, message: String) -> Error {
        Error::Stage { stage: self.name.to_string(), module: self.module.name.clone(), message }
    }
}

/// A configured guest, ready for batches. After a [`Fault`] other than [`Fault::GaveUp`] it must be dropped.
pub struct Instance {
    pub(super) store: Store<GuestState>,
    bindings: EnrichingTransform,
}

impl Instance {
    /// Makes and configures an instance of a stage.
    ///
    /// # Errors
    /// What the guest or the engine said; it was possible before, when the stage was prepared.
    pub fn new(stage: &Stage) -> Result<Self, String> {
        let (mut instance, _) = Self::configured(stage)?;
        instance.store.data_mut().allowed_lookups = stage.plan.lookups.iter().cloned().collect();
        Ok(instance)
    }

    pub(super) fn configured(stage: &Stage) -> Result<(Self, wit::Plan), String> {
        let limits = &stage.limits;
        let state =
            GuestState::new(stage.place.clone(), limits.guest_memory_bytes_max, stage.lookups.clone());
        let mut store = Store::new(stage.module.pre.engine(), state);
        store.limiter(|state| &mut state.limits);
        // What a guest may return, counted by wasmtime while it lifts results: aliases count each time.
        store.set_hostcall_fuel(usize::try_from(limits.effects_bytes_max).unwrap_or(usize::MAX));
        // Only a metered engine takes fuel. What runs in it has run before, and was heard then.
        let metered = store.set_fuel(super::trial::fuel_max(limits)).is_ok();
        store.data_mut().quiet = metered;
        let time = Duration::from_millis(limits.guest_time_ms_max);
        store.epoch_deadline_callback(|store| {
            let left = store.data().stop_at.saturating_sub(cpu_time::of_this_thread());
            Ok(if left.is_zero() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(ticks(left)) })
        });
        begin_call(&mut store, time, limits);
        let bindings = stage
            .module
            .pre
            .instantiate(&mut store)
            .map_err(|error| format!("it cannot be instantiated: {}", describe(&error)))?;
        let mut instance = Instance { store, bindings };
        begin_call(&mut instance.store, time, limits);
        let plan = instance
            .bindings
            .gristmill_transform_transformer()
            .call_configure(&mut instance.store, &stage.config)
            .map_err(|error| format!("configuring it failed: {}", describe(&error)))?
            .map_err(|message| format!("{REFUSED}{}", bounded(&message)))?;
        Ok((instance, plan))
    }

    /// Calls the guest with a batch and checks what comes back. `time` is the processor time that it may take.
    ///
    /// # Errors
    /// [`Fault`]; but for [`Fault::GaveUp`] the instance is spent.
    pub fn apply(&mut self, stage: &Stage, batch: &Batch, time: Duration) -> Result<Checked, Fault> {
        begin_call(&mut self.store, time, &stage.limits);
        let headers: Vec<_> = batch.headers.iter().map(header).collect();
        let crossing = wit::Batch {
            topic: &batch.topic,
            partition: batch.partition,
            offsets: &batch.offsets,
            timestamps_ms: &batch.timestamps_ms,
            keys: blobs(&batch.keys),
            no_key: &batch.no_key,
            values: blobs(&batch.values),
            no_value: &batch.no_value,
            headers: &headers,
        };
        let result = self.bindings.gristmill_transform_transformer().call_apply(&mut self.store, crossing);
        let state = self.store.data_mut();
        state.end_call();
        match result {
            Ok(Ok(effects)) => {
                check_effects(effects, batch.len(), &stage.plan, &stage.limits).map_err(Fault::Garbage)
            }
            Ok(Err(message)) => Err(Fault::GaveUp(bounded(&message))),
            Err(error) => Err(match state.unavailable.take() {
                Some(message) => Fault::Unavailable(message),
                None => self.fault(&error, time),
            }),
        }
    }

    /// What a failed call was: a trap of the guest's, or something that could not be lifted.
    fn fault(&self, error: &wasmtime::Error, time: Duration) -> Fault {
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Fault::Timeout(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            Some(trap) => {
                let printed = &self.store.data().printed;
                let printed = if printed.is_empty() {
                    String::new()
                } else {
                    format!("; it printed: {}", bounded(printed))
                };
                Fault::Trap(format!("{trap}{printed}"))
            }
            None => Fault::Garbage(describe(error)),
        }
    }
}

/// Sets what a call may use: so much processor time of this thread, so many lines in the log.
fn begin_call(store: &mut Store<GuestState>, time: Duration, limits: &Limits) {
    let state = store.data_mut();
    state.begin_call(limits.log_lines_max);
    state.stop_at = cpu_time::of_this_thread().saturating_add(time);
    store.set_epoch_deadline(ticks(time));
}

/// Epochs until a deadline; one more, for the epoch that has begun already.
fn ticks(time: Duration) -> u64 {
    let tick = EPOCH_TICK.as_millis().max(1);
    u64::try_from(time.as_millis().div_ceil(tick) + 1).unwrap_or(u64::MAX)
}

fn blobs(blobs: &crate::record::Blobs) -> super::bindings::gristmill::transform::types::BlobsParam<'_> {
    super::bindings::gristmill::transform::types::BlobsParam { data: &blobs.data, ends: &blobs.ends }
}

fn header(header: &crate::record::Header) -> super::bindings::gristmill::transform::types::HeaderParam<'_> {
    super::bindings::gristmill::transform::types::HeaderParam {
        index: header.index,
        name: &header.name,
        value: header.value.as_deref(),
    }
}

/// An error of wasmtime's in one line, without the backtrace of the guest's functions.
fn describe(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let said = causes.iter().find(|cause| !cause.starts_with("error while executing at wasm backtrace"));
    bounded(said.or(causes.last()).map_or("", String::as_str))
}

/// A guest's own words, cut to a length that a dead letter can carry.
pub(super) fn bounded(text: &str) -> String {
    const LENGTH_MAX: usize = 1_000;
    match text.get(..text.floor_char_boundary(LENGTH_MAX)) {
        Some(cut) if cut.len() < text.len() => format!("{cut}…"),
        _ => text.to_owned(),
    }
}
