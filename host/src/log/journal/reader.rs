//! Reads one partition of the journal.

use super::{Inner, headers, tables};
use crate::log::{Error, ReadBounds, Reader};
use crate::record::Batch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long an append of another process may stay unseen; those of this process wake the reader.
const POLL: Duration = Duration::from_millis(20);

/// Reads one partition, from an offset on.
pub(super) struct JournalReader {
    inner: Arc<Inner>,
    id: i64,
    next: i64,
    appended: watch::Receiver<u64>,
}

impl JournalReader {
    /// Reads the partition with this id from `offset` on.
    pub(super) fn new(inner: Arc<Inner>, id: i64, offset: i64) -> Self {
        let appended = inner.appended.subscribe();
        JournalReader { inner, id, next: offset, appended }
    }

    async fn collect(&mut self, batch: &mut Batch, bounds: &ReadBounds) -> Result<Option<i64>, Error> {
        let before = batch.len();
        let idle_end = Instant::now() + bounds.idle;
        loop {
            // Looked at before reading, so that an append in between is not slept through.
            self.appended.mark_unchanged();
            let full = match self.fetch(batch, bounds).await {
                Ok(full) => full,
                Err(error) if batch.len() == before => return Err(error),
                Err(_) => break,
            };
            let end = match batch.len() > before {
                true => Instant::from_std(bounds.collect_until),
                false => idle_end,
            };
            let left = end.saturating_duration_since(Instant::now());
            if full || left.is_zero() {
                break;
            }
            // Either way there may be something to read.
            timeout(left.min(POLL), self.appended.changed()).await.ok();
        }
        Ok((batch.len() > before).then_some(self.next))
    }

    /// Reads what is there; answers whether the batch is full.
    async fn fetch(&mut self, batch: &mut Batch, bounds: &ReadBounds) -> Result<bool, Error> {
        let room = bounds.records_max.saturating_sub(batch.len());
        if room == 0 {
            return Ok(true);
        }
        let (id, from) = (self.id, self.next);
        let failed = |e| tables::error(format!("reading partition {id} of the journal at offset {from}"), &e);
        let mut bytes = batch.bytes();
        let mut full = false;
        let next = &mut self.next;
        let take = |line: tables::ReadLine<'_>| {
            bytes += bytes_of(&line);
            if bytes > bounds.bytes_max && !batch.is_empty() {
                full = true;
                return false;
            }
            batch.push(line.offset, line.timestamp_ms, line.key, line.value);
            for (name, value) in headers::decode(line.headers.unwrap_or(&[])) {
                batch.push_header(name, value);
            }
            *next = line.offset + 1;
            true
        };
        let mut db = self.inner.database.readers().acquire().await.map_err(failed)?;
        tables::read(&mut db, id, from, room, take).await.map_err(failed)?;
        Ok(full || batch.len() >= bounds.records_max)
    }
}

/// Bytes of a record as [`Batch::bytes`] counts them.
fn bytes_of(line: &tables::ReadLine<'_>) -> usize {
    let headers = headers::decode(line.headers.unwrap_or(&[]));
    let headers: usize = headers.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
    line.key.map_or(0, <[u8]>::len) + line.value.map_or(0, <[u8]>::len) + headers
}

impl Reader for JournalReader {
    fn read(&mut self, batch: &mut Batch, bounds: &ReadBounds) -> Result<Option<i64>, Error> {
        let handle = self.inner.handle.clone();
        handle.block_on(self.collect(batch, bounds))
    }
}
