//! The store as one partition's lane sees it: `host/src/store/{commit,lanes}.rs`. Each method is one transaction.

use crate::tally::{Batches, Tally};
use crate::world::{ATTEMPTS_MAX, Nature, Rule, World};

/// Batches that a world may have, at most.
pub const BATCHES: usize = 8;

/// What is remembered of a committed batch: its line in the ledger, and its outbox value for as long as it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The lane's next offset after it.
    pub next_offset: u8,
    /// The records that it has a message of.
    pub messages: Tally,
}

/// A lane's row, its outbox and its effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Store {
    /// `LaneState::epoch`.
    pub epoch: u8,
    /// `LaneState::batch`.
    pub batch: u8,
    /// `LaneState::next_offset`.
    pub next_offset: Option<u8>,
    /// `LaneState::published`.
    pub published: u8,
    /// The batches whose outbox value is kept.
    pub outbox: Batches,
    /// The batch ledger.
    pub lines: [Line; BATCHES],
    /// Attempts of the records that are parked.
    pub parked: Tally,
    /// Rows, by record.
    pub rows: Tally,
    /// Dead letters, by record.
    pub letters: Tally,
}

/// What a host knows of a lane when it commits: `store::Fence`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// The epoch of its take-over.
    pub epoch: u8,
    /// The last committed batch.
    pub batch: u8,
    /// The next offset.
    pub next_offset: u8,
    /// Up to here published.
    pub published: u8,
}

/// A batch on its way into the store: `store::Origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// So many records of the log.
    Log(u8),
    /// Parked records with the attempts that they have had.
    Parked(Tally),
}

/// What is read back of a lane: `store::LaneState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The last committed batch.
    pub batch: u8,
    /// The next offset, unless the lane is new.
    pub next_offset: Option<u8>,
    /// Up to here published.
    pub published: u8,
}

impl Store {
    /// `Store::take_over`: raises the epoch.
    pub fn take_over(&mut self, rule: Rule) -> u8 {
        if !matches!(rule, Rule::NoEpoch | Rule::NoEpochSimple | Rule::NoFence) {
            self.epoch += 1;
        }
        self.epoch
    }

    /// `Store::lane`; `None` if the epoch is another's, which every caller asks next.
    pub fn lane(&self, epoch: u8) -> Option<Seen> {
        let Store { batch, next_offset, published, .. } = *self;
        (self.epoch == epoch).then_some(Seen { batch, next_offset, published })
    }

    /// `Store::outbox`.
    pub fn outbox(&self, after: u8) -> Batches {
        self.outbox.after(after)
    }

    /// `Store::begin_at`; answers whether the lane is ours.
    pub fn begin_at(&mut self, epoch: u8, next_offset: u8) -> bool {
        let ours = self.epoch == epoch && self.batch == 0;
        if ours {
            self.next_offset = Some(next_offset);
        }
        ours
    }

    /// `Store::mark_published`; answers whether the lane is ours.
    pub fn mark_published(&mut self, epoch: u8, published: u8) -> bool {
        let ours = self.epoch == epoch && self.batch >= published;
        if ours {
            self.published = self.published.max(published);
            self.outbox = self.outbox.after(published);
        }
        ours
    }

    /// `Store::commit`: the fenced advance, then everything that the batch causes; or, where the fence does not hold,
    /// the question whether an earlier attempt of this very commit arrived (`arrived_before`). Answers the fence
    /// after it, `None` if the lane is another's.
    pub fn commit(&mut self, world: &World, fence: Fence, work: Work) -> Option<Fence> {
        let rule = world.rule;
        let expected = self.batch == fence.batch || matches!(rule, Rule::NoExpected | Rule::NoFence);
        let batch = fence.batch + 1;
        if self.epoch == fence.epoch && expected {
            let next_offset = match work {
                Work::Log(records) => fence.next_offset + records,
                Work::Parked(_) => fence.next_offset,
            };
            let messages = self.effects(world, fence, work);
            self.batch += 1;
            self.next_offset = Some(next_offset);
            self.published = self.published.max(fence.published);
            let forgotten = if rule == Rule::ForgetEarly { fence.batch } else { fence.published };
            self.outbox = self.outbox.after(forgotten);
            if !messages.is_empty() {
                self.outbox.insert(batch);
            }
            if let Some(line) = self.lines.get_mut(usize::from(batch)) {
                *line = Line { next_offset, messages };
            }
            return Some(Fence { batch, next_offset, ..fence });
        }
        let arrived = self.epoch == fence.epoch && self.batch == batch;
        arrived.then(|| Fence { batch, next_offset: self.line(batch).next_offset, ..fence })
    }

    /// Rows, dead letters, parked records; answers the records that have a message.
    fn effects(&mut self, world: &World, fence: Fence, work: Work) -> Tally {
        let mut messages = Tally::default();
        let mut work_through = |store: &mut Store, record: u8, attempts: u8| {
            store.parked = store.parked.with(record, 0);
            match world.records.get(usize::from(record)) {
                Some(Nature::Reject) => store.letters.add(record),
                Some(Nature::Retry(times)) if attempts < *times => {
                    if attempts + 1 < ATTEMPTS_MAX {
                        store.parked = store.parked.with(record, attempts + 1);
                        return;
                    }
                    store.letters.add(record);
                }
                Some(Nature::Quiet) => {
                    store.rows.add(record);
                    return;
                }
                _ => store.rows.add(record),
            }
            messages.add(record);
        };
        match work {
            Work::Log(records) => {
                for record in fence.next_offset..fence.next_offset + records {
                    work_through(self, record, 0);
                }
            }
            Work::Parked(attempts) => {
                for record in attempts.records() {
                    work_through(self, record, attempts.of(record));
                }
            }
        }
        messages
    }

    /// A batch's line in the ledger.
    pub fn line(&self, batch: u8) -> Line {
        self.lines.get(usize::from(batch)).copied().unwrap_or_default()
    }

    /// What the outbox values of these batches hold, all together.
    pub fn messages(&self, batches: Batches) -> Tally {
        batches.iter().fold(Tally::default(), |all, batch| all.plus(self.line(batch).messages))
    }
}
