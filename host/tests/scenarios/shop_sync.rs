//! `examples/shop-sync`: the newest of each row stands, whatever order messages come in and however often.

use super::{dead_letters, file, made_up, read, same_rows, seeds, without};
use crate::city::{Host, Set, Site, repository, server};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const FOLDER: &str = "examples/shop-sync";
const FRONTS: [(&str, &str); 3] = [
    ("categories", "local_db_upsert_category"),
    ("products", "local_db_upsert_product"),
    ("descriptions", "local_db_update_product_desc"),
];
const STOCK: &str = "oltp_update_product_quantity";

fn site(set: Set, test: &str) -> Site {
    let folder = repository().join(FOLDER);
    let spec = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let rename = |spec: &str, name: &str| {
        let topics = FRONTS.iter().map(|(_, topic)| *topic).chain([STOCK, "local_catalogue"]);
        let spec =
            topics.fold(spec.to_owned(), |spec, topic| spec.replace(topic, &format!("{name}.{topic}")));
        let spec = spec.replace("name = \"shop-sync", &format!("name = \"{name}"));
        format!("{spec}\n[limits]\nbatch_records_max = 20\n")
    };
    let mut site = Site::new(set, test, &spec("pipeline.toml"), rename);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains(".route.") || name.contains(".rules.") || name.contains(".schema.") {
            std::fs::copy(&path, site.folder.path().join(name)).unwrap();
        }
    }
    for name in FRONTS.iter().map(|(name, _)| *name).chain(["local"]) {
        let path = site.folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, rename(&spec(&format!("{name}.toml")), &site.name)).unwrap();
        site.more.push(path);
    }
    if set == Set::Real {
        site.environment.push(("GRISTMILL_LOOKUP".into(), server("GRISTMILL_TEST_LOOKUP")));
    }
    let reference = site.must(&["generate", "shop-sync", "--reference"]);
    site.must(&["reference", "load", &file(&site, "ndjson", reference.lines().map(str::to_owned))]);
    site.settings.open_ingest = Some(true);
    site
}

/// Feeds messages of one kind.
fn feed(site: &Site, topic: &str, messages: &[Value]) {
    let name = file(site, "ndjson", messages.iter().map(Value::to_string));
    let topic = format!("{}.{topic}", site.name);
    let partitions = if topic.ends_with(STOCK) { "3" } else { "1" };
    let mut arguments = vec!["ingest", &topic, &name, "--partitions", partitions];
    if topic.ends_with(STOCK) {
        arguments.extend(["--key", "/shop_id"]);
    }
    site.must(&arguments);
}

fn catalogue(name: &str) -> Vec<Value> {
    let text =
        std::fs::read_to_string(repository().join(FOLDER).join(format!("catalogue/{name}.ndjson"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The catalogue, changed at random: each message is newer than those before it.
fn changes(random: &mut fastrand::Rng, count: usize) -> Vec<(usize, Value)> {
    let all: Vec<(usize, Value)> = FRONTS
        .iter()
        .enumerate()
        .flat_map(|(n, (name, _))| catalogue(name).into_iter().map(move |message| (n, message)))
        .collect();
    let mut messages = all.clone();
    for n in 0..count {
        let (front, mut message) = all[random.usize(..all.len())].clone();
        message["updated_at_utc"] = json!(format!("2026-11-22T{:02}:{:02}:00Z", n / 60, n % 60));
        message["name"] = json!(format!("name {n}"));
        if front == 1 {
            message["price"] = json!(random.u32(1..10_000) as f64 / 100.0);
        }
        if random.u8(..10) == 0 {
            message["is_deleted"] = json!(true);
        }
        messages.push((front, message));
    }
    messages
}

fn shops(city: &str) -> &'static [i64] {
    match city {
        "Berlin" => &[1],
        "Nurnberg" => &[2, 3],
        "La Nucia" => &[4, 5],
        _ => &[1, 2, 3, 4, 5],
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

fn at(text: &Value) -> String {
    text.as_str().unwrap().replace('Z', ".000000Z")
}

type Rows = BTreeMap<(i64, i64), Value>;

fn newest(rows: &mut Rows, key: (i64, i64), row: Value) {
    let older = |known: &Value| known["updated_at_utc"].as_str() < row["updated_at_utc"].as_str();
    if rows.get(&key).is_none_or(older) {
        rows.insert(key, row);
    }
}

/// What must stand in the tables: the newest of each row.
fn model(stock: &[Value], changes: &[(usize, Value)]) -> BTreeMap<&'static str, Rows> {
    let [mut of_stock, mut categories, mut products, mut prices] = [const { Rows::new() }; 4];
    for message in stock {
        let shop: i64 = message["shop_id"].as_str().unwrap().parse().unwrap();
        for (product, quantity) in message["updated_products"].as_object().unwrap() {
            let product: i64 = product.parse().unwrap();
            let row = json!({ "shop_id": shop, "product_id": product, "stock_quantity": quantity, "is_deleted": false,
                              "updated_at_utc": at(&message["updated_at_utc"]) });
            newest(&mut of_stock, (shop, product), row);
        }
    }
    for (front, message) in changes {
        let city = message["city_name"].as_str().unwrap_or("*");
        for &shop in shops(city) {
            let mut common = json!({
                "shop_id": shop, "is_deleted": message["is_deleted"] == true, "updated_at_utc": at(&message["updated_at_utc"]),
            });
            let text = |name: &str| json!(message[name].as_str().unwrap_or(""));
            if *front == 1 {
                let mut price = common.clone();
                price["product_id"] = message["product_id"].clone();
                price["price"] = message["price"].clone();
                price["discount"] = json!(message["discount"].as_f64().unwrap_or(0.0));
                newest(&mut prices, (shop, number(&message["product_id"])), price);
            }
            common["name"] = text("name");
            common["description"] = text("description");
            common["category_id"] = message["category_id"].clone();
            if *front == 0 {
                newest(&mut categories, (shop, number(&message["category_id"])), common);
            } else {
                common["product_id"] = message["product_id"].clone();
                common["barcode"] = text("barcode");
                newest(&mut products, (shop, number(&message["product_id"])), common);
            }
        }
    }
    BTreeMap::from([
        ("shop_products", of_stock),
        ("local_categories", categories),
        ("local_products", products),
        ("local_prices", prices),
    ])
}

#[track_caller]
fn check(site: &Site, stock: &[Value], changes: &[(usize, Value)]) {
    let found = site.tables();
    for (table, expected) in model(stock, changes) {
        let rows = found[table].iter().map(|row| without(row, &["last_updated_utc"]));
        same_rows(table, rows, expected.into_values());
    }
    assert_eq!(dead_letters(site).len(), 0);
}

/// What a shop asks for when it was offline, and what the office asks: all of it, and what has changed since.
#[track_caller]
fn check_answers(host: &Host, stock: &[Value], changes: &[(usize, Value)]) {
    let model = model(stock, changes);
    let rows = |path: &str, gone: &[&str]| -> Vec<Value> {
        host.rows(path).iter().map(|row| without(row, gone)).collect()
    };
    let of_shop = |table: &str, shop: i64| -> Vec<(i64, Value)> {
        let of = model[table].iter().filter(|((of, _), _)| *of == shop);
        of.map(|((_, id), row)| (*id, row.clone())).collect()
    };
    let values = |rows: Vec<(i64, Value)>| rows.into_iter().map(|(_, row)| row);
    for shop in 1..=5 {
        let of = format!("shop_id={shop}&limit=3");
        let written = &["last_updated_utc"];
        same_rows(
            "stock",
            rows(&format!("/shop-sync/stock?{of}"), written),
            values(of_shop("shop_products", shop)),
        );
        let categories = rows(&format!("/categories/sync?{of}"), written);
        same_rows("categories", categories, values(of_shop("local_categories", shop)));
        let prices: BTreeMap<i64, Value> = of_shop("local_prices", shop).into_iter().collect();
        let products: Vec<Value> = of_shop("local_products", shop)
            .into_iter()
            .filter_map(|(id, mut product)| {
                let price = prices.get(&id)?;
                product["price"] = price["price"].clone();
                product["discount"] = price["discount"].clone();
                product["is_deleted"] = json!(product["is_deleted"] == true || price["is_deleted"] == true);
                if price["updated_at_utc"].as_str() > product["updated_at_utc"].as_str() {
                    product["updated_at_utc"] = price["updated_at_utc"].clone();
                }
                Some(product)
            })
            .collect();
        let since = "2026-11-22T01:00:00.000000Z";
        let newer = products.iter().filter(|row| row["updated_at_utc"].as_str() > Some(since)).cloned();
        let newer: Vec<Value> = newer.collect();
        let path = format!("/products/sync?{of}");
        same_rows("products", rows(&path, &[]), products);
        same_rows("newer", rows(&format!("{path}&updated_at_utc[gt]={since}"), &[]), newer);
    }
}

/// Messages in any order, some of them several times, while hosts are killed; and all of it once more from offset 0.
fn any_order_ends_the_same(set: Set, kills: usize) {
    let site = site(set, "shops");
    let mut random = fastrand::Rng::with_seed(8);
    let (stock, changes) = (made_up(&site, "shop-sync", 600, 2), changes(&mut random, 400));
    let (mut later_stock, mut later) = (stock.clone(), changes.clone());
    random.shuffle(&mut later_stock);
    random.shuffle(&mut later);
    let mut host: Host = site.host(None);
    for n in 0..kills {
        let part = |len: usize| len * n / kills..len * (n + 1) / kills;
        let twice = random.bool();
        for _ in 0..=usize::from(twice) {
            feed(&site, STOCK, &later_stock[part(later_stock.len())]);
            for (front, (_, topic)) in FRONTS.iter().enumerate() {
                let of = later[part(later.len())].iter().filter(|(of, _)| *of == front);
                feed(&site, topic, &of.map(|(_, message)| message.clone()).collect::<Vec<_>>());
            }
        }
        std::thread::sleep(Duration::from_millis(random.u64(100..600)));
        host.kill();
        host = site.host(None);
    }
    site.wait_until_done(&mut [&mut host]);
    check(&site, &stock, &changes);
    check_answers(&host, &stock, &changes);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    site.rename_pipelines();
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    check(&site, &stock, &changes);
    check_answers(&host, &stock, &changes);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn any_order_and_thirty_kills_end_the_same() {
    any_order_ends_the_same(Set::Real, 30);
}

#[test]
fn any_order_and_kills_end_the_same_on_the_embedded_set() {
    any_order_ends_the_same(Set::Embedded, 30);
}

/// Other messages in other orders, any number of times.
#[test]
fn any_order_and_number_gives_the_same_tables() {
    for seed in seeds(200) {
        let mut random = fastrand::Rng::with_seed(seed);
        let site = site(Set::Embedded, "orders");
        let (stock, changes) = (made_up(&site, "shop-sync", 100, seed), changes(&mut random, 150));
        let mut host = site.host(None);
        for _ in 0..random.u32(1..=3) {
            let (mut now, mut of_catalogue) = (stock.clone(), changes.clone());
            random.shuffle(&mut now);
            random.shuffle(&mut of_catalogue);
            feed(&site, STOCK, &now);
            for (front, (_, topic)) in FRONTS.iter().enumerate() {
                let of = of_catalogue.iter().filter(|(of, _)| *of == front);
                feed(&site, topic, &of.map(|(_, message)| message.clone()).collect::<Vec<_>>());
            }
        }
        site.wait_until_done(&mut [&mut host]);
        check(&site, &stock, &changes);
        check_answers(&host, &stock, &changes);
        assert_eq!(host.terminate(), Some(0), "seed {seed}: {}", host.log());
    }
}

/// The original's three consumers: one is killed, one is added.
#[test]
fn three_hosts_share_the_shops() {
    let site = site(Set::Real, "three");
    let stock = made_up(&site, "shop-sync", 900, 6);
    feed(&site, STOCK, &stock[..300]);
    let mut hosts = [site.host(None), site.host(None), site.host(None)];
    hosts.iter_mut().for_each(Host::wait_until_ready);
    feed(&site, STOCK, &stock[300..600]);
    hosts[1].kill();
    feed(&site, STOCK, &stock[600..]);
    let mut added = site.host(None);
    let [first, _, third] = &mut hosts;
    site.wait_until_done(&mut [first, third, &mut added]);
    check(&site, &stock, &[]);
    for host in [first, third, &mut added] {
        assert_eq!(host.terminate(), Some(0), "{}", host.log());
    }
}

/// What shops ask for: what has changed since they last asked, if only in price; and what is refused at the door.
fn read_paths(set: Set) {
    let site = site(set, "sync");
    for (name, topic) in FRONTS {
        feed(&site, topic, &catalogue(name));
    }
    let mut host = site.host(None);
    host.wait_until_ready();
    site.wait_until_done(&mut [&mut host]);
    let rows = |host: &Host, path: &str| read(host, path)["rows"].as_array().unwrap().clone();
    assert_eq!(rows(&host, "/categories/sync?shop_id=3").len(), 5);
    let berlin = rows(&host, "/products/sync?shop_id=1");
    assert_eq!((berlin.len(), &berlin[0]["price"]), (14, &json!(16.99)));
    assert_eq!(rows(&host, "/products/sync?shop_id=4")[0]["price"], 14.99);
    let since = "updated_at_utc[gt]=2026-11-20T08:00:00Z";
    // The one description that is newer.
    let changed = rows(&host, &format!("/products/sync?shop_id=1&{since}"));
    assert_eq!((changed.len(), &changed[0]["description"]), (1, &json!("Stones that stand on each other.")));
    let mut dearer = catalogue("products")[3].clone();
    assert_eq!((&dearer["product_id"], &dearer["city_name"]), (&json!(2), &json!("Berlin")));
    dearer["price"] = json!(18.5);
    dearer["updated_at_utc"] = json!("2026-11-22T08:00:00Z");
    let post = |host: &Host, path: &str, body: &Value| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("http://{}{path}", host.address);
        agent.post(url).content_type("application/json").send(body.to_string()).unwrap().status().as_u16()
    };
    assert_eq!(post(&host, "/shop-sync/products", &dearer), 202);
    site.wait_until_done(&mut [&mut host]);
    let changed = rows(&host, &format!("/products/sync?shop_id=1&product_id=2&{since}"));
    assert_eq!(changed[0]["price"], 18.5);
    assert_eq!(
        rows(&host, &format!("/products/sync?shop_id=2&product_id=2&{since}")).len(),
        0,
        "another city"
    );
    for (path, body) in [
        ("/shop-sync/products", json!({ "product_id": 1 })),
        ("/shop-sync/stock", json!({ "shop_id": 1, "updated_products": {} })),
        ("/shop-sync/stock", json!({ "shop_id": "1", "updated_products": { "4": -1 } })),
    ] {
        assert_eq!(post(&host, path, &body), 422, "{body}");
    }
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn shops_ask_for_what_has_changed() {
    read_paths(Set::Real);
}

#[test]
fn shops_ask_for_what_has_changed_on_the_embedded_set() {
    read_paths(Set::Embedded);
}
