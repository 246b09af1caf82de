//! Answers by key for guests: from Redis, or from tables of the store. One call per table and batch, made from the
//! lane's thread, which waits; every call has a time limit of its own, because no guest limit reaches it.

mod redis;

pub use redis::Redis;

use crate::spec::{LookupSource, Spec};
use crate::store::Store;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
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
    /// The pipeline.
    pub spec: Arc<Spec>,
    /// Its tables' store.
    pub store: Arc<dyn Store>,
    /// The server of `GRISTMILL_LOOKUP`.
    pub keys: Arc<dyn KeyValues>,
    /// Where the waiting is done.
    pub runtime: Handle,
}

impl Lookups for PipelineLookups {
    fn get_many(&self, lookup: &str, keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        let unavailable = |message: String| Unavailable { lookup: lookup.to_owned(), message };
        let Some(declared) = self.spec.lookups.iter().find(|declared| declared.name == lookup) else {
            return Err(unavailable("the pipeline does not declare it".to_owned()));
        };
        let limit = Duration::from_millis(declared.timeout_ms_max);
        let answers = self.runtime.block_on(async {
            let ask = async {
                match &declared.from {
                    LookupSource::Keys { prefix } => {
                        let keys = keys.iter().map(|key| [prefix.as_bytes(), key].concat()).collect();
                        self.keys.get_many(keys).await
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
}
