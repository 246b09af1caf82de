//! Appending, many callers in one transaction: each commit waits for the disk, so whoever waits for the writer goes
//! along with whoever gets it. Every caller's records are taken all together or not at all.

use super::tables::{self, Line};
use super::{Inner, now_ms};
use crate::log::{Error, NewRecord, Position};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Appends that wait for the writer.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by whoever commits for all that wait.
    turn: tokio::sync::Mutex<()>,
}

/// One caller's records.
struct Waiting {
    /// Ids of the topic's partitions.
    ids: Arc<[i64]>,
    records: Vec<NewRecord>,
    answer: oneshot::Sender<Result<Vec<Position>, Error>>,
}

impl Inner {
    /// Appends records. To be called from a task that is never cancelled: it may commit for others.
    pub(super) async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<Position>, Error> {
        let ids = self.known(topic).await?;
        let (answer, answered) = oneshot::channel();
        self.queue.waiting.lock().push(Waiting { ids, records, answer });
        let turn = self.queue.turn.lock().await;
        let waiting = std::mem::take(&mut *self.queue.waiting.lock());
        if !waiting.is_empty() {
            self.append_all(waiting).await;
        }
        drop(turn);
        let lost = || Error::Unavailable {
            log: "journal",
            doing: format!("appending to topic {topic}"),
            message: "the transaction was lost".to_owned(),
        };
        answered.await.map_err(|_| lost())?
    }

    async fn append_all(&self, waiting: Vec<Waiting>) {
        let (mut work, mut answers) = (Vec::new(), Vec::new());
        for Waiting { ids, records, answer } in waiting {
            work.push((ids, records));
            answers.push(answer);
        }
        match self.append_once(work).await {
            Ok(positions) => {
                self.wake_readers();
                for (answer, positions) in answers.into_iter().zip(positions) {
                    answer.send(Ok(positions)).ok();
                }
            }
            Err(error) => {
                for answer in answers {
                    answer.send(Err(tables::error("appending".to_owned(), &error))).ok();
                }
            }
        }
    }

    /// Appends several callers' records in one transaction.
    async fn append_once(
        &self,
        work: Vec<(Arc<[i64]>, Vec<NewRecord>)>,
    ) -> Result<Vec<Vec<Position>>, sqlx::Error> {
        // Each record's partition, then as many offsets as each partition needs.
        let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
        let mut places = Vec::with_capacity(work.len());
        for (ids, records) in &work {
            let of_caller: Vec<(i32, i64)> =
                records.iter().map(|record| self.place(record.key.as_deref(), ids)).collect();
            for (_, id) in &of_caller {
                *counts.entry(*id).or_default() += 1;
            }
            places.push(of_caller);
        }
        let mut transaction = self.begin().await?;
        for (&id, count) in &mut counts {
            *count = tables::reserve(&mut transaction, id, *count).await?;
        }
        let now_ms = now_ms();
        let (mut lines, mut answers) = (Vec::new(), Vec::with_capacity(work.len()));
        for ((_, records), places) in work.into_iter().zip(places) {
            let mut positions = Vec::with_capacity(records.len());
            for (record, (partition, id)) in records.into_iter().zip(places) {
                let Some(offset) = counts.get_mut(&id) else { continue };
                positions.push(Position { partition, offset: *offset });
                lines.push(Line::new(id, *offset, record, now_ms));
                *offset += 1;
            }
            answers.push(positions);
        }
        tables::insert(&mut transaction, lines).await?;
        transaction.commit().await?;
        Ok(answers)
    }
}
