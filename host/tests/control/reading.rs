//! Tables, dead letters, pipelines, health: what is read over HTTP.

use super::fakes::{Fake, Mood, letter};
use super::site::{SPEC, Site, spec, state};
use axum::http::header;
use gristmill::control::{IngestLimits, router};
use gristmill::store::FilterOp;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn tables_are_filtered_and_paged() {
    let site = Site::new();
    let query = "city=K%C3%B6ln&quantity[gte]=5&quantity%5Blt%5D=9&id[ne]=1";
    for path in ["/v1/tables/dds.orders", "/orders"] {
        let answer = site.get(&format!("{path}?{query}&limit=1")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({ "rows": [{ "id": 0 }], "next": "a+b&c" }));
        let link = answer.headers[header::LINK].to_str().unwrap();
        assert!(link.starts_with(&format!("<{path}?city=K%C3%B6ln&")), "{link}");
        assert!(link.ends_with("limit=1&after=a%2Bb%26c>; rel=\"next\""), "{link}");
    }
    assert!(!site.get("/orders").await.headers.contains_key(header::LINK));
    let queries = site.fake.queries.lock().unwrap();
    let filters: Vec<_> =
        queries[0].filters.iter().map(|filter| (filter.column, filter.op, filter.value.as_str())).collect();
    assert_eq!(
        filters,
        [(1, FilterOp::Eq, "Köln"), (2, FilterOp::Ge, "5"), (2, FilterOp::Lt, "9"), (0, FilterOp::Ne, "1")]
    );
    assert_eq!((queries[0].limit, queries[2].limit), (1, 100));
}

#[tokio::test]
async fn what_cannot_be_asked_is_told() {
    let site = Site::new();
    for (path, status, part) in [
        ("/orders?cty=x", 400, "did you mean `city`?"),
        ("/orders?city[like]=x", 400, "no comparison"),
        ("/orders?limit=0", 400, "from 1 to 1000"),
        ("/orders?limit=1001", 400, "from 1 to 1000"),
        ("/orders?limit=x", 400, "from 1 to 1000"),
        ("/orders?limit=1&limit=2", 400, "twice"),
        ("/orders?after=bad", 400, "no such page"),
        ("/orders?city=%00", 400, "NUL"),
        ("/v1/tables/dds.order", 404, "did you mean `dds.orders`?"),
        ("/v1/tables/%ff", 400, ""),
        ("/v1/pipelines/order", 404, "did you mean `orders`?"),
        ("/v1/pipelines/order/dead-letters", 404, "did you mean `orders`?"),
        ("/v1/pipelines/orders/dead-letters?limit=0", 400, "from 1 to"),
        ("/v1/pipelines/orders/dead-letters?before=x", 400, "whole number"),
        ("/v1/pipelines/orders/dead-letters?cod=x", 400, "did you mean `code`?"),
        ("/v1/pipelines/orders/dead-letters/x", 400, "number"),
        ("/v1/pipelines/orders/dead-letters/99", 404, "no dead letter 99"),
        ("/nowhere", 404, "/nowhere"),
        ("/", 404, ""),
    ] {
        let detail = site.get(path).await.problem(status);
        assert!(detail.contains(part), "{path}: {detail}");
    }
    for (method, path, allowed) in [("PUT", "/orders", "GET"), ("GET", "/v1/topics/orders/records", "POST")] {
        let answer = site.call(method, path).await;
        answer.problem(405);
        assert!(answer.headers[header::ALLOW].to_str().unwrap().contains(allowed));
    }
}

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let site = Site::new();
    *site.fake.letters.lock().unwrap() = vec![
        letter(1, "orders", "schema", b"{}"),
        letter(2, "orders", "trap", b"\xff"),
        letter(3, "other", "trap", b""),
    ];
    let list = site.get("/v1/pipelines/orders/dead-letters").await.json();
    assert_eq!(list["dead_letters"].as_array().unwrap().len(), 2);
    assert_eq!(list["next"], json!(null));
    let page = site.get("/v1/pipelines/orders/dead-letters?limit=1").await;
    assert_eq!(page.json()["next"], "2");
    assert!(page.headers[header::LINK].to_str().unwrap().contains("before=2"));
    let page = site.get("/v1/pipelines/orders/dead-letters?limit=1&before=2").await.json();
    assert_eq!(page["dead_letters"][0]["id"], 1);
    let traps = site.get("/v1/pipelines/orders/dead-letters?code=trap").await.json();
    assert_eq!(traps["dead_letters"][0]["value"], json!({ "base64": "/w==" }));

    let shown = site.get("/v1/pipelines/orders/dead-letters/1").await.json();
    assert_eq!(shown["value"], json!({ "text": "{}" }));
    assert_eq!(shown["key"], json!(null));
    assert_eq!(shown["origin"]["timestamp"], "2024-02-29T00:00:00.123Z");
    assert_eq!(shown["faults"][0]["pointer"], "/quantity");
    // A time that has no text, and another pipeline's letter.
    assert_eq!(shown["at"], json!(null));
    site.get("/v1/pipelines/orders/dead-letters/3").await.problem(404);

    let replay = "/v1/pipelines/orders/dead-letters/1/replay";
    assert_eq!(site.call("POST", replay).await.status, 202);
    site.call("POST", replay).await.problem(404);
    let dropped = site.call("DELETE", "/v1/pipelines/orders/dead-letters/2").await;
    assert_eq!((dropped.status.as_u16(), dropped.body.as_str()), (204, ""));
    site.call("DELETE", "/v1/pipelines/orders/dead-letters/2").await.problem(404);
}

#[tokio::test]
async fn pipelines_say_how_they_are() {
    let site = Site::new();
    let list = site.get("/v1/pipelines").await.json();
    assert_eq!(
        (&list["pipelines"][0]["lag"], &list["pipelines"][0]["state"]),
        (&json!(5), &json!("running"))
    );
    let one = site.get("/v1/pipelines/orders").await.json();
    assert_eq!(one["dead_letters"], json!({ "total": 3, "by_code": { "schema": 2, "trap": 1 } }));
    assert_eq!((&one["parked"], &one["mails"]["sent"]), (&json!(3), &json!(2)));
    assert_eq!(one["lanes"][0]["next_offset"], 9);
    assert_eq!(one["lanes"][0]["published"], 3);
    // One that this host cannot run is told as it is, not as if there were none.
    site.get("/v1/pipelines/stuck").await.problem(404);
    site.fake.stuck.store(true, std::sync::atomic::Ordering::Relaxed);
    let stuck = site.get("/v1/pipelines/stuck").await.json();
    assert_eq!(
        (&stuck["state"], &stuck["source"], &stuck["stages"]),
        (&json!("failed"), &json!(null), &json!([]))
    );
    assert!(stuck["error"].as_str().unwrap().contains("no such module"), "{stuck}");
}

#[tokio::test]
async fn health_asks_nobody_and_readiness_everybody() {
    let site = Site::new();
    assert_eq!(site.get("/readyz").await.status, 200);
    for mood in [Mood::Unavailable, Mood::Hang, Mood::Refuse] {
        site.mood(mood);
        assert_eq!(site.get("/healthz").await.status, 200);
        site.get("/readyz").await.problem(503);
    }
    assert_eq!(site.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn the_stores_troubles_are_told_apart_and_nothing_leaks() {
    let site = Site::with(IngestLimits { request_ms_max: 100, ..IngestLimits::default() });
    for (mood, status) in
        [(Mood::Unavailable, 503), (Mood::Unfit, 500), (Mood::Panic, 500), (Mood::Hang, 503)]
    {
        site.mood(mood);
        for path in ["/orders", "/v1/pipelines/orders", "/v1/pipelines/orders/dead-letters"] {
            site.get(path).await.problem(status);
        }
    }
}

#[tokio::test]
async fn the_document_has_the_specs_routes_and_columns() {
    let site = Site::new();
    let document = site.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = &document["paths"];
    assert!(paths["/orders"]["post"]["responses"]["422"].is_object());
    let row = &paths["/orders"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
        ["rows"]["items"]["properties"];
    assert_eq!(row["id"]["format"], "int64");
    assert_eq!(row["city"], json!({ "type": "string", "maxLength": 50 }));
    assert_eq!(row["quantity"]["type"], json!(["integer", "null"]));
    assert!(paths["/v1/tables/dds.orders"]["get"].is_object());
    // Whatever is referred to is there.
    for reference in document.to_string().split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn what_two_pipelines_share_is_refused_at_the_start() {
    let fake = Arc::new(Fake::default());
    let other = SPEC.replace("name = \"orders\"\n[source]", "name = \"other\"\n[source]");
    let start = |text: &str| {
        router(state(&fake, vec![spec(SPEC), spec(text)], IngestLimits::default()))
            .err()
            .map(|e| e.to_string())
    };
    assert_eq!(start(&other).unwrap(), "the pipelines `orders` and `other` both have a table `dds.orders`");
    let renamed = other.replace("dds.orders", "orders2");
    assert_eq!(
        start(&renamed).unwrap(),
        "the pipelines `orders` and `other` both add the route POST /orders"
    );
    assert_eq!(start(&renamed.replace("/orders", "/other")), None);
}
