//! Carts, sales and payments of a web shop, with the probabilities of the system that `examples/store-events` replaces: 200
//! customers and 50 products; every 5 seconds up to 50 of them put something into their carts, and some carts are paid.

use super::{Made, digits, instant};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

const CUSTOMERS: u32 = 200;
const PRODUCTS: usize = 50;
/// The dearest product, cents.
const PRICE_CENTS_MAX: u64 = 2_000;
const CYCLE_MS: i64 = 5_000;
/// Numbers of carts and sales begin anywhere below this: two runs hardly ever meet.
const START_MAX: i32 = 2_000_000_000;
const PAYMENT_FAILS: f64 = 0.35;

/// The events, one cycle after the other.
pub(super) struct Events {
    rng: Rng,
    at_ms: i64,
    prices: Vec<u64>,
    /// By customer: the cart's number, and quantities by product.
    carts: BTreeMap<u32, (i32, BTreeMap<usize, u64>)>,
    next_cart: i32,
    next_sale: i32,
    ready: VecDeque<Made>,
}

impl Events {
    /// Those of a seed, from a point in time on (milliseconds since 1970-01-01 UTC).
    pub(super) fn new(seed: u64, at_ms: i64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let prices = (0..PRODUCTS).map(|_| rng.u64(1..=PRICE_CENTS_MAX)).collect();
        let (next_cart, next_sale) = (rng.i32(1..START_MAX), rng.i32(1..START_MAX));
        Self { rng, at_ms, prices, carts: BTreeMap::new(), next_cart, next_sale, ready: VecDeque::new() }
    }

    fn cycle(&mut self) {
        for _ in 0..self.rng.u32(1..=50) {
            let customer = self.rng.u32(1..=CUSTOMERS);
            if self.rng.bool() {
                self.add(customer);
            }
        }
        for _ in 0..self.some_carts() {
            if self.rng.f64() < 0.2 {
                self.remove();
            }
        }
        self.carts.retain(|_, (_, lines)| !lines.is_empty());
        for _ in 0..self.some_carts() {
            if self.rng.bool() {
                self.check_out();
            }
        }
        self.at_ms += CYCLE_MS;
    }

    /// From one to a quarter of the carts; none while there are too few.
    fn some_carts(&mut self) -> usize {
        match self.carts.len() / 4 {
            0 => 0,
            quarter => self.rng.usize(1..=quarter),
        }
    }

    fn any_cart(&mut self) -> Option<u32> {
        let place = self.rng.usize(..self.carts.len().max(1));
        self.carts.keys().nth(place).copied()
    }

    fn add(&mut self, customer: u32) {
        if !self.carts.contains_key(&customer) {
            let cart = self.next_cart;
            self.next_cart += 1;
            self.carts.insert(customer, (cart, BTreeMap::new()));
            self.say(customer, "CREATE_CART", json!({ "user_id": customer, "cart_id": cart }));
        }
        let (product, quantity) = (self.rng.usize(1..=PRODUCTS), self.rng.u64(1..=20));
        let Some((cart, lines)) = self.carts.get_mut(&customer) else { return };
        *lines.entry(product).or_default() += quantity;
        let added = json!({ "cart_id": *cart, "product_id": product, "quantity": quantity });
        self.say(customer, "ADD_TO_CART", added);
    }

    /// A line is taken out, all of it or a part. No event tells of it.
    fn remove(&mut self) {
        let Some(customer) = self.any_cart() else { return };
        let whole = self.rng.f64() < 0.3;
        let Some((_, lines)) = self.carts.get_mut(&customer) else { return };
        let place = self.rng.usize(..lines.len().max(1));
        let Some(product) = lines.keys().nth(place).copied() else { return };
        let quantity = lines.get(&product).copied().unwrap_or(1);
        if whole || quantity == 1 {
            lines.remove(&product);
        } else {
            lines.insert(product, quantity - self.rng.u64(1..quantity));
        }
    }

    /// A sale; a payment that fails keeps the cart, for another time.
    fn check_out(&mut self) {
        let Some(customer) = self.any_cart() else { return };
        let Some((cart, lines)) = self.carts.get(&customer).cloned() else { return };
        let price = |product: usize| self.prices.get(product - 1).copied().unwrap_or(0);
        let lines: Vec<(usize, u64, u64)> = lines
            .into_iter()
            .map(|(product, quantity)| (product, quantity, price(product) * quantity))
            .collect();
        let total: u64 = lines.iter().map(|(_, _, cents)| cents).sum();
        let sale = self.next_sale;
        self.next_sale += 1;
        self.say(
            customer,
            "SALES",
            json!({ "sale_id": sale, "cart_id": cart, "customer_id": customer, "total_amount": money(total),
                    "order_status": "Pending" }),
        );
        let failed = self.rng.f64() < PAYMENT_FAILS;
        let method = if self.rng.bool() { "Credit Card" } else { "E-Wallet" };
        let transaction = digits(&mut self.rng);
        self.say(
            customer,
            "MAKE_PAYMENT",
            json!({ "sale_id": sale, "payment_method": method, "transaction_id": transaction,
                    "payment_status": if failed { "Failed" } else { "Paid" } }),
        );
        if !failed {
            let success = json!({ "sale_id": sale, "cart_id": cart, "transaction_id": transaction });
            self.say(customer, "SUCCESS_SALE", success);
            self.carts.remove(&customer);
        }
        for (product, quantity, cents) in lines {
            let details = json!({ "sale_id": sale, "product_id": product, "quantity": quantity, "total_price": money(cents) });
            self.say(customer, "ORDER_DETAILS", details);
        }
    }

    fn say(&mut self, customer: u32, kind: &str, mut event: Value) {
        if let Some(fields) = event.as_object_mut() {
            fields.insert("type".to_owned(), json!(kind));
            fields.insert("id".to_owned(), json!(digits(&mut self.rng)));
            fields.insert("timestamp".to_owned(), json!(instant(self.at_ms)));
        }
        self.ready.push_back(Made { key: customer.to_string(), value: event.to_string() });
    }
}

impl Iterator for Events {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        loop {
            if let Some(made) = self.ready.pop_front() {
                return Some(made);
            }
            self.cycle();
        }
    }
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_shares_of_the_original() {
        let mut by_type: BTreeMap<String, u32> = BTreeMap::new();
        for made in Events::new(1, 0).take(50_000) {
            let event: Value = serde_json::from_str(&made.value).unwrap();
            *by_type.entry(event["type"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let count = |kind: &str| f64::from(by_type[kind]);
        assert_eq!(by_type.len(), 6);
        let paid = count("SUCCESS_SALE") / count("MAKE_PAYMENT");
        assert!((0.62..0.68).contains(&paid), "{paid}");
        assert_eq!(by_type["SALES"], by_type["MAKE_PAYMENT"]);
        // Seen in the original: 357 of 1,247 events.
        let added = count("ADD_TO_CART") / 50_000.0;
        assert!((0.2..0.4).contains(&added), "{by_type:?}");
    }
}
