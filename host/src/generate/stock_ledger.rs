//! What comes into stores and what is sold there, for `examples/stock-ledger`. The system that it replaces has no generator.
//! Nothing is sold that has not come in before: kept in order, all of it goes through.

use super::{Made, instant, uuid};
use fastrand::Rng;
use serde_json::json;
use std::collections::BTreeMap;

const STORES: u32 = 20;
/// Items of each store.
const ITEMS: u32 = 25;
const INCOMING_MAX: u32 = 100;
/// Between two transactions.
const STEP_MS: i64 = 1_000;

/// The transactions, one after the other.
pub(super) struct Transactions {
    rng: Rng,
    at_ms: i64,
    /// What is there, by store and item.
    stock: BTreeMap<(u32, u32), u32>,
}

impl Transactions {
    /// Those of a seed, from a point in time on (milliseconds since 1970-01-01 UTC).
    pub(super) fn new(seed: u64, at_ms: i64) -> Self {
        Self { rng: Rng::with_seed(seed), at_ms, stock: BTreeMap::new() }
    }
}

impl Iterator for Transactions {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        let (store, item) = (self.rng.u32(1..=STORES), self.rng.u32(1..=ITEMS));
        let stock = self.stock.entry((store, item)).or_default();
        let (kind, value) = if *stock > 0 && self.rng.bool() {
            let sold = self.rng.u32(1..=*stock);
            *stock -= sold;
            ("sale", sold)
        } else {
            let came = self.rng.u32(1..=INCOMING_MAX);
            *stock += came;
            ("incoming", came)
        };
        let value = json!({
            "transaction_id": uuid(&mut self.rng), "event_type": kind, "date": instant(self.at_ms),
            "store_number": store.to_string(), "item_number": item.to_string(), "value": value.to_string(),
        });
        self.at_ms += STEP_MS;
        Some(Made { key: format!("{store}-{item}"), value: value.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn nothing_is_sold_that_is_not_there() {
        let (mut stock, mut sales) = (BTreeMap::new(), 0);
        for made in Transactions::new(1, 0).take(5_000) {
            let moved: Value = serde_json::from_str(&made.value).unwrap();
            let text = |name: &str| moved[name].as_str().unwrap().to_owned();
            assert_eq!(made.key, format!("{}-{}", text("store_number"), text("item_number")));
            let value: i64 = text("value").parse().unwrap();
            let stock: &mut i64 = stock.entry(made.key).or_default();
            *stock += if text("event_type") == "sale" { -value } else { value };
            assert!(value > 0 && *stock >= 0);
            sales += u32::from(text("event_type") == "sale");
        }
        assert!((1_500..3_000).contains(&sales), "{sales}");
    }
}
