//! What a module is asked before anybody lets it near a record: whether it can be instantiated, what it says of itself,
//! and whether it can be configured, all inside the limits.

use super::error::Error;
use super::instance::Instance;
use super::module::Module;
use crate::spec::Limits;
use std::time::{Duration, Instant};

/// What a module said of itself, and what that took.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// One or two sentences, in its own words.
    pub about: String,
    /// The JSON Schema of its configuration, if it has one.
    pub config_schema: Option<String>,
    /// How long it took to make an instance.
    pub instantiated_in: Duration,
    /// Linear memory of the instance after that, bytes.
    pub memory_bytes: u64,
}

/// Makes an instance of a module and asks it for its description, then configures it with an empty configuration. That it
/// refuses that one is its right; that it traps or does not end is not.
///
/// # Errors
/// The first thing that goes wrong: a code for each, and what to do.
pub fn inspect(module: &Module, limits: &Limits) -> Result<Inspection, Error> {
    let refuse = |code, message| Error::Module { module: module.name.clone(), code, message };
    let start = Instant::now();
    let mut instance = Instance::bare(module, "upload", limits, None)
        .map_err(|failed| refuse(failed.code("start"), failed.message("making an instance of it")))?;
    let instantiated_in = start.elapsed();
    let description = instance
        .describe(limits)
        .map_err(|failed| refuse(failed.code("describe"), failed.message("its `describe`")))?;
    let memory_bytes = instance.memory_bytes();
    // What it says to a configuration that it does not take is no fault.
    let _ = instance
        .configure("{}", limits)
        .map_err(|failed| refuse(failed.code("configure"), failed.message("its `configure`")))?;
    Ok(Inspection {
        about: super::ended::bounded(&description.about),
        config_schema: description.config_schema,
        instantiated_in,
        memory_bytes,
    })
}
