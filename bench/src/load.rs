//! The load: orders of about 1 KB, one in a hundred faulty, a few of them twice. Record n is always the same, whoever
//! makes it and in whatever order, so that runs can be compared and counts foretold.

mod core;

use crate::pipelines::Pipeline;
pub(crate) use gristmill::generate::Made;
use gristmill::generate::words::{SYLLABLES, one_of};
use gristmill::generate::{CityOrder, Orders};

/// The size that records are padded to, bytes.
pub(crate) const RECORD_BYTES: usize = 1_024;
/// One record in so many is faulty.
const FAULTY_ONE_IN: u64 = 100;
/// One record in so many is the one before it once more.
const REPEATED_ONE_IN: u64 = 1_000;

/// What becomes of so many records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Expected {
    pub(crate) records: u64,
    pub(crate) rows: u64,
    pub(crate) dead_letters: u64,
}

/// Which of the kinds of fault a record has; faults come in the middle of their hundred, far from repeats.
fn fault(number: u64) -> Option<u64> {
    (number % FAULTY_ONE_IN == 37).then_some(number / FAULTY_ONE_IN)
}

fn is_repeated(number: u64) -> bool {
    number % REPEATED_ONE_IN == 500
}

/// Record `number` of a pipeline's backlog.
pub(crate) fn record(pipeline: Pipeline, number: u64) -> Made {
    let original = if is_repeated(number) { number - 1 } else { number };
    let mut random = fastrand::Rng::with_seed(original.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    match pipeline {
        Pipeline::Core => core::order(original, fault(number), &mut random),
        Pipeline::City | Pipeline::CityWhole => city_order(original, fault(number), &mut random),
        Pipeline::Vault => vault_order(number),
        Pipeline::Items => item(number, None),
    }
}

/// An order as the example's generator makes it, with one of the faults if it is to have one, and with a note that the
/// schema allows.
fn city_order(number: u64, fault: Option<u64>, random: &mut fastrand::Rng) -> Made {
    let mut order = CityOrder::nth(1, number);
    match fault.map(|kind| kind % 5) {
        Some(0) => order.priority = "urgent",
        Some(1) => order.customer.email.truncate(order.customer.email.find('@').map_or(0, |at| at + 1)),
        Some(2) => order.order_date = "2026-02-31".to_owned(),
        Some(3) => order.quantity = 0,
        _ => {}
    }
    let mut made = Made::from(order);
    if fault.is_some_and(|kind| kind % 5 == 4) {
        made.value = made.value.replace("\"city\"", "\"town\"");
    }
    made.value.pop();
    Made { key: made.key, value: padded(made.value, random) }
}

/// The same for each run, so that all runs have the same orders.
fn vault_orders() -> &'static Orders {
    const AT_MS: i64 = 1_790_000_000_000;
    static ORDERS: std::sync::LazyLock<Orders> = std::sync::LazyLock::new(|| Orders::new(1, AT_MS));
    &ORDERS
}

fn vault_order(number: u64) -> Made {
    vault_orders().nth(number)
}

/// What must have become of the first `records` of a pipeline's backlog.
pub(crate) fn expected_of(pipeline: Pipeline, records: u64) -> Expected {
    match pipeline {
        // As the example's generator makes them: each once, none faulty.
        Pipeline::Vault => Expected { records, rows: records, dead_letters: 0 },
        _ => expected(records),
    }
}

/// What one record in so many asks `guests/misbehave` for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Misdeed {
    pub(crate) name: &'static str,
    pub(crate) one_in: u64,
}

impl Misdeed {
    fn is_of(self, number: u64) -> bool {
        number % self.one_in == self.one_in / 2
    }
}

/// Record `number` for `guests/misbehave`.
pub(crate) fn item(number: u64, misdeed: Option<Misdeed>) -> Made {
    let mut random = fastrand::Rng::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let asked = misdeed.filter(|misdeed| misdeed.is_of(number));
    let asked = asked.map_or_else(String::new, |misdeed| format!(r#""do":"{}","#, misdeed.name));
    Made { key: number.to_string(), value: padded(format!(r#"{{{asked}"id":{number}"#), &mut random) }
}

/// What must have become of the first `records` items.
pub(crate) fn expected_items(records: u64, misdeed: Option<Misdeed>) -> Expected {
    let guilty = |number: &u64| misdeed.is_some_and(|misdeed| misdeed.is_of(*number));
    let dead_letters = (0..records).filter(guilty).count() as u64;
    Expected { records, rows: records - dead_letters, dead_letters }
}

/// Record `number` of a load in which each order of *core* comes twice, under keys that lead to any two partitions:
/// rows that collide.
pub(crate) fn colliding(number: u64) -> Made {
    let made = record(Pipeline::Core, number / 2);
    Made { key: format!("{}-{number}", made.key), ..made }
}

/// What must have become of the first `records` of that.
pub(crate) fn expected_colliding(records: u64) -> Expected {
    let once = expected(records / 2);
    Expected { records, rows: once.rows, dead_letters: 2 * once.dead_letters }
}

/// What must have become of the first `records` records.
pub(crate) fn expected(records: u64) -> Expected {
    let count = |is: fn(u64) -> bool| (0..records).filter(|number| is(*number)).count() as u64;
    let dead_letters = count(|number| fault(number).is_some());
    Expected { records, rows: records - dead_letters - count(is_repeated), dead_letters }
}

/// Ends an open object with a note that brings it to the records' size.
fn padded(mut open: String, random: &mut fastrand::Rng) -> String {
    open.push_str(",\"note\":\"");
    while open.len() < RECORD_BYTES - 2 {
        open.push_str(one_of(random, &SYLLABLES));
        if random.u8(..) < 60 {
            open.push(' ');
        }
    }
    open.truncate(RECORD_BYTES - 2);
    open.push_str("\"}");
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_always_the_same_and_of_one_size() {
        for pipeline in [Pipeline::Core, Pipeline::City] {
            for number in 0..2_000 {
                let (once, again) = (record(pipeline, number), record(pipeline, number));
                assert_eq!((&once.key, &once.value), (&again.key, &again.value));
                assert_eq!(once.value.len(), RECORD_BYTES, "{}", once.value);
            }
        }
    }

    #[test]
    fn a_hundredth_is_faulty() {
        assert_eq!(expected(10_000), Expected { records: 10_000, rows: 9_890, dead_letters: 100 });
        assert_eq!(expected_colliding(20_000), Expected { records: 20_000, rows: 9_890, dead_letters: 200 });
        let trap = Misdeed { name: "trap", one_in: 50 };
        assert!(item(25, Some(trap)).value.starts_with(r#"{"do":"trap","id":25,"#));
        assert_eq!(expected_items(1_000, Some(trap)).dead_letters, 20);
    }
}
