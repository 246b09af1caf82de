//! Runs a transform natively, on records given as texts, and shows what each record causes.
//!
//! ```
//! use gristmill_sdk::testing::{TestRecord, run};
//! use gristmill_sdk::{Config, Failure, Out, Output, Plan, Record, Transform};
//!
//! /// Gives records with a key to `out`, and refuses the others.
//! struct Keyed(Output);
//!
//! impl Transform for Keyed {
//!     const ABOUT: &'static str = "Gives records with a key to `out`.";
//!     type Config = Config;
//!
//!     fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
//!         Ok(Self(plan.output("out")))
//!     }
//!
//!     fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
//!         let key = record.key().ok_or_else(|| Failure::reject("no-key", "it needs a key"))?;
//!         out.send(self.0).key(key);
//!         Ok(())
//!     }
//! }
//!
//! let records = [TestRecord::text("a").key("k"), TestRecord::tombstone()];
//! let caused = run::<Keyed>("{}", &records)?;
//! assert_eq!(caused[0].messages[0].key.as_deref(), Some("k"));
//! assert_eq!(caused[1].failures[0].code, "no-key");
//! # Ok::<(), String>(())
//! ```
//!
//! Cases in files run in the sandbox instead: `gristmill module test`, `docs/cases.md`.

mod effects;

pub use effects::{Caused, Fault, Mail, Message, Row, Sent};

use crate::bindings::gristmill::transform::types::{Batch, Blobs, Header};
use crate::instance::Instance;
use crate::packed::{narrow, no_blobs, push_blob};
use crate::{Transform, packed::Packed as _};
use std::cell::RefCell;
use std::collections::HashMap;

/// A record to test with.
#[derive(Debug, Clone, Default)]
pub struct TestRecord {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp_ms: i64,
}

impl TestRecord {
    /// A record with this value.
    pub fn text(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record without a value.
    pub fn tombstone() -> Self {
        Self::default()
    }

    /// With a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Made at this time, in milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = timestamp_ms;
        self
    }
}

/// Answers for lookups, by table and key.
#[derive(Debug, Clone, Default)]
pub struct Answers(HashMap<String, HashMap<Vec<u8>, Vec<u8>>>);

impl Answers {
    /// With one more answer.
    #[must_use]
    pub fn with(mut self, lookup: &str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.0.entry(lookup.to_owned()).or_default().insert(key.into(), value.into());
        self
    }

    fn get_many(&self, lookup: &str, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let table = self.0.get(lookup);
        keys.iter().map(|key| table.and_then(|table| table.get(key)).cloned()).collect()
    }
}

thread_local! {
    static SECRETS: RefCell<HashMap<String, Vec<u8>>> = RefCell::default();
}

/// Lets transforms on this thread have digests made with a secret of this name.
pub fn secret(name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
    SECRETS.with_borrow_mut(|secrets| secrets.insert(name.into(), bytes.into()));
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn known_secret(name: &str) -> Result<Vec<u8>, String> {
    let known = SECRETS.with_borrow(|secrets| secrets.get(name).cloned());
    known.ok_or_else(|| format!("there is no secret `{name}`: give one with gristmill_sdk::testing::secret"))
}

/// What each record causes, in order.
pub fn run<T: Transform>(config: &str, records: &[TestRecord]) -> Result<Vec<Caused>, String> {
    run_with::<T>(config, records, &Answers::default())
}

/// What each record causes, with answers for its lookups.
pub fn run_with<T: Transform>(
    config: &str,
    records: &[TestRecord],
    answers: &Answers,
) -> Result<Vec<Caused>, String> {
    let mut instance = Instance::<T>::configure(config)?;
    let effects = instance.apply(&batch(records), &mut |lookup, keys| Ok(answers.get_many(lookup, keys)))?;
    effects::by_record(effects, records.len())
}

/// Why a configuration is refused; `None` if it is accepted.
pub fn refused_config<T: Transform>(config: &str) -> Option<String> {
    Instance::<T>::configure(config).err()
}

fn batch(records: &[TestRecord]) -> Batch {
    let (mut keys, mut no_key, mut values, mut no_value) = (no_blobs(), Vec::new(), no_blobs(), Vec::new());
    let mut headers = Vec::new();
    for (record, index) in records.iter().zip(0..) {
        push(&mut keys, &mut no_key, record.key.as_deref(), index);
        push(&mut values, &mut no_value, record.value.as_deref(), index);
        let header = |(name, value): &(String, Option<Vec<u8>>)| Header {
            index,
            name: name.clone(),
            value: value.clone(),
        };
        headers.extend(record.headers.iter().map(header));
    }
    Batch {
        topic: "test".to_owned(),
        partition: 0,
        offsets: (0..i64::from(narrow(records.len()))).collect(),
        timestamps_ms: records.iter().map(|record| record.timestamp_ms).collect(),
        keys,
        no_key,
        values,
        no_value,
        headers,
    }
}

fn push(blobs: &mut Blobs, none: &mut Vec<u32>, value: Option<&[u8]>, index: u32) {
    match value {
        Some(value) => push_blob(blobs, value),
        None => {
            blobs.close();
            none.push(index);
        }
    }
}
