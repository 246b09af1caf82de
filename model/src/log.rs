//! The log as one lane's publisher sees it: `host/src/log/kafka/publisher.rs`. A transactional id for each lane; the
//! broker raises its epoch with every `init_transactions`, and when it ends a transaction by its time limit.

use crate::tally::{Batches, Tally};

/// The group's offset of a partition: `log::GroupLedger`, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupOffset {
    /// The offset.
    pub next_offset: u8,
    /// The batch in its metadata.
    pub batch: u8,
}

/// An open transaction: produced, with the group's offset added to it, not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transaction {
    /// The producer's epoch.
    pub producer: u8,
    /// What it makes visible.
    pub messages: Tally,
    /// The batches that these messages come from.
    pub batches: Batches,
    /// Where it sets the group's offset.
    pub group: GroupOffset,
}

/// What the log knows of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    /// The epoch of the lane's transactional id.
    pub producer: u8,
    /// The group's offset.
    pub group: Option<GroupOffset>,
    /// The open transaction.
    pub open: Option<Transaction>,
    /// What a reader with `read_committed` sees, by record.
    pub visible: Tally,
    /// The last batch that made a message visible.
    pub visible_batch: u8,
    /// Whether a batch became visible after a later one.
    pub disordered: bool,
}

impl Log {
    /// `init_transactions`, the first half of `Publisher::open`: ends what is open, fences who had it.
    pub fn init_transactions(&mut self) -> u8 {
        self.end_by_broker();
        self.producer
    }

    /// What the broker does to a transaction that is open for too long.
    pub fn end_by_broker(&mut self) {
        self.open = None;
        self.producer += 1;
    }

    /// `group_ledger`, the second half of `Publisher::open`; `Err` while a transaction is open: it is not stable then,
    /// and the read ends by its time limit.
    pub fn group_ledger(&self) -> Result<Option<GroupOffset>, Unstable> {
        if self.open.is_some() { Err(Unstable) } else { Ok(self.group) }
    }

    /// The first half of `Publisher::publish`: begin, produce, `send_offsets_to_transaction`. Answers whether the
    /// producer is the newest.
    pub fn begin(&mut self, transaction: Transaction) -> bool {
        let newest = transaction.producer == self.producer;
        if newest {
            self.open = Some(transaction);
        }
        newest
    }

    /// The second half: `commit_transaction`. Answers whether it was still open.
    pub fn commit_transaction(&mut self, producer: u8) -> bool {
        let Some(ended) = self.open.filter(|open| open.producer == producer && producer == self.producer)
        else {
            return false;
        };
        self.open = None;
        self.group = Some(ended.group);
        self.visible = self.visible.plus(ended.messages);
        for batch in ended.batches.iter() {
            self.disordered |= batch <= self.visible_batch;
            self.visible_batch = self.visible_batch.max(batch);
        }
        true
    }
}

/// An open transaction hides the group's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstable;
