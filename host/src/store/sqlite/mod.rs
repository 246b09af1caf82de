//! The embedded store: one SQLite file. Gristmill's own tables begin with `gristmill_`.

pub mod database;
mod session;
mod tables;

use super::Error;
use super::shared::SqlStore;
use super::sql::{Engine, On, Sql, Tx};
use crate::spec::{Spec, Table};
use crate::store::tables::SEQUENCE;
use async_trait::async_trait;
use database::{BEGIN, Database};
use session::{KIND, store_error};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a host may not have heard of what another process has changed in the catalog.
const LOOK: Duration = Duration::from_millis(200);

/// The database.
pub struct Sqlite {
    database: Arc<Database>,
}

/// The store on SQLite.
pub type SqliteStore = SqlStore<Sqlite>;

impl SqliteStore {
    /// Opens the file, makes it if it is not there.
    ///
    /// # Errors
    /// As of [`Database::open`].
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::over_database(Database::open(path).await?))
    }

    /// A store on a file that is open already.
    pub fn over_database(database: Arc<Database>) -> Self {
        SqlStore::over(Sqlite { database })
    }

    /// The file, for what else lives in it (the journal log).
    pub fn database(&self) -> &Arc<Database> {
        &self.engine.database
    }
}

#[async_trait]
impl Engine for Sqlite {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn begin(&self) -> Result<Box<dyn Tx>, Error> {
        let begun = self.database.writer().begin_with(BEGIN).await;
        let tx = begun.map_err(|error| store_error("beginning a transaction", &error))?;
        Ok(Box::new(On(tx)))
    }

    async fn reader(&self) -> Result<Box<dyn Sql>, Error> {
        let connection = self.database.readers().acquire().await;
        Ok(Box::new(On(connection.map_err(|error| store_error("getting a connection", &error))?)))
    }

    async fn migrate(&self) -> Result<(), Error> {
        // Opening the file has done it.
        Ok(())
    }

    async fn prepare_tables(&self, tx: &mut dyn Tx, spec: &Spec) -> Result<(), Error> {
        tables::prepare(tx, spec).await
    }

    async fn has_sequence(&self, table: &Table) -> Result<bool, Error> {
        let found = tables::read(self.reader().await?.as_mut(), table).await?;
        Ok(found.is_some_and(|found| found.columns.iter().any(|column| column.name == SEQUENCE)))
    }

    async fn changed(&self, within: Duration) {
        // Nobody tells: looking is cheap here.
        tokio::time::sleep(within.min(LOOK)).await;
    }
}
