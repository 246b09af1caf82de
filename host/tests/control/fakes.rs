//! A store, a log, a checker and a status that do what a test tells them to.

use async_trait::async_trait;
use gristmill::control::{CheckUnavailable, Checker, LaneStatus, PipelineState, PipelineStatus, Status};
use gristmill::effect::{Failure, Fault, Verdict};
use gristmill::log::{
    self, GroupLedger, Log, NewRecord, NewTopic, PartitionEvents, Position, Publisher, StoredRecord,
};
use gristmill::record::LaneId;
use gristmill::spec::{Spec, Table, View};
use gristmill::store::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How the parts behind the routes behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Well,
    Unavailable,
    Unfit,
    Panic,
    Hang,
    Busy,
    Refuse,
}

/// Everything behind the routes.
#[derive(Default)]
pub struct Fake {
    pub mood: Mutex<Mood>,
    pub appended: Mutex<Vec<(String, NewRecord)>>,
    pub letters: Mutex<Vec<DeadLetter>>,
    pub queries: Mutex<Vec<TableQuery>>,
    pub tokens: Mutex<Vec<Token>>,
    pub tokens_unavailable: AtomicBool,
    /// Whether the catalog has a pipeline that this host cannot run.
    pub stuck: AtomicBool,
}

pub const SECRET: &str = "postgres://me:secret@db";

impl Fake {
    async fn store_mood(&self) -> Result<(), Error> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Unavailable => {
                Err(Error::Unavailable { store: "fake", doing: "x".into(), message: SECRET.into() })
            }
            Mood::Unfit => Err(Error::Unfit { message: SECRET.into() }),
            Mood::Panic => panic!("{SECRET}"),
            Mood::Hang => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

/// A dead letter of the pipeline `orders`.
pub fn letter(id: i64, pipeline: &str, code: &str, value: &[u8]) -> DeadLetter {
    let mut failure = Failure::one(Verdict::Reject, "validate", "abc", code, "it is bad".into());
    failure.faults[0].pointer = Some("/quantity".into());
    DeadLetter {
        id,
        pipeline: pipeline.into(),
        topic: "orders".into(),
        partition: 1,
        offset: 7,
        timestamp_ms: 1_709_164_800_123,
        failure,
        attempts: 1,
        at_ms: i64::MAX,
        key: None,
        value: Some(value.to_vec()),
        headers: vec![("h".into(), None)],
    }
}

#[async_trait]
impl Tokens for Fake {
    async fn add_token(&self, token: &NewToken) -> Result<Option<i64>, Error> {
        let mut tokens = self.tokens.lock().unwrap();
        if tokens.iter().any(|other| other.revoked_ms.is_none() && other.given.name == token.name) {
            return Ok(None);
        }
        let id = tokens.len() as i64 + 1;
        tokens.push(Token { id, given: token.clone(), revoked_ms: None, revoked_by: None });
        Ok(Some(id))
    }
    async fn tokens(&self) -> Result<Vec<Token>, Error> {
        self.store_mood().await?;
        Ok(self.tokens.lock().unwrap().clone())
    }
    async fn live_tokens(&self, now_ms: i64) -> Result<LiveTokens, Error> {
        if self.tokens_unavailable.load(Ordering::SeqCst) {
            return Err(Error::Unavailable { store: "fake", doing: "x".into(), message: SECRET.into() });
        }
        let mut tokens = self.tokens.lock().unwrap().clone();
        let any_made = !tokens.is_empty();
        tokens.retain(|token| token.revoked_ms.is_none());
        tokens.retain(|token| token.given.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms));
        Ok(LiveTokens { tokens, any_made })
    }
    async fn revoke_token(&self, id: i64, by: &str, now_ms: i64) -> Result<Option<String>, Error> {
        let mut tokens = self.tokens.lock().unwrap();
        let Some(token) = tokens.iter_mut().find(|token| token.id == id) else { return Ok(None) };
        token.revoked_ms.get_or_insert(now_ms);
        token.revoked_by.get_or_insert(by.to_owned());
        Ok(Some(token.given.name.clone()))
    }
}

#[async_trait]
impl Store for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }
    async fn migrate(&self) -> Result<(), Error> {
        unreachable!()
    }
    async fn prepare_tables(&self, _: &Spec) -> Result<(), Error> {
        unreachable!()
    }
    async fn take_over(&self, _: &LaneId) -> Result<LaneState, Error> {
        unreachable!()
    }
    async fn lane(&self, _: &LaneId) -> Result<Option<LaneState>, Error> {
        unreachable!()
    }
    async fn begin_at(&self, _: &LaneId, _: i64, _: i64) -> Result<(), Error> {
        unreachable!()
    }
    async fn outbox(&self, _: &LaneId, _: i64) -> Result<Vec<OutboxEntry>, Error> {
        unreachable!()
    }
    async fn mark_published(&self, _: &LaneId, _: i64, _: i64) -> Result<(), Error> {
        unreachable!()
    }
    async fn commit(&self, _: &Arc<Spec>, _: &LaneId, _: Fence, _: &Arc<Work>) -> Result<Committed, Error> {
        unreachable!()
    }
    async fn next_parked_due(&self, _: &LaneId) -> Result<Option<i64>, Error> {
        unreachable!()
    }
    async fn due_parked(&self, _: &LaneId, _: i64, _: usize, _: usize) -> Result<Vec<ParkedRecord>, Error> {
        unreachable!()
    }
    async fn parked_count(&self, _: &str) -> Result<u64, Error> {
        self.store_mood().await.map(|()| 3)
    }
    async fn lease_mails(&self, _: i64, _: i64, _: u32) -> Result<Vec<PendingMail>, Error> {
        unreachable!()
    }
    async fn settle_mail(&self, _: &PendingMail, _: &MailOutcome) -> Result<(), Error> {
        unreachable!()
    }
    async fn failed_mails(&self, _: Option<&str>, _: u32) -> Result<Vec<FailedMail>, Error> {
        Ok(Vec::new())
    }
    async fn retry_mail(&self, _: i64) -> Result<bool, Error> {
        Ok(false)
    }
    async fn mail_counts(&self, _: &str) -> Result<MailCounts, Error> {
        self.store_mood().await.map(|()| MailCounts { pending: 1, sent: 2, failed: 0 })
    }
    async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, Error> {
        self.store_mood().await?;
        let mut letters = self.letters.lock().unwrap().clone();
        letters.reverse();
        letters.retain(|letter| query.pipeline.as_ref().is_none_or(|name| *name == letter.pipeline));
        letters.retain(|letter| query.code.as_ref().is_none_or(|code| code == letter.failure.code()));
        letters.retain(|letter| query.before.is_none_or(|before| letter.id < before));
        letters.truncate(query.limit as usize);
        Ok(letters)
    }
    async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, Error> {
        self.store_mood().await?;
        Ok(self.letters.lock().unwrap().iter().find(|letter| letter.id == id).cloned())
    }
    async fn dead_letter_counts(&self, _: &str) -> Result<Vec<(String, u64)>, Error> {
        self.store_mood().await.map(|()| vec![("schema".into(), 2), ("trap".into(), 1)])
    }
    async fn replay_dead_letter(&self, id: i64, _: i64) -> Result<bool, Error> {
        self.drop_dead_letter(id).await
    }
    async fn drop_dead_letter(&self, id: i64) -> Result<bool, Error> {
        self.store_mood().await?;
        let mut letters = self.letters.lock().unwrap();
        let before = letters.len();
        letters.retain(|letter| letter.id != id);
        Ok(letters.len() < before)
    }
    async fn read_view(&self, _: &View, query: &TableQuery) -> Result<TablePage, Error> {
        self.store_mood().await?;
        self.queries.lock().unwrap().push(query.clone());
        Ok(TablePage { rows: vec![serde_json::json!({ "orders": 2 })], next: None })
    }

    async fn read_table(&self, _: &Table, query: &TableQuery) -> Result<TablePage, Error> {
        self.store_mood().await?;
        self.queries.lock().unwrap().push(query.clone());
        if query.after.as_deref() == Some("bad") {
            return Err(Error::BadRequest("no such page".into()));
        }
        let rows = (0..query.limit.min(2)).map(|id| serde_json::json!({ "id": id })).collect();
        Ok(TablePage { rows, next: (query.limit < 2).then(|| "a+b&c".into()) })
    }
    async fn count_rows(&self, _: &Table) -> Result<u64, Error> {
        unreachable!()
    }
    async fn lookup_rows(&self, _: &Table, _: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        unreachable!()
    }
    async fn lookup_reference(&self, _: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        unreachable!()
    }
    async fn put_reference(&self, _: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error> {
        unreachable!()
    }
    async fn check_recipes(&self, _: &[Recipe]) -> Result<(), Error> {
        unreachable!()
    }
    async fn keep_recipes(&self, _: &[Recipe]) -> Result<(), Error> {
        unreachable!()
    }
    async fn batches_with(&self, _: &LaneId, _: i64) -> Result<Vec<LedgerBatch>, Error> {
        unreachable!()
    }
    async fn resolve(&self, _: &LaneId, _: Resolution) -> Result<(), Error> {
        unreachable!()
    }
    async fn ping(&self) -> Result<(), Error> {
        self.store_mood().await
    }
}

#[async_trait]
impl Log for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }
    async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<Position>, log::Error> {
        if topic != "orders" {
            return Err(log::Error::UnknownTopic(topic.into()));
        }
        let unavailable =
            || log::Error::Unavailable { log: "fake", doing: "x".into(), message: SECRET.into() };
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Unavailable => return Err(unavailable()),
            Mood::Unfit => return Err(log::Error::Unfit(SECRET.into())),
            Mood::Busy => return Err(log::Error::Busy),
            Mood::Refuse => return Err(log::Error::Refused { index: 0, message: "too large".into() }),
            Mood::Panic => panic!("{SECRET}"),
            Mood::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
            Mood::Well => {}
        }
        let mut appended = self.appended.lock().unwrap();
        let first = appended.len() as i64;
        let positions =
            (first..).take(records.len()).map(|offset| Position { partition: 0, offset }).collect();
        appended.extend(records.into_iter().map(|record| (topic.to_owned(), record)));
        Ok(positions)
    }
    async fn ensure_topic(&self, _: &NewTopic) -> Result<(), log::Error> {
        unreachable!()
    }
    async fn partitions(&self, _: &str) -> Result<Option<i32>, log::Error> {
        unreachable!()
    }
    async fn bounds(&self, _: &str, _: i32) -> Result<(i64, i64), log::Error> {
        unreachable!()
    }
    async fn read_range(&self, _: &str, _: i32, _: i64, _: usize) -> Result<Vec<StoredRecord>, log::Error> {
        unreachable!()
    }
    async fn read_topic(&self, _: &str, _: usize) -> Result<Vec<StoredRecord>, log::Error> {
        unreachable!()
    }
    async fn topics(&self) -> Result<Vec<String>, log::Error> {
        unreachable!()
    }
    async fn group_ledger(&self, _: &LaneId) -> Result<GroupLedger, log::Error> {
        unreachable!()
    }
    fn run_source(
        &self,
        _: &Arc<Spec>,
        _: Arc<dyn PartitionEvents>,
        _: CancellationToken,
    ) -> Result<(), log::Error> {
        unreachable!()
    }
    fn publisher(&self, _: &LaneId, _: bool) -> Box<dyn Publisher> {
        unreachable!()
    }
    async fn ping(&self) -> Result<(), log::Error> {
        Ok(())
    }
}

/// Finds `bad` in records.
#[async_trait]
impl Checker for Fake {
    async fn check(
        &self,
        _: &str,
        _: usize,
        records: &[NewRecord],
    ) -> Result<Vec<Vec<Fault>>, CheckUnavailable> {
        let faults = |record: &NewRecord| {
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or(&[])).into_owned();
            let count = value.matches("bad").count();
            vec![Fault { code: "schema".into(), pointer: Some("/x".into()), reason: "is bad".into() }; count]
        };
        match records.iter().any(|record| record.value.as_deref() == Some(b"\"no checker\"")) {
            true => Err(CheckUnavailable(SECRET.into())),
            false => Ok(records.iter().map(faults).collect()),
        }
    }
}

#[async_trait]
impl Status for Fake {
    async fn pipelines(&self) -> Vec<PipelineStatus> {
        let failed = *self.mood.lock().unwrap() == Mood::Refuse;
        let lane = LaneStatus {
            topic: "orders".into(),
            partition: 0,
            batch: 4,
            published: 3,
            next_offset: Some(9),
            lag: Some(5),
            last_error: None,
        };
        let orders = PipelineStatus {
            name: "orders".into(),
            state: if failed { PipelineState::Failed } else { PipelineState::Running },
            error: None,
            lanes: vec![lane],
        };
        let stuck = || PipelineStatus {
            name: "stuck".into(),
            state: PipelineState::Failed,
            error: Some("revision 2 cannot be run here: no such module".into()),
            lanes: Vec::new(),
        };
        let stuck = self.stuck.load(Ordering::Relaxed).then(stuck);
        [orders].into_iter().chain(stuck).collect()
    }
}
