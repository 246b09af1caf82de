//! Records of any bytes through the modules of city-orders, in the sandbox: each one is accounted for, and none makes
//! a guest fail. `PROPTEST_CASES` says how many batches.

use super::{ENGINE, Users};
use crate::city::repository;
use gristmill::lookup::Lookups;
use gristmill::record::Batch;
use gristmill::spec::Spec;
use gristmill::transform::{Chain, Pipeline};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

fn chain() -> Chain {
    let mut spec = Spec::read(&repository().join("examples/city-orders/pipeline.toml")).unwrap();
    for stage in &mut spec.stages {
        stage.module = super::modules().join(format!("{}.wasm", stage.module)).display().to_string();
    }
    let lookups: Arc<dyn Lookups> = Arc::new(Users);
    Chain::new(&Pipeline::load(&ENGINE, &spec, &lookups).unwrap())
}

type Bytes = Option<Vec<u8>>;

/// Nothing, any bytes, or a sample order with some of its bytes changed.
fn value() -> impl Strategy<Value = Bytes> {
    let samples = std::fs::read_to_string(repository().join("examples/city-orders/orders.ndjson")).unwrap();
    let samples: Vec<Vec<u8>> = samples.lines().take(200).map(|line| line.as_bytes().to_vec()).collect();
    let change = (any::<prop::sample::Index>(), 0..4_usize, prop::collection::vec(any::<u8>(), 0..4));
    let changed = (prop::sample::select(samples), prop::collection::vec(change, 0..4)).prop_map(
        |(mut order, changes)| {
            for (at, remove, insert) in changes {
                let start = at.index(order.len() + 1);
                let end = (start + remove).min(order.len());
                order.splice(start..end, insert);
            }
            Some(order)
        },
    );
    prop_oneof![1 => Just(None), 2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Some), 7 => changed]
}

#[test]
fn records_of_any_bytes_are_accounted_for() {
    let chain = Mutex::new(chain());
    let key = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
    let batches = prop::collection::vec((key, value()), 1..60);
    let config = Config { failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&batches, |records| {
        let mut batch = Batch::new("product_orders", 0);
        for (offset, (key, value)) in (0..).zip(&records) {
            batch.push(offset, 1, key.as_deref(), value.as_deref());
        }
        let (effects, _) = chain.lock().unwrap().apply(&batch).unwrap();
        let rows = effects.rows.iter().flat_map(|rows| rows.records.iter().copied());
        let worked: BTreeSet<u32> = rows.filter(|record| !effects.failures.contains_key(record)).collect();
        prop_assert_eq!(worked.len() + effects.failures.len(), records.len(), "a record is a row or refused");
        for (record, failure) in &effects.failures {
            let ours = failure.code().starts_with("guest-");
            prop_assert!(!ours, "record {}: {}: {}", record, failure.code(), failure.reason());
        }
        Ok(())
    });
    outcome.unwrap();
}
