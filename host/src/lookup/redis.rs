//! Lookups answered by Redis: one `MGET` per call, over one connection that is made anew when it breaks.

use super::{Answers, KeyValues};
use crate::tls::{self, Roots};
use async_trait::async_trait;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, TlsCertificates};
use std::path::Path;
use std::time::Duration;
use url::Url;

/// How long connecting may take; the calls' own limits are shorter, mostly.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A Redis server, connected to at the first question.
pub struct Redis {
    client: Client,
    /// Host and port, for errors.
    place: String,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Held by the one call that connects.
    connecting: tokio::sync::Mutex<()>,
}

impl Redis {
    /// Takes `redis://user:password@host:port/database`.
    ///
    /// # Errors
    /// What is wrong with the URL, without its secrets.
    pub fn new(url: &str) -> Result<Self, String> {
        Self::trusting(url, None)
    }

    /// The same; the certificate of a `rediss://` server is checked against `roots` too, or against those that the URL
    /// names (`?sslrootcert=FILE`).
    ///
    /// # Errors
    /// What is wrong with the URL, without its secrets; root certificates that cannot be read.
    pub fn trusting(url: &str, roots: Option<&Roots>) -> Result<Self, String> {
        let mut url = Url::parse(url).map_err(|error| format!("not a Redis URL: {error}"))?;
        let named = take_parameters(&mut url)?;
        let place = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(6379));
        let unfit = |error: RedisError| format!("not a Redis URL: {error}");
        let client = if url.scheme() == "rediss" {
            // The only one that is compiled in; the client would look for it by itself, and panic where there are two.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let root_cert = Some(tls::with_the_systems(named.as_ref().or(roots)).into_bytes());
            Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert }).map_err(unfit)?
        } else if named.is_some() {
            return Err("not a Redis URL: sslrootcert goes with rediss://".to_owned());
        } else {
            Client::open(url).map_err(unfit)?
        };
        let (connection, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Redis { client, place, connection, connecting })
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        // How long an answer may take is each lookup's own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }

    /// Asks on the connection, which is not used again if there is no answer.
    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, String> {
        let mut connection = self.connected().await.map_err(|error| self.said(&error))?;
        let mut asking = Asking { redis: self, answered: false };
        let answer: Result<T, RedisError> = command.query_async(&mut connection).await;
        asking.answered = answer.is_ok();
        answer.map_err(|error| self.said(&error))
    }

    /// An error with the server's name, and what to do where that can be told.
    fn said(&self, error: &RedisError) -> String {
        let text = error.to_string();
        let advice = if error.kind() == ErrorKind::AuthenticationFailed || text.contains("NOAUTH") {
            "; check user and password in GRISTMILL_LOOKUP"
        } else if text.contains("certificate") {
            "; it is checked against the system's root certificates and those of sslrootcert in GRISTMILL_LOOKUP, or \
             else of GRISTMILL_CA_FILE"
        } else {
            ""
        };
        format!("Redis {}: {text}{advice}", self.place)
    }
}

/// Takes what is ours out of the URL, and refuses what nobody would look at.
fn take_parameters(url: &mut Url) -> Result<Option<Roots>, String> {
    let mut roots = None;
    let mut rest = Vec::new();
    for (name, value) in url.query_pairs() {
        match &*name {
            "sslrootcert" => {
                roots = Some(Roots::read(Path::new(&*value)).map_err(|error| error.to_string())?)
            }
            "protocol" => rest.push(format!("{name}={value}")),
            name => return Err(format!("has a parameter `{name}`: there are sslrootcert and protocol")),
        }
    }
    let rest = rest.join("&");
    url.set_query((!rest.is_empty()).then_some(&*rest));
    Ok(roots)
}

/// A connection with a question on its way. Unless it is answered, whether it fails or nobody waits any more, the
/// connection is not used again.
struct Asking<'a> {
    redis: &'a Redis,
    answered: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.answered {
            *self.redis.connection.lock() = None;
        }
    }
}

#[async_trait]
impl KeyValues for Redis {
    async fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<Answers, String> {
        if keys.is_empty() {
            return Ok(Answers::new());
        }
        self.ask(redis::cmd("MGET").arg(keys)).await
    }

    async fn put_many(&self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        let mut command = redis::cmd("MSET");
        for (key, value) in entries {
            command.arg(key).arg(value);
        }
        self.ask(&command).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (url, part) in [
            ("redis://u:hunter2@h:0x", "not a Redis URL"),
            ("redis://u:hunter2@h/notanumber", "not a Redis URL"),
            ("rediss://u:hunter2@h?sslrootcert=/no/such", "/no/such cannot be read"),
            ("rediss://u:hunter2@h?insecure=1", "a parameter `insecure`"),
            ("rediss://u:hunter2@h#insecure2", "not a Redis URL"),
        ] {
            let error = Redis::new(url).err().unwrap_or_else(|| panic!("{url} is read"));
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }
}
