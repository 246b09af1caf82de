//! What 5 shops have in stock, as the system that `examples/shop-sync` replaces plays it: three cashiers in each shop sell, two
//! deliveries come a day, and every 10 seconds each shop tells what has changed.

use super::{Made, instant};
use fastrand::Rng;
use serde_json::{Map, json};
use std::collections::BTreeSet;

const SHOPS: usize = 5;
/// Numbers from 1 on.
pub(super) const PRODUCTS: usize = 14;
const CASHIERS: usize = 3;
/// One sale of each cashier a second.
const TICKS: u32 = 10;
/// A second of the simulation is so many minutes of the shop.
const TICK_MINUTES: u32 = 5;
const MESSAGE_MS: i64 = 10_000;
const OPENS: u32 = 9 * 60;
const CLOSES: u32 = 21 * 60;
const DELIVERIES: [u32; 2] = [10 * 60, 18 * 60];

/// Shops by city.
pub(super) const CITIES: [(&str, &[u32]); 3] =
    [("Berlin", &[1]), ("Nurnberg", &[2, 3]), ("La Nucia", &[4, 5])];

/// The shops of each city, as the lookup of the example holds them; `*` is all of them.
pub(super) fn reference() -> Vec<Made> {
    let all: Vec<u32> = CITIES.iter().flat_map(|(_, shops)| shops.iter().copied()).collect();
    let cities = CITIES.iter().map(|(city, shops)| (*city, shops.to_vec()));
    let entry = |(city, shops): (&str, Vec<u32>)| Made {
        key: format!("city:{city}"),
        value: json!({ "shop_ids": shops }).to_string(),
    };
    cities.chain([("*", all)]).map(entry).collect()
}

/// The messages, one shop after the other.
pub(super) struct Shops {
    rng: Rng,
    at_ms: i64,
    /// Minutes of the day.
    clock: u32,
    stock: [[u32; PRODUCTS]; SHOPS],
    next: usize,
}

impl Shops {
    /// Those of a seed, from a point in time on (milliseconds since 1970-01-01 UTC).
    pub(super) fn new(seed: u64, at_ms: i64) -> Self {
        Self { rng: Rng::with_seed(seed), at_ms, clock: OPENS, stock: [[0; PRODUCTS]; SHOPS], next: 0 }
    }

    /// From 1 to `most`, few likelier than many: i has the weight most - 0.8 i.
    fn few(&mut self, most: usize) -> usize {
        let weight = |i: usize| 10 * most - 8 * i;
        let mut left = self.rng.usize(..(1..=most).map(weight).sum::<usize>().max(1));
        for i in 1..=most {
            if left < weight(i) {
                return i;
            }
            left -= weight(i);
        }
        most
    }

    fn delivered(&mut self, shop: usize) -> BTreeSet<usize> {
        let mut products: Vec<usize> = (0..PRODUCTS).collect();
        self.rng.shuffle(&mut products);
        products.truncate(self.rng.usize(1..=PRODUCTS));
        for product in &products {
            let quantity = self.rng.u32(20..50) * 10;
            if let Some(stock) = self.stock.get_mut(shop).and_then(|shop| shop.get_mut(*product)) {
                *stock += quantity;
            }
        }
        products.into_iter().collect()
    }

    fn sold(&mut self, shop: usize) -> BTreeSet<usize> {
        let there = |(product, stock): (usize, &u32)| (*stock > 0).then_some(product);
        let mut products: Vec<usize> =
            self.stock.get(shop).into_iter().flatten().enumerate().filter_map(there).collect();
        if products.is_empty() {
            return BTreeSet::new();
        }
        self.rng.shuffle(&mut products);
        let kinds = self.few(products.len().min(8));
        products.truncate(kinds);
        for product in &products {
            let most =
                self.stock.get(shop).and_then(|shop| shop.get(*product)).map_or(0, |stock| (*stock).min(5));
            let quantity = u32::try_from(self.few(most as usize)).unwrap_or(0);
            if let Some(stock) = self.stock.get_mut(shop).and_then(|shop| shop.get_mut(*product)) {
                *stock -= quantity;
            }
        }
        products.into_iter().collect()
    }

    /// What has changed in a shop since its last message.
    fn message(&mut self, shop: usize) -> Made {
        let mut changed = BTreeSet::new();
        for tick in 0..TICKS {
            let now = self.clock + tick * TICK_MINUTES;
            // An empty shop is filled before it opens.
            let empty = self.stock.get(shop).is_some_and(|shop| shop.iter().all(|stock| *stock == 0));
            if empty || DELIVERIES.iter().any(|at| (now..now + TICK_MINUTES).contains(at)) {
                changed.extend(self.delivered(shop));
            }
            for _ in 0..CASHIERS {
                changed.extend(self.sold(shop));
            }
        }
        let of = |product: &usize| self.stock.get(shop).and_then(|shop| shop.get(*product)).copied();
        let products: Map<_, _> = changed
            .iter()
            .map(|product| ((product + 1).to_string(), json!(of(product).unwrap_or(0))))
            .collect();
        let shop_id = (shop + 1).to_string();
        let value = json!({
            "shop_id": shop_id, "updated_products": products, "updated_at_utc": instant(self.at_ms),
        });
        Made { key: shop_id, value: value.to_string() }
    }
}

impl Iterator for Shops {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        let made = self.message(self.next);
        self.next += 1;
        if self.next == SHOPS {
            self.next = 0;
            self.at_ms += MESSAGE_MS;
            self.clock += TICKS * TICK_MINUTES;
            if self.clock >= CLOSES {
                self.clock = OPENS;
            }
        }
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_shop_tells_what_it_has() {
        let mut products = 0;
        for (n, made) in Shops::new(1, 0).take(500).enumerate() {
            let message: Value = serde_json::from_str(&made.value).unwrap();
            assert_eq!(message["shop_id"], (n % SHOPS + 1).to_string());
            assert_eq!(made.key, message["shop_id"].as_str().unwrap());
            let updated = message["updated_products"].as_object().unwrap();
            assert!(updated.values().all(|quantity| quantity.as_u64().is_some_and(|q| q < 100_000)));
            products += updated.len();
        }
        assert!(products / 500 >= 8, "{products}");
    }

    #[test]
    fn few_is_likelier_than_many() {
        let mut shops = Shops::new(1, 0);
        let sum: usize = (0..10_000).map(|_| shops.few(8)).sum();
        // The original's mean is 3.55.
        assert!((34_500..36_500).contains(&sum), "{sum}");
        assert_eq!((shops.few(1), shops.few(0)), (1, 0));
    }
}
