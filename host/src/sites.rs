//! The pipelines that this host works: which there are may change while it runs.

use crate::catalog::RevisionReport;
use crate::lookup::Lookups;
use crate::pipeline::{Pipeline, State};
use crate::spec::Spec;
use crate::transform::Pipeline as Transform;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// A pipeline of this host.
pub struct Site {
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// What its guests may ask.
    pub lookups: Arc<dyn Lookups>,
    /// The stages as the spec names them.
    pub own: Transform,
    /// Its revision in the catalog; 0 if its spec is a file.
    pub revision: i64,
    thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
}

impl Site {
    /// A pipeline that does not work yet.
    pub fn new(pipeline: Arc<Pipeline>, lookups: Arc<dyn Lookups>, own: Transform, revision: i64) -> Self {
        Site { pipeline, lookups, own, revision, thread: Mutex::default() }
    }

    /// The pipeline's spec.
    pub fn spec(&self) -> &Arc<Spec> {
        self.pipeline.spec()
    }

    /// Puts the pipeline to work, on a thread of its own.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(&self) -> std::io::Result<()> {
        let working = self.pipeline.clone();
        let name = format!("source-{}", self.spec().name);
        let thread = std::thread::Builder::new().name(name).spawn(move || working.run())?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Whether its thread has ended, or was never there.
    pub fn ended(&self) -> bool {
        self.thread.lock().as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its thread, which ends when the pipeline is told to stop. Blocking.
    ///
    /// # Errors
    /// Why the pipeline had stopped by itself.
    pub fn join(&self) -> Result<(), String> {
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err("a pipeline's thread ended by a panic".to_owned()))
    }
}

/// All pipelines of this host.
pub struct Sites {
    all: RwLock<BTreeMap<String, Arc<Site>>>,
    /// Revisions that this host cannot run, and why, by pipeline.
    trouble: RwLock<BTreeMap<String, (i64, String)>>,
    /// Counts the changes.
    changes: AtomicU64,
    specs: watch::Sender<Specs>,
}

/// The specs of the pipelines that are there at a moment.
pub type Specs = Arc<[Arc<Spec>]>;

impl Default for Sites {
    fn default() -> Self {
        let specs = watch::Sender::new(Vec::new().into());
        Sites { all: RwLock::default(), trouble: RwLock::default(), changes: AtomicU64::new(0), specs }
    }
}

impl Sites {
    /// The pipeline with this name.
    pub fn get(&self, name: &str) -> Option<Arc<Site>> {
        self.all.read().get(name).cloned()
    }

    /// Every pipeline, by name.
    pub fn all(&self) -> Vec<Arc<Site>> {
        self.all.read().values().cloned().collect()
    }

    /// The specs of all pipelines, now and after each change.
    pub fn specs(&self) -> watch::Receiver<Specs> {
        self.specs.subscribe()
    }

    /// How often something was changed here.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Puts a pipeline in, in the place of the one with its name.
    pub fn put(&self, site: Arc<Site>) {
        let name = site.spec().name.clone();
        self.trouble.write().remove(&name);
        self.all.write().insert(name, site);
        self.changed();
    }

    /// Takes a pipeline out.
    pub fn remove(&self, name: &str) {
        self.trouble.write().remove(name);
        self.all.write().remove(name);
        self.changed();
    }

    /// Remembers that a revision cannot be run here, and why.
    pub fn troubled(&self, name: &str, revision: i64, why: String) {
        self.trouble.write().insert(name.to_owned(), (revision, why));
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Revisions that cannot be run here, and why, by pipeline.
    pub fn trouble(&self) -> BTreeMap<String, (i64, String)> {
        self.trouble.read().clone()
    }

    /// How this host is with the pipelines of the catalog.
    pub fn reports(&self) -> BTreeMap<String, RevisionReport> {
        let mut reports: BTreeMap<String, RevisionReport> = BTreeMap::new();
        for site in self.all().iter().filter(|site| site.revision > 0) {
            let running = site.pipeline.state() == State::Running;
            let trouble = match site.pipeline.state() {
                State::Stopped(why) => Some((site.revision, why)),
                State::Starting | State::Running => None,
            };
            let report = RevisionReport { revision: site.revision, running, trouble };
            reports.insert(site.spec().name.clone(), report);
        }
        for (name, trouble) in self.trouble() {
            let nothing = RevisionReport { revision: 0, running: false, trouble: None };
            reports.entry(name).or_insert(nothing).trouble = Some(trouble);
        }
        reports
    }

    fn changed(&self) {
        let specs: Specs = self.all.read().values().map(|site| site.spec().clone()).collect();
        self.specs.send_replace(specs);
        self.changes.fetch_add(1, Ordering::Release);
    }
}
