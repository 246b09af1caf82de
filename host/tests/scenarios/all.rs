//! All examples in one host at once, as examples/README.md starts them: on the embedded set and on the real one, with every
//! second record of one of them bad.

use super::{dead_letters, made_up};
use crate::city::{Host, Set, Site, repository, server};
use serde_json::Value;
use std::path::Path;

const SPECS: [&str; 9] = [
    "city-orders/pipeline.toml",
    "order-vault/pipeline.toml",
    "stock-ledger/pipeline.toml",
    "store-events/pipeline.toml",
    "shop-sync/pipeline.toml",
    "shop-sync/categories.toml",
    "shop-sync/products.toml",
    "shop-sync/descriptions.toml",
    "shop-sync/local.toml",
];
const TOPICS: [&str; 12] = [
    "product_orders",
    "stg_topic",
    "events",
    "errors",
    "store-topic",
    "oltp_update_product_quantity",
    "local_db_upsert_category",
    "local_db_upsert_product",
    "local_db_update_product_desc",
    "local_catalogue",
    "{}",
    "product_orders.dlq",
];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => copy(&path, &target),
            Some("toml" | "json" | "ndjson" | "csv") => drop(std::fs::copy(&path, target).unwrap()),
            _ => {}
        }
    }
}

/// Topics of this run's own on the shared Kafka.
fn own(spec: &str, name: &str) -> String {
    let topics = TOPICS.iter().filter(|topic| !topic.ends_with(".dlq"));
    let spec = topics.fold(spec.to_owned(), |spec, topic| {
        spec.replace(&format!("topic = \"{topic}"), &format!("topic = \"{name}.{topic}"))
    });
    SPECS.iter().fold(spec, |spec, path| {
        let example = path.split('/').next().unwrap();
        spec.replace(&format!("\nname = \"{example}"), &format!("\nname = \"{name}-{example}"))
            .replace(&format!("{name}-{name}"), name)
    })
}

fn all_at_once(set: Set) {
    let mut site = Site::new(set, "all", "", |_, _| String::new());
    let folder = site.folder.path().to_owned();
    for spec in SPECS {
        let example = spec.split('/').next().unwrap();
        if !folder.join(example).exists() {
            copy(&repository().join("examples").join(example), &folder.join(example));
        }
    }
    if set == Set::Real {
        for path in SPECS.map(|spec| folder.join(spec)) {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, own(&text, &site.name)).unwrap();
        }
        site.environment.push(("GRISTMILL_LOOKUP".into(), server("GRISTMILL_TEST_LOOKUP")));
    }
    site.spec_path = folder.join(SPECS[0]);
    site.more = SPECS[1..].iter().map(|spec| folder.join(spec)).collect();
    for example in ["order-vault", "shop-sync"] {
        site.must(&[
            "reference",
            "load",
            &folder.join(example).join("reference.ndjson").display().to_string(),
        ]);
    }
    let topic =
        |topic: &str| if set == Set::Real { format!("{}.{topic}", site.name) } else { topic.to_owned() };
    let ingest = |to: &str, file: &str, key: &str, partitions: &str| {
        let (topic, file) = (topic(to), folder.join(file).display().to_string());
        let key = if key.is_empty() { vec![] } else { vec!["--key", key] };
        site.must(&[&["ingest", &topic, &file, "--partitions", partitions][..], &key].concat());
    };
    let mut host: Host = site.host(None);
    host.wait_until_ready();
    ingest("stg_topic", "order-vault/orders.ndjson", "/payload/user/id", "4");
    ingest("events", "stock-ledger/example.csv", "{/store_number}-{/item_number}", "4");
    ingest("store-topic", "store-events/events.ndjson", "", "4");
    ingest("oltp_update_product_quantity", "shop-sync/stock.ndjson", "/shop_id", "3");
    for (to, file) in [
        ("local_db_upsert_category", "categories"),
        ("local_db_upsert_product", "products"),
        ("local_db_update_product_desc", "descriptions"),
    ] {
        ingest(to, &format!("shop-sync/catalogue/{file}.ndjson"), "", "1");
    }
    // Every second order is none.
    let orders = (0..600).map(|n| match n % 2 {
        0 => format!(
            r#"{{"order_id": {}, "customer": {{"name": "Ada", "email": "ada@mail.example", "address": {{"street": "1", "city":
            "Rome", "state": "x", "postal_code": "1"}}}}, "product_name": "Lamp", "quantity": 1, "order_date": "2026-11-20",
            "priority": "low"}}"#,
            n + 1
        )
        .replace('\n', " "),
        _ => "no order".to_owned(),
    });
    let orders = super::file(&site, "ndjson", orders);
    ingest("product_orders", &orders, "/order_id", "4");
    site.wait_until_done(&mut [&mut host]);
    let found = site.tables();
    for (table, rows) in [
        ("orders", 300),
        ("stg.order_events", 300),
        ("dds.h_order", 300),
        ("transactions", 9),
        ("items", 8),
        ("fact_cart_activity", 118),
        ("shop_products", 55),
        ("local_categories", 25),
        ("local_prices", 70),
    ] {
        assert_eq!(found[table].len(), rows, "{table}");
    }
    let letters = dead_letters(&site);
    assert_eq!(letters.len(), 300);
    assert!(letters.iter().all(|letter| letter.failure.code() == "invalid-json"));
    let read = |path: &str| -> Value { super::read(&host, path) };
    assert_eq!(read("/products/sync?shop_id=1&limit=100")["rows"].as_array().unwrap().len(), 14);
    assert_eq!(read("/stock-ledger/stock?amount=800")["rows"].as_array().unwrap().len(), 1);
    assert_eq!(read("/store-events/conversion")["rows"][0]["carts"], 87);
    assert_eq!(made_up(&site, "store-events", 300, 1).len(), 300);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn all_at_once_on_the_embedded_set() {
    all_at_once(Set::Embedded);
}

#[test]
fn all_at_once_on_the_real_set() {
    all_at_once(Set::Real);
}
