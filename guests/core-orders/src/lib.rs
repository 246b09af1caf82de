//! Turns nested orders into one row each (README.md): the job that stream processors are usually measured by, and
//! the load of `cargo xtask bench`.

use gristmill_sdk::hashing::{Algorithm, Hex};
use gristmill_sdk::{Config, Failure, Faults, Out, Plan, Record, Row, Timestamp, Transform};
use serde::Deserialize;
use std::borrow::Cow;

/// The most that one order may have of one good, and the dearest good, in cents.
const QUANTITY_MAX: i32 = 10_000;
const PRICE_CENTS_MAX: i64 = 100_000_000;

/// An order as it comes in. What it holds beside this is not looked at.
#[derive(Deserialize)]
struct Order<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    placed_at: Timestamp,
    #[serde(borrow)]
    priority: Cow<'a, str>,
    #[serde(borrow)]
    customer: Customer<'a>,
    #[serde(borrow)]
    items: Vec<Item<'a>>,
    total_cents: i64,
}

#[derive(Deserialize)]
struct Customer<'a> {
    id: i64,
    #[serde(borrow)]
    email: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
    quantity: i32,
    price_cents: i64,
}

#[derive(Row)]
#[row(table = "core_orders")]
struct OrderRow<'a> {
    order_id: &'a str,
    customer_id: i64,
    email: &'a str,
    priority: &'a str,
    placed_at: Timestamp,
    items: i32,
    quantity: i32,
    total_cents: i64,
    sha256: Hex<'a>,
}

/// The transform.
pub struct CoreOrders;

impl Transform for CoreOrders {
    const ABOUT: &'static str =
        "Checks nested orders, adds their items up, and stores each as one row with its digest.";
    type Config = Config;

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<OrderRow>();
        Ok(Self)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let order: Order = record.json()?;
        let (quantity, total_cents) = check(&order)?;
        out.row(&OrderRow {
            order_id: &order.order_id,
            customer_id: order.customer.id,
            email: &order.customer.email,
            priority: &order.priority,
            placed_at: order.placed_at,
            items: i32::try_from(order.items.len()).unwrap_or(i32::MAX),
            quantity,
            total_cents,
            sha256: Hex::new(Algorithm::Sha256, record.value().unwrap_or_default()),
        });
        Ok(())
    }
}

/// All faults of an order; if there are none, its quantity and its total.
fn check(order: &Order<'_>) -> Result<(i32, i64), Failure> {
    let mut faults = Faults::default();
    let mut fault = |code: &'static str, pointer: &str, reason: &str| {
        faults.add(Failure::reject(code, reason).at(pointer));
    };
    if order.order_id.is_empty() {
        fault("no-order-id", "/order_id", "an order needs an id");
    }
    if !["low", "medium", "high"].contains(&&*order.priority) {
        fault("bad-priority", "/priority", "low, medium or high");
    }
    if !is_mail_address(&order.customer.email) {
        fault("bad-mail-address", "/customer/email", "this is not a mail address");
    }
    if order.items.is_empty() {
        fault("no-items", "/items", "an order needs an item");
    }
    let (mut quantity, mut total) = (0_i32, 0_i64);
    for (index, item) in order.items.iter().enumerate() {
        let legal = (1..=QUANTITY_MAX).contains(&item.quantity)
            && (0..=PRICE_CENTS_MAX).contains(&item.price_cents)
            && !item.sku.is_empty();
        if !legal {
            fault("bad-item", &format!("/items/{index}"), "its number, quantity or price is not possible");
        }
        quantity = quantity.saturating_add(item.quantity);
        total = total.saturating_add(i64::from(item.quantity).saturating_mul(item.price_cents));
    }
    if total != order.total_cents {
        fault("wrong-total", "/total_cents", "it is not the sum of the items");
    }
    faults.check().map(|()| (quantity, total))
}

/// One `@`, something before it, and behind it labels with a dot between: enough to find what was mistyped.
fn is_mail_address(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else { return false };
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"@,;:<>()[]\\\"".contains(&byte);
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (1..=64).contains(&name.len())
        && domain.len() <= 255
        && domain.contains('.')
        && name.bytes().all(plain)
        && domain.split('.').all(label)
}

gristmill_sdk::export!(CoreOrders);

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_sdk::hashing;
    use gristmill_sdk::testing::{TestRecord, refused_config, run};

    #[test]
    fn the_digest_is_that_of_the_bytes_as_they_came() {
        let text = r#" {"order_id":"a","placed_at":"2026-11-21T09:00:00Z","priority":"low","total_cents":0,
            "customer":{"id":1,"email":"a@b.example"},"items":[{"sku":"x","quantity":1,"price_cents":0}]}"#;
        let mut values = hashing::Values::default();
        values.push(text);
        let digests = hashing::digest_many(Algorithm::Sha256, &values);
        let expected: String = digests.get(0).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        let caused = run::<CoreOrders>("{}", &[TestRecord::text(text)]).unwrap();
        assert_eq!(caused[0].rows[0].columns["sha256"], expected.as_str());
    }

    #[test]
    fn numbers_cannot_overflow() {
        let item = r#"{"sku":"x","quantity":10000,"price_cents":100000000}"#;
        let items = vec![item; 300_000].join(",");
        let text = format!(
            r#"{{"order_id":"a","placed_at":"2026-11-21T09:00:00Z","priority":"low","total_cents":1,
            "customer":{{"id":1,"email":"a@b.example"}},"items":[{items}]}}"#
        );
        let caused = run::<CoreOrders>("{}", &[TestRecord::text(text)]).unwrap();
        assert_eq!(caused[0].failures[0].code, "wrong-total");
    }

    #[test]
    fn mail_addresses() {
        for good in ["a@b.example", "first.last+tag@mail-3.sub.example", "o'hara_%@b.c"] {
            assert!(is_mail_address(good), "{good}");
        }
        for bad in ["", "a", "@b.c", "a@", "a@b", "a@b..c", "a@-b.c", "a@b.c-", "a b@c.d", "a@@b.c", "é@b.c"]
        {
            assert!(!is_mail_address(bad), "{bad}");
        }
    }

    #[test]
    fn takes_no_configuration() {
        assert!(refused_config::<CoreOrders>(r#"{"a": 1}"#).is_some());
    }
}
