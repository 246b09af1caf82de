//! The file of the embedded set: one writer at a time, readers beside it (WAL), every commit on the disk before it
//! is answered (`synchronous = FULL`). The store and the journal log live in it together.

use crate::store::{Error, migrations};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection waits for another process's write before it says that the file is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait before a locked file is opened again.
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// How long a task waits for the writer before it says that the store is not available.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections that only read.
const READERS_MAX: u32 = 4;

/// How a write transaction begins: as the writer from the start, since a reader that wants to become one is refused
/// when somebody else has written in between.
pub const BEGIN: &str = "BEGIN IMMEDIATE";

/// An open database file.
#[derive(Debug)]
pub struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    /// Opens the file, makes it if it is not there, and brings all tables in it up to date.
    ///
    /// # Errors
    /// [`Error::Unfit`] if the file is no database or of a later version; [`Error::Unavailable`] if it is locked.
    pub async fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .statement_cache_capacity(500);
        let until = Instant::now() + BUSY_TIMEOUT;
        loop {
            match Self::connect(&options).await {
                Ok(database) => return Ok(Arc::new(database)),
                // Turning to WAL is refused at once while another process does so too, whatever the time-out says.
                Err(error) if is_locked(&error) && Instant::now() < until => {
                    tokio::time::sleep(LOCKED_PAUSE).await
                }
                Err(error) => return Err(cannot_open(path, &error)),
            }
        }
    }

    async fn connect(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
        let writer =
            pool().max_connections(1).after_release(|connection, _| Box::pin(is_at_rest(connection)));
        let writer = writer.connect_with(options.clone()).await?;
        let mut transaction = writer.begin_with(BEGIN).await?;
        migrate(&mut transaction).await?;
        transaction.commit().await?;
        let readers = options.clone().pragma("query_only", "on");
        let readers = pool().max_connections(READERS_MAX).connect_with(readers).await?;
        Ok(Database { writer, readers })
    }

    /// The one connection that writes. Begin its transactions with [`BEGIN`].
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Connections that read, beside the writer.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }
}

/// Whether a connection that comes back may be used again. After some errors (the disk is full) SQLite has ended the
/// transaction by itself; sqlx's rollback then fails, and it believes for ever that the transaction is still open.
async fn is_at_rest(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback that was only asked for is done before this is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Runs the migrations inside the caller's write transaction, so that two processes do not run them at once.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    migrations::of_sqlite("gristmill_migrations").run_direct(None, connection, false).await?;
    Ok(())
}

fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "5")
}

fn cannot_open(path: &Path, error: &sqlx::Error) -> Error {
    let shown = path.display();
    if matches!(error, sqlx::Error::PoolTimedOut) || is_locked(error) {
        return Error::Unavailable {
            store: "SQLite",
            doing: format!("opening {shown}"),
            message: error.to_string(),
        };
    }
    let hint = "name a file that is a SQLite database of this version of gristmill, or a new one in a folder \
                that can be written to";
    Error::Unfit { message: format!("the database file {shown} cannot be opened: {error}: {hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opening_twice_at_once_migrates_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let (one, two) = tokio::join!(Database::open(&path), Database::open(&path));
        let (one, two) = (one.unwrap(), two.unwrap());
        for pool in [one.writer(), two.readers()] {
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM gristmill_lanes").fetch_one(pool).await.unwrap();
            assert_eq!(count, 0);
        }
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_spoils_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("store.db")).await.unwrap();
        for _ in 0..2 {
            let mut transaction = database.writer().begin_with(BEGIN).await.unwrap();
            // As it does when the disk is full.
            sqlx::query("ROLLBACK").execute(&mut *transaction).await.unwrap();
            transaction.rollback().await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn what_is_no_database_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        std::fs::write(&path, "this is a text file, and a text file is no database at all".repeat(50))
            .unwrap();
        let error = Database::open(&path).await.unwrap_err().to_string();
        assert!(error.contains("store.db"), "{error}");
    }
}
