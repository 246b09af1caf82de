//! Nested orders for `guests/core-orders`.

use super::{Made, RECORD_BYTES, padded};
use gristmill::generate::words::{GOODS, name, one_of};
use std::fmt::Write as _;

/// Order `number`, with one of the faults if it is to have one.
pub(super) fn order(number: u64, fault: Option<u64>, random: &mut fastrand::Rng) -> Made {
    let key = format!("order-{number:010}");
    let (first, last) = (name(random), name(random));
    let mut total = 0_u64;
    let mut items = String::new();
    for index in 0..random.u64(2..=5) {
        let (quantity, price) = (random.u64(1..=20), random.u64(50..=20_000));
        total += quantity * price;
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            items,
            r#"{comma}{{"sku":"sku-{:06}","name":"{}","quantity":{quantity},"price_cents":{price}}}"#,
            random.u32(..1_000_000),
            one_of(random, &GOODS),
        );
    }
    let mut priority = one_of(random, &["low", "medium", "high"]);
    let mut at = "@";
    let mut id = r#""order_id""#;
    match fault.map(|kind| kind % 6) {
        Some(0) => priority = "urgent",
        Some(1) => at = " at ",
        Some(2) => total += 1,
        Some(3) => items.clear(),
        Some(4) => id = r#""order_no""#,
        _ => {}
    }
    let email = format!("{first}.{last}{at}mail{}.example", random.u8(1..=9)).to_lowercase();
    let open = format!(
        r#"{{{id}:"{key}","placed_at":"2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z","priority":"{priority}","customer":{{"id":{},"name":"{first} {last}","email":"{email}","address":{{"street":"{} {} Street","city":"{}","postal_code":"{:05}"}}}},"items":[{items}],"total_cents":{total}"#,
        random.u8(1..=12),
        random.u8(1..=28),
        random.u8(..24),
        random.u8(..60),
        random.u8(..60),
        random.u16(..1_000),
        random.u32(1..5_000_000),
        random.u8(1..=250),
        name(random),
        name(random),
        random.u32(..100_000),
    );
    let mut value = padded(open, random);
    if fault.is_some_and(|kind| kind % 6 == 5) {
        // Cut off in the middle of a text: no JSON.
        value.truncate(RECORD_BYTES - 2);
        value.push_str("  ");
    }
    Made { key, value }
}
