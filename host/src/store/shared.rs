//! The [`Store`] over any database: everything but the few things that [`Engine`] names.

use super::commit::{Job, commit};
use super::fault::Fault;
use super::sql::{Engine, Sql, Tx};
use super::*;
use futures::future::BoxFuture;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a caller waits for a commit. The commit itself goes on, and the repeated attempt finds out about it.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(180);

/// A store over a database.
pub struct SqlStore<E> {
    pub(super) engine: Arc<E>,
}

impl<E: Engine> SqlStore<E> {
    pub(super) fn over(engine: E) -> Self {
        SqlStore { engine: Arc::new(engine) }
    }

    pub(super) async fn reader(&self) -> Result<Box<dyn Sql>, Error> {
        self.engine.reader().await
    }

    /// Runs `work` in a transaction, in a task of its own that nobody cancels (sqlx#4385).
    pub(super) async fn writing<T: Send + 'static>(
        &self,
        work: impl for<'t> FnOnce(&'t mut dyn Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let engine = Arc::clone(&self.engine);
        let task = tokio::spawn(async move {
            let mut tx = engine.begin().await?;
            match work(tx.as_mut()).await {
                Ok(done) => tx.commit().await.map_err(Fault::into_error).map(|()| done),
                Err(error) => {
                    tx.rollback().await;
                    Err(error)
                }
            }
        });
        joined(self.engine.kind(), "writing", task).await
    }
}

/// Waits for a task, but not for ever.
async fn joined<T>(
    store: &'static str,
    doing: &str,
    task: tokio::task::JoinHandle<Result<T, Error>>,
) -> Result<T, Error> {
    let unavailable = |message: String| Error::Unavailable { store, doing: doing.to_owned(), message };
    match tokio::time::timeout(COMMIT_WAIT_MAX, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(unavailable(format!("its task ended: {error}"))),
        Err(_) => Err(unavailable(format!("no answer within {} s", COMMIT_WAIT_MAX.as_secs()))),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl<E: Engine> Store for SqlStore<E> {
    fn kind(&self) -> &'static str {
        self.engine.kind()
    }

    async fn migrate(&self) -> Result<(), Error> {
        self.engine.migrate().await
    }

    async fn prepare_tables(&self, spec: &Spec) -> Result<(), Error> {
        let (engine, spec) = (Arc::clone(&self.engine), spec.clone());
        let views = spec.views.clone();
        self.writing(move |tx| Box::pin(async move { engine.prepare_tables(tx, &spec).await })).await?;
        for view in &views {
            tables::check_view(self.reader().await?.as_mut(), view).await?;
        }
        Ok(())
    }

    async fn take_over(&self, lane: &LaneId) -> Result<LaneState, Error> {
        let lane = lane.clone();
        self.writing(move |tx| Box::pin(async move { lanes::take_over(tx, &lane).await })).await
    }

    async fn lane(&self, lane: &LaneId) -> Result<Option<LaneState>, Error> {
        lanes::state(self.reader().await?.as_mut(), lane).await
    }

    async fn begin_at(&self, lane: &LaneId, epoch: i64, next_offset: i64) -> Result<(), Error> {
        let lane = lane.clone();
        self.writing(move |tx| Box::pin(async move { lanes::begin_at(tx, &lane, epoch, next_offset).await }))
            .await
    }

    async fn outbox(&self, lane: &LaneId, after: i64) -> Result<Vec<OutboxEntry>, Error> {
        lanes::outbox(self.reader().await?.as_mut(), lane, after).await
    }

    async fn mark_published(&self, lane: &LaneId, epoch: i64, published: i64) -> Result<(), Error> {
        let lane = lane.clone();
        self.writing(move |tx| {
            Box::pin(async move { lanes::mark_published(tx, &lane, epoch, published).await })
        })
        .await
    }

    async fn commit(
        &self,
        spec: &Arc<Spec>,
        lane: &LaneId,
        fence: Fence,
        work: &Arc<Work>,
    ) -> Result<Committed, Error> {
        let engine = Arc::clone(&self.engine);
        let (spec, work) = (Arc::clone(spec), Arc::clone(work));
        let job = Job { spec, lane: lane.clone(), fence, work, now_ms: now_ms() };
        let doing = format!("committing batch {} of {lane}", fence.batch + 1);
        let task = tokio::spawn(async move { commit(&*engine, &job).await });
        joined(self.engine.kind(), &doing, task).await
    }

    async fn next_parked_due(&self, lane: &LaneId) -> Result<Option<i64>, Error> {
        lanes::next_parked_due(self.reader().await?.as_mut(), lane).await
    }

    async fn due_parked(
        &self,
        lane: &LaneId,
        now_ms: i64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<ParkedRecord>, Error> {
        lanes::due_parked(self.reader().await?.as_mut(), lane, now_ms, records_max, bytes_max).await
    }

    async fn parked_count(&self, pipeline: &str) -> Result<u64, Error> {
        lanes::parked_count(self.reader().await?.as_mut(), pipeline).await
    }

    async fn lease_mails(&self, now_ms: i64, lease_ms: i64, limit: u32) -> Result<Vec<PendingMail>, Error> {
        self.writing(move |tx| Box::pin(mails::lease(tx, now_ms, lease_ms, limit))).await
    }

    async fn settle_mail(&self, mail: &PendingMail, outcome: &MailOutcome) -> Result<(), Error> {
        let (mail, outcome) = (mail.clone(), outcome.clone());
        self.writing(move |tx| Box::pin(async move { mails::settle(tx, &mail, &outcome).await })).await
    }

    async fn failed_mails(&self, pipeline: Option<&str>, limit: u32) -> Result<Vec<FailedMail>, Error> {
        mails::failed(self.reader().await?.as_mut(), pipeline, limit).await
    }

    async fn retry_mail(&self, id: i64) -> Result<bool, Error> {
        self.writing(move |tx| Box::pin(mails::retry(tx, id))).await
    }

    async fn mail_counts(&self, pipeline: &str) -> Result<MailCounts, Error> {
        mails::counts(self.reader().await?.as_mut(), pipeline).await
    }

    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, Error> {
        letters::list(self.reader().await?.as_mut(), query).await
    }

    async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, Error> {
        letters::one(self.reader().await?.as_mut(), id).await
    }

    async fn dead_letter_counts(&self, pipeline: &str) -> Result<Vec<(String, u64)>, Error> {
        letters::counts(self.reader().await?.as_mut(), pipeline).await
    }

    async fn check_recipes(&self, recipes: &[Recipe]) -> Result<(), Error> {
        if recipes.is_empty() {
            return Ok(());
        }
        recipes::check(self.reader().await?.as_mut(), recipes).await
    }

    async fn keep_recipes(&self, recipes: &[Recipe]) -> Result<(), Error> {
        if recipes.is_empty() {
            return Ok(());
        }
        let recipes = recipes.to_vec();
        self.writing(move |tx| Box::pin(async move { recipes::keep(tx, &recipes).await })).await
    }

    async fn batches_with(&self, lane: &LaneId, offset: i64) -> Result<Vec<LedgerBatch>, Error> {
        origins::batches_with(self.reader().await?.as_mut(), lane, offset).await
    }

    async fn replay_dead_letter(&self, id: i64, now_ms: i64) -> Result<bool, Error> {
        self.writing(move |tx| Box::pin(letters::replay(tx, id, now_ms))).await
    }

    async fn drop_dead_letter(&self, id: i64) -> Result<bool, Error> {
        self.writing(move |tx| Box::pin(letters::drop(tx, id))).await
    }

    async fn read_table(&self, table: &Table, query: &TableQuery) -> Result<TablePage, Error> {
        let sequence = table.unique().is_empty() && self.engine.has_sequence(table).await?;
        tables::read(self.reader().await?.as_mut(), table, query, sequence).await
    }

    async fn read_view(&self, view: &View, query: &TableQuery) -> Result<TablePage, Error> {
        tables::read_view(self.reader().await?.as_mut(), view, query).await
    }

    async fn count_rows(&self, table: &Table) -> Result<u64, Error> {
        tables::count(self.reader().await?.as_mut(), table).await
    }

    async fn lookup_rows(&self, table: &Table, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        tables::lookup(self.reader().await?.as_mut(), table, keys).await
    }

    async fn lookup_reference(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        reference::lookup(self.reader().await?.as_mut(), keys).await
    }

    async fn put_reference(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error> {
        let entries = entries.to_vec();
        self.writing(move |tx| Box::pin(async move { reference::put(tx, &entries).await })).await
    }

    async fn resolve(&self, lane: &LaneId, decision: Resolution) -> Result<(), Error> {
        let lane = lane.clone();
        self.writing(move |tx| Box::pin(async move { lanes::resolve(tx, &lane, decision).await })).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.reader().await?.fetch("SELECT 1", &[]).await.map(|_| ()).map_err(Fault::into_error)
    }
}
