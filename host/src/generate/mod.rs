//! Records of the examples' scenarios, made up: the same seed and time give the same bytes. Pure.

mod order_vault;

use crate::log::NewRecord;

/// A scenario that records can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Orders of food: examples/order-vault.
    OrderVault,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 1] = [Scenario::OrderVault];

    /// Its name, that of its example.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::OrderVault => "order-vault",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// A record that was made up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Its key: records that belong together have the same.
    pub key: String,
    /// Its value, JSON.
    pub value: String,
}

impl From<Made> for NewRecord {
    fn from(made: Made) -> Self {
        NewRecord {
            key: Some(made.key.into_bytes()),
            value: Some(made.value.into_bytes()),
            ..NewRecord::default()
        }
    }
}

/// The records of a scenario, of one seed and time: each can be made by itself.
pub struct Records(order_vault::Orders);

impl Records {
    /// Those of a seed, as of a point in time (milliseconds since 1970-01-01 UTC).
    pub fn new(scenario: Scenario, seed: u64, at_ms: i64) -> Self {
        match scenario {
            Scenario::OrderVault => Self(order_vault::Orders::new(seed, at_ms)),
        }
    }

    /// The record at a place, from 0.
    pub fn nth(&self, place: u64) -> Made {
        self.0.nth(place)
    }
}

impl Scenario {
    /// So many records, as of a point in time (milliseconds since 1970-01-01 UTC).
    pub fn records(self, seed: u64, at_ms: i64, count: usize) -> impl Iterator<Item = Made> {
        let records = Records::new(self, seed, at_ms);
        (0..count as u64).map(move |place| records.nth(place))
    }

    /// What the records refer to, for the lookups of the scenario: always the same.
    pub fn reference(self) -> Vec<Made> {
        match self {
            Scenario::OrderVault => order_vault::reference(),
        }
    }
}
