//! What the office of `examples/shop-sync` tells: categories, products with the prices of a city, and descriptions. First all
//! of them as they are, then changes, each newer than those before it.

use super::{Made, instant};
use fastrand::Rng;
use serde_json::{Value, json};

const CATEGORIES: [&str; 5] = ["Baby & Toys", "Health", "Household", "Decor", "Care"];
const CITIES: usize = 3;
/// Between two changes.
const STEP_MS: i64 = 1_000;
/// One change in so many takes something out.
const DELETED_ONE_IN: u8 = 50;

/// Name, description, number of the category, and price (cents) and discount (hundredths) in each city.
type Product = (&'static str, &'static str, usize, [(u32, u32); CITIES]);

const PRODUCTS: [Product; super::shop_sync::PRODUCTS] = [
    ("balancing stones", "Stones that stand on each other.", 1, [(1699, 10), (1599, 5), (1499, 5)]),
    ("water ball track", "Balls find their way down.", 1, [(999, 0), (949, 0), (899, 0)]),
    ("toilet seat duck", "A smaller seat, with a duck.", 1, [(799, 20), (799, 20), (749, 10)]),
    ("diapers", "For the night.", 1, [(1299, 10), (1199, 10), (1099, 5)]),
    ("Haftcreme", "Holds all day.", 2, [(159, 0), (159, 0), (159, 10)]),
    ("EZB 6100 toothbrush", "With a pressure sensor.", 2, [(8999, 5), (8499, 10), (7999, 0)]),
    ("alcohol test", "Two in a box.", 2, [(699, 0), (699, 0), (649, 0)]),
    ("detergent", "For twenty loads.", 3, [(549, 0), (549, 0), (499, 10)]),
    ("softener", "Smells of nothing.", 3, [(329, 0), (329, 0), (299, 0)]),
    ("cleaner", "For floors.", 3, [(329, 0), (329, 0), (299, 5)]),
    ("PopGrip", "Holds a telephone.", 4, [(1799, 0), (1699, 0), (1699, 0)]),
    ("LED sky", "Stars at the ceiling.", 4, [(799, 0), (799, 0), (799, 10)]),
    ("scrub", "With sea salt.", 5, [(799, 35), (749, 35), (699, 30)]),
    ("anti-gray", "Covers what is gray.", 5, [(1599, 20), (1399, 20), (1299, 25)]),
];

/// What the messages are about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Categories,
    Products,
    Descriptions,
}

/// The messages of one kind.
pub(super) struct Catalogue {
    kind: Kind,
    rng: Rng,
    at_ms: i64,
    next: usize,
}

impl Catalogue {
    /// Those of a seed, from a point in time on (milliseconds since 1970-01-01 UTC).
    pub(super) fn new(kind: Kind, seed: u64, at_ms: i64) -> Self {
        Self { kind, rng: Rng::with_seed(seed), at_ms, next: 0 }
    }

    /// How many there are before changes begin.
    fn entries(&self) -> usize {
        match self.kind {
            Kind::Categories => CATEGORIES.len(),
            Kind::Products => PRODUCTS.len() * CITIES,
            Kind::Descriptions => PRODUCTS.len(),
        }
    }

    /// The one at a place, as it is at first.
    fn first(&self, place: usize) -> Option<Value> {
        if self.kind == Kind::Categories {
            let name = CATEGORIES.get(place)?;
            return Some(json!({ "category_id": place + 1, "name": name, "description": null }));
        }
        let (product, city) = match self.kind {
            Kind::Products => (place / CITIES, Some(place % CITIES)),
            _ => (place, None),
        };
        let (name, description, category, prices) = PRODUCTS.get(product)?;
        let mut message = json!({
            "product_id": product + 1, "name": name, "description": null, "category_id": category,
            "barcode": (400_000_000_000_usize + 7_919 * (product + 1)).to_string(),
        });
        let fields = message.as_object_mut()?;
        if let Some(city) = city {
            let (price, discount) = prices.get(city)?;
            fields.insert("city_name".to_owned(), json!(super::shop_sync::CITIES.get(city)?.0));
            fields.insert("price".to_owned(), hundredths(*price));
            fields.insert("discount".to_owned(), hundredths(*discount));
        } else {
            fields.insert("description".to_owned(), json!(description));
        }
        Some(message)
    }

    /// What has become of one.
    fn changed(&mut self, message: &mut Value, change: usize) {
        let Some(fields) = message.as_object_mut() else { return };
        if self.kind == Kind::Products {
            fields.insert("price".to_owned(), hundredths(self.rng.u32(100..10_000)));
            fields.insert("discount".to_owned(), hundredths(self.rng.u32(..40)));
        } else {
            fields.insert("description".to_owned(), json!(format!("Change {change}.")));
        }
        if self.rng.u8(..DELETED_ONE_IN) == 0 {
            fields.insert("is_deleted".to_owned(), json!(true));
        }
    }
}

impl Iterator for Catalogue {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        let place = self.next;
        self.next += 1;
        let mut message = if place < self.entries() {
            self.first(place)?
        } else {
            self.at_ms += STEP_MS;
            let any = self.rng.usize(..self.entries());
            let mut message = self.first(any)?;
            self.changed(&mut message, place - self.entries() + 1);
            message
        };
        message.as_object_mut()?.insert("updated_at_utc".to_owned(), json!(instant(self.at_ms)));
        // The original's producers give these no key.
        Some(Made { key: String::new(), value: message.to_string() })
    }
}

fn hundredths(number: u32) -> Value {
    json!(f64::from(number) / 100.0)
}
