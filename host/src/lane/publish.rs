//! The lane's third step: publishes committed batches, in order. After an error nobody knows whether the batch is
//! out; a newly opened publisher's ledger tells. But opening one fences every other publisher of this lane, so
//! before anything is published with it the store must still call the lane ours.

use super::LaneContext;
use super::commit::ToPublish;
use crate::log::Publisher;
use crate::store::{self, Fence};
use crate::telemetry::{self, PUBLISHED};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// After so long without a batch the store is told what is published, and forgets the outbox: before the group's
/// offset can expire.
const IDLE: Duration = Duration::from_secs(1);

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
    loop {
        match publishing.recv_timeout(IDLE) {
            Ok(batch) => {
                looked = Instant::now();
                if !publish(context, fence.epoch, publisher.as_mut(), &batch) {
                    return;
                }
                context.progress.published.store(batch.batch, Ordering::Relaxed);
                telemetry::count(PUBLISHED, &context.id.pipeline, None, 1);
            }
            Err(RecvTimeoutError::Timeout) => {
                rest(context, fence.epoch, publisher.as_mut(), &mut marked);
                if looked.elapsed() >= OWNED_LOOK {
                    looked = Instant::now();
                    // That the store does not answer says nothing: it is asked again.
                    if let Ok(false) = owned(context, fence.epoch) {
                        return;
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return rest(context, fence.epoch, publisher.as_mut(), &mut marked);
            }
        }
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

/// Nothing is to be published for the moment: what was put off is done, and the store is told.
fn rest(context: &LaneContext, epoch: i64, publisher: &mut dyn Publisher, marked: &mut i64) {
    if !context.abandoned() {
        publisher.rest();
        mark(context, epoch, marked);
    }
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
