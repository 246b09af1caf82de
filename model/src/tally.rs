//! How often something happened to each record: two bits a record, so that states stay small.

/// For up to eight records a count of 0 to 3; more than three stays three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tally(u16);

impl Tally {
    /// The count of a record.
    pub fn of(self, record: u8) -> u8 {
        (self.0 >> (record * 2) & 3) as u8
    }

    /// The same with another count for one record.
    pub fn with(self, record: u8, count: u8) -> Self {
        let cleared = self.0 & !(3 << (record * 2));
        Tally(cleared | u16::from(count.min(3)) << (record * 2))
    }

    /// Counts a record once more.
    pub fn add(&mut self, record: u8) {
        *self = self.with(record, self.of(record) + 1);
    }

    /// Whether all counts are 0.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The records with a count, ascending.
    pub fn records(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |record| self.of(*record) > 0)
    }

    /// Adds up two tallies.
    pub fn plus(mut self, other: Tally) -> Self {
        for record in other.records() {
            self = self.with(record, self.of(record) + other.of(record));
        }
        self
    }
}

/// A set of batch numbers below 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Batches(u16);

impl Batches {
    /// Puts a batch in.
    pub fn insert(&mut self, batch: u8) {
        self.0 |= 1 << batch;
    }

    /// Those after a batch.
    pub fn after(self, batch: u8) -> Self {
        Batches(self.0 & !((2 << batch) - 1))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The batches, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..16).filter(move |batch| self.0 >> batch & 1 == 1)
    }
}
