//! Orders for examples/city-orders, as its samples are, with a note that the schema allows.

use super::{GOODS, Made, name, one_of, padded};

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

/// Order `number`, with one of the faults if it is to have one.
pub(super) fn order(number: u64, fault: Option<u64>, random: &mut fastrand::Rng) -> Made {
    let id = number + 1;
    let (first, last) = (name(random), name(random));
    let urgent = random.u8(..URGENT_ONE_IN) == 0;
    let mut priority = if urgent { "high" } else { one_of(random, &["medium", "low"]) };
    let mut domain = "@mail1.example";
    let mut day = random.u8(1..=28);
    let mut quantity = random.i32(1..=40);
    let mut city = r#""city""#;
    match fault.map(|kind| kind % 5) {
        Some(0) => priority = "urgent",
        Some(1) => domain = "@",
        Some(2) => day = 31,
        Some(3) => quantity = 0,
        Some(_) => city = r#""town""#,
        None => {}
    }
    let email = format!("{first}.{last}{domain}").to_lowercase();
    let open = format!(
        r#"{{"order_id":{id},"customer":{{"name":"{first} {last}","email":"{email}","address":{{"street":"{} {} Street",{city}:"{}","state":"{}","postal_code":"{:05}"}}}},"product_name":"{}","quantity":{quantity},"order_date":"2026-02-{day:02}","priority":"{priority}""#,
        random.u8(1..=250),
        name(random),
        one_of(random, &CITIES),
        name(random),
        random.u32(..100_000),
        one_of(random, &GOODS),
    );
    Made { key: id.to_string(), value: padded(open, random) }
}
