//! A lane on one host: what it knows, and what it may do next. `host/src/lane/`.

use crate::log::GroupOffset;
use crate::store::{Fence, Seen, Work};
use crate::tally::{Batches, Tally};

/// Where a lane is on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Not here.
    #[default]
    Absent,
    /// The group has said that the partition is ours (`PartitionEvents::assigned`).
    Assigned,
    /// `Store::take_over` has raised the epoch.
    Raised {
        /// To this.
        epoch: u8,
    },
    /// [`crate::world::Rule::ReadBeforeInit`] only: the group's offset is read, the publisher is not open.
    Early {
        /// Ours.
        epoch: u8,
        /// What was read.
        group: Option<GroupOffset>,
    },
    /// `init_transactions` is done.
    Opened {
        /// Ours.
        epoch: u8,
        /// The producer's epoch.
        producer: u8,
    },
    /// `group_ledger` has answered.
    Ledger {
        /// Ours.
        epoch: u8,
        /// The producer's epoch.
        producer: u8,
        /// What it answered.
        group: Option<GroupOffset>,
    },
    /// `Store::lane` has answered, and the epoch is ours.
    Row {
        /// Ours.
        epoch: u8,
        /// The producer's epoch.
        producer: u8,
        /// The group's offset.
        group: Option<GroupOffset>,
        /// The lane's row.
        seen: Seen,
        /// The outbox, where it came with the row.
        outbox: Option<Batches>,
    },
    /// `ledgers::compare` says that the lane is new.
    New {
        /// Ours.
        epoch: u8,
        /// The producer's epoch.
        producer: u8,
    },
    /// `ledgers::compare` says what is to be published again.
    Agreed(Agreed),
    /// The take-over's transaction is open.
    Republishing(Agreed),
    /// The take-over's transaction is committed; `Store::mark_published` is next.
    Republished(Agreed),
    /// The lane's three threads are at work.
    Working(Working),
    /// The lane was fenced at work; the pipeline is going to join its group anew (`Pipeline::watch`).
    Fenced,
    /// The lane was fenced while it was taken over (`TakeOverError::LetGo`), and the group does not know.
    LeftOut,
    /// The ledgers contradict each other: an operator must decide (`Pipeline::halt`).
    Halted,
}

/// What a take-over has found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Agreed {
    /// Ours.
    pub epoch: u8,
    /// The producer's epoch.
    pub producer: u8,
    /// The last committed batch.
    pub batch: u8,
    /// Where to read on.
    pub next_offset: u8,
    /// What to publish again.
    pub again: Batches,
}

/// A lane at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Working {
    /// What it commits with. Its `published` is `Progress::published`.
    pub fence: Fence,
    /// Up to here the store was told what is published.
    pub marked: u8,
    /// Up to here the group was told; those between it and `published` have no messages (`Telling` in `lane/publish.rs`).
    pub told: u8,
    /// The batch that the step `publish` is at.
    pub in_hand: u8,
    /// The steps `feed` and `commit`.
    pub commit: Committing,
    /// The step `publish`.
    pub publish: Publishing,
}

/// Where the steps `feed` and `commit` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Committing {
    /// Between batches. What the log has never changes, so reading it needs no step of its own.
    Idle,
    /// `Store::due_parked` has answered: records with the attempts that they had then.
    Parked(Tally),
    /// `Store::commit` was called, and nobody knows whether it arrived.
    Unsure(Work),
}

/// Where the step `publish` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Publishing {
    /// Between transactions.
    Open {
        /// The producer's epoch.
        producer: u8,
    },
    /// In the transaction of the batch in hand.
    InTransaction {
        /// The producer's epoch.
        producer: u8,
    },
    /// A transaction failed, and nobody knows how it ended; the producer is thrown away.
    Failed,
    /// `owned` said yes.
    Owned,
    /// `init_transactions` is done.
    Opened {
        /// The producer's epoch.
        producer: u8,
    },
    /// `group_ledger` has answered.
    Ledger {
        /// The producer's epoch.
        producer: u8,
        /// What it answered.
        group: Option<GroupOffset>,
    },
}

/// One thing that a host does about one lane, by the name that it has in `host/src`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// `PartitionEvents::assigned`.
    Assigned,
    /// `Store::take_over`.
    TakeOver,
    /// `Publisher::open`, first half.
    InitTransactions,
    /// `Publisher::open`, second half.
    GroupLedger,
    /// `Store::lane`.
    Lane,
    /// `Store::outbox`, and `ledgers::compare`.
    Outbox,
    /// `Store::begin_at`.
    BeginAt,
    /// `Publisher::publish`, up to `send_offsets_to_transaction`.
    Publish,
    /// A batch without messages is put off (`Telling::next`).
    PutOff,
    /// `Publisher::publish` of what was put off (`lane/publish.rs`, `rest`).
    Tell,
    /// `Publisher::publish`, its `commit_transaction`.
    CommitTransaction,
    /// The same, and the answer is lost.
    CommitTransactionUnanswered,
    /// `Store::mark_published` at the end of a take-over, and as the idle mark (`lane/publish.rs`, `mark`).
    MarkPublished,
    /// `Store::due_parked`: the first of those that are due, or all.
    DueParked {
        /// All.
        all: bool,
    },
    /// `Store::commit`.
    Commit(Work),
    /// The same, and the answer is lost.
    CommitUnanswered(Work),
    /// `Store::commit` again, after an answer that was lost.
    CommitAgain(Work),
    /// `owned` (`lane/publish.rs`), before and after a publisher is opened anew.
    Owned,
    /// A lane that has nothing to do finds that it is another's. The code has no such step.
    IdleLook,
    /// The lane is drained and ends; the host leaves.
    Leave,
}
