//! Guests that do what no transform may do, in the very sandbox that production uses: everybody else's effects are
//! all there, once, and the guilty record is refused with cause, stage and digest. Tests come in pairs: the limit
//! obeyed, the limit violated.

mod chains;
mod records;

use gristmill::effect::{Cell, Effects, Verdict};
use gristmill::lookup::{Answers, Lookups, Unavailable};
use gristmill::record::Batch;
use gristmill::spec::Spec;
use gristmill::transform::{Chain, Engine, Module, Pipeline};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(Some(&gristmill::config::Settings::default().cache_folder())).unwrap());

/// The engine of these tests: there is room for few in one process.
pub fn engine() -> Engine {
    ENGINE.clone()
}

/// Counts fuel.
pub fn meter() -> Engine {
    static METER: LazyLock<Engine> = LazyLock::new(|| Engine::metered(None).unwrap());
    METER.clone()
}

/// The folder of built guests.
pub fn modules() -> PathBuf {
    std::env::var_os("GRISTMILL_TEST_MODULES")
        .map(PathBuf::from)
        .expect("GRISTMILL_TEST_MODULES names the folder of built guests: run `cargo xtask test`")
}

/// Lookups with one table, `users`: `u1` is known; `down` cannot be reached.
struct Users;

impl Lookups for Users {
    fn get_many(&self, lookup: &str, keys: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        if keys.iter().any(|key| key == b"down") {
            return Err(Unavailable { lookup: lookup.to_owned(), message: "connection refused".to_owned() });
        }
        Ok(keys.iter().map(|key| (key == b"u1").then(|| b"Ann".to_vec())).collect())
    }
}

/// Table and output of the test guests.
const EFFECTS: &str = r#"
[[table]]
name = "items"
mode = "append"
columns = [{ name = "id", type = "bigint" }, { name = "note", type = "text", nullable = true }]
[[output]]
name = "out"
topic = "out"
"#;

/// A spec with one stage of a test guest.
pub fn spec(module: &str, config: &str, limits: &str) -> Result<Spec, gristmill::spec::Error> {
    let module = modules().join("test").join(format!("{module}.wasm"));
    let text = format!(
        r#"
version = 1
name = "sandbox"
[source]
topic = "in"
[[stage]]
name = "act"
module = "{}"
config = {config}
{EFFECTS}
[[lookup]]
name = "users"
[limits]
guest_time_ms_max = 400
{limits}
"#,
        module.display()
    );
    Spec::parse("sandbox.toml", text, Path::new("."))
}

fn load(spec: &Spec) -> Result<Pipeline, gristmill::transform::Error> {
    let lookups: Arc<dyn Lookups> = Arc::new(Users);
    Pipeline::load(&ENGINE, spec, &lookups)
}

fn chain(config: &str, limits: &str) -> (Chain, String) {
    let pipeline = load(&spec("misbehave", config, limits).unwrap()).unwrap();
    (Chain::new(&pipeline), pipeline.stages[0].module.digest.clone())
}

fn batch(values: &[String]) -> Batch {
    let mut batch = Batch::new("in", 0);
    for (index, value) in values.iter().enumerate() {
        batch.push(index as i64, 1_000 + index as i64, None, Some(value.as_bytes()));
    }
    batch
}

/// So many items, the ones named doing something.
fn items(count: usize, doing: &[(usize, &str)]) -> Vec<String> {
    let doing: BTreeMap<usize, &str> = doing.iter().copied().collect();
    (0..count)
        .map(|id| match doing.get(&id) {
            Some(what) => format!(r#"{{"id": {id}, "to": true, "do": "{what}"}}"#),
            None => format!(r#"{{"id": {id}, "to": true}}"#),
        })
        .collect()
}

/// The ids of the rows, in order of records, with the record that each names checked.
fn row_ids(effects: &Effects) -> Vec<i64> {
    let mut ids = Vec::new();
    for rows in &effects.rows {
        for (row, record) in rows.records.iter().enumerate() {
            if effects.failures.contains_key(record) {
                continue;
            }
            let Cell::Int(id) = rows.cell(0, row) else { panic!("no id") };
            assert_eq!(id, i64::from(*record));
            ids.push(id);
        }
    }
    ids
}

fn message_records(effects: &Effects) -> Vec<u32> {
    effects
        .messages
        .iter()
        .flat_map(|messages| messages.records.iter().copied())
        .filter(|record| !effects.failures.contains_key(record))
        .collect()
}

/// Everything but the guilty ones is there, once; the guilty ones are refused with this code, stage and digest.
#[track_caller]
fn isolates(what: &str, code: &str, reason: &str) {
    let (mut chain, digest) = chain("{}", "guest_memory_bytes_max = 33554432\neffects_bytes_max = 4194304");
    let guilty = [3, 500, 999];
    let values = items(1_000, &guilty.map(|id| (id, what)));
    for round in 0..2 {
        let (effects, runs) = chain.apply(&batch(&values)).unwrap();
        let refused: Vec<usize> = effects.failures.keys().map(|record| *record as usize).collect();
        assert_eq!(refused, guilty, "{what}, round {round}");
        for failure in effects.failures.values() {
            assert_eq!(failure.code(), code, "{what}: {}", failure.reason());
            assert!(failure.reason().contains(reason), "{what}: {}", failure.reason());
            assert_eq!((failure.stage.as_str(), failure.digest.as_str()), ("act", digest.as_str()));
            assert_eq!(failure.verdict, Verdict::Reject);
        }
        let good: Vec<i64> = (0..1_000).filter(|id| !guilty.contains(&(*id as usize))).collect();
        assert_eq!(row_ids(&effects), good, "{what}");
        assert_eq!(message_records(&effects), good.iter().map(|id| *id as u32).collect::<Vec<_>>(), "{what}");
        assert_eq!(runs.len(), 1);
        // The next, healthy batch goes through the same lane.
        let (effects, _) = chain.apply(&batch(&items(10, &[]))).unwrap();
        assert!(effects.failures.is_empty());
        assert_eq!(row_ids(&effects).len(), 10);
    }
}

#[test]
fn traps_are_isolated() {
    isolates("trap", "guest-trap", "unreachable");
    isolates("panic", "guest-trap", "unreachable");
}

#[test]
fn endless_loops_are_stopped() {
    isolates("loop", "guest-timeout", "400 ms");
}

#[test]
fn endless_loops_are_stopped_when_only_the_chain_is_left_of_the_engine() {
    let engine = Engine::new(None).unwrap();
    let lookups: Arc<dyn Lookups> = Arc::new(Users);
    let pipeline = Pipeline::load(&engine, &spec("misbehave", "{}", "").unwrap(), &lookups).unwrap();
    drop(engine);
    let mut chain = Chain::new(&pipeline);
    drop(pipeline);
    let (effects, _) = chain.apply(&batch(&items(1, &[(0, "loop")]))).unwrap();
    assert_eq!(effects.failures[&0].code(), "guest-timeout");
}

#[test]
fn memory_is_bounded() {
    isolates("hog", "guest-trap", "");
}

#[test]
fn recursion_is_bounded() {
    // The guest's own stack ends before the host's does, or the other way round: a trap either way.
    isolates("recurse", "guest-trap", "wasm trap");
}

#[test]
fn a_guest_that_gives_up_is_isolated() {
    isolates("error", "guest-error", "");
}

#[test]
fn garbage_is_isolated() {
    for (what, reason) in [
        ("short-column", "column `note`"),
        ("wrong-kind", "another kind"),
        ("unknown-table", "unheard_of"),
        ("bad-index", "input 4294967295"),
        ("unsorted-inputs", "output `out`"),
        ("bad-ends", "ends"),
        ("ends-beyond", "ends"),
        ("ends-in-character", ""),
        ("unknown-output", "unheard-of"),
        ("next-unplanned", "next"),
        ("mail-unplanned", "mail"),
        ("bad-code", "code"),
    ] {
        isolates(what, "guest-garbage", reason);
    }
}

#[test]
fn a_gigabyte_is_not_lifted() {
    isolates("gigabyte", "guest-garbage", "");
}

#[test]
fn a_message_that_no_broker_would_take_refuses_its_record() {
    let (mut chain, _) = chain("{}", "message_bytes_max = 100");
    // With its key of one byte, a message is one byte longer than its value.
    let value = |id: usize, bytes: usize| {
        let start = format!(r#"{{"id": {id}, "to": true, "pad": ""#);
        let pad = "x".repeat(bytes - start.len() - 2);
        format!(r#"{start}{pad}"}}"#)
    };
    let values = [value(0, 99), value(1, 100), value(2, 99)];
    let (effects, _) = chain.apply(&batch(&values)).unwrap();
    let failure = &effects.failures[&1];
    assert_eq!((effects.failures.len(), failure.code()), (1, "message-too-large"));
    assert!(failure.reason().contains("101 bytes, and limits.message_bytes_max is 100"), "{failure:?}");
    assert_eq!(row_ids(&effects), [0, 2], "a refused record causes nothing else either");
}

#[test]
fn verdicts_are_the_records_own() {
    let (mut chain, _) = chain("{}", "");
    let values = items(10, &[(1, "retry"), (2, "reject"), (3, "many-faults"), (4, "log-flood")]);
    let (effects, _) = chain.apply(&batch(&values)).unwrap();
    let verdicts: Vec<(u32, Verdict, &str)> =
        effects.failures.iter().map(|(record, failure)| (*record, failure.verdict, failure.code())).collect();
    assert_eq!(verdicts[0], (1, Verdict::Retry, "not-yet"));
    assert_eq!(verdicts[1], (2, Verdict::Reject, "asked-for"));
    assert_eq!(verdicts[2].0, 3);
    assert_eq!(effects.failures[&3].faults.len(), 100, "a thousand faults are cut to a hundred");
    assert_eq!(row_ids(&effects), [0, 4, 5, 6, 7, 8, 9], "flooding the log is not the record's fault");
}

#[test]
fn the_accelerator_gives_the_bytes_of_the_algorithm() {
    let (mut chain, _) = chain(r#"{ do = "hash" }"#, "");
    let (effects, _) = chain.apply(&batch(&[r#"{"id": 0}"#.to_owned()])).unwrap();
    let Cell::Text(note) = effects.rows[0].cell(1, 0) else { panic!() };
    use sha2::Digest;
    let digest = sha2::Sha256::digest(br#"{"id": 0}"#);
    assert_eq!(note, digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
}

#[test]
fn lookups_answer_and_their_absence_blames_no_record() {
    let (mut chain, _) = chain(r#"{ do = "lookup" }"#, "");
    let values = [r#"{"id": 0, "key": "u1"}"#.to_owned(), r#"{"id": 1, "key": "u2"}"#.to_owned()];
    let (effects, _) = chain.apply(&batch(&values)).unwrap();
    assert_eq!(effects.rows[0].cell(1, 0), Cell::Text("Ann"));
    assert_eq!(effects.rows[0].cell(1, 1), Cell::Null);
    let down = [r#"{"id": 0, "key": "u1"}"#.to_owned(), r#"{"id": 1, "key": "down"}"#.to_owned()];
    let error = chain.apply(&batch(&down)).unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    // And it works again afterwards.
    assert!(chain.apply(&batch(&values)).unwrap().0.failures.is_empty());
}

#[test]
fn a_lookup_that_was_not_planned_is_refused() {
    isolates("lookup", "guest-garbage", "");
}

#[test]
fn modules_that_fail_to_configure_never_run() {
    for (what, reason) in [
        ("configure-error", "configuration is refused"),
        ("configure-trap", "its `configure`"),
        ("configure-panic", "its `configure`"),
        ("configure-loop", "its `configure`"),
        ("configure-hog", "its `configure`"),
        ("configure-recurse", "its `configure`"),
        ("wide-plan", "it writes table `unheard_of`, which the spec does not declare"),
    ] {
        let error = load(&spec("misbehave", &format!("{{ do = \"{what}\" }}"), "").unwrap())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("stage `act`") && error.contains(reason), "{what}: {error}");
    }
    assert!(load(&spec("misbehave", r#"{ do = "configure-log-flood" }"#, "").unwrap()).is_ok());
}

#[test]
fn a_wasi_component_runs_with_nothing_granted() {
    let pipeline = load(&spec("wasi-sample", "{}", "").unwrap()).unwrap();
    assert!(pipeline.stages[0].module.imports.iter().any(|import| import.starts_with("wasi:filesystem")));
    let mut chain = Chain::new(&pipeline);
    let (effects, _) = chain.apply(&batch(&items(3, &[]))).unwrap();
    assert!(effects.failures.is_empty());
    for row in 0..3 {
        let Cell::Text(note) = effects.rows[0].cell(1, row) else { panic!() };
        let expected = "env 0, args 0, file refused, folder refused, write refused, socket refused";
        assert_eq!(note, expected);
    }
    assert!(!Path::new("/tmp/gristmill-wasi-sample").exists());
}

#[test]
fn bytes_that_are_no_module_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, reason) in [
        (&b"hello"[..], "not WebAssembly"),
        (&b""[..], "not WebAssembly"),
        (&b"\0asm\x01\0\0\0"[..], "does not export"),
        (&b"\0asm\x0d\0\x01\0"[..], "does not export"),
        (&b"\0asm\x0d\0\x01\0\xff\xff\xff"[..], "does not compile"),
    ] {
        let path = folder.path().join("x.wasm");
        std::fs::write(&path, bytes).unwrap();
        let mut spec = spec("misbehave", "{}", "").unwrap();
        spec.stages[0].module = path.display().to_string();
        let error = load(&spec).err().unwrap().to_string();
        assert!(error.contains(reason), "{bytes:?}: {error}");
    }
    let mut spec = spec("misbehave", "{}", "").unwrap();
    spec.stages[0].module = "no-such-module".to_owned();
    let error = load(&spec).err().unwrap().to_string();
    assert!(error.contains("no-such-module.wasm"), "{error}");
}

#[test]
fn our_own_modules_have_checks_in_their_code() {
    let mut seen = 0;
    for entry in std::fs::read_dir(modules()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let module = Module::compile(&engine(), "own", &std::fs::read(&path).unwrap()).unwrap();
            assert!(module.is_interrupted(), "{} is stopped by epochs", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen} modules");
}
