//! A module outside of any pipeline: configured, and called with batches, in the sandbox that pipelines use. What it
//! announces is what it may do. Its own test cases run so.

use super::check::Checked;
use super::error::Fault;
use super::instance::{Instance, REFUSED, Stage};
use super::module::Module;
use super::plan::{self, Shape};
use crate::lookup::Lookups;
use crate::record::Batch;
use crate::secrets::ByName;
use crate::spec::Limits;
use std::sync::Arc;
use std::time::Duration;

/// More fuel than a guest can use up in a millisecond, so that a call that ended in time ends with this too.
const FUEL_PER_MS: u64 = 5_000_000;
/// Making an instance, configuring it, and one batch.
const CALLS: u64 = 3;

/// The fuel of an instance in a metered engine.
pub(super) fn fuel_max(limits: &Limits) -> u64 {
    limits.guest_time_ms_max.saturating_mul(FUEL_PER_MS * CALLS)
}

/// A configured module that is tried. After an error of [`Trial::apply`] it is spent.
pub struct Trial {
    stage: Stage,
    instance: Instance,
    /// What it announces.
    pub shape: Shape,
}

/// Why a module cannot be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It refuses its configuration, and says why.
    Refused(String),
    /// It traps, takes too long or too much, or contradicts itself.
    Failed(String),
}

/// What a call took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Fuel, if the module is of [`super::Engine::metered`].
    pub fuel: Option<u64>,
    /// Processor time.
    pub time: Duration,
    /// The most linear memory that the instance had so far, bytes.
    pub memory_bytes: u64,
}

impl Trial {
    /// Makes and configures an instance. `place` is what its lines in the log are called by.
    ///
    /// # Errors
    /// [`Unready`].
    pub fn configure(
        module: &Module,
        place: &str,
        config: &str,
        limits: &Limits,
        lookups: Arc<dyn Lookups>,
        secrets: ByName,
    ) -> Result<Self, Unready> {
        let mut stage = Stage::alone(module.clone(), place, config, limits, lookups, secrets);
        let (mut instance, plan) =
            Instance::configured(&stage).map_err(|message| match message.strip_prefix(REFUSED) {
                Some(reason) => Unready::Refused(reason.to_owned()),
                None => Unready::Failed(message),
            })?;
        let (plan, shape) = plan::by_itself(&plan).map_err(Unready::Failed)?;
        instance.store.data_mut().allowed_lookups = plan.lookups.iter().cloned().collect();
        stage.plan = Arc::new(plan);
        Ok(Trial { stage, instance, shape })
    }

    /// Calls it with a batch: once, whole, with all the time that a call may take.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn apply(&mut self, batch: &Batch) -> (Result<Checked, Fault>, Cost) {
        let limit = Duration::from_millis(self.stage.limits.guest_time_ms_max);
        let fuel = self.instance.store.get_fuel().ok();
        let (result, time) = self.instance.apply(&self.stage, batch, limit);
        let left = self.instance.store.get_fuel().ok();
        let cost = Cost {
            fuel: fuel.zip(left).map(|(before, after)| before.saturating_sub(after)),
            time,
            memory_bytes: self.memory_bytes(),
        };
        (result, cost)
    }

    /// The most linear memory that it had so far, bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.instance.store.data().limits.bytes()
    }
}
