//! Undisturbed runs, on both sets: the same outcome, and what other tools and people see of it.

use super::outcome::Outcome;
use super::site::{Set, Site, repository, server};
use serde_json::{Value, json};
use std::process::Command;

fn samples() -> std::path::PathBuf {
    repository().join("examples/city-orders/orders.ndjson")
}

fn undisturbed(set: Set) {
    let site = Site::city(set, "plain");
    site.ingest(&samples());
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    Outcome::of(&site).check(&Outcome::expected());
    if set == Set::Real {
        stock_tools_agree(&site);
    }
    let secret = site.must(&["token", "create", "reader", "--role", "viewer"]);
    let ingest = site.must(&["token", "create", "shop", "--ingest", &site.topic()]);
    answers_over_http(&host.address, secret.trim(), ingest.trim());
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    // Nothing was left half-way: a second host finds nothing to do.
    let before = site.status();
    let mut again = site.host(None);
    again.wait_until_ready();
    assert_eq!(again.terminate(), Some(0), "{}", again.log());
    let after = site.status();
    assert_eq!(before["dead_letters"], after["dead_letters"]);
    assert_eq!(before["lanes"], after["lanes"]);
}

#[test]
fn the_embedded_set_gives_what_is_expected() {
    undisturbed(Set::Embedded);
}

#[test]
fn the_real_set_gives_what_is_expected() {
    undisturbed(Set::Real);
}

/// Kafka's own tools see the city topics and a lag of 0.
fn stock_tools_agree(site: &Site) {
    let libs = format!("{}/*", server("GRISTMILL_TEST_KAFKA_LIBS"));
    let bootstrap = server("GRISTMILL_TEST_LOG").replace("kafka://", "");
    let java = |class: &str, arguments: &[&str]| {
        let output = Command::new("java").args(["-cp", &libs, class]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let topic = format!("{}.New_York", site.name);
    let consumed = java(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--topic",
            &topic,
            "--from-beginning",
            "--timeout-ms",
            "5000",
            "--isolation-level",
            "read_committed",
        ],
    );
    let expected =
        std::fs::read_to_string(repository().join("examples/city-orders/expected/topics.ndjson")).unwrap();
    let expected =
        expected.lines().filter(|line| serde_json::from_str::<Value>(line).unwrap()["topic"] == "New_York");
    assert_eq!(consumed.lines().count(), expected.count(), "{consumed}");
    let described = java(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &["--bootstrap-server", &bootstrap, "--describe", "--group", &site.name],
    );
    let lags: Vec<&str> = described
        .lines()
        .filter(|line| line.contains(&site.topic()))
        .filter_map(|line| line.split_whitespace().nth(5))
        .collect();
    assert_eq!(lags, ["0", "0", "0", "0"], "{described}");
}

/// What the README shows by curl, with tokens.
fn answers_over_http(address: &str, viewer: &str, shop: &str) {
    let url = |path: &str| format!("http://{address}{path}");
    let agent =
        ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let get = |path: &str| {
        let asked = agent.get(url(path)).header("authorization", format!("Bearer {viewer}"));
        let mut answer = asked.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let post = |body: &str| {
        let asked = agent.post(url("/orders")).header("authorization", format!("Bearer {shop}"));
        let mut answer = asked.header("content-type", "application/json").send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let order = json!({
        "order_id": 777_000_001, "product_name": "Lamp", "quantity": 2, "order_date": "2026-11-20", "priority": "low",
        "customer": { "name": "Ada Example", "email": "ada@example.org", "address": {
            "street": "1 Mill Lane", "city": "Rome", "state": "RM", "postal_code": "00100" } }
    });
    let (status, body) = post(&order.to_string());
    assert_eq!(status, 202, "{body}");
    let accepted: Value = serde_json::from_str(&body).unwrap();
    assert!(accepted["records"][0]["offset"].is_i64(), "{body}");
    let mut bad = order.clone();
    bad["quantity"] = json!(0);
    bad["customer"]["email"] = json!("nobody");
    let (status, body) = post(&bad.to_string());
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("/quantity") && body.contains("/customer/email"), "{body}");
    let start = std::time::Instant::now();
    loop {
        let (status, body) = get("/orders?order_id=777000001");
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        if page["rows"][0]["city"] == "Rome" {
            break;
        }
        assert!(start.elapsed().as_secs() < 20, "{body}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (status, metrics) = get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("gristmill_records_total"), "{metrics}");
    // Looked at once a second, by the lane and by its pipeline.
    let guests = |metrics: &str| {
        let line = metrics.lines().find(|line| line.starts_with("gristmill_guest_memory_bytes{"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    while guests(&get("/metrics").1) < 1e6 {
        assert!(start.elapsed().as_secs() < 30, "{metrics}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let (status, openapi) = get("/openapi.json");
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<Value>(&openapi).unwrap()["paths"]["/orders"].is_object(), "{openapi}");
    assert_eq!(get("/healthz").0, 200);
    assert_eq!(get("/readyz").0, 200);
    assert_eq!(get("/nowhere").0, 404);
}
