//! The store on PostgreSQL. Gristmill's own tables are in the schema `gristmill`.

mod address;
mod array;
mod session;
mod shape;
mod tables;

use super::shared::SqlStore;
use super::sql::{Engine, On, Sql, Tx};
use super::{Error, migrations};
use crate::spec::{Spec, Table};
use crate::store::catalog::CHANNEL;
use crate::store::tables::SEQUENCE;
use async_trait::async_trait;
use session::{KIND, store_error};
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use std::path::Path;
use std::time::Duration;

/// How long a task waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the server does about a host that no longer answers, or a statement that does not end: it never holds a
/// lane's row for longer than this.
const SESSION: [(&str, &str); 7] = [
    ("statement_timeout", "60s"),
    ("lock_timeout", "20s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "20"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "4"),
    ("TimeZone", "UTC"),
];

/// The database.
pub struct Postgres {
    pool: PgPool,
    options: PgConnectOptions,
    /// Hears of the catalog's changes.
    listener: tokio::sync::Mutex<Option<PgListener>>,
}

impl Postgres {
    fn pool_of_one(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(self.options.clone())
    }
}

/// The store on PostgreSQL.
pub type PostgresStore = SqlStore<Postgres>;

impl PostgresStore {
    /// Connects to the server, once; waiting for it is the caller's.
    ///
    /// # Errors
    /// [`Error::Unfit`] if the address is none; [`Error::Unavailable`] if the server does not answer.
    pub async fn connect(url: &str, connections_max: u32) -> Result<Self, Error> {
        Self::connect_trusting(url, None, connections_max).await
    }

    /// The same, with a file of root certificates that the server's is checked against too, unless the address names
    /// one of its own. Every connection of the store is made so.
    ///
    /// # Errors
    /// As [`PostgresStore::connect`].
    pub async fn connect_trusting(
        url: &str,
        roots: Option<&Path>,
        connections_max: u32,
    ) -> Result<Self, Error> {
        let options = address::options(url, roots)
            .map_err(|what| Error::Unfit { message: format!("the store's address {what}") })?;
        let options = options.application_name("gristmill").options(SESSION).statement_cache_capacity(500);
        let place = format!("connecting to {}:{}", options.get_host(), options.get_port());
        let pool = PgPoolOptions::new()
            .max_connections(connections_max.max(2))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            // Its buffers keep the size of the largest batch that it ever carried, otherwise; any batch may get any connection.
            .after_release(|connection, _| {
                connection.shrink_buffers();
                Box::pin(async { Ok(true) })
            });
        // The pool itself would wait for a server that is not there.
        let first = PgConnection::connect_with(&options).await.map_err(|error| {
            let advice = address::advice(&error).map_or(String::new(), |advice| format!("; {advice}"));
            match store_error(&place, &error) {
                Error::Unavailable { store, doing, message } => {
                    Error::Unavailable { store, doing, message: format!("{message}{advice}") }
                }
                other => other,
            }
        })?;
        first.close().await.map_err(|error| store_error(&place, &error))?;
        let pool = pool.connect_lazy_with(options.clone());
        Ok(SqlStore::over(Postgres { pool, options, listener: tokio::sync::Mutex::default() }))
    }
}

#[async_trait]
impl Engine for Postgres {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn begin(&self) -> Result<Box<dyn Tx>, Error> {
        // Whatever the database's default: a later statement must see what others have committed meanwhile.
        let begun = self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await;
        let tx = begun.map_err(|error| store_error("beginning a transaction", &error))?;
        Ok(Box::new(On(tx)))
    }

    async fn reader(&self) -> Result<Box<dyn Sql>, Error> {
        let connection = self.pool.acquire().await;
        Ok(Box::new(On(connection.map_err(|error| store_error("getting a connection", &error))?)))
    }

    async fn migrate(&self) -> Result<(), Error> {
        // A connection of its own: the migrator's lock belongs to the session and must end with it on every path.
        let doing = "migrating";
        let mut connection =
            PgConnection::connect_with(&self.options).await.map_err(|error| store_error(doing, &error))?;
        let mut migrator = migrations::of_postgres("gristmill.migrations");
        // Asking first: who may not create schemas may still use one that the DBA has made.
        let there = sqlx::query("SELECT 1 FROM pg_namespace WHERE nspname = 'gristmill'");
        let there =
            there.fetch_optional(&mut connection).await.map_err(|error| store_error(doing, &error))?;
        if there.is_none() {
            migrator.create_schema("gristmill");
        }
        let migrated = migrator.run_direct(None, &mut connection, false).await;
        // Closing may fail on a connection that is gone: the lock is gone with it.
        let _ = connection.close().await;
        migrated.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => store_error(doing, &error),
            other => Error::Unfit {
                message: format!(
                    "schema gristmill of the database cannot be brought up to date: {other}: was it written by a \
                     later version of gristmill?"
                ),
            },
        })
    }

    async fn prepare_tables(&self, tx: &mut dyn Tx, spec: &Spec) -> Result<(), Error> {
        tables::prepare(tx, spec).await
    }

    async fn has_sequence(&self, table: &Table) -> Result<bool, Error> {
        let found = shape::read(self.reader().await?.as_mut(), table).await?;
        Ok(found.is_some_and(|found| found.columns.iter().any(|column| column.name == SEQUENCE)))
    }

    async fn changed(&self, within: Duration) {
        let heard = async {
            let mut listener = self.listener.lock().await;
            if listener.is_none() {
                // A connection of its own: it is held for as long as this host lives.
                let mut new = PgListener::connect_with(&self.pool_of_one()).await?;
                new.listen(CHANNEL).await?;
                *listener = Some(new);
            }
            let heard = match listener.as_mut() {
                Some(listener) => listener.recv().await.map(|_| ()),
                None => Ok(()),
            };
            if heard.is_err() {
                *listener = None;
            }
            heard
        };
        match tokio::time::timeout(within, heard).await {
            Ok(Ok(())) | Err(_) => {}
            // Whoever waits looks by itself from time to time.
            Ok(Err(error)) => {
                tracing::debug!(%error, "listening for changes of the catalog");
                tokio::time::sleep(within).await;
            }
        }
    }
}
