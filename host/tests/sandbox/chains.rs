//! Chains of stages: what one sends to `next` the other reads, and what any of them refuses goes no further.

use super::{EFFECTS, ENGINE, Users, modules};
use gristmill::effect::{Cell, Effects};
use gristmill::lookup::Lookups;
use gristmill::record::Batch;
use gristmill::spec::Spec;
use gristmill::transform::{Chain, Pipeline};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn chain() -> Chain {
    let folder = modules();
    let text = format!(
        r#"
version = 1
name = "chain"
[source]
topic = "in"
[[stage]]
name = "check"
module = "{0}/validate.wasm"
[stage.config.schema]
type = "object"
required = ["id"]
[[stage]]
name = "act"
module = "{0}/test/misbehave.wasm"
{EFFECTS}
[limits]
guest_time_ms_max = 2000
"#,
        folder.display()
    );
    let spec = Spec::parse("chain.toml", text, Path::new(".")).unwrap();
    let lookups: Arc<dyn Lookups> = Arc::new(Users);
    Chain::new(&Pipeline::load(&ENGINE, &spec, &lookups).unwrap())
}

fn ids(effects: &Effects) -> Vec<(u32, i64)> {
    let mut ids = Vec::new();
    for rows in &effects.rows {
        for (row, record) in rows.records.iter().enumerate() {
            let Cell::Int(id) = rows.cell(0, row) else { panic!() };
            ids.push((*record, id));
        }
    }
    ids
}

#[test]
fn effects_name_the_records_of_the_first_batch() {
    let mut batch = Batch::new("in", 0);
    let values = [
        r#"{"id": 10}"#,
        r#"{"nothing": 1}"#,
        r#"{"id": 12, "do": "trap"}"#,
        "not json",
        r#"{"id": 14, "to": true}"#,
    ];
    for (index, value) in values.iter().enumerate() {
        batch.push(index as i64, 0, Some(b"key"), Some(value.as_bytes()));
    }
    let (effects, runs) = chain().apply(&batch).unwrap();
    assert_eq!(ids(&effects), [(0, 10), (4, 14)]);
    let refused: Vec<(u32, &str, &str)> =
        effects.failures.iter().map(|(record, f)| (*record, f.stage.as_str(), f.code())).collect();
    assert_eq!(
        refused,
        [(1, "check", "schema-required"), (2, "act", "guest-trap"), (3, "check", "invalid-json")]
    );
    assert_eq!(effects.messages.iter().map(|m| m.records.clone()).collect::<Vec<_>>().concat(), [4]);
    assert_eq!(
        runs.iter().map(|run| (run.stage.as_str(), run.records)).collect::<Vec<_>>(),
        [("check", 5), ("act", 3)]
    );
}

#[test]
fn a_batch_without_good_records_ends_early() {
    let mut batch = Batch::new("in", 0);
    batch.push(0, 0, None, None);
    let (effects, runs) = chain().apply(&batch).unwrap();
    assert_eq!(effects.failures[&0].code(), "no-value");
    assert_eq!(runs.len(), 1);
}

#[test]
fn one_stage_cannot_forward_to_nobody() {
    let text = format!(
        "version = 1\nname = \"p\"\n[source]\ntopic = \"in\"\n[[stage]]\nname = \"only\"\nmodule = \"{}/validate.wasm\"\nconfig = {{ schema = true }}\n",
        modules().display()
    );
    let spec = Spec::parse("p.toml", text, Path::new(".")).unwrap();
    let lookups: Arc<dyn Lookups> = Arc::new(Users);
    let error = Pipeline::load(&ENGINE, &spec, &lookups).err().unwrap().to_string();
    assert!(error.contains("there is no stage after it"), "{error}");
}

#[test]
fn memory_that_a_large_batch_took_is_given_back() {
    const MIB: u64 = 1 << 20;
    let mut chain = chain();
    let batch_of = |records: usize, padding: usize| {
        let mut batch = Batch::new("in", 0);
        for n in 0..records {
            let value = format!(r#"{{"id": {n}, "padding": "{}"}}"#, "x".repeat(padding));
            batch.push(n as i64, 0, None, Some(value.as_bytes()));
        }
        batch
    };
    let work = |chain: &mut Chain, batch: &Batch| {
        let (effects, _) = chain.apply(batch).unwrap();
        assert!(effects.failures.is_empty());
        assert_eq!(ids(&effects).len(), batch.len());
        chain.give_back(Instant::now())
    };
    let small = work(&mut chain, &batch_of(10, 10));
    let large = work(&mut chain, &batch_of(100, 100_000));
    assert!(large > small + 10 * MIB, "{small} bytes, then {large}");
    assert_eq!(work(&mut chain, &batch_of(10, 10)), large, "a small batch right after it changes nothing");
    let later = Instant::now() + Duration::from_secs(60);
    assert_eq!(chain.give_back(later), 0, "none of the stages has needed it for a minute");
    assert_eq!(
        work(&mut chain, &batch_of(10, 10)),
        small,
        "and the next batch is worked through in new instances"
    );
}
