//! The lane's third step: publishes committed batches, in order. After an error nobody knows whether the batch is
//! out; a newly opened publisher's ledger tells. But opening one fences every other publisher of this lane, so
//! before anything is published with it the store must still call the lane ours.
//!
//! A batch without messages has nothing that must become visible: the group is told of it with the next messages, or once
//! a second ([`Telling`], ADR 18).

use super::LaneContext;
use super::commit::ToPublish;
use crate::log::Publisher;
use crate::store::{self, Fence};
use crate::telemetry::{self, PUBLISHED};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// After so long without a batch the group is told of what was put off, and the store what is published, so that it forgets
/// the outbox: before the group's offset can expire.
const IDLE: Duration = Duration::from_secs(1);

/// How often the group is told of batches without messages while there are more of them. The coordinator takes some 6 ms
/// for each telling, a broker as much processor time for a transaction: with every small batch they queue up on the
/// connection that the heartbeats go through, until the group takes this host for dead.
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// How often a lane that has nothing to publish asks whether it is still ours. A host that was taken for dead may have
/// taken it over late, committed something and died before it published that; nobody else would tell.
const OWNED_LOOK: Duration = Duration::from_secs(5);

pub(super) fn run(
    context: &LaneContext,
    fence: Fence,
    mut publisher: Box<dyn Publisher>,
    publishing: &Receiver<ToPublish>,
) {
    let mut marked = fence.published;
    let mut looked = Instant::now();
    // The take-over has told the group where the lane stands.
    let mut telling = Telling { told: Instant::now(), put_off: None };
    loop {
        match publishing.recv_timeout(IDLE) {
            Ok(batch) => {
                looked = Instant::now();
                let number = batch.batch;
                if let Some(batch) = telling.next(batch, looked)
                    && !publish(context, fence.epoch, publisher.as_mut(), &batch)
                {
                    return;
                }
                context.progress.published.store(number, Ordering::Relaxed);
                telemetry::count(PUBLISHED, &context.id.pipeline, None, 1);
            }
            Err(RecvTimeoutError::Timeout) => {
                if !rest(context, fence.epoch, publisher.as_mut(), &mut telling, &mut marked) {
                    return;
                }
                if looked.elapsed() >= OWNED_LOOK {
                    looked = Instant::now();
                    // That the store does not answer says nothing: it is asked again.
                    if let Ok(false) = owned(context, fence.epoch) {
                        return;
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                rest(context, fence.epoch, publisher.as_mut(), &mut telling, &mut marked);
                return;
            }
        }
    }
}

/// When the group is told of batches.
struct Telling {
    /// When it was told last.
    told: Instant,
    /// The last batch that it was not told of: one without messages, as are all since it was told.
    put_off: Option<ToPublish>,
}

impl Telling {
    /// The batch, if the group is to be told of it now.
    fn next(&mut self, batch: ToPublish, now: Instant) -> Option<ToPublish> {
        if batch.outbox.is_empty() && now.saturating_duration_since(self.told) < TELL_PAUSE {
            self.put_off = Some(batch);
            return None;
        }
        (self.told, self.put_off) = (now, None);
        Some(batch)
    }
}

/// Publishes one batch, as often as it takes; answers whether it is out.
fn publish(context: &LaneContext, epoch: i64, publisher: &mut dyn Publisher, batch: &ToPublish) -> bool {
    let start = Instant::now();
    let mut attempt = 0;
    loop {
        if context.abandoned() {
            return false;
        }
        let outbox: &[&[u8]] = if batch.outbox.is_empty() { &[] } else { &[&batch.outbox] };
        let mut error = match publisher.publish(batch.batch, batch.next_offset, outbox) {
            Ok(()) => {
                telemetry::step(&context.id.pipeline, "publish", start.elapsed());
                if attempt > 0 {
                    context.recovered();
                }
                return true;
            }
            Err(error) => error.to_string(),
        };
        // Until a publisher is open again and the lane is known to be ours, there is nothing to publish with.
        loop {
            if !context.back_off("publish", attempt, &error) {
                return false;
            }
            attempt += 1;
            match reopen(context, epoch, publisher) {
                Ok(Some(published)) if published >= batch.batch => return true,
                Ok(Some(_)) => break,
                Ok(None) => return false,
                Err(again) => error = again,
            }
        }
    }
}

/// Opens the publisher anew. Answers the last published batch; `None` if the lane is no longer ours.
fn reopen(context: &LaneContext, epoch: i64, publisher: &mut dyn Publisher) -> Result<Option<i64>, String> {
    if !owned(context, epoch)? {
        return Ok(None);
    }
    let group = publisher.open().map_err(|error| error.to_string())?;
    if !owned(context, epoch)? {
        return Ok(None);
    }
    match group.batch {
        Some(batch) => Ok(Some(batch)),
        // A pipeline that publishes nothing has no transaction to ask about.
        None if !context.spec.publishes() => Ok(Some(-1)),
        None => {
            // It was there when the lane was taken over. Whether the last transaction has ended is no longer known.
            context.give_up(&"the group's offset has vanished");
            Ok(None)
        }
    }
}

fn owned(context: &LaneContext, epoch: i64) -> Result<bool, String> {
    let state =
        context.runtime.block_on(context.store.lane(&context.id)).map_err(|error| error.to_string())?;
    let owned = state.is_some_and(|state| state.epoch == epoch);
    if !owned {
        context.give_up(&"its epoch in the store is another's");
    }
    Ok(owned)
}

/// Nothing is to be published for the moment: the group is told of what was put off, then the store of what is published.
/// Answers whether to go on.
fn rest(
    context: &LaneContext,
    epoch: i64,
    publisher: &mut dyn Publisher,
    telling: &mut Telling,
    marked: &mut i64,
) -> bool {
    if context.abandoned() {
        return false;
    }
    if let Some(batch) = telling.put_off.take() {
        telling.told = Instant::now();
        if !publish(context, epoch, publisher, &batch) {
            return false;
        }
    }
    mark(context, epoch, marked);
    true
}

fn mark(context: &LaneContext, epoch: i64, marked: &mut i64) {
    let published = context.progress.published.load(Ordering::Relaxed);
    if published <= *marked {
        return;
    }
    match context.runtime.block_on(context.store.mark_published(&context.id, epoch, published)) {
        Ok(()) => *marked = published,
        Err(error @ store::Error::Fenced { .. }) => context.give_up(&error),
        Err(error) => tracing::debug!(lane = %context.id, %error, "the published batch was not written down"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_told_of_messages_at_once_and_of_others_once_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut telling = Telling { told: start, put_off: None };
        let mut next = |batch, outbox: &[u8], ms| {
            let batch = ToPublish { batch, next_offset: batch * 10, outbox: outbox.to_vec() };
            let told = telling.next(batch, at(ms)).map(|batch| batch.batch);
            (told, telling.put_off.as_ref().map(|batch| batch.next_offset))
        };
        assert_eq!(next(1, b"", 10), (None, Some(10)), "put off");
        assert_eq!(next(2, b"", 999), (None, Some(20)), "and the next one stands for both");
        assert_eq!(next(3, b"", 1_000), (Some(3), None), "a second is over");
        assert_eq!(next(4, b"", 1_500), (None, Some(40)));
        assert_eq!(next(5, b"messages", 1_501), (Some(5), None), "messages wait for nothing");
        assert_eq!(next(6, b"", 2_500), (None, Some(60)), "the group was told with them");
    }
}
