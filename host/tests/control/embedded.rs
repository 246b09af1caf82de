//! The routes over the embedded set: the journal and SQLite in one file.

use super::fakes::Fake;
use super::site::{Answer, spec};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use gristmill::access::{Grant, Role};
use gristmill::control::auth::{Policy, Wanted, issue};
use gristmill::control::{AppState, IngestLimits, router};
use gristmill::effect::{ColumnData, Effects, Failure, TableRows, Texts, Values, Verdict};
use gristmill::log::journal::Journal;
use gristmill::log::{Log, NewTopic};
use gristmill::record::{Batch, Blobs, LaneId};
use gristmill::store::sqlite::SqliteStore;
use gristmill::store::sqlite::database::Database;
use gristmill::store::{Fence, Origin, Store, Work};
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use std::sync::Arc;
use tower::ServiceExt;

const SPEC: &str = r#"version = 1
name = "p"
[source]
topic = "in"
[[stage]]
name = "s"
module = "m"
[[table]]
name = "items"
mode = "first-wins"
key = ["id"]
columns = [
  { name = "id", type = "bigint" },
  { name = "small", type = "smallint", nullable = true },
  { name = "ratio", type = "double", nullable = true },
  { name = "name", type = "varchar(20)" },
  { name = "yes", type = "boolean", nullable = true },
  { name = "raw", type = "bytes", nullable = true },
  { name = "uid", type = "uuid", nullable = true },
  { name = "at", type = "timestamptz", nullable = true },
  { name = "seen", type = "timestamp", nullable = true },
  { name = "day", type = "date" },
  { name = "price", type = "numeric(10,2)", nullable = true },
  { name = "doc", type = "json", nullable = true },
]
[[http]]
method = "GET"
path = "/items"
table = "items"
"#;

const ROWS: usize = 25;

/// A site, and the token to ask it with.
#[derive(Clone)]
struct Site {
    router: Router,
    token: String,
}

/// A site over a file with some rows and two dead letters.
async fn site() -> (Site, Arc<dyn Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("store.db")).await.unwrap();
    let log = Arc::new(Journal::new(database.clone(), tokio::runtime::Handle::current()));
    log.ensure_topic(&NewTopic { name: "in".into(), partitions: 2, replication: 1 }).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::over_database(database));
    let spec = spec(SPEC);
    store.prepare_tables(&spec).await.unwrap();
    let lane = LaneId { pipeline: "p".into(), topic: "in".into(), partition: 0 };
    let state = store.take_over(&lane).await.unwrap();
    let fence = Fence { epoch: state.epoch, batch: state.batch, next_offset: 0, published: 0 };
    store.commit(&spec, &lane, fence, &Arc::new(work())).await.unwrap();
    let fake = Arc::new(Fake::default());
    let state = AppState {
        store: store.clone(),
        registry: super::site::registry(store.clone()),
        log,
        specs: tokio::sync::watch::channel(vec![spec].into()).1,
        checker: fake.clone(),
        status: fake,
        limits: IngestLimits::default(),
        policy: Policy::default(),
        metrics: PrometheusBuilder::new().build_recorder().handle(),
    };
    let wanted = Wanted {
        name: "test".into(),
        grant: Grant::Role(Role::Operator),
        expires_days: Some(1),
        by: "test".into(),
    };
    let (_, secret) = issue(&*store, wanted).await.unwrap();
    (Site { router: router(state).unwrap(), token: secret.reveal().to_owned() }, store, folder)
}

fn work() -> Work {
    let mut batch = Batch::new("in", 0);
    let mut effects = Effects::default();
    let mut names = Texts::default();
    for n in 0..ROWS {
        batch.push(n as i64, 0, None, Some(b"\xff\x00"));
        names.push(if n % 2 == 0 { "Köln" } else { "New York" });
    }
    for record in [ROWS, ROWS + 1] {
        batch.push(record as i64, 0, Some(b"k"), Some(b"{\"a\":1}"));
        let failure = Failure::one(Verdict::Reject, "s", "d1", "schema", "is bad".into());
        effects.failures.insert(record as u32, failure);
    }
    let column = |values| Some(ColumnData { values, nulls: Vec::new() });
    let mut columns = vec![None; 12];
    columns[0] = column(Values::Int((0..ROWS as i64).collect()));
    columns[3] = column(Values::Text(names));
    columns[5] = column(Values::Bytes(Blobs { data: vec![0; ROWS], ends: (1..=ROWS as u32).collect() }));
    columns[7] = column(Values::Timestamp(vec![1_709_212_089_120_000; ROWS]));
    columns[9] = column(Values::Date((0..ROWS as i32).collect()));
    effects.rows.push(TableRows { table: 0, records: (0..ROWS as u32).collect(), columns });
    let next_offset = batch.len() as i64;
    Work { batch, origin: Origin::Log { next_offset }, effects, stages: Vec::new() }
}

async fn ask(site: &Site, mut request: Request<Body>) -> Answer {
    let token = format!("Bearer {}", site.token).parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, token);
    let response = site.router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn call(router: &Site, method: &str, path: &str) -> Answer {
    ask(router, Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

async fn get(router: &Site, path: &str) -> Answer {
    call(router, "GET", path).await
}

#[tokio::test]
async fn links_lead_through_every_row_once() {
    let (router, _store, _folder) = site().await;
    for (filter, expected) in [("", 25), ("&name=K%C3%B6ln", 13), ("&id[gte]=5&day[lt]=1970-01-11", 5)] {
        let mut path = format!("/items?limit=4{filter}");
        let mut ids = Vec::new();
        loop {
            let answer = get(&router, &path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            let page = answer.json();
            ids.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
            match answer.headers.get(header::LINK) {
                None => break assert!(page["next"].is_null()),
                Some(link) => {
                    let link = link.to_str().unwrap();
                    path = link[1..link.find('>').unwrap()].to_owned();
                }
            }
        }
        assert!(ids.is_sorted());
        ids.dedup();
        assert_eq!(ids.len(), expected, "{filter}");
    }
    let row = get(&router, "/v1/tables/items?id=3").await.json()["rows"][0].clone();
    assert_eq!((&row["name"], &row["day"]), (&"New York".into(), &"1970-01-04".into()));
    assert_eq!((&row["raw"], &row["at"]), (&"AA==".into(), &"2024-02-29T13:08:09.120000Z".into()));
}

#[tokio::test]
async fn dead_letters_go_back_and_away() {
    let (router, store, _folder) = site().await;
    let list = get(&router, "/v1/pipelines/p/dead-letters").await.json();
    let letters = list["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0]["value"]["text"], "{\"a\":1}");
    let (first, second) = (&letters[0]["id"], &letters[1]["id"]);
    let replayed = call(&router, "POST", &format!("/v1/pipelines/p/dead-letters/{first}/replay")).await;
    assert_eq!(replayed.status, 202, "{}", replayed.body);
    assert_eq!(store.parked_count("p").await.unwrap(), 1);
    assert_eq!(call(&router, "DELETE", &format!("/v1/pipelines/p/dead-letters/{second}")).await.status, 204);
    let shown = get(&router, "/v1/pipelines/p").await.json();
    assert_eq!((&shown["dead_letters"]["total"], &shown["parked"]), (&0.into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_get_places_of_their_own() {
    let (router, _store, _folder) = site().await;
    let post = |n: usize| {
        let router = router.clone();
        tokio::spawn(async move {
            let body = format!("[{{\"id\":{n}}},{{\"id\":{n}}}]");
            let request =
                Request::post("/v1/topics/in/records?key=/id").header("content-type", "application/json");
            ask(&router, request.body(body.into()).unwrap()).await.json()["records"].clone()
        })
    };
    let tasks: Vec<_> = (0..40).map(post).collect();
    let mut places = Vec::new();
    for task in tasks {
        let records = task.await.unwrap();
        assert_eq!(records[0]["partition"], records[1]["partition"]);
        for record in records.as_array().unwrap() {
            places.push((record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap()));
        }
    }
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 80);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn any_comparison_is_answered(
        values in proptest::collection::vec(
            prop_oneof!["\\PC{0,20}", "-?[0-9]{0,25}(\\.[0-9]{0,5})?(e[0-9]{1,4})?", "[0-9T:. Z+-]{0,30}", "[0-9a-f-]{0,40}",
                Just("true".to_owned()), Just("NaN".to_owned()), Just("infinity".to_owned())], 8)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (router, _store, _folder) = site().await;
            let columns =
                ["id", "small", "ratio", "name", "yes", "raw", "uid", "at", "seen", "day", "price", "doc", "after", "limit"];
            for value in &values {
                let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
                for column in columns {
                    for op in ["", "[ne]", "[lt]", "[gte]"] {
                        let path = format!("/items?{column}{op}={value}");
                        let answer = get(&router, &path).await;
                        match answer.status.as_u16() {
                            200 => {}
                            status => assert!(status < 500 && answer.problem(status).len() > 5, "{path}: {}", answer.body),
                        }
                    }
                }
            }
        });
    }
}
