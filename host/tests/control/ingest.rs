//! Records come in over HTTP.

use super::fakes::Mood;
use super::site::Site;
use axum::http::header;
use gristmill::control::IngestLimits;
use serde_json::json;

const TOPIC: &str = "/v1/topics/orders/records";

#[tokio::test]
async fn records_are_acknowledged_with_their_places() {
    let site = Site::new();
    let answer = site.post_json(TOPIC, "[{\"id\": 1.0}, 2]").await;
    assert_eq!(answer.status, 202);
    let places = json!({ "records": [{ "partition": 0, "offset": 0 }, { "partition": 0, "offset": 1 }] });
    assert_eq!(answer.json(), places);
    site.post(&format!("{TOPIC}?key=/id"), "application/x-ndjson; charset=UTF-8", "{\"id\":\"a\"}\n").await;
    let appended = site.fake.appended.lock().unwrap();
    let values: Vec<_> = appended
        .iter()
        .map(|(_, record)| String::from_utf8(record.value.clone().unwrap()).unwrap())
        .collect();
    assert_eq!(values, ["{\"id\": 1.0}", "2", "{\"id\":\"a\"}"]);
    assert_eq!(appended[2].1.key.as_deref(), Some(&b"a"[..]));
    assert_eq!(appended[0].1.key, None);
}

#[tokio::test]
async fn what_is_malformed_is_told_with_its_place() {
    let site = Site::new();
    for (path, content_type, body, status, part) in [
        (TOPIC, "application/json", "", 400, "no record"),
        (TOPIC, "application/json", "[]", 400, "no record"),
        (TOPIC, "application/json", "[1,\n 2,\n x]", 400, "record 2, line 3, column 2"),
        (TOPIC, "application/json", "{\"a\":1}\n{", 400, "record 0, line 2, column 1"),
        (TOPIC, "application/x-ndjson", "1\n\n{\"a\":\n", 400, "record 1, line 3, column 5"),
        (TOPIC, "application/json", "[1,2,3,4,5,6]", 413, "5 records"),
        (TOPIC, "text/plain", "1", 415, "application/json"),
        (TOPIC, "application/json; charset=latin1", "1", 415, "UTF-8"),
        ("/v1/topics/nowhere/records", "application/json", "1", 404, "no topic `nowhere`"),
        ("/v1/topics/__consumer_offsets/records", "application/json", "1", 404, "no topic"),
        ("/v1/topics/a%20b/records", "application/json", "1", 404, "no topic"),
        ("/v1/topics/%ff/records", "application/json", "1", 400, ""),
        ("/v1/topics/orders/records?key=id", "application/json", "1", 400, "a key is a JSON pointer"),
        ("/v1/topics/orders/records?key=%7B%2Fa", "application/json", "1", 400, "a key is a JSON pointer"),
        (TOPIC, "text/csv", "a,b\n", 400, "no record"),
        (TOPIC, "text/csv", "a,a\n1,2\n", 400, "line 1: the column `a` is there twice"),
        (TOPIC, "text/csv", "a,b\n1,2\n3\n", 400, "record 1, line 3: 1 values"),
        (TOPIC, "text/csv", "a\n1\n2\n3\n4\n5\n6\n", 413, "5 records"),
        ("/v1/topics/orders/records?kye=/id", "application/json", "1", 400, "did you mean `key`?"),
        ("/v1/topics/orders/records?key=/id", "application/json", "{}", 422, "1 of 1 records"),
        ("/orders?key=/id", "application/json", "{\"id\":1}", 400, "nothing is called `key`"),
    ] {
        let detail = site.post(path, content_type, body).await.problem(status);
        assert!(detail.contains(part), "{path} {body}: {detail}");
    }
    assert!(site.fake.appended.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_checked_route_tells_every_fault_and_takes_nothing() {
    let site = Site::new();
    let answer = site.post_json("/orders", "[{\"id\":1,\"a\":\"bad bad\"}, {\"id\":2}, {}]").await;
    answer.problem(422);
    let problem = answer.json();
    let places: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["record"].clone(), e["code"].clone()))
        .collect();
    assert_eq!(places, [(json!(0), json!("schema")), (json!(0), json!("schema")), (json!(2), json!("key"))]);
    assert!(site.fake.appended.lock().unwrap().is_empty());
    assert_eq!(site.post_json("/orders", "{\"id\":1}").await.status, 202);
    assert_eq!(site.fake.appended.lock().unwrap()[0].1.key.as_deref(), Some(&b"1"[..]));
    site.post_json("/orders", "\"no checker\"").await.problem(503);
}

#[tokio::test]
async fn the_logs_troubles_are_told_apart_and_nothing_leaks() {
    let site = Site::new();
    for (mood, status) in [
        (Mood::Busy, 429),
        (Mood::Unavailable, 503),
        (Mood::Unfit, 500),
        (Mood::Panic, 500),
        (Mood::Refuse, 413),
    ] {
        site.mood(mood);
        let answer = site.post_json(TOPIC, "1").await;
        answer.problem(status);
        let again = answer.headers.get(header::RETRY_AFTER);
        assert_eq!(again.is_some(), status == 429 || status == 503, "{mood:?}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let limits = IngestLimits { body_bytes_max: 10, in_flight_bytes_max: 15, ..IngestLimits::default() };
    let site = Site::with(limits);
    site.post_json(TOPIC, "[1,2,3,4,5,6,7]").await.problem(413);
    // Without a length in its head.
    let parts = futures::stream::iter(["[1,2,", "3,4,5", ",6]"].map(Ok::<_, std::io::Error>));
    site.post(TOPIC, "application/json", axum::body::Body::from_stream(parts)).await.problem(413);
    assert_eq!(site.post_json(TOPIC, "[1]").await.status, 202);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_stalls_is_the_clients_fault() {
    let site = Site::with(IngestLimits { body_ms_max: 50, ..IngestLimits::default() });
    let broken = futures::stream::iter([Ok("[1,"), Err(std::io::Error::other("gone"))]);
    site.post(TOPIC, "application/json", axum::body::Body::from_stream(broken)).await.problem(400);
    let stalled = futures::stream::pending::<Result<&str, std::io::Error>>();
    site.post(TOPIC, "application/json", axum::body::Body::from_stream(stalled)).await.problem(408);
}

#[tokio::test]
async fn too_much_at_once_is_429() {
    let limits =
        IngestLimits { records_per_s_max: Some(1), request_records_max: 3, ..IngestLimits::default() };
    let site = Site::with(limits);
    assert_eq!(site.post_json(TOPIC, "[1,2,3]").await.status, 202);
    let answer = site.post_json(TOPIC, "[1,2,3]").await;
    answer.problem(429);
    assert_eq!(answer.headers[header::RETRY_AFTER], "3");

    let limits = IngestLimits { in_flight_bytes_max: 5, ..IngestLimits::default() };
    let site = Site::with(IngestLimits { request_ms_max: 400, ..limits });
    site.mood(Mood::Hang);
    // No length in its head: its room grows as it comes.
    let body =
        || axum::body::Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>("[1,"), Ok("2]")]));
    let first = site.post(TOPIC, "application/json", body());
    let second = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        site.post(TOPIC, "application/json", body()).await
    };
    let (first, second) = tokio::join!(first, second);
    second.problem(429);
    // The first one took too long in the end, and gave its room back.
    first.problem(503);
    site.mood(Mood::Well);
    assert_eq!(site.post(TOPIC, "application/json", body()).await.status, 202);
}
