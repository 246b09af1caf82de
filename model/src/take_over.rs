//! `lane/take_over.rs` and `publish/ledgers.rs`, step by step.

use crate::commit::Partition;
use crate::lane::{Agreed, Committing, Move, Publishing, Step, Working};
use crate::log::{GroupOffset, Transaction};
use crate::store::{Fence, Seen};
use crate::tally::Batches;
use crate::world::{Rule, World};

/// What a take-over at this step may do next; a lost answer only where there is one to lose.
pub fn moves(world: &World, step: Step, lost_answers: u8, moves: &mut Vec<Move>) {
    let next = match step {
        Step::Assigned => Move::TakeOver,
        Step::Raised { .. } if world.rule == Rule::ReadBeforeInit => Move::GroupLedger,
        Step::Raised { .. } | Step::Early { .. } => Move::InitTransactions,
        Step::Opened { .. } => Move::GroupLedger,
        Step::Ledger { .. } => Move::Lane,
        Step::Row { .. } => Move::Outbox,
        Step::New { .. } => Move::BeginAt,
        Step::Agreed(_) => Move::Publish,
        Step::Republishing(_) => Move::CommitTransaction,
        Step::Republished(_) => Move::MarkPublished,
        _ => return,
    };
    moves.push(next);
    if next == Move::CommitTransaction && lost_answers > 0 {
        moves.push(Move::CommitTransactionUnanswered);
    }
}

/// What a take-over is after a move. [`Step::LeftOut`] stands for `TakeOverError::LetGo`.
pub fn after(world: &World, partition: &mut Partition, step: Step, made: Move) -> Step {
    let Partition { store, log, .. } = partition;
    match step {
        Step::Raised { epoch } if made == Move::GroupLedger => Step::Early { epoch, group: log.group },
        Step::Raised { epoch } => Step::Opened { epoch, producer: log.init_transactions() },
        Step::Early { epoch, group } => Step::Ledger { epoch, producer: log.init_transactions(), group },
        Step::Opened { epoch, producer } => match log.group_ledger() {
            Ok(group) => Step::Ledger { epoch, producer, group },
            Err(_) => Step::Raised { epoch },
        },
        Step::Ledger { epoch, producer, group } => match store.lane(epoch) {
            Some(seen) => {
                let snapshot = world.rule == Rule::NoEpochSimple;
                let outbox = snapshot.then(|| store.outbox(seen.published));
                Step::Row { epoch, producer, group, seen, outbox }
            }
            None => Step::LeftOut,
        },
        Step::Row { epoch, producer, group, seen, outbox } => {
            let outbox = outbox.unwrap_or_else(|| store.outbox(seen.published));
            match compare(world, partition, seen, outbox, group) {
                // A row that was read just before the next owner's take-over contradicts what that one has done since.
                None if partition.store.epoch != epoch && world.rule != Rule::HaltUnasked => Step::LeftOut,
                None => Step::Halted,
                Some(Agreement { new: true, .. }) => Step::New { epoch, producer },
                Some(Agreement { next_offset, again, .. }) => {
                    Step::Agreed(Agreed { epoch, producer, batch: seen.batch, next_offset, again })
                }
            }
        }
        Step::New { epoch, producer } if store.begin_at(epoch, 0) => {
            Step::Agreed(Agreed { epoch, producer, ..Agreed::default() })
        }
        Step::Agreed(agreed) => {
            let group = GroupOffset { next_offset: agreed.next_offset, batch: agreed.batch };
            let (producer, batches) = (agreed.producer, agreed.again);
            let transaction = Transaction { producer, messages: store.messages(batches), batches, group };
            if log.begin(transaction) {
                Step::Republishing(agreed)
            } else {
                Step::Raised { epoch: agreed.epoch }
            }
        }
        Step::Republishing(agreed) => {
            let answered = log.commit_transaction(agreed.producer) && made == Move::CommitTransaction;
            if answered { Step::Republished(agreed) } else { Step::Raised { epoch: agreed.epoch } }
        }
        Step::Republished(agreed) if store.mark_published(agreed.epoch, agreed.batch) => {
            Step::Working(at_work(agreed))
        }
        _ => Step::LeftOut,
    }
}

/// `Lane::start`.
fn at_work(agreed: Agreed) -> Working {
    let Agreed { epoch, producer, batch, next_offset, .. } = agreed;
    Working {
        fence: Fence { epoch, batch, next_offset, published: batch },
        marked: batch,
        told: batch,
        in_hand: batch,
        commit: Committing::Idle,
        publish: Publishing::Open { producer },
    }
}

/// `ledgers::Agreement`.
struct Agreement {
    next_offset: u8,
    new: bool,
    again: Batches,
}

/// `ledgers::compare`; `None` is a contradiction.
fn compare(
    world: &World,
    partition: &Partition,
    seen: Seen,
    outbox: Batches,
    group: Option<GroupOffset>,
) -> Option<Agreement> {
    let new = Agreement { next_offset: 0, new: true, again: Batches::default() };
    let Some(next_offset) = seen.next_offset else { return group.is_none().then_some(new) };
    if group.is_some_and(|group| group.batch > seen.batch || group.next_offset > next_offset) {
        return None;
    }
    let agreed = |again| Some(Agreement { next_offset, new: false, again });
    match (group, world.rule) {
        (_, Rule::NoOutbox) => agreed(Batches::default()),
        (Some(group), Rule::ByOffset) => {
            let mut again = Batches::default();
            let beyond = |batch: &u8| partition.store.line(*batch).next_offset > group.next_offset;
            outbox.iter().filter(beyond).for_each(|batch| again.insert(batch));
            agreed(again)
        }
        (Some(group), _) => agreed(outbox.after(group.batch.max(seen.published))),
        (None, Rule::VanishedIsNew) => {
            Some(Agreement { next_offset: 0, new: false, again: Batches::default() })
        }
        (None, Rule::VanishedIsStart) => agreed(outbox),
        (None, Rule::VanishedIsPublished) => agreed(Batches::default()),
        (None, _) if outbox.is_empty() => agreed(Batches::default()),
        (None, _) => None,
    }
}
