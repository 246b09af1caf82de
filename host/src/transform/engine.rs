//! The process-wide part of the sandbox: one engine, its limits, its clock, and what a guest may be linked with.

use super::bindings::gristmill::transform::{hashing, log, lookup};
use super::cache::Cache;
use super::compiler::{self, CompileLimits};
use super::module::{Module, Refusal};
use super::state::GuestState;
use super::watchdog::Watchdog;
use crate::spec::Limits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often the epoch advances: the granularity of the time limits of guests that are stopped so.
pub(super) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Live instances of all stages of all lanes at once. Address space, not memory: 4 GiB are reserved for each memory.
const INSTANCES_MAX: u32 = 1_000;
/// The same for those that are stopped by epochs, which are few.
const BY_EPOCHS_MAX: u32 = 400;
/// The same for [`Engine::metered`], in which modules are only tried.
const METERED_INSTANCES_MAX: u32 = 32;

/// Core instances, memories and tables that one component may need: Python's guests need 14 core instances
/// (measured), JavaScript's and Go's fewer.
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;

/// How guests are stopped that take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// By a signal to the thread that runs them ([`super::interrupt`]).
    Interrupts,
    /// By wasmtime's epochs, where that cannot be done.
    Epochs,
    /// When their fuel is used up.
    Fuel,
}

/// What guests run in that are stopped in the same way.
#[derive(Clone)]
pub(super) struct Sandbox {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Arc<Linker<GuestState>>,
    pub(super) wasi_linker: Arc<Linker<GuestState>>,
    /// Who stops them, if they are interrupted.
    pub(super) watchdog: Option<Arc<Watchdog>>,
}

/// The engine that all guests of this process run in.
#[derive(Clone)]
pub struct Engine {
    /// Whether it counts fuel.
    metered: bool,
    /// By how guests are stopped; what is not needed is not made.
    sandboxes: Arc<Mutex<Vec<(Stopping, Sandbox)>>>,
    /// Compiled modules, by digest: what two stages or pipelines share is compiled once.
    pub(super) compiled: Arc<Mutex<HashMap<String, Module>>>,
    cache: Option<Cache>,
    /// The program that compiles in a process of its own, and what it may use; here if absent.
    compiler: Option<(Arc<Path>, CompileLimits)>,
}

impl Engine {
    /// Sets the engine up and starts what stops guests. `cache` is a folder that keeps compiled modules, if there is to be
    /// one.
    ///
    /// # Errors
    /// What the platform refuses: usually too little address space (`ulimit -v`).
    pub fn new(cache: Option<&Path>) -> anyhow::Result<Self> {
        Self::of(false, cache)
    }

    /// An engine that counts fuel, in which modules are tried: the same limits, but no clock, so that what a call
    /// costs and does is the same on every machine. Calls end when their fuel does. What a guest logs is not heard.
    ///
    /// # Errors
    /// As for [`Engine::new`].
    pub fn metered(cache: Option<&Path>) -> anyhow::Result<Self> {
        Self::of(true, cache)
    }

    fn of(metered: bool, cache: Option<&Path>) -> anyhow::Result<Self> {
        let cache = cache.and_then(Cache::open);
        let engine =
            Engine { metered, sandboxes: Arc::default(), compiled: Arc::default(), cache, compiler: None };
        engine.sandbox(if metered { Stopping::Fuel } else { Stopping::Interrupts })?;
        Ok(engine)
    }

    /// What guests run in that are stopped so.
    pub(super) fn sandbox(&self, stopping: Stopping) -> anyhow::Result<Sandbox> {
        let mut sandboxes = self.sandboxes.lock();
        if let Some((_, sandbox)) = sandboxes.iter().find(|(of, _)| *of == stopping) {
            return Ok(sandbox.clone());
        }
        let sandbox = Sandbox::new(stopping)?;
        sandboxes.push((stopping, sandbox.clone()));
        Ok(sandbox)
    }

    /// How its guests may be stopped.
    fn ways(&self) -> &'static [Stopping] {
        if self.metered { &[Stopping::Fuel] } else { &[Stopping::Interrupts, Stopping::Epochs] }
    }

    /// A module that was compiled before, by its digest.
    pub(super) fn kept(&self, digest: &str) -> anyhow::Result<Option<(Sandbox, Component)>> {
        let Some(cache) = &self.cache else { return Ok(None) };
        for stopping in self.ways() {
            let sandbox = self.sandbox(*stopping)?;
            if let Some(component) = cache.get(&sandbox.engine, digest) {
                return Ok(Some((sandbox, component)));
            }
        }
        Ok(None)
    }

    /// Keeps a compiled module.
    pub(super) fn keep(&self, sandbox: &Sandbox, digest: &str, component: &Component) {
        if let Some(cache) = &self.cache {
            cache.put(&sandbox.engine, digest, component);
        }
    }

    /// Compiles modules from now on in a process of its own, `program compile-module`: whatever a module does to the
    /// compiler is done there.
    #[must_use]
    pub fn compiling_with(mut self, program: &Path, limits: CompileLimits) -> Self {
        self.compiler = Some((Arc::from(program), limits));
        self
    }

    /// Compiles a module's bytes.
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<(Sandbox, Component), Refusal> {
        match &self.compiler {
            None => {
                let (stopping, component) = compiler::prepared(bytes, self.metered)?;
                let sandbox = self.sandbox(stopping).map_err(compiler::unavailable)?;
                let component = compiler::compile_here(&sandbox.engine, &component)?;
                Ok((sandbox, component))
            }
            Some((program, limits)) => {
                let (stopping, compiled) = compiler::compile(self.metered, program, limits, bytes)?;
                let sandbox = self.sandbox(stopping).map_err(compiler::unavailable)?;
                let component = compiler::load(&sandbox.engine, &compiled)?;
                Ok((sandbox, component))
            }
        }
    }

    /// A module that is compiled already.
    pub fn known(&self, name: &str, digest: &str) -> Option<Module> {
        let module = self.compiled.lock().get(digest).cloned();
        module.map(|module| Module { name: name.to_owned(), ..module })
    }

    /// Forgets a compiled module that will not be asked for again, here and on disk.
    pub fn forget(&self, digest: &str) {
        self.compiled.lock().remove(digest);
        if let Some(cache) = &self.cache {
            // It may have been compiled by an earlier process, for an engine that this one has had no need of.
            for sandbox in self.ways().iter().filter_map(|stopping| self.sandbox(*stopping).ok()) {
                cache.forget(&sandbox.engine, digest);
            }
        }
    }
}

impl Sandbox {
    pub(super) fn new(stopping: Stopping) -> anyhow::Result<Self> {
        let engine = wasmtime::Engine::new(&config(stopping))?;
        if stopping == Stopping::Epochs {
            // The clock lives as long as anything that was made by this engine: a guest whose clock stands still is never
            // stopped.
            let clock = engine.weak();
            std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
                while let Some(engine) = clock.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(EPOCH_TICK);
                }
            })?;
        }
        let watchdog = (stopping == Stopping::Interrupts).then(Watchdog::start).transpose()?;
        let linker = Arc::new(linker(&engine, false)?);
        let wasi_linker = Arc::new(self::linker(&engine, true)?);
        Ok(Sandbox { engine, linker, wasi_linker, watchdog })
    }
}

/// How an engine is set up whose guests are stopped so.
pub(super) fn config(stopping: Stopping) -> Config {
    // For the byte that they read comes a memory more for each.
    let (instances_max, memories) = match stopping {
        Stopping::Interrupts => (INSTANCES_MAX, 2),
        Stopping::Epochs => (BY_EPOCHS_MAX, 1),
        Stopping::Fuel => (METERED_INSTANCES_MAX, 1),
    };
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max * 4)
        .total_memories(instances_max * memories)
        .total_tables(instances_max * 2)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_module(memories)
        .max_memories_per_component(4)
        .max_tables_per_component(8)
        .table_elements(20_000)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .max_memory_size(usize::try_from(Limits::GUEST_MEMORY_BYTES_MAX).unwrap_or(usize::MAX))
        // The lowest addresses would be filled with zeros, and so be resident, whether they were used or not: in a Rust
        // guest 1 MiB of stack.
        .linear_memory_keep_resident(0)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(stopping == Stopping::Epochs)
        .consume_fuel(stopping == Stopping::Fuel)
        .max_wasm_stack(1 << 20)
        // Nobody is shown where in its code a guest trapped; and where it was interrupted, its frames may be half made.
        .wasm_backtrace_max_frames(None)
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
