//! Orders of a web shop, as `examples/city-orders` takes them. The system that it replaces has no generator; the shares are ours.

use super::Made;
use super::words::{GOODS, name, one_of};
use fastrand::Rng;
use serde::Serialize;

/// Few enough that each topic gets messages in every batch.
const CITIES: [&str; 9] = [
    "New York",
    "Chennai",
    "Köln",
    "São Paulo",
    "Aix-en-Provence",
    "Lagos",
    "Quito",
    "Osaka",
    "Salt Lake City",
];
/// One order in so many is urgent, and is confirmed by mail.
const URGENT_ONE_IN: u8 = 50;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CityOrder {
    /// Its number, from 1 on.
    pub order_id: u64,
    /// Who has ordered.
    pub customer: Customer,
    /// What was ordered.
    pub product_name: &'static str,
    /// How many of it.
    pub quantity: i32,
    /// The day, `2026-02-28`.
    pub order_date: String,
    /// `high`, `medium` or `low`.
    pub priority: &'static str,
}

/// Who has ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Customer {
    /// First and last name.
    pub name: String,
    /// Where confirmations go.
    pub email: String,
    /// Where the order goes.
    pub address: Address,
}

/// Where an order goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Number and name.
    pub street: String,
    /// It gives the topic its name.
    pub city: &'static str,
    /// The country's part.
    pub state: String,
    /// Five digits.
    pub postal_code: String,
}

impl CityOrder {
    /// The order at a place, from 0 on, of a seed.
    pub fn nth(seed: u64, place: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(32) ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (first, last) = (name(&mut rng), name(&mut rng));
        let urgent = rng.u8(..URGENT_ONE_IN) == 0;
        CityOrder {
            order_id: place + 1,
            customer: Customer {
                email: format!("{first}.{last}@mail1.example").to_lowercase(),
                name: format!("{first} {last}"),
                address: Address {
                    street: format!("{} {} Street", rng.u8(1..=250), name(&mut rng)),
                    city: one_of(&mut rng, &CITIES),
                    state: name(&mut rng),
                    postal_code: format!("{:05}", rng.u32(..100_000)),
                },
            },
            product_name: one_of(&mut rng, &GOODS),
            quantity: rng.i32(1..=40),
            order_date: format!("2026-02-{:02}", rng.u8(1..=28)),
            priority: if urgent { "high" } else { one_of(&mut rng, &["medium", "low"]) },
        }
    }
}

impl From<CityOrder> for Made {
    fn from(order: CityOrder) -> Self {
        Made { key: order.order_id.to_string(), value: serde_json::to_string(&order).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_repeatable_and_one_in_fifty_is_urgent() {
        assert_eq!(CityOrder::nth(1, 7), CityOrder::nth(1, 7));
        assert_ne!(CityOrder::nth(1, 7), CityOrder::nth(2, 7));
        let urgent = (0..10_000).filter(|place| CityOrder::nth(1, *place).priority == "high").count();
        assert!((150..250).contains(&urgent), "{urgent}");
    }
}
