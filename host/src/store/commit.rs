//! The commit of one batch, for both databases, in the order of [`crate::store`]'s introduction. It runs in a task of
//! its own that nobody aborts: a transaction is ended here, on every path.

use super::fault::Fault;
use super::own_tables::{self, Builder, MailContent, NewMail};
use super::rows::Rows;
use super::settle::{Settled, settle};
use super::sql::{Arg, BatchLine, Engine, Tx};
use super::write::{self, Outcome};
use super::{Committed, DeadLetter, Error, Fence, LaneId, Origin, Work, alerts, lanes};
use crate::crash;
use crate::publish::outbox;
use crate::sabotage;
use crate::spec::Spec;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// All that a commit needs to know.
#[derive(Clone, Debug)]
pub struct Job {
    /// The pipeline.
    pub spec: Arc<Spec>,
    /// The lane.
    pub lane: LaneId,
    /// Where it stands.
    pub fence: Fence,
    /// What it commits.
    pub work: Arc<Work>,
    /// Now, milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
}

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In one go: what nearly every batch gets.
    Plainly,
    /// Halving under savepoints, since the database refuses something.
    Isolating,
    /// The same, asking after each group what would be refused at the commit.
    IsolatingDeferred,
}

/// How a transaction ended.
enum Ended {
    /// It lasts.
    Committed(Box<Committed>),
    /// Rolled back, since the database refuses something: at a statement, or only at the commit.
    Refused { at_commit: bool },
}

/// Commits a batch, or finds that an earlier attempt has.
pub async fn commit(engine: &dyn Engine, job: &Job) -> Result<Committed, Error> {
    let mut way = Way::Plainly;
    loop {
        way = match (attempt(engine, job, way).await?, way) {
            (Ended::Committed(committed), _) => return Ok(*committed),
            (Ended::Refused { at_commit: false }, Way::Plainly) => Way::Isolating,
            (Ended::Refused { .. }, Way::Plainly | Way::Isolating) => Way::IsolatingDeferred,
            (Ended::Refused { .. }, Way::IsolatingDeferred) => break,
        }
    }
    Err(Error::Unfit {
        message: format!(
            "{}: the database refuses batch {} at its commit, and no single record can be blamed: a constraint that \
             is deferred and concerns several records: make it NOT DEFERRABLE",
            job.lane,
            job.fence.batch + 1
        ),
    })
}

/// One transaction, ended on every path.
async fn attempt(engine: &dyn Engine, job: &Job, way: Way) -> Result<Ended, Error> {
    crash::point("store.beginning");
    let mut tx = engine.begin().await?;
    let unfenced;
    let job = if sabotage::no_fence() {
        unfenced = as_it_stands(tx.as_mut(), job).await?;
        &unfenced
    } else {
        job
    };
    if !advance(tx.as_mut(), job).await? {
        tx.rollback().await;
        return Ok(Ended::Committed(Box::new(arrived_before(engine, job).await?)));
    }
    crash::point("store.advanced");
    let written = match effects(tx.as_mut(), job, way).await {
        Ok(Some(committed)) => committed,
        Ok(None) => {
            tx.rollback().await;
            return Ok(Ended::Refused { at_commit: false });
        }
        Err(error) => {
            tx.rollback().await;
            return Err(error);
        }
    };
    match tx.commit().await {
        Ok(()) => {
            crash::point("store.committed");
            Ok(Ended::Committed(Box::new(written)))
        }
        Err(Fault::Refused(_)) => Ok(Ended::Refused { at_commit: true }),
        Err(Fault::Store(error)) => Err(error),
    }
}

/// The job with the lane's present epoch and batch for its fence: none at all.
async fn as_it_stands(tx: &mut dyn Tx, job: &Job) -> Result<Job, Error> {
    let state = lanes::state(tx, &job.lane).await?;
    let fence =
        state.map_or(job.fence, |state| Fence { epoch: state.epoch, batch: state.batch, ..job.fence });
    Ok(Job { fence, ..job.clone() })
}

fn next_offset(job: &Job) -> i64 {
    match job.work.origin {
        Origin::Log { next_offset } => next_offset,
        Origin::Parked(_) => job.fence.next_offset,
    }
}

const ADVANCE: &str = "UPDATE gristmill.lanes SET batch = batch + 1, next_offset = $1, \
     published = CASE WHEN published < $2 THEN $2 ELSE published END, distrust_group = false \
     WHERE pipeline = $3 AND topic = $4 AND partition = $5 AND epoch = $6 AND batch = $7";

/// The fence: whether the lane is ours and this batch is its next.
async fn advance(tx: &mut dyn Tx, job: &Job) -> Result<bool, Error> {
    let (lane, fence) = (&job.lane, &job.fence);
    let args = [
        Arg::from(next_offset(job)),
        Arg::from(fence.published),
        Arg::from(&*lane.pipeline),
        Arg::from(&*lane.topic),
        Arg::from(i64::from(lane.partition)),
        Arg::from(fence.epoch),
        Arg::from(fence.batch),
    ];
    Ok(tx.execute(ADVANCE, &args).await.map_err(Fault::into_error)? == 1)
}

/// The lane has moved: either by an earlier attempt of this very commit whose answer was lost, or by another owner.
async fn arrived_before(engine: &dyn Engine, job: &Job) -> Result<Committed, Error> {
    let mut sql = engine.reader().await?;
    let state = lanes::state(sql.as_mut(), &job.lane).await?;
    let batch = job.fence.batch + 1;
    if state.is_some_and(|state| state.epoch == job.fence.epoch && state.batch == batch)
        && let Some(committed) = lanes::committed(sql.as_mut(), &job.lane, job.fence.epoch, batch).await?
    {
        return Ok(committed);
    }
    Err(Error::Fenced { lane: job.lane.clone(), epoch: job.fence.epoch, batch: job.fence.batch })
}

/// Writes everything that the batch causes. `None`: the database refuses something.
async fn effects(tx: &mut dyn Tx, job: &Job, way: Way) -> Result<Option<Committed>, Error> {
    let (spec, work) = (&*job.spec, &*job.work);
    let mut outcome =
        Outcome { failures: work.effects.failures.clone(), duplicates: work.effects.duplicates.clone() };
    write::vet(spec, work, &mut outcome);
    match way {
        Way::Plainly => {
            if !write::plainly(tx, spec, work, &mut outcome).await? {
                return Ok(None);
            }
        }
        Way::Isolating => write::isolating(tx, spec, work, &mut outcome, false).await?,
        Way::IsolatingDeferred => write::isolating(tx, spec, work, &mut outcome, true).await?,
    }
    crash::point("store.rows-written");
    if let Some(taken_out) = outcome.taken_out(spec, &work.effects) {
        return Err(Error::TakenOut(Box::new(taken_out)));
    }
    let settled = settle(&outcome.failures, work, &spec.retry, job.now_ms);
    let mut mails = mails(job, &outcome);
    if !settled.dead.is_empty() {
        mails.extend(alerts::raise(tx, job, &settled.dead).await?);
    }
    leftovers(tx, job, &settled, &mails).await?;
    let letters: Vec<DeadLetter> = settled.dead.iter().map(|dead| dead_letter(job, dead)).collect();
    let committed = Committed {
        batch: job.fence.batch + 1,
        next_offset: next_offset(job),
        outbox: outbox::encode(spec, work, |record| outcome.keeps(record), &letters),
        rows: counted_rows(spec, work, &outcome),
        mails: mails.len() as u64,
        duplicates: outcome.duplicates.len() as u64,
        dead_letters: counted_letters(&settled),
        parked: settled.waiting.len() as u64,
        parked_due_ms: settled.waiting.iter().map(|waiting| waiting.due_ms).min(),
    };
    ledger_line(tx, job, &committed).await?;
    Ok(Some(committed))
}

/// Dead letters, parked records and mails.
async fn leftovers(
    tx: &mut dyn Tx,
    job: &Job,
    settled: &Settled,
    mails: &[NewMail<'_>],
) -> Result<(), Error> {
    let (lane, work, dialect) = (&job.lane, &*job.work, tx.dialect());
    if let Origin::Parked(origins) = &work.origin {
        // Those that have to wait again get a row of their own below.
        let ids: Vec<i64> = origins.iter().map(|origin| origin.id).collect();
        lanes::forget_parked(tx, &ids).await?;
    }
    let tables = [
        own_tables::dead_letters(dialect, lane, work, &settled.dead, job.now_ms),
        own_tables::parked(dialect, lane, work, &settled.waiting),
        own_tables::mails(dialect, &job.spec, mails),
    ];
    for Builder { table, rows } in &tables {
        write::append(tx, &Rows::all(table, rows)).await.map_err(Fault::into_error)?;
    }
    Ok(())
}

async fn ledger_line(tx: &mut dyn Tx, job: &Job, committed: &Committed) -> Result<(), Error> {
    let batch = &job.work.batch;
    let stages = serde_json::to_string(&job.work.stages).unwrap_or_else(|_| "[]".to_owned());
    let counts = lanes::counts_text(committed);
    let line = BatchLine {
        lane: &job.lane,
        batch: committed.batch,
        epoch: job.fence.epoch,
        origin: if matches!(job.work.origin, Origin::Log { .. }) { "log" } else { "parked" },
        records: i64::try_from(batch.len()).unwrap_or(i64::MAX),
        first_offset: batch.offsets.first().copied(),
        last_offset: batch.offsets.last().copied(),
        next_offset: committed.next_offset,
        stages: &stages,
        counts: &counts,
        outbox: &outbox::pack(&committed.outbox),
        published: if sabotage::forget_outbox() { job.fence.batch } else { job.fence.published },
    };
    tx.finish(&line).await.map_err(Fault::into_error)
}

/// The mails of the records that are kept, each with an id made from where its record stands.
fn mails<'a>(job: &'a Job, outcome: &Outcome) -> Vec<NewMail<'a>> {
    let Some(settings) = &job.spec.mail else { return Vec::new() };
    let address = settings.from.rsplit(['<', ' ']).next().unwrap_or("").trim_end_matches('>');
    let domain = address.rsplit('@').next().unwrap_or("gristmill.invalid");
    let (lane, mut numbers) = (&job.lane, HashMap::new());
    let kept = job.work.effects.mails.iter().filter(|mail| outcome.keeps(mail.record));
    kept.map(|mail| {
        let number: &mut u32 = numbers.entry(mail.record).or_default();
        let offset = job.work.batch.offset(mail.record as usize);
        let message_id =
            format!("{}.{}.{}.{offset}.{number}@{domain}", lane.pipeline, lane.topic, lane.partition);
        *number += 1;
        let content = MailContent {
            to: Cow::Borrowed(mail.to.as_slice()),
            subject: Cow::Borrowed(&mail.subject),
            text: Cow::Borrowed(&mail.text),
            html: mail.html.as_deref().map(Cow::Borrowed),
        };
        NewMail { record: mail.record, message_id, content }
    })
    .collect()
}

fn dead_letter(job: &Job, dead: &super::settle::Dead) -> DeadLetter {
    let (batch, index) = (&job.work.batch, dead.record as usize);
    DeadLetter {
        id: 0,
        pipeline: job.lane.pipeline.to_string(),
        topic: job.lane.topic.to_string(),
        partition: job.lane.partition,
        offset: batch.offset(index),
        timestamp_ms: batch.timestamp_ms(index),
        failure: dead.failure.clone(),
        attempts: dead.attempts,
        at_ms: job.now_ms,
        key: batch.key(index).map(<[u8]>::to_vec),
        value: batch.value(index).map(<[u8]>::to_vec),
        headers: own_tables::headers_of(&job.work, dead.record),
    }
}

/// Rows of kept records, by table: written, or found to be there (folded ones count too).
fn counted_rows(spec: &Spec, work: &Work, outcome: &Outcome) -> Vec<u64> {
    let mut counts = vec![0; spec.tables.len()];
    for piece in &work.effects.rows {
        if let Some(count) = counts.get_mut(piece.table) {
            *count += piece.records.iter().filter(|record| outcome.keeps(**record)).count() as u64;
        }
    }
    counts
}

fn counted_letters(settled: &Settled) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for dead in &settled.dead {
        *counts.entry(dead.failure.code().to_owned()).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}
