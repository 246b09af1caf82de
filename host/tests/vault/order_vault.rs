//! `examples/order-vault`, as one pipeline and as three: what is in the vault and in the marts is compared with a model that
//! is computed from the orders, whatever happened on the way.

use crate::city::{Host, Set, Site, repository, sql};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

const FOLDER: &str = "examples/order-vault";
const FILES: [&str; 3] = ["enrich.toml", "vault.toml", "marts.toml"];

/// How the example runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Three,
}

pub(super) fn site(set: Set, shape: Shape, test: &str) -> Site {
    site_with_batches(set, shape, test, 15)
}

/// A place for the example, its names made this run's own. Batches are small, so that they are many.
fn site_with_batches(set: Set, shape: Shape, test: &str, records: u32) -> Site {
    let folder = repository().join(FOLDER);
    let spec = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let rename = |spec: &str, name: &str| {
        let spec = spec
            .replace("order-vault", name)
            .replace(&format!("/{name}/"), "/order-vault/")
            .replace(&format!("generate = \"{name}\""), "generate = \"order-vault\"");
        ["stg_topic", "dds_topic", "cdm_topic"]
            .iter()
            .fold(spec, |spec, topic| spec.replace(topic, &format!("{name}.{topic}")))
    };
    let first = spec(if shape == Shape::One { "pipeline.toml" } else { "stg.toml" });
    let small = |spec: String| format!("{spec}\n[limits]\nbatch_records_max = {records}\n");
    let quick = |spec: &str| spec.replace("attempts_max = 5", "attempts_max = 12").replace("60_000", "1_000");
    let mut site = Site::new(set, test, &first, |spec, name| small(quick(&rename(spec, name))));
    if shape == Shape::Three {
        for file in ["dds.toml", "cdm.toml"] {
            let path = site.folder.path().join(file);
            std::fs::write(&path, small(rename(&spec(file), &site.name))).unwrap();
            site.more.push(path);
        }
    }
    for file in FILES {
        std::fs::copy(folder.join(file), site.folder.path().join(file)).unwrap();
    }
    if set == Set::Real {
        site.environment.push(("GRISTMILL_LOOKUP".into(), crate::city::server("GRISTMILL_TEST_LOOKUP")));
    }
    site.must(&["reference", "load", &folder.join("reference.ndjson").display().to_string()]);
    site
}

/// Orders, made up by the example's own command.
pub(super) fn orders(site: &Site, count: usize, seed: u64) -> Vec<Value> {
    let (count, seed) = (count.to_string(), seed.to_string());
    let at = "2026-11-21T09:00:00Z";
    let lines = site.must(&["generate", "order-vault", "-n", &count, "--seed", &seed, "--at", at]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn feed(site: &Site, values: impl IntoIterator<Item = String>) {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = site.folder.path().join(format!("feed-{number}.ndjson"));
    let mut file = std::fs::File::create(&path).unwrap();
    values.into_iter().for_each(|value| writeln!(file, "{value}").unwrap());
    drop(file);
    let path = path.display().to_string();
    site.must(&["ingest", &site.topic(), &path, "--key", "/payload/user/id", "--partitions", "4"]);
}

pub(super) fn texts(orders: &[Value]) -> Vec<String> {
    orders.iter().map(Value::to_string).collect()
}

/// What must be in each table, but for when and from where it was loaded.
#[derive(Default)]
struct Model {
    tables: BTreeMap<&'static str, BTreeSet<String>>,
    counters: BTreeMap<(&'static str, String, String), (String, i64)>,
    counted: BTreeSet<(String, String, String)>,
}

const X500: [u8; 16] =
    [0x6b, 0xa7, 0xb8, 0x14, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];

fn uuid3(name: &[u8]) -> String {
    let mut bytes: [u8; 16] = Md5::digest([&X500, name].concat()).into();
    bytes[6] = (bytes[6] & 0x0f) | 0x30;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn key(text: impl ToString) -> String {
    uuid3(text.to_string().as_bytes())
}

/// Of attributes in the order of their columns' names.
fn hashdiff(values: &[&str]) -> String {
    let framed = values.iter().flat_map(|v| [&(v.len() as u32).to_be_bytes()[..], v.as_bytes()].concat());
    uuid3(&framed.collect::<Vec<u8>>())
}

impl Model {
    /// Of orders, each in the state in which it came last; `reference` by key.
    fn of(orders: &[Value], reference: &BTreeMap<String, Value>) -> Self {
        let mut model = Self::default();
        orders.iter().for_each(|order| model.add(order, reference));
        model
    }

    fn row(&mut self, table: &'static str, row: Value) {
        self.tables.entry(table).or_default().insert(sorted(&row));
    }

    fn add(&mut self, order: &Value, reference: &BTreeMap<String, Value>) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let payload = &order["payload"];
        let (user, restaurant) = (text(&payload["user"]["id"]), text(&payload["restaurant"]["id"]));
        let (of_user, of_restaurant) = (&reference[&user], &reference[&restaurant]);
        let number = &order["object_id"];
        let (h_order, h_user, h_restaurant) = (key(number), key(&user), key(&restaurant));
        let date = text(&payload["date"]).replace('Z', ".000000");
        self.row("dds.h_order", json!({ "h_order_pk": h_order, "order_id": number, "order_dt": date }));
        self.row("dds.h_user", json!({ "h_user_pk": h_user, "user_id": user }));
        self.row("dds.h_restaurant", json!({ "h_restaurant_pk": h_restaurant, "restaurant_id": restaurant }));
        self.row(
            "dds.l_order_user",
            json!({ "hk_order_user_pk": key(format!("{h_order}_{h_user}")), "h_order_pk": h_order, "h_user_pk": h_user }),
        );
        let cost = format!("{}.00000", payload["cost"]);
        let hashed = payload["cost"].to_string();
        self.row(
            "dds.s_order_cost",
            json!({ "h_order_pk": h_order, "hk_order_cost_hashdiff": hashdiff(&[&hashed, &hashed]), "cost": cost,
                    "payment": cost }),
        );
        let status = text(&payload["final_status"]);
        self.row(
            "dds.s_order_status",
            json!({ "h_order_pk": h_order, "hk_order_status_hashdiff": hashdiff(&[&status]), "status": status }),
        );
        let (name, login) = (text(&of_user["name"]), text(&of_user["login"]));
        // userlogin comes before username.
        self.row(
            "dds.s_user_names",
            json!({ "h_user_pk": h_user, "hk_user_names_hashdiff": hashdiff(&[&login, &name]), "username": name,
                    "userlogin": login }),
        );
        let name = text(&of_restaurant["name"]);
        self.row(
            "dds.s_restaurant_names",
            json!({ "h_restaurant_pk": h_restaurant, "hk_restaurant_names_hashdiff": hashdiff(&[&name]), "name": name }),
        );
        for item in payload["order_items"].as_array().unwrap() {
            let product = text(&item["id"]);
            let menu = of_restaurant["menu"].as_array().unwrap();
            let dish = menu.iter().find(|dish| dish["_id"] == product.as_str()).unwrap();
            let (name, category) = (text(&dish["name"]), text(&dish["category"]));
            let (h_product, h_category) = (key(&product), key(&category));
            self.row("dds.h_product", json!({ "h_product_pk": h_product, "product_id": product }));
            self.row("dds.h_category", json!({ "h_category_pk": h_category, "category_name": category }));
            for (table, link, (a, pk_a), (b, pk_b)) in [
                (
                    "dds.l_order_product",
                    "hk_order_product_pk",
                    ("h_order_pk", &h_order),
                    ("h_product_pk", &h_product),
                ),
                (
                    "dds.l_product_category",
                    "hk_product_category_pk",
                    ("h_product_pk", &h_product),
                    ("h_category_pk", &h_category),
                ),
                (
                    "dds.l_product_restaurant",
                    "hk_product_restaurant_pk",
                    ("h_product_pk", &h_product),
                    ("h_restaurant_pk", &h_restaurant),
                ),
            ] {
                self.row(table, json!({ link: key(format!("{pk_a}_{pk_b}")), a: pk_a, b: pk_b }));
            }
            self.row(
                "dds.s_product_names",
                json!({ "h_product_pk": h_product, "hk_product_names_hashdiff": hashdiff(&[&name]), "name": name }),
            );
            if status == "CLOSED" {
                for (table, pk, name) in [
                    ("cdm.user_product_counters", &h_product, name),
                    ("cdm.user_category_counters", &h_category, category),
                ] {
                    if self.counted.insert((format!("{h_user}{pk}"), h_order.clone(), table.to_owned())) {
                        let counter = self.counters.entry((table, h_user.clone(), pk.clone())).or_default();
                        *counter = (name, counter.1 + 1);
                    }
                }
            }
        }
    }

    /// All rows by table.
    fn rows(mut self) -> BTreeMap<&'static str, BTreeSet<String>> {
        for ((table, user, pk), (name, count)) in std::mem::take(&mut self.counters) {
            let of = if table.contains("product") { "product" } else { "category" };
            let (id, of_name) = (format!("{of}_id"), format!("{of}_name"));
            self.row(table, json!({ "user_id": user, id: pk, of_name: name, "order_cnt": count }));
        }
        self.tables
    }
}

/// A row with its columns in order, and without when and from where it was loaded.
fn sorted(row: &Value) -> String {
    let columns: BTreeMap<&String, &Value> =
        row.as_object().unwrap().iter().filter(|(name, _)| !name.starts_with("load_")).collect();
    json!(columns).to_string()
}

pub(super) fn reference() -> BTreeMap<String, Value> {
    let lines = std::fs::read_to_string(repository().join(FOLDER).join("reference.ndjson")).unwrap();
    let entry = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap();
        (entry["key"].as_str().unwrap().to_owned(), entry["value"].clone())
    };
    lines.lines().map(entry).collect()
}

/// Whether the vault and the marts are what the model says, each row once.
#[track_caller]
pub(super) fn check(site: &Site, orders: &[Value]) {
    let (found, expected) = (site.tables(), Model::of(orders, &reference()).rows());
    for (table, expected) in &expected {
        let rows = &found[*table];
        let set: BTreeSet<String> = rows.iter().map(sorted).collect();
        let missing: Vec<_> = expected.difference(&set).take(3).collect();
        let extra: Vec<_> = set.difference(expected).take(3).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{table}: missing {missing:#?}, unexpected {extra:#?}"
        );
        assert_eq!(rows.len(), expected.len(), "{table}: some rows are there twice");
    }
    let stored: BTreeMap<i64, &Value> =
        found["stg.order_events"].iter().map(|row| (row["object_id"].as_i64().unwrap(), row)).collect();
    assert_eq!(
        stored.len(),
        orders.iter().map(|order| order["object_id"].as_i64()).collect::<BTreeSet<_>>().len()
    );
    for order in orders {
        assert_eq!(stored[&order["object_id"].as_i64().unwrap()]["payload"], order["payload"]);
    }
}

/// What is asked for of the marts.
#[track_caller]
fn check_answers(host: &Host, orders: &[Value]) {
    let expected = Model::of(orders, &reference()).rows();
    for (path, table) in
        [("products", "cdm.user_product_counters"), ("categories", "cdm.user_category_counters")]
    {
        let rows = host.rows(&format!("/order-vault/{path}?limit=500"));
        assert_eq!(rows.len(), expected[table].len(), "{path}");
        assert_eq!(&rows.iter().map(sorted).collect::<BTreeSet<_>>(), &expected[table], "{path}");
    }
}

/// The document's own order: the ids whose keys it shows.
fn documented() -> Value {
    json!({
        "object_id": 7_608_298, "object_type": "order", "sent_dttm": "2025-02-22T09:43:14.049943+00:00",
        "payload": {
            "restaurant": { "id": "af69ef12f4f34c6d86441c69" }, "user": { "id": "d3275d9d9530440ea2b0be23" },
            "date": "2025-02-22T08:56:14.049848+00:00",
            "order_items": [
                { "id": "97a91f3df3b44224bb8d67a4", "name": "x", "price": 641, "category": "x", "quantity": 5 },
                { "id": "22a38d8dbb584051b8b72f15", "name": "x", "price": 0, "category": "x", "quantity": 5 },
            ],
            "cost": 4_050, "payment": 4_050, "final_status": "CLOSED",
        }
    })
}

/// What the lookups have of the document's order, as lines for `reference load`.
fn documented_reference(site: &Site) -> String {
    let path = site.folder.path().join("documented.ndjson");
    let dish = |id: &str, name: &str, price: u64| json!({ "_id": id, "name": name, "price": price, "category": "Супы" });
    let lines = [
        json!({ "key": "d3275d9d9530440ea2b0be23", "value": { "_id": "d3275d9d9530440ea2b0be23", "name": "Ада" } }),
        json!({ "key": "af69ef12f4f34c6d86441c69", "value": {
            "_id": "af69ef12f4f34c6d86441c69", "name": "Столовая",
            "menu": [dish("97a91f3df3b44224bb8d67a4", "суп", 641), dish("22a38d8dbb584051b8b72f15", "щи", 169)] } }),
    ];
    std::fs::write(&path, lines.map(|line| line.to_string() + "\n").concat()).unwrap();
    path.display().to_string()
}

fn the_documents_order(set: Set, shape: Shape) {
    let site = site(set, shape, "documented");
    site.must(&["reference", "load", &documented_reference(&site)]);
    let mut host = site.host(None);
    host.wait_until_ready();
    // Encoded twice too, as the original's services send it; other types and re-sent orders cause nothing.
    let order = documented();
    let twice = Value::String(order.to_string()).to_string();
    let other = json!({ "object_id": 1, "object_type": "ticket", "payload": {} });
    feed(&site, [order.to_string(), other.to_string(), twice]);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(site.status()["dead_letters"], json!({}));
    let found = site.tables();
    let column = |table: &str, column: &str| -> BTreeSet<String> {
        found[table].iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
    };
    let keys = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(|key| (*key).to_owned()).collect() };
    for (table, key, expected) in [
        ("dds.h_order", "h_order_pk", &["2a86e8a3-faae-37c2-9cb6-70af837dd42f"][..]),
        ("dds.h_user", "h_user_pk", &["25f98706-7d86-3388-bfba-ea8376a8bbe1"]),
        (
            "dds.h_product",
            "h_product_pk",
            &["b5ed2502-4f0d-3dc6-9a39-22cd6038acbf", "5fef8f39-d458-3793-a1ee-a3333506ecc4"],
        ),
        ("dds.h_category", "h_category_pk", &["9b6bbc10-93eb-34e4-947d-97fe9f716803"]),
        ("dds.h_restaurant", "h_restaurant_pk", &["071485c1-74fc-34c3-a1e5-7e44a418c476"]),
        ("dds.l_order_user", "hk_order_user_pk", &["85ee8d37-64f1-323c-aaca-9fabc2aae696"]),
        (
            "dds.l_order_product",
            "hk_order_product_pk",
            &["ada3df49-5867-3734-98eb-2d21543c0a8d", "16bcc2ee-cdd3-381d-8f41-2245e59af78f"],
        ),
        (
            "dds.l_product_category",
            "hk_product_category_pk",
            &["f57aaacd-d153-3a27-925b-2dd53cb51d4b", "41df144c-0817-3c5a-ba09-6f85705c2831"],
        ),
        (
            "dds.l_product_restaurant",
            "hk_product_restaurant_pk",
            &["c48606a9-5fbf-3b13-afbc-9d5e1920bf2b", "57dbfe02-7d9a-3db6-8cb7-337eed128b82"],
        ),
    ] {
        assert_eq!(column(table, key), keys(expected), "{table}");
    }
    assert_eq!(column("dds.s_user_names", "userlogin"), keys(&["Ада"]), "the name where there is no login");
    let count = |table: &str| -> Vec<i64> {
        found[table].iter().map(|row| row["order_cnt"].as_i64().unwrap()).collect()
    };
    assert_eq!(count("cdm.user_product_counters"), [1, 1]);
    assert_eq!(count("cdm.user_category_counters"), [1], "two products of one category are one order");
    explained(&site, shape);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// Orders of one request or file have one time: what was said last is what is so.
#[test]
fn what_is_said_last_is_the_state() {
    let site = site(Set::Embedded, Shape::One, "last");
    site.must(&["reference", "load", &documented_reference(&site)]);
    let mut host = site.host(None);
    let with_status = |status: &str| {
        let mut order = documented();
        order["payload"]["final_status"] = json!(status);
        order.to_string()
    };
    feed(&site, ["CANCELLED", "OPEN", "CLOSED"].map(with_status));
    site.wait_until_done(&mut [&mut host]);
    let found = site.tables();
    let last = found["dds.s_order_status"].iter().max_by_key(|row| row["load_dt"].as_str().unwrap()).unwrap();
    assert_eq!(last["status"], "CLOSED", "{found:#?}");
    assert_eq!(found["stg.order_events"][0]["payload"]["final_status"], "CLOSED");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// From a row back to its records: the order, and the same order once more.
fn explained(site: &Site, shape: Shape) {
    let spec = if shape == Shape::One { &site.spec_path } else { &site.more[0] };
    let spec = spec.display().to_string();
    let explain = |table: &str, key: &[&str]| -> Value {
        let arguments = [&["explain", table][..], key, &["--spec", &spec, "--json"]].concat();
        serde_json::from_str(&site.must(&arguments)).unwrap()
    };
    let told = explain("dds.h_product", &["b5ed2502-4f0d-3dc6-9a39-22cd6038acbf"]);
    assert_eq!(told["rows"][0]["product_id"], "97a91f3df3b44224bb8d67a4", "{told:#}");
    let records = told["records"].as_array().unwrap();
    assert_eq!((records.len(), &told["more"]), (2, &json!(false)), "{told:#}");
    let product = ["explain", "dds.h_product", "b5ed2502-4f0d-3dc6-9a39-22cd6038acbf"];
    let one = site.must(&[&product[..], &["--spec", &spec, "--limit", "1"]].concat());
    assert!(one.contains("more than these 1") && one.contains("committed first"), "{one}");
    for record in records {
        let batches = record["batches"].as_array().unwrap();
        assert!(!batches.is_empty() && batches[0]["same_modules"] == true, "{told:#}");
        assert_eq!(batches[0]["stages"].as_array().unwrap().len(), if shape == Shape::One { 3 } else { 1 });
        let offset = record["offset"].as_i64().unwrap();
        assert!(batches[0]["first_offset"].as_i64().unwrap() <= offset);
    }
    let none = explain("dds.h_product", &["00000000-0000-0000-0000-000000000000"]);
    assert_eq!((&none["rows"], &none["records"]), (&json!([]), &json!([])), "{none:#}");
    if shape == Shape::One {
        let user = "25f98706-7d86-3388-bfba-ea8376a8bbe1";
        let counter = explain("cdm.user_product_counters", &[user, "b5ed2502-4f0d-3dc6-9a39-22cd6038acbf"]);
        assert_eq!(counter["rows"][0]["order_cnt"], 1, "{counter:#}");
        assert_eq!(counter["records"].as_array().unwrap().len(), 2, "{counter:#}");
        for (key, part) in
            [(&["x"][..], "give a value for each"), (&[user, "x"], "not a value of product_id")]
        {
            let arguments = [&["explain", "cdm.user_product_counters"][..], key, &["--spec", &spec]].concat();
            let output = site.run(&arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(1) && said.contains(part), "{said}");
        }
    }
}

/// `POST /push`, as the original has it.
#[test]
fn orders_are_pushed_over_http() {
    let mut site = site(Set::Embedded, Shape::One, "pushed");
    site.token = Some(site.must(&["token", "create", "tests", "--role", "admin"]).trim().to_owned());
    let mut host = site.host(None);
    host.wait_until_ready();
    let push = |body: &str| host.send("POST", "/push", "application/json", body.as_bytes().to_vec());
    assert_eq!(push(r#"{"N": 250}"#), (200, json!({ "status": "success", "messages_pushed": 250 })));
    assert_eq!(push("").0, 200);
    for (body, part) in [
        (r#"{"N": 0}"#, "N must be from 1"),
        (r#"{"N": 100001}"#, "N must be from 1"),
        (r#"{"n": 1}"#, "unknown field"),
        ("[", "a request is"),
    ] {
        let (status, answer) = push(body);
        assert_eq!(status, 400, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(part), "{answer}");
    }
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(site.tables()["dds.h_order"].len(), 251);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn the_documents_order_gives_its_keys() {
    the_documents_order(Set::Embedded, Shape::One);
}

#[test]
fn the_documents_order_gives_its_keys_in_three_pipelines() {
    the_documents_order(Set::Real, Shape::Three);
}

/// Waits until a host has committed something, or is too slow to.
fn wait_until_it_works(host: &mut Host) {
    host.wait_until_ready();
    let batches = || -> i64 {
        let (_, all) = host.ask("GET", "/v1/pipelines", None);
        let names = all["pipelines"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
        let batches = |name: &str| -> i64 {
            let (_, status) = host.ask("GET", &format!("/v1/pipelines/{name}"), None);
            let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
            lanes.iter().filter_map(|lane| lane["batch"].as_i64()).sum()
        };
        names.map(batches).sum()
    };
    let (start, mut least) = (Instant::now(), i64::MAX);
    while start.elapsed() < Duration::from_secs(4) {
        let now = batches();
        least = least.min(now);
        if now > least {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Killed again and again, orders sent twice, and all of it read once more from offset 0.
fn kills_change_nothing(set: Set, shape: Shape, kills: u64) {
    let site = site_with_batches(set, shape, "kills", 3);
    let all = orders(&site, 3_000, 7);
    let mut random = fastrand::Rng::with_seed(5);
    // Some of those before come once more.
    let mut lines = Vec::new();
    for (n, part) in all.chunks(100).enumerate() {
        lines.extend(texts(part));
        lines.extend((0..20).map(|_| all[random.usize(..=n * 100)].to_string()));
    }
    feed(&site, lines);
    let (mut host, mut in_the_middle): (Host, u64) = (site.host(None), 0);
    for _ in 0..kills {
        wait_until_it_works(&mut host);
        std::thread::sleep(Duration::from_millis(random.u64(0..60)));
        host.kill();
        in_the_middle += u64::from(site.lag() > 0);
        host = site.host(None);
    }
    println!("{in_the_middle} of {kills} kills left records behind");
    assert!(in_the_middle >= kills / 2, "{in_the_middle} of {kills} kills left records behind");
    site.wait_until_done(&mut [&mut host]);
    check(&site, &all);
    check_answers(&host, &all);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    // Another group over the same tables: every record from offset 0.
    site.rename_pipelines();
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    check(&site, &all);
    check_answers(&host, &all);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn thirty_kills_and_a_replay_change_nothing() {
    kills_change_nothing(Set::Real, Shape::One, 30);
}

#[test]
fn kills_change_nothing_in_three_pipelines() {
    kills_change_nothing(Set::Real, Shape::Three, 10);
}

#[test]
fn kills_change_nothing_on_the_embedded_set() {
    kills_change_nothing(Set::Embedded, Shape::One, 30);
}

/// What the example's README adds: tables for the spec, and who fills them, for the configuration of the vault.
fn more_of_readme() -> (String, String) {
    let readme = std::fs::read_to_string(repository().join(FOLDER).join("README.md")).unwrap();
    let blocks = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (tables, who_fills_them): (Vec<&str>, Vec<&str>) =
        blocks.partition(|block| block.starts_with("[[table]]"));
    assert_eq!((tables.len(), who_fills_them.len()), (2, 2));
    (tables.join("\n"), who_fills_them.join("\n"))
}

/// One more satellite or hub is a few lines of configuration, while the pipeline runs.
#[test]
fn a_satellite_and_a_hub_are_added_while_the_pipeline_runs() {
    let mut site = site(Set::Real, Shape::One, "added");
    let (tables, who_fills_them) = more_of_readme();
    // Tables are declared before anything writes them.
    let spec = std::fs::read_to_string(&site.spec_path).unwrap();
    std::fs::write(&site.spec_path, format!("{spec}\n{tables}")).unwrap();
    site.token = Some(site.must(&["token", "create", "tests", "--role", "admin"]).trim().to_owned());
    let mut host = site.host(None);
    host.wait_until_ready();
    let all = orders(&site, 400, 9);
    feed(&site, texts(&all[..200]));
    site.wait_until_done(&mut [&mut host]);
    let vault = std::fs::read_to_string(site.folder.path().join("vault.toml")).unwrap();
    let config: toml::Value = toml::from_str(&format!("{vault}\n{who_fills_them}")).unwrap();
    // A configuration belongs to a version of the catalog.
    let code = std::fs::read(crate::sandbox::modules().join("data-vault.wasm")).unwrap();
    host.must_push("data-vault", "1", &code);
    // Keys that are made otherwise would meet none of those that are there.
    let other: toml::Value =
        toml::from_str(&vault.replace("\"uuid3-x500\"", "{ name = \"framed\", algorithm = \"md5\" }"))
            .unwrap();
    let path = format!("/v1/pipelines/{}/stages/vault/swap", site.name);
    let refused = host.ask("POST", &path, Some(&json!({ "module": "data-vault@1", "config": other })));
    assert_eq!((refused.0, refused.1["code"].as_str()), (422, Some("other-recipe")), "{refused:?}");
    assert!(refused.1["detail"].as_str().unwrap().contains("uuid3-x500 md5"), "{refused:?}");
    let order = json!({ "module": "data-vault@1", "config": config });
    let swap = host.must_swap(&site.name, "vault", &order);
    host.wait_for_swap(&site.name, swap);
    feed(&site, texts(&all[200..]));
    site.wait_until_done(&mut [&mut host]);
    check(&site, &all);
    let filled = site.tables();
    assert_eq!(filled["dds.s_order_dates"].len(), 200, "filled from then on");
    let status = |order: &Value| order["payload"]["final_status"].as_str().unwrap().to_owned();
    let statuses: BTreeSet<String> = all[200..].iter().map(status).collect();
    let hub: BTreeSet<String> =
        filled["dds.h_status"].iter().map(|row| row["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!((hub.len(), hub), (filled["dds.h_status"].len(), statuses));
    let rows = sql(&site.database_url(), "SELECT count(*) FROM dds.s_order_dates");
    assert_eq!(rows, "200");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
