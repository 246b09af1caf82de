//! Lookups answered by Redis: one `MGET` per call, over one connection that is made anew when it breaks.

use super::{Answers, KeyValues};
use async_trait::async_trait;
use redis::aio::ConnectionManager;
use tokio::sync::OnceCell;

/// A Redis server, connected to at the first question.
pub struct Redis {
    client: redis::Client,
    connection: OnceCell<ConnectionManager>,
}

impl Redis {
    /// Takes `redis://host:port/database`.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(url: &str) -> Result<Self, String> {
        let client = redis::Client::open(url).map_err(|error| format!("not a Redis URL: {error}"))?;
        Ok(Redis { client, connection: OnceCell::new() })
    }
}

#[async_trait]
impl KeyValues for Redis {
    async fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<Answers, String> {
        if keys.is_empty() {
            return Ok(Answers::new());
        }
        let connect = || ConnectionManager::new(self.client.clone());
        let mut connection =
            self.connection.get_or_try_init(connect).await.map_err(|error| error.to_string())?.clone();
        redis::cmd("MGET").arg(keys).query_async(&mut connection).await.map_err(|error| error.to_string())
    }
}
