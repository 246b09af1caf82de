//! One guest instance: a wasmtime store of its own, configured, with its limits set before every call.

use super::bindings::EnrichingTransform;
use super::bindings::exports::gristmill::transform::transformer as wit;
use super::check::{Checked, check_effects};
use super::cpu_time;
use super::ended::{Ended, Failed, bounded, describe};
use super::engine::EPOCH_TICK;
use super::error::{Error, Fault};
use super::interrupt::{self, Stop};
use super::module::Module;
use super::plan::{self, Plan};
use super::state::GuestState;
use super::stoppable;
use super::watchdog::{Watch, Watchdog, Watching};
use crate::lookup::Lookups;
use crate::record::Batch;
use crate::secrets::ByName;
use crate::spec::{Limits, Spec};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::WasmList;
use wasmtime::error::Context as _;
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
    /// The activation that put the module here; 0 for what the spec names.
    pub activation: i64,
    /// Instances made beforehand, so that a lane that takes the stage up need not wait for one.
    spare: Arc<Mutex<Vec<Instance>>>,
    pub(super) place: Arc<str>,
    pub(super) limits: Limits,
    pub(super) lookups: Option<Arc<dyn Lookups>>,
    /// Those that it may have digests made with.
    secrets: Arc<ByName>,
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
        let config = spec.stages.get(index).map_or("{}", |stage| stage.config.as_str());
        Self::prepare_with(module, spec, index, config, lookups)
    }

    /// The same under another configuration than the spec's.
    ///
    /// # Errors
    /// What does not fit: the configuration, or the plan.
    pub fn prepare_with(
        module: Module,
        spec: &Spec,
        index: usize,
        config: &str,
        lookups: Option<Arc<dyn Lookups>>,
    ) -> Result<Self, Error> {
        let name = spec.stages.get(index).map_or("", |stage| stage.name.as_str());
        let mut stage = Stage {
            name: Arc::from(name),
            config: Arc::from(config),
            plan: Arc::default(),
            activation: 0,
            spare: Arc::default(),
            place: Arc::from(format!("{}/{name}", spec.name)),
            limits: spec.limits,
            secrets: Arc::default(),
            lookups,
            module,
            #[cfg(feature = "native-stages")]
            native: None,
        };
        stage.secrets = Arc::new(stage.secrets_of(spec).map_err(|message| stage.refuse(message))?);
        let (first, wit_plan) = Instance::configured(&stage).map_err(|message| stage.refuse(message))?;
        let plan = plan::check(&wit_plan, spec, index).map_err(|message| stage.refuse(message))?;
        stage.plan = Arc::new(plan);
        stage.spare.lock().push(first.allowed(&stage));
        Ok(stage)
    }

    /// The secrets that the spec lets it use.
    fn secrets_of(&self, spec: &Spec) -> Result<ByName, String> {
        let own =
            spec.secrets.iter().filter(|secret| secret.stages.iter().any(|stage| **stage == *self.name));
        own.map(|secret| {
            let lookups = self.lookups.as_ref().ok_or("no secrets here")?;
            Ok((secret.name.clone(), lookups.secret(&secret.name)?))
        })
        .collect()
    }

    /// The same stage, made active by this activation.
    #[must_use]
    pub fn activated(self, activation: i64) -> Self {
        Stage { activation, ..self }
    }

    /// Makes instances beforehand, until there are so many. What cannot be made now is tried again by whoever needs it.
    pub fn warm(&self, instances: usize) {
        while self.spare.lock().len() < instances {
            match Instance::new(self) {
                Ok(instance) => self.spare.lock().push(instance),
                Err(_) => return,
            }
        }
    }

    /// Whether another stage is the same module under the same configuration by the same activation.
    pub fn is(&self, other: &Stage) -> bool {
        self.activation == other.activation
            && self.module.digest == other.module.digest
            && self.config == other.config
            && self.name == other.name
    }

    /// An instance: one that was made beforehand, or a new one.
    pub(super) fn instance(&self) -> Result<Instance, String> {
        let spare = self.spare.lock().pop();
        spare.map_or_else(|| Instance::new(self), Ok)
    }

    /// A module in no pipeline.
    pub(super) fn alone(
        module: Module,
        place: &str,
        config: &str,
        limits: &Limits,
        lookups: Arc<dyn Lookups>,
        secrets: ByName,
    ) -> Self {
        Stage {
            name: Arc::from(place),
            config: Arc::from(config),
            plan: Arc::default(),
            activation: 0,
            spare: Arc::default(),
            place: Arc::from(place),
            limits: *limits,
            lookups: Some(lookups),
            secrets: Arc::new(secrets),
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
    /// Who stops it, if it is interrupted. Dropped before the store, in which the byte is that it reads.
    watch: Option<Watch>,
    pub(super) store: Store<GuestState>,
    bindings: EnrichingTransform,
}

impl Instance {
    /// Makes and configures an instance of a stage.
    ///
    /// # Errors
    /// What the guest or the engine said; it was possible before, when the stage was prepared.
    pub fn new(stage: &Stage) -> Result<Self, String> {
        let (instance, _) = Self::configured(stage)?;
        Ok(instance.allowed(stage))
    }

    /// Lets it ask the lookups of its plan.
    fn allowed(mut self, stage: &Stage) -> Self {
        self.store.data_mut().allowed_lookups = stage.plan.lookups.iter().cloned().collect();
        self
    }

    pub(super) fn configured(stage: &Stage) -> Result<(Self, wit::Plan), String> {
        let mut instance = Self::bare(&stage.module, &stage.place, &stage.limits, stage.lookups.clone())
            .map_err(|failed| failed.message("making an instance of it"))?;
        instance.store.data_mut().secrets = stage.secrets.clone();
        let plan = instance
            .configure(&stage.config, &stage.limits)
            .map_err(|failed| failed.message("its `configure`"))?
            .map_err(|message| format!("{REFUSED}{message}"))?;
        Ok((instance, plan))
    }

    /// An instance that is not configured yet; `place` is what its log lines are marked with.
    pub(super) fn bare(
        module: &Module,
        place: &str,
        limits: &Limits,
        lookups: Option<Arc<dyn Lookups>>,
    ) -> Result<Self, Failed> {
        let state = GuestState::new(Arc::from(place), limits.guest_memory_bytes_max, lookups);
        let mut store = Store::new(module.pre.engine(), state);
        store.limiter(|state| &mut state.limits);
        // Only a metered engine takes fuel. What runs in it has run before, and was heard then.
        let metered = store.set_fuel(super::trial::fuel_max(limits)).is_ok();
        store.data_mut().quiet = metered;
        let time = Duration::from_millis(limits.guest_time_ms_max);
        let stopped = module.watched.as_ref();
        let stopped = stopped.map(|(watchdog, code)| (watchdog, Arc::new(Stop::of(code.clone()))));
        if let Some((_, stop)) = &stopped {
            interrupt::heed(&mut store, Arc::clone(stop));
        } else {
            store.epoch_deadline_callback(|store| {
                let left = store.data().stop_at.saturating_sub(cpu_time::of_this_thread());
                Ok(if left.is_zero() {
                    UpdateDeadline::Interrupt
                } else {
                    UpdateDeadline::Continue(ticks(left))
                })
            });
        }
        begin_call(&mut store, cpu_time::of_this_thread(), time, limits);
        let made = module.pre.instance_pre().instantiate(&mut store).and_then(|instance| {
            let bindings = EnrichingTransform::new(&mut store, &instance)?;
            let watch = stopped.map(|(watchdog, stop)| watch(watchdog, stop, &mut store, &instance));
            Ok((watch.transpose()?, bindings))
        });
        // What a guest may return, counted by wasmtime while it lifts results: aliases count each time. From here on: where
        // its byte is, it has told already.
        store.set_hostcall_fuel(usize::try_from(limits.effects_bytes_max).unwrap_or(usize::MAX));
        match made {
            Ok((watch, bindings)) => Ok(Instance { watch, store, bindings }),
            Err(error) => Err(Failed::of(&Ended::of(error), store.data(), time)),
        }
    }

    /// One call, which may take so much processor time, of which the thread has had `now`.
    fn call<T>(
        &mut self,
        now: Duration,
        time: Duration,
        limits: &Limits,
        call: impl FnOnce(&wit::Guest, &mut Store<GuestState>) -> wasmtime::Result<T>,
    ) -> Result<T, Ended> {
        let stop_at = begin_call(&mut self.store, now, time, limits);
        let watching = self.watch.as_ref().map(|watch| watch.begin(time, stop_at));
        let done = call(self.bindings.gristmill_transform_transformer(), &mut self.store);
        let stopped = watching.is_some_and(Watching::end);
        done.map_err(|error| if stopped { Ended::TimeUp } else { Ended::of(error) })
    }

    /// What the guest says of itself.
    pub(super) fn describe(&mut self, limits: &Limits) -> Result<wit::Description, Failed> {
        let time = Duration::from_millis(limits.guest_time_ms_max);
        let now = cpu_time::of_this_thread();
        let said = self.call(now, time, limits, |guest, store| guest.call_describe(store));
        said.map_err(|ended| Failed::of(&ended, self.store.data(), time))
    }

    /// Gives the guest its configuration; the inner error is the guest's own word about it.
    pub(super) fn configure(
        &mut self,
        config: &str,
        limits: &Limits,
    ) -> Result<Result<wit::Plan, String>, Failed> {
        let time = Duration::from_millis(limits.guest_time_ms_max);
        let now = cpu_time::of_this_thread();
        match self.call(now, time, limits, |guest, store| guest.call_configure(store, config)) {
            Ok(said) => Ok(said.map_err(|message| bounded(&message))),
            Err(ended) => Err(Failed::of(&ended, self.store.data(), time)),
        }
    }

    /// The guest's linear memory now, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.store.data().limits.bytes()
    }

    /// Calls the guest with a batch and checks what comes back. `time` is the processor time that it may take; answers
    /// what it took, too.
    ///
    /// # Errors
    /// [`Fault`]; but for [`Fault::GaveUp`] the instance is spent.
    pub fn apply(
        &mut self,
        stage: &Stage,
        batch: &Batch,
        time: Duration,
    ) -> (Result<Checked, Fault>, Duration) {
        let start = cpu_time::of_this_thread();
        let result = self.apply_from(start, stage, batch, time);
        (result, cpu_time::of_this_thread().saturating_sub(start))
    }

    fn apply_from(
        &mut self,
        now: Duration,
        stage: &Stage,
        batch: &Batch,
        time: Duration,
    ) -> Result<Checked, Fault> {
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
        let result = self.call(now, time, &stage.limits, |guest, store| guest.call_apply(store, crossing));
        let state = self.store.data_mut();
        state.end_call();
        match result {
            Ok(Ok(effects)) => {
                check_effects(effects, batch.len(), &stage.plan, &stage.limits).map_err(Fault::Garbage)
            }
            Ok(Err(message)) => Err(Fault::GaveUp(bounded(&message))),
            Err(ended) => Err(match state.unavailable.take() {
                Some(message) => Fault::Unavailable(message),
                None => self.fault(&ended, time),
            }),
        }
    }

    /// What a failed call was: a trap of the guest's, or something that could not be lifted.
    fn fault(&self, ended: &Ended, time: Duration) -> Fault {
        let error = match ended {
            Ended::TimeUp => return Fault::Timeout(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            Ended::Failed(error) => error,
        };
        match error.downcast_ref::<Trap>() {
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

/// Has an instance watched that is stopped by this.
fn watch(
    watchdog: &Arc<Watchdog>,
    stop: Arc<Stop>,
    store: &mut Store<GuestState>,
    instance: &wasmtime::component::Instance,
) -> wasmtime::Result<Watch> {
    let byte = instance.get_typed_func::<(), (WasmList<u8>,)>(&mut *store, stoppable::STOP)?;
    let (byte,) = byte.call(&mut *store, ())?;
    let byte = byte.as_le_slice(&*store).first().context("no byte")?;
    #[allow(unsafe_code, reason = "the watchdog writes to a memory of the guest's while that runs")]
    // SAFETY: the byte is in a memory of its own, that `stoppable` has added to the module: no code but the checks can name
    // it, its size is fixed, and the host asks for it nowhere else. It lives as long as the store, before which the
    // instance's watch is dropped.
    Ok(unsafe { watchdog.watch(stop, byte) })
}

/// Sets what a call may use: so much processor time of this thread, which has had `now`, so many lines in the log. Answers
/// the processor time at which it is ended.
fn begin_call(store: &mut Store<GuestState>, now: Duration, time: Duration, limits: &Limits) -> Duration {
    let state = store.data_mut();
    state.begin_call(limits.log_lines_max);
    let stop_at = now.saturating_add(time);
    state.stop_at = stop_at;
    // Of an engine without epochs nobody looks at it.
    store.set_epoch_deadline(ticks(time));
    stop_at
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
