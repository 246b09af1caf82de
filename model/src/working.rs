//! `lane/{feed,commit,publish}.rs`: a lane at work. Its steps run side by side.

use crate::commit::Partition;
use crate::lane::{Committing, Move, Publishing, Step, Working};
use crate::log::{GroupOffset, Transaction};
use crate::store::Work;
use crate::tally::{Batches, Tally};
use crate::world::{AHEAD_MAX, Nature, Rule, World};

/// What is left of the disturbances that a lane at work can meet.
#[derive(Clone, Copy, Debug)]
pub struct May {
    /// An answer may be lost.
    pub lose_answer: bool,
    /// The host may leave.
    pub leave: bool,
}

/// What a lane at work may do next.
pub fn moves(world: &World, partition: &Partition, lane: Working, may: May, moves: &mut Vec<Move>) {
    commits(world, partition, lane, may, moves);
    let unpublished = lane.fence.published < lane.fence.batch;
    match lane.publish {
        Publishing::Open { .. } => {
            let ahead = world.rule == Rule::PublishFirst
                && !unpublished
                && usize::from(lane.fence.next_offset) < world.records.len()
                && lane.fence.published == lane.fence.batch;
            if unpublished || ahead {
                moves.push(Move::Publish);
            }
            let quiet = partition.store.line(lane.fence.published + 1).messages.is_empty();
            if unpublished && (quiet || world.rule == Rule::PutsOffMessages) {
                moves.push(Move::PutOff);
            }
            let untold = lane.told < lane.fence.published;
            if untold && !unpublished {
                moves.push(Move::Tell);
            }
            let mark = match world.rule {
                Rule::NoIdleMark => false,
                Rule::MarksStored => lane.fence.batch > lane.marked,
                _ => !unpublished && lane.fence.published > lane.marked,
            };
            let fenced = partition.store.epoch != lane.fence.epoch;
            if world.expulsions.is_some() && fenced && !unpublished && world.rule != Rule::IdleUnasked {
                moves.push(Move::IdleLook);
            }
            if untold {
                // The group is told before the store is.
            } else if mark {
                moves.push(Move::MarkPublished);
            } else if may.leave && !unpublished && lane.commit == Committing::Idle {
                moves.push(Move::Leave);
            }
        }
        Publishing::InTransaction { .. } => {
            moves.push(Move::CommitTransaction);
            if may.lose_answer {
                moves.push(Move::CommitTransactionUnanswered);
            }
        }
        Publishing::Failed | Publishing::Ledger { .. } => moves.push(Move::Owned),
        Publishing::Owned => moves.push(Move::InitTransactions),
        Publishing::Opened { .. } => moves.push(Move::GroupLedger),
    }
}

fn commits(world: &World, partition: &Partition, lane: Working, may: May, moves: &mut Vec<Move>) {
    let room = match world.rule {
        Rule::PublishFirst => lane.fence.published > lane.fence.batch,
        _ => lane.fence.batch - lane.fence.published < AHEAD_MAX,
    };
    let mut commit = |work| {
        if room {
            moves.push(Move::Commit(work));
            if may.lose_answer {
                moves.push(Move::CommitUnanswered(work));
            }
        }
    };
    match lane.commit {
        Committing::Idle => {
            let left = world.records.len() - usize::from(lane.fence.next_offset);
            let most = world.batch_records_max.min(u8::try_from(left).unwrap_or(u8::MAX));
            (1..=most).for_each(|records| commit(Work::Log(records)));
            if !partition.store.parked.is_empty() {
                moves.push(Move::DueParked { all: true });
                if partition.store.parked.records().count() > 1 {
                    moves.push(Move::DueParked { all: false });
                }
            }
        }
        Committing::Parked(records) => commit(Work::Parked(records)),
        Committing::Unsure(work) => moves.push(Move::CommitAgain(work)),
    }
}

/// What a lane at work is after a move.
pub fn after(world: &World, partition: &mut Partition, lane: Working, made: Move) -> Step {
    match made {
        Move::DueParked { all } => {
            let parked = partition.store.parked;
            let first = |record| Tally::default().with(record, parked.of(record));
            let records = if all { Some(parked) } else { parked.records().next().map(first) };
            Step::Working(Working { commit: Committing::Parked(records.unwrap_or_default()), ..lane })
        }
        Move::Commit(work) | Move::CommitUnanswered(work) | Move::CommitAgain(work) => {
            let Some(fence) = partition.store.commit(world, lane.fence, work) else { return Step::Fenced };
            if matches!(made, Move::CommitUnanswered(_)) {
                return Step::Working(Working { commit: Committing::Unsure(work), ..lane });
            }
            Step::Working(Working { fence, commit: Committing::Idle, ..lane })
        }
        Move::MarkPublished => {
            let published =
                if world.rule == Rule::MarksStored { lane.fence.batch } else { lane.fence.published };
            // A mark that fails is only logged: whoever fenced the lane is found out by the next commit.
            partition.store.mark_published(lane.fence.epoch, published);
            Step::Working(Working { marked: published, ..lane })
        }
        Move::Leave => Step::Absent,
        Move::IdleLook => Step::Fenced,
        made => publish(world, partition, lane, made),
    }
}

/// The step `publish`.
fn publish(world: &World, partition: &mut Partition, lane: Working, made: Move) -> Step {
    let Partition { store, log, .. } = partition;
    let (mut fence, mut publish, mut told, mut batch) = (lane.fence, lane.publish, lane.told, lane.in_hand);
    publish = match publish {
        Publishing::Open { .. } if made == Move::PutOff => {
            fence.published += 1;
            publish
        }
        Publishing::Open { producer } => {
            batch = if made == Move::Tell { fence.published } else { fence.published + 1 };
            let transaction = transaction(world, partition, lane, producer, batch);
            if partition.log.begin(transaction) {
                Publishing::InTransaction { producer }
            } else {
                Publishing::Failed
            }
        }
        Publishing::InTransaction { producer } => {
            if log.commit_transaction(producer) && made == Move::CommitTransaction {
                (fence.published, told) = (batch, batch);
                Publishing::Open { producer }
            } else {
                Publishing::Failed
            }
        }
        Publishing::Failed if world.rule == Rule::NoEpochSimple => return Step::Fenced,
        Publishing::Failed if ours(world, store.epoch, lane) => Publishing::Owned,
        Publishing::Owned => Publishing::Opened { producer: log.init_transactions() },
        Publishing::Opened { producer } => match log.group_ledger() {
            Ok(group) => Publishing::Ledger { producer, group },
            Err(_) => Publishing::Failed,
        },
        Publishing::Ledger { producer, group } if ours(world, store.epoch, lane) => {
            let out = match (group, world.rule) {
                (Some(group), Rule::ByOffset) => group.next_offset >= store.line(batch).next_offset,
                (Some(group), _) => group.batch >= batch,
                // What became of the batch is for a take-over to find out, or for an operator.
                (None, rule) if rule != Rule::ReopenGuesses => return Step::Fenced,
                (None, _) => false,
            };
            if out {
                (fence.published, told) = (batch, batch);
            }
            Publishing::Open { producer }
        }
        Publishing::Failed | Publishing::Ledger { .. } => return Step::Fenced,
    };
    Step::Working(Working { fence, publish, told, in_hand: batch, ..lane })
}

/// `owned`.
fn ours(world: &World, epoch: u8, lane: Working) -> bool {
    epoch == lane.fence.epoch || world.rule == Rule::ReopenUnasked
}

/// The transaction of a batch: its messages come with it through the channel from `commit`.
fn transaction(world: &World, partition: &Partition, lane: Working, producer: u8, batch: u8) -> Transaction {
    let mut batches = Batches::default();
    let line = if batch > lane.fence.batch {
        // Only where the rule is broken that a batch is committed first: what it is going to be.
        let record = lane.fence.next_offset;
        let nature = world.records.get(usize::from(record));
        let silent = matches!(nature, Some(Nature::Retry(_) | Nature::Quiet));
        let messages = if silent { Tally::default() } else { Tally::default().with(record, 1) };
        crate::store::Line { next_offset: record + 1, messages }
    } else {
        partition.store.line(batch)
    };
    if !line.messages.is_empty() {
        batches.insert(batch);
    }
    let group = GroupOffset { next_offset: line.next_offset, batch };
    Transaction { producer, messages: line.messages, batches, group }
}
