//! The process-wide part of the sandbox: one engine, its limits, its clock, and what a guest may be linked with.

use super::bindings::gristmill::transform::{hashing, log, lookup};
use super::cache::Cache;
use super::module::Module;
use super::state::GuestState;
use crate::spec::Limits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often the epoch advances: the granularity of guests' time limits.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Live instances of all stages of all lanes at once. Address space, not memory: 4 GiB are reserved for each.
const INSTANCES_MAX: u32 = 1_000;
/// The same for [`Engine::metered`], in which modules are only tried.
const METERED_INSTANCES_MAX: u32 = 32;

/// Core instances, memories and tables that one component may need: Python's guests need 14 core instances
/// (measured), JavaScript's and Go's fewer.
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;

/// The engine that all guests of this process run in.
#[derive(Clone)]
pub struct Engine {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Arc<Linker<GuestState>>,
    pub(super) wasi_linker: Arc<Linker<GuestState>>,
    /// Compiled modules, by digest: what two stages or pipelines share is compiled once.
    pub(super) compiled: Arc<Mutex<HashMap<String, Module>>>,
    pub(super) cache: Option<Cache>,
}

impl Engine {
    /// Sets the engine up and starts its clock. `cache` is a folder that keeps compiled modules, if there is to be
    /// one.
    ///
    /// # Errors
    /// What the platform refuses: usually too little address space (`ulimit -v`).
    pub fn new(cache: Option<&Path>) -> anyhow::Result<Self> {
        let engine = Self::of(&config(INSTANCES_MAX), cache)?;
        // The clock lives as long as anything that was made by this engine: a guest whose clock stands still is never
        // stopped.
        let clock = engine.engine.weak();
        std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while let Some(engine) = clock.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH_TICK);
            }
        })?;
        Ok(engine)
    }

    /// An engine that counts fuel, in which modules are tried: the same limits, but no clock, so that what a call
    /// costs and does is the same on every machine. Calls end when their fuel does. What a guest logs is not heard.
    ///
    /// # Errors
    /// As for [`Engine::new`].
    pub fn metered(cache: Option<&Path>) -> anyhow::Result<Self> {
        let mut config = config(METERED_INSTANCES_MAX);
        Self::of(config.epoch_interruption(false).consume_fuel(true), cache)
    }

    fn of(config: &Config, cache: Option<&Path>) -> anyhow::Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        let linker = Arc::new(linker(&engine, false)?);
        let wasi_linker = Arc::new(self::linker(&engine, true)?);
        let cache = cache.and_then(Cache::open);
        Ok(Engine { engine, linker, wasi_linker, compiled: Arc::default(), cache })
    }
}

fn config(instances_max: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max * 4)
        .total_memories(instances_max)
        .total_tables(instances_max * 2)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(4)
        .max_tables_per_component(8)
        .table_elements(20_000)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .max_memory_size(usize::try_from(Limits::GUEST_MEMORY_BYTES_MAX).unwrap_or(usize::MAX))
        // A warm instance keeps the pages that the last one used: 4 µs instead of 0.2 ms.
        .linear_memory_keep_resident(4 << 20)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(1 << 20)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    #[cfg(feature = "perf-map")]
    if std::env::var_os("GRISTMILL_PERF_MAP").is_some() {
        config.profiler(wasmtime::ProfilingStrategy::PerfMap);
    }
    config
}

fn linker(engine: &wasmtime::Engine, wasi: bool) -> anyhow::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    hashing::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    lookup::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    if wasi {
        super::wasi::add_to_linker(&mut linker)?;
    }
    Ok(linker)
}
