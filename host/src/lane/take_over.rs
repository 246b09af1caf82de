//! Taking a lane over, in the order that makes it safe (DESIGN.md D4): raise the owner's epoch in the store (the
//! fence); open the publisher (which ends the predecessor's open transaction and fences it); only then read the
//! group's offset; publish what lies between the two ledgers, together with the group's offset, also where nothing
//! lies between; read on.

use super::LaneContext;
use crate::log::{self, Publisher};
use crate::publish::ledgers::{self, Contradiction};
use crate::store::{self, Fence, LaneState};
use std::sync::atomic::Ordering;

/// A lane that is ours: its fence, and its open publisher.
pub struct Taken {
    /// Where it stands.
    pub fence: Fence,
    /// Its publisher.
    pub publisher: Box<dyn Publisher>,
}

/// Why a lane could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// The ledgers contradict each other: the pipeline stops.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// Another host took it over meanwhile, or this one is stopping.
    #[error("the lane was let go")]
    LetGo,
}

/// Takes the lane over; repeats what fails for the moment until it is told to let go.
///
/// # Errors
/// [`TakeOverError`].
pub fn take_over(context: &LaneContext) -> Result<Taken, TakeOverError> {
    let (id, store, runtime) = (&context.id, &context.store, &context.runtime);
    let state = persist(context, "take over", || runtime.block_on(store.take_over(id)))?;
    // A pipeline that no longer publishes anything may still have something to publish.
    let left = persist(context, "take over", || runtime.block_on(store.outbox(id, state.published)))?;
    let publishes = context.spec.publishes() || left.iter().any(|entry| !entry.value.is_empty());
    let mut publisher = context.log.publisher(id, publishes);
    let mut attempt = 0;
    loop {
        match reconcile(context, &state, publisher.as_mut()) {
            Ok(fence) => {
                context.recovered();
                return Ok(Taken { fence, publisher });
            }
            Err(Failed::Contradiction(contradiction)) => return Err(contradiction.into()),
            Err(Failed::Fenced(error)) => {
                context.give_up(&error);
                return Err(TakeOverError::LetGo);
            }
            // A take-over runs while the group's rebalance waits for it: as long as it goes on, this host cannot join
            // again, and the whole group stands still.
            Err(Failed::NoMember(error)) => {
                context.give_up(&error);
                return Err(TakeOverError::LetGo);
            }
            Err(Failed::Passing(error)) => {
                if context.draining() || !context.back_off("take over", attempt, &error) {
                    return Err(TakeOverError::LetGo);
                }
                attempt += 1;
            }
        }
    }
}

/// How one attempt ended.
enum Failed {
    Contradiction(Contradiction),
    Fenced(String),
    NoMember(String),
    Passing(String),
}

impl From<store::Error> for Failed {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Fenced { .. } => Failed::Fenced(error.to_string()),
            error => Failed::Passing(error.to_string()),
        }
    }
}

impl From<log::Error> for Failed {
    // A publisher that is fenced here: somebody opened a newer one. Whether the lane is still ours, the store's
    // epoch tells at the next attempt.
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::NoMember { .. } => Failed::NoMember(error.to_string()),
            error => Failed::Passing(error.to_string()),
        }
    }
}

fn reconcile(
    context: &LaneContext,
    taken: &LaneState,
    publisher: &mut dyn Publisher,
) -> Result<Fence, Failed> {
    let id = &context.id;
    let group = publisher.open()?;
    let state = still_ours(context, taken)?;
    let outbox = context.runtime.block_on(context.store.outbox(id, state.published))?;
    let bounds = context.runtime.block_on(context.log.bounds(&id.topic, id.partition))?;
    let agreement = match ledgers::compare(id, &state, &outbox, &group, bounds, context.spec.source.start) {
        Ok(agreement) => agreement,
        Err(contradiction) => {
            // The ledgers were read one after the other: they contradict each other for sure only if no other owner
            // was at work meanwhile.
            still_ours(context, taken)?;
            return Err(Failed::Contradiction(contradiction));
        }
    };
    if agreement.new {
        context.runtime.block_on(context.store.begin_at(id, state.epoch, agreement.next_offset))?;
    }
    let values: Vec<&[u8]> = outbox
        .iter()
        .filter(|entry| entry.batch > agreement.published)
        .map(|entry| entry.value.as_slice())
        .collect();
    if !values.is_empty() {
        tracing::info!(lane = %id, batches = values.len(), "publishing again what the last owner may not have");
    }
    publisher.publish(state.batch, agreement.next_offset, &values)?;
    context.runtime.block_on(context.store.mark_published(id, state.epoch, state.batch))?;
    context.progress.published.store(state.batch, Ordering::Relaxed);
    Ok(Fence {
        epoch: state.epoch,
        batch: state.batch,
        next_offset: agreement.next_offset,
        published: state.batch,
    })
}

/// The lane's state, if its epoch is still the one that it was taken with.
fn still_ours(context: &LaneContext, taken: &LaneState) -> Result<LaneState, Failed> {
    let state = context.runtime.block_on(context.store.lane(&context.id))?.unwrap_or_else(|| taken.clone());
    if state.epoch == taken.epoch {
        Ok(state)
    } else {
        let (ours, theirs) = (taken.epoch, state.epoch);
        Err(Failed::Fenced(format!("{}: epoch {ours} was followed by {theirs}", context.id)))
    }
}

/// Repeats a store call until it succeeds or the lane is to end.
fn persist<T>(
    context: &LaneContext,
    step: &'static str,
    call: impl Fn() -> Result<T, store::Error>,
) -> Result<T, TakeOverError> {
    let mut attempt = 0;
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(error) => {
                if context.draining() || !context.back_off(step, attempt, &error) {
                    return Err(TakeOverError::LetGo);
                }
                attempt += 1;
            }
        }
    }
}
