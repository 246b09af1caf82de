//! Records of the examples' scenarios, made up: the same seed and time give the same bytes. Pure.

mod catalogue;
mod city_orders;
mod order_vault;
mod shop_sync;
mod stock_ledger;
mod store_events;
pub mod words;

pub use city_orders::CityOrder;
pub use order_vault::Orders;

use crate::log::NewRecord;
use catalogue::{Catalogue, Kind};
use fastrand::Rng;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A scenario that records can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Orders of a web shop: examples/city-orders.
    CityOrders,
    /// Orders of food: examples/order-vault.
    OrderVault,
    /// What comes into stores and is sold: examples/stock-ledger.
    StockLedger,
    /// What shops have in stock: examples/shop-sync.
    ShopSync,
    /// Categories of the catalogue of examples/shop-sync.
    ShopSyncCategories,
    /// Products of that, with the prices of a city.
    ShopSyncProducts,
    /// Descriptions of its products.
    ShopSyncDescriptions,
    /// Carts, sales and payments: examples/store-events.
    StoreEvents,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 8] = [
        Scenario::CityOrders,
        Scenario::OrderVault,
        Scenario::StockLedger,
        Scenario::ShopSync,
        Scenario::ShopSyncCategories,
        Scenario::ShopSyncProducts,
        Scenario::ShopSyncDescriptions,
        Scenario::StoreEvents,
    ];

    /// Its name, that of the pipeline that reads its records.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::CityOrders => "city-orders",
            Scenario::OrderVault => "order-vault",
            Scenario::StockLedger => "stock-ledger",
            Scenario::ShopSync => "shop-sync",
            Scenario::ShopSyncCategories => "shop-sync-categories",
            Scenario::ShopSyncProducts => "shop-sync-products",
            Scenario::ShopSyncDescriptions => "shop-sync-descriptions",
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
    /// Its key: records that belong together have the same. Empty: none.
    pub key: String,
    /// Its value, JSON.
    pub value: String,
}

impl From<Made> for NewRecord {
    fn from(made: Made) -> Self {
        NewRecord {
            key: (!made.key.is_empty()).then(|| made.key.into_bytes()),
            value: Some(made.value.into_bytes()),
            ..NewRecord::default()
        }
    }
}

impl Scenario {
    /// So many records, as of a point in time (milliseconds since 1970-01-01 UTC).
    pub fn records(self, seed: u64, at_ms: i64, count: usize) -> Box<dyn Iterator<Item = Made> + Send> {
        let catalogue = |kind| Box::new(Catalogue::new(kind, seed, at_ms).take(count));
        match self {
            Scenario::CityOrders => {
                Box::new((0..count as u64).map(move |place| CityOrder::nth(seed, place).into()))
            }
            Scenario::OrderVault => {
                let orders = Orders::new(seed, at_ms);
                Box::new((0..count as u64).map(move |place| orders.nth(place)))
            }
            Scenario::StockLedger => Box::new(stock_ledger::Transactions::new(seed, at_ms).take(count)),
            Scenario::ShopSync => Box::new(shop_sync::Shops::new(seed, at_ms).take(count)),
            Scenario::ShopSyncCategories => catalogue(Kind::Categories),
            Scenario::ShopSyncProducts => catalogue(Kind::Products),
            Scenario::ShopSyncDescriptions => catalogue(Kind::Descriptions),
            Scenario::StoreEvents => Box::new(store_events::Events::new(seed, at_ms).take(count)),
        }
    }

    /// What the records refer to, for the lookups of the scenario: always the same.
    pub fn reference(self) -> Vec<Made> {
        match self {
            Scenario::OrderVault => order_vault::reference(),
            Scenario::ShopSync => shop_sync::reference(),
            _ => Vec::new(),
        }
    }
}

/// Milliseconds since 1970-01-01 UTC, as records write them.
fn instant(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// 32 hexadecimal digits.
fn digits(rng: &mut Rng) -> String {
    format!("{:032x}", rng.u128(..))
}

/// Such digits as a UUID is written.
fn uuid(rng: &mut Rng) -> String {
    let digits = digits(rng);
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}
