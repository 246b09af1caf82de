//! Answers by key for guests: from Redis, or from tables of the store. One call per table and batch, made from the
//! lane's thread, which waits; every call has a time limit of its own, because no guest limit reaches it.

mod cache;
mod redis;

use cache::Cache;
pub use redis::Redis;

use crate::secrets::{Secret, Secrets};
use crate::spec::{Lookup, LookupSource, Spec};
use crate::store::Store;
use crate::telemetry;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Answers in the order of the keys; `None` where there is none.
pub type Answers = Vec<Option<Vec<u8>>>;

/// A lookup's source that cannot be reached: the batch is tried again later, no record is blamed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the lookup `{lookup}` is not available: {message}")]
pub struct Unavailable {
    /// The lookup.
    pub lookup: String,
    /// What happened.
    pub message: String,
}

/// What guests may ask. Blocking: called from threads that may block.
pub trait Lookups: Send + Sync {
    /// Answers by key.
    ///
    /// # Errors
    /// [`Unavailable`] after the lookup's time limit at the latest.
    fn get_many(&self, lookup: &str, keys: &[Vec<u8>]) -> Result<Answers, Unavailable>;

    /// A secret that digests may be made with.
    ///
    /// # Errors
    /// There is none of this name, or it is not one: what to do.
    fn secret(&self, name: &str) -> Result<Secret, String> {
        Secrets::default().get(name)
    }
}

/// What this host has for all its pipelines.
#[derive(Clone)]
pub struct Sources {
    /// The server of `GRISTMILL_LOOKUP`.
    pub keys: Arc<dyn KeyValues>,
    /// The secrets of `GRISTMILL_SECRETS`.
    pub secrets: Secrets,
}

/// A server that answers many keys at once.
#[async_trait]
pub trait KeyValues: Send + Sync {
    /// Answers by key; the error is for the operator.
    async fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<Answers, String>;

    /// Writes keys with their values; the error is for the operator.
    async fn put_many(&self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String>;
}

/// The store's reference table as a server of keys: the embedded set's.
pub struct Reference(pub Arc<dyn Store>);

#[async_trait]
impl KeyValues for Reference {
    async fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<Answers, String> {
        self.0.lookup_reference(&keys).await.map_err(|error| error.to_string())
    }

    async fn put_many(&self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        self.0.put_reference(&entries).await.map_err(|error| error.to_string())
    }
}

/// The lookups of one pipeline.
pub struct PipelineLookups {
    spec: Arc<Spec>,
    store: Arc<dyn Store>,
    sources: Sources,
    runtime: Handle,
    /// Of each declared lookup, if it keeps answers.
    caches: Vec<Option<Cache>>,
}

impl PipelineLookups {
    /// The lookups of a pipeline: its tables are in `store`, and `runtime` is where the waiting is done.
    pub fn new(spec: Arc<Spec>, store: Arc<dyn Store>, sources: Sources, runtime: Handle) -> Self {
        let cache = |lookup: &Lookup| {
            let age_max = Duration::from_millis(lookup.cache_ms_max);
            (!age_max.is_zero()).then(|| Cache::new(age_max, lookup.cache_bytes_max))
        };
        let caches = spec.lookups.iter().map(cache).collect();
        PipelineLookups { spec, store, sources, runtime, caches }
    }

    /// Asks the source itself, within the lookup's time.
    fn ask(&self, declared: &Lookup, keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        let unavailable = |message: String| Unavailable { lookup: declared.name.clone(), message };
        let limit = Duration::from_millis(declared.timeout_ms_max);
        let answers = self.runtime.block_on(async {
            let ask = async {
                match &declared.from {
                    LookupSource::Keys { prefix } => {
                        let keys = keys.iter().map(|key| [prefix.as_bytes(), key].concat()).collect();
                        self.sources.keys.get_many(keys).await
                    }
                    LookupSource::Table { table } => match self.spec.tables.get(*table) {
                        Some(table) => {
                            self.store.lookup_rows(table, keys).await.map_err(|error| error.to_string())
                        }
                        None => Err("its table is not declared".to_owned()),
                    },
                }
            };
            tokio::time::timeout(limit, ask).await
        });
        let answers = answers
            .map_err(|_| unavailable(format!("no answer within {} ms", limit.as_millis())))?
            .map_err(unavailable)?;
        if answers.len() == keys.len() {
            Ok(answers)
        } else {
            Err(unavailable(format!("{} answers to {} keys", answers.len(), keys.len())))
        }
    }

    /// Asks for what is not known.
    fn ask_beyond(&self, cache: &Cache, declared: &Lookup, keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        let mut answers = cache.get(keys);
        let unknown = |(place, answer): (usize, &Option<Vec<u8>>)| answer.is_none().then_some(place);
        let places: Vec<usize> = answers.iter().enumerate().filter_map(unknown).collect();
        self.count(declared, "cached", keys.len() - places.len());
        if places.is_empty() {
            return Ok(answers);
        }
        let since = Instant::now();
        let asked: Vec<Vec<u8>> = places.iter().filter_map(|place| keys.get(*place).cloned()).collect();
        let new = self.ask(declared, &asked)?;
        self.count_asked(declared, &new);
        for ((place, key), answer) in places.into_iter().zip(asked).zip(new) {
            if let Some(answer) = &answer {
                cache.put(&key, answer, since);
            }
            if let Some(slot) = answers.get_mut(place) {
                *slot = answer;
            }
        }
        Ok(answers)
    }

    fn count_asked(&self, declared: &Lookup, answers: &Answers) {
        let found = answers.iter().flatten().count();
        self.count(declared, "found", found);
        self.count(declared, "missing", answers.len() - found);
    }

    fn count(&self, declared: &Lookup, answer: &'static str, keys: usize) {
        let labels = [
            ("pipeline", self.spec.name.clone()),
            ("lookup", declared.name.clone()),
            ("answer", answer.to_owned()),
        ];
        metrics::counter!(telemetry::LOOKUP_KEYS, &labels).increment(keys as u64);
    }
}

impl Lookups for PipelineLookups {
    fn get_many(&self, lookup: &str, keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        let declared =
            self.spec.lookups.iter().zip(&self.caches).find(|(declared, _)| declared.name == lookup);
        match declared {
            Some((declared, Some(cache))) => self.ask_beyond(cache, declared, keys),
            Some((declared, None)) => {
                let answers = self.ask(declared, keys)?;
                self.count_asked(declared, &answers);
                Ok(answers)
            }
            None => {
                let message = "the pipeline does not declare it".to_owned();
                Err(Unavailable { lookup: lookup.to_owned(), message })
            }
        }
    }

    fn secret(&self, name: &str) -> Result<Secret, String> {
        self.sources.secrets.get(name)
    }
}
