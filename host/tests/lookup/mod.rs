//! Lookups: Redis, the reference table, a table of the pipeline; and a source that cannot be reached.

use gristmill::effect::{ColumnData, Effects, TableRows, Texts, Values};
use gristmill::lookup::{KeyValues, Lookups, PipelineLookups, Redis, Reference, Sources};
use gristmill::record::{Batch, LaneId};
use gristmill::secrets::Secrets;
use gristmill::spec::Spec;
use gristmill::store::sqlite::SqliteStore;
use gristmill::store::{Fence, Origin, Store, Work};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SPEC: &str = r#"
version = 1
name = "lookups"
[source]
topic = "in"
[[stage]]
name = "only"
module = "none"
[[table]]
name = "users"
mode = "last-wins"
key = ["id"]
columns = [{ name = "id", type = "text" }, { name = "name", type = "text" }]
[[lookup]]
name = "keys"
prefix = "PREFIX:"
timeout_ms_max = 500
[[lookup]]
name = "kept"
prefix = "PREFIX:"
cache_ms_max = 60_000
[[lookup]]
name = "users"
table = "users"
"#;

struct Bench {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    spec: Arc<Spec>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(prefix: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let spec = Arc::new(Spec::parse("spec", SPEC.replace("PREFIX", prefix), Path::new(".")).unwrap());
        let store = runtime.block_on(async {
            let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
            store.migrate().await.unwrap();
            store.prepare_tables(&spec).await.unwrap();
            store
        });
        Bench { runtime, store: Arc::new(store), spec, _folder: folder }
    }

    fn lookups(&self, keys: Arc<dyn KeyValues>) -> PipelineLookups {
        let (spec, store) = (self.spec.clone(), self.store.clone());
        PipelineLookups::new(
            spec,
            store,
            Sources { keys, secrets: Secrets::default() },
            self.runtime.handle().clone(),
        )
    }

    fn reference(&self) -> Arc<dyn KeyValues> {
        Arc::new(Reference(self.store.clone()))
    }
}

fn keys(keys: &[&str]) -> Vec<Vec<u8>> {
    keys.iter().map(|key| key.as_bytes().to_vec()).collect()
}

#[test]
fn redis_answers_in_the_order_of_the_keys() {
    let url = crate::city::server("GRISTMILL_TEST_LOOKUP");
    let prefix = format!("test{}", std::process::id());
    let bench = Bench::new(&prefix);
    bench.runtime.block_on(async {
        let client = redis::Client::open(url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        for (key, value) in [("a", &b"Ann"[..]), ("b", &[0, 159, 146, 150])] {
            let () = redis::cmd("SET")
                .arg(format!("{prefix}:{key}"))
                .arg(value)
                .arg("EX")
                .arg(60)
                .query_async(&mut connection)
                .await
                .unwrap();
        }
    });
    let lookups = bench.lookups(Arc::new(Redis::new(&url).unwrap()));
    let answers = lookups.get_many("keys", &keys(&["b", "none", "a", "b"])).unwrap();
    let binary = Some(vec![0, 159, 146, 150]);
    assert_eq!(answers, [binary.clone(), None, Some(b"Ann".to_vec()), binary]);
    assert_eq!(lookups.get_many("keys", &[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_is_told_in_time() {
    let bench = Bench::new("p");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for url in ["redis://127.0.0.1:1".to_owned(), format!("redis://{address}")] {
        let lookups = bench.lookups(Arc::new(Redis::new(&url).unwrap()));
        let began = Instant::now();
        let error = lookups.get_many("keys", &keys(&["a"])).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(3), "{url}: {:?}", began.elapsed());
        assert!(error.to_string().starts_with("the lookup `keys` is not available"), "{error}");
    }
}

#[test]
fn the_reference_table_stands_in_for_redis() {
    let bench = Bench::new("p");
    bench.runtime.block_on(bench.store.put_reference(&[(b"p:a".to_vec(), b"Ann".to_vec())])).unwrap();
    let lookups = bench.lookups(bench.reference());
    assert_eq!(lookups.get_many("keys", &keys(&["x", "a"])).unwrap(), [None, Some(b"Ann".to_vec())]);
    assert!(lookups.get_many("undeclared", &keys(&["a"])).is_err());
}

#[test]
fn answers_are_kept_and_their_absence_is_not() {
    let bench = Bench::new("p");
    let put = |key: &str, value: &str| {
        let entry = (format!("p:{key}").into_bytes(), value.as_bytes().to_vec());
        bench.runtime.block_on(bench.store.put_reference(&[entry])).unwrap();
    };
    put("a", "Ann");
    let lookups = bench.lookups(bench.reference());
    let ask = |lookup: &str| lookups.get_many(lookup, &keys(&["a", "b"])).unwrap();
    assert_eq!(ask("kept"), [Some(b"Ann".to_vec()), None]);
    put("a", "Bea");
    put("b", "Bob");
    assert_eq!(ask("kept"), [Some(b"Ann".to_vec()), Some(b"Bob".to_vec())]);
    assert_eq!(ask("keys"), [Some(b"Bea".to_vec()), Some(b"Bob".to_vec())]);
}

#[test]
fn a_table_answers_its_rows_as_json() {
    let bench = Bench::new("p");
    let mut batch = Batch::new("in", 0);
    batch.push(0, 0, None, Some(b"{}"));
    let column = |text: &str| {
        let mut texts = Texts::default();
        texts.push(text);
        Some(ColumnData { values: Values::Text(texts), nulls: Vec::new() })
    };
    let rows = TableRows { table: 0, records: vec![0], columns: vec![column("u1"), column("Ann")] };
    let effects = Effects { rows: vec![rows], ..Effects::default() };
    let work = Arc::new(Work { batch, origin: Origin::Log { next_offset: 1 }, effects, stages: Vec::new() });
    let lane = LaneId { pipeline: "lookups".into(), topic: "in".into(), partition: 0 };
    bench.runtime.block_on(async {
        let state = bench.store.take_over(&lane).await.unwrap();
        bench.store.begin_at(&lane, state.epoch, 0).await.unwrap();
        let fence = Fence { epoch: state.epoch, batch: 0, next_offset: 0, published: 0 };
        bench.store.commit(&bench.spec, &lane, fence, &work).await.unwrap();
    });
    let answers = bench.lookups(bench.reference()).get_many("users", &keys(&["u2", "u1"])).unwrap();
    assert_eq!(answers[0], None);
    let row: serde_json::Value = serde_json::from_slice(answers[1].as_ref().unwrap()).unwrap();
    assert_eq!(row, serde_json::json!({ "id": "u1", "name": "Ann" }));
}
