//! Records of the examples' scenarios, made up: the same seed and time give the same bytes. Pure.

mod order_vault;
mod shop_sync;
mod store_events;

pub use order_vault::Orders;

use crate::log::NewRecord;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A scenario that records can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Orders of food: examples/order-vault.
    OrderVault,
    /// What shops have in stock: examples/shop-sync.
    ShopSync,
    /// Carts, sales and payments: examples/store-events.
    StoreEvents,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 3] = [Scenario::OrderVault, Scenario::ShopSync, Scenario::StoreEvents];

    /// Its name, that of its example.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::OrderVault => "order-vault",
            Scenario::ShopSync => "shop-sync",
            Scenario::StoreEvents => "store-events",
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

impl Scenario {
    /// So many records, as of a point in time (milliseconds since 1970-01-01 UTC).
    pub fn records(self, seed: u64, at_ms: i64, count: usize) -> Box<dyn Iterator<Item = Made> + Send> {
        match self {
            Scenario::OrderVault => {
                let orders = order_vault::Orders::new(seed, at_ms);
                Box::new((0..count as u64).map(move |place| orders.nth(place)))
            }
            Scenario::StoreEvents => Box::new(store_events::Events::new(seed, at_ms).take(count)),
            Scenario::ShopSync => Box::new(shop_sync::Shops::new(seed, at_ms).take(count)),
        }
    }

    /// What the records refer to, for the lookups of the scenario: always the same.
    pub fn reference(self) -> Vec<Made> {
        match self {
            Scenario::OrderVault => order_vault::reference(),
            Scenario::ShopSync => shop_sync::reference(),
            Scenario::StoreEvents => Vec::new(),
        }
    }
}

/// Milliseconds since 1970-01-01 UTC, as records write them.
fn instant(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
