//! Publishes what one lane has stored: messages and group offset in one SQLite transaction.

use super::tables::{self, Line};
use super::{Inner, now_ms};
use crate::log::{Error, GroupLedger, NewRecord, Publisher, ledger_metadata};
use crate::publish::outbox::{self, Outbox, Outgoing};
use crate::record::LaneId;
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The publisher of one lane.
pub(super) struct JournalPublisher {
    inner: Arc<Inner>,
    lane: LaneId,
    /// 0, which no lane ever has, until opened.
    generation: i64,
}

impl JournalPublisher {
    /// A publisher that is not opened yet.
    pub(super) fn new(inner: Arc<Inner>, lane: LaneId) -> Self {
        JournalPublisher { inner, lane, generation: 0 }
    }

    async fn raise(&mut self) -> Result<GroupLedger, Error> {
        let failed = |e| tables::error(format!("opening the publisher of {}", self.lane), &e);
        let mut transaction = self.inner.begin().await.map_err(failed)?;
        let (generation, ledger) =
            tables::raise_generation(&mut transaction, &self.lane).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.generation = generation;
        Ok(ledger)
    }

    async fn move_on(&self, batch: i64, next_offset: i64, outboxes: Vec<Outbox<'_>>) -> Result<(), Error> {
        let failed = |e| tables::error(format!("publishing batch {batch} of {}", self.lane), &e);
        let metadata = ledger_metadata(batch);
        let mut transaction = self.inner.begin().await.map_err(failed)?;
        // First, so that nothing is written for a publisher that is fenced.
        let moved =
            tables::move_group(&mut transaction, &self.lane, self.generation, next_offset, metadata).await;
        if !moved.map_err(failed)? {
            return Err(Error::Fenced {
                doing: format!("publishing batch {batch} of {}", self.lane),
                message: format!("generation {} is not the newest", self.generation),
            });
        }
        let lines = self.lines(&mut transaction, outboxes).await.map_err(failed)?;
        let messages = !lines.is_empty();
        tables::insert(&mut transaction, lines).await.map_err(failed)?;
        crate::crash::point("publish.produced");
        transaction.commit().await.map_err(failed)?;
        crate::crash::point("publish.ended");
        if messages {
            self.inner.wake_readers();
        }
        Ok(())
    }

    /// The messages with their places; makes topics that are missing.
    async fn lines(
        &self,
        db: &mut SqliteConnection,
        outboxes: Vec<Outbox<'_>>,
    ) -> Result<Vec<Line>, sqlx::Error> {
        let mut lines = Vec::new();
        let now_ms = now_ms();
        for outbox in outboxes {
            let mut topics = Vec::with_capacity(outbox.topics.len());
            for topic in &outbox.topics {
                topics.push(tables::ensure_topic(db, topic).await?);
            }
            // The partition of each message, then as many offsets as each partition needs.
            let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
            let mut ids = Vec::with_capacity(outbox.messages.len());
            for message in &outbox.messages {
                let partitions = topics.get(message.topic).map_or(&[][..], Vec::as_slice);
                let (_, id) = self.inner.place(message.key, partitions);
                *counts.entry(id).or_default() += 1;
                ids.push(id);
            }
            for (&id, count) in &mut counts {
                *count = tables::reserve(db, id, *count).await?;
            }
            for (id, message) in ids.into_iter().zip(&outbox.messages) {
                let Some(offset) = counts.get_mut(&id) else { continue };
                lines.push(Line::new(id, *offset, record(message), now_ms));
                *offset += 1;
            }
        }
        Ok(lines)
    }
}

fn record(message: &Outgoing<'_>) -> NewRecord {
    let headers = message.headers.iter();
    NewRecord {
        key: message.key.map(<[u8]>::to_vec),
        value: message.value.map(<[u8]>::to_vec),
        headers: headers.map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect(),
        timestamp_ms: Some(message.timestamp_ms),
    }
}

impl Publisher for JournalPublisher {
    fn open(&mut self) -> Result<GroupLedger, Error> {
        let handle = self.inner.handle.clone();
        handle.block_on(self.raise())
    }

    fn publish(&mut self, batch: i64, next_offset: i64, outbox: &[&[u8]]) -> Result<(), Error> {
        let damaged = |e| Error::Unfit(format!("batch {batch} of {}: {e}", self.lane));
        let outboxes: Result<Vec<_>, _> = outbox.iter().map(|value| outbox::decode(value)).collect();
        let moving = self.move_on(batch, next_offset, outboxes.map_err(damaged)?);
        self.inner.handle.block_on(moving)
    }
}
