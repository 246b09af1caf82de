//! Records of any bytes through the modules of city-orders, in the sandbox: each one becomes a row or is refused, and
//! none makes a guest fail.
#![no_main]
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a fuzz target says what it has found")]

use gristmill::lookup::{Answers, Lookups, Unavailable};
use gristmill::record::Batch;
use gristmill::spec::Spec;
use gristmill::transform::{Chain, Engine, Pipeline};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

struct NoLookups;

impl Lookups for NoLookups {
    fn get_many(&self, lookup: &str, _: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        Err(Unavailable { lookup: lookup.to_owned(), message: "there are none here".to_owned() })
    }
}

fn chain() -> Chain {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/city-orders/pipeline.toml");
    let spec = Spec::read(&example).unwrap();
    let lookups: Arc<dyn Lookups> = Arc::new(NoLookups);
    Chain::new(&Pipeline::load(&Engine::new(None).unwrap(), &spec, &lookups).unwrap())
}

thread_local! {
    static CHAIN: RefCell<Chain> = RefCell::new(chain());
}

/// Parts the bytes into records, and each record into key and value.
fn batch(bytes: &[u8]) -> Batch {
    let mut batch = Batch::new("product_orders", 0);
    for (offset, record) in (0..).zip(bytes.split(|byte| *byte == b'\n').take(100)) {
        match record.iter().position(|byte| *byte == b'\t') {
            Some(at) => batch.push(offset, 1, record.get(..at), record.get(at + 1..)),
            None if record.is_empty() => batch.push(offset, 1, None, None),
            None => batch.push(offset, 1, None, Some(record)),
        }
    }
    batch
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let batch = batch(bytes);
    let (effects, _) = CHAIN.with_borrow_mut(|chain| chain.apply(&batch)).unwrap();
    let rows = effects.rows.iter().flat_map(|rows| rows.records.iter().copied());
    let worked: BTreeSet<u32> = rows.filter(|record| !effects.failures.contains_key(record)).collect();
    assert_eq!(worked.len() + effects.failures.len(), batch.len(), "a record is neither a row nor refused");
    for failure in effects.failures.values() {
        assert!(!failure.code().starts_with("guest-"), "{}: {}", failure.code(), failure.reason());
    }
});
