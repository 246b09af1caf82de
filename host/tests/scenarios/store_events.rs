//! `examples/store-events`: whatever order events come in, the star schema is what the events say.

use super::{dead_letters, file, made_up, read, same_rows, seeds};
use crate::city::{Host, Set, Site, repository};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const FOLDER: &str = "examples/store-events";

fn site(set: Set, test: &str, batch: u32, attempts: u32) -> Site {
    let spec = std::fs::read_to_string(repository().join(FOLDER).join("pipeline.toml")).unwrap();
    Site::new(set, test, &spec, |spec, name| {
        let spec = spec
            .replace("name = \"store-events\"", &format!("name = \"{name}\""))
            .replace("\"store-topic", &format!("\"{name}.store-topic"))
            .replace("attempts_max = 10", &format!("attempts_max = {attempts}"))
            .replace("delay_ms_first = 500", "delay_ms_first = 100")
            .replace("60_000", "400");
        format!("{spec}\n[limits]\nbatch_records_max = {batch}\n")
    })
}

fn feed(site: &Site, events: &[Value], keyed: bool) {
    let name = file(site, "ndjson", events.iter().map(Value::to_string));
    let mut arguments = vec!["ingest".to_owned(), site.topic(), name, "--partitions".into(), "4".into()];
    if keyed {
        // Events of a cart have no sale: those have no key.
        arguments.extend(["--key".to_owned(), "/sale_id".to_owned()]);
    }
    site.must(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

fn number(event: &Value, name: &str) -> i64 {
    event[name].as_i64().unwrap()
}

fn day(event: &Value) -> i64 {
    event["timestamp"].as_str().unwrap()[..10].replace('-', "").parse().unwrap()
}

/// Cents of an amount.
fn cents(amount: &Value) -> i64 {
    amount.as_str().unwrap().replace('.', "").parse().unwrap()
}

/// What the events say, whatever order they are in.
fn model(events: &[Value]) -> BTreeMap<&'static str, Vec<Value>> {
    let mut carts: BTreeMap<i64, Value> = BTreeMap::new();
    let mut sales: BTreeMap<i64, Value> = BTreeMap::new();
    let mut payments: BTreeMap<String, Value> = BTreeMap::new();
    let (mut details, mut activity) = (BTreeMap::new(), BTreeMap::new());
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
    for event in of("CREATE_CART") {
        let created = event["timestamp"].as_str().unwrap().replace('Z', ".000000Z");
        let row = json!({ "cart_id": event["cart_id"], "customer_id": event["user_id"], "sale_id": null,
                          "created_at": created, "sold": false });
        carts.insert(number(event, "cart_id"), row);
    }
    for event in of("SALES") {
        let row = json!({ "sale_id": event["sale_id"], "total_amount": event["total_amount"], "order_status": "Pending",
                          "order_date_id": day(event), "customer_id": event["customer_id"],
                          "cart_id": event["cart_id"], "payment_id": null, "settled": false });
        sales.insert(number(event, "sale_id"), row);
    }
    let end = |sale: &mut Value, status: &str, payment: &Value| {
        sale["order_status"] = json!(status);
        sale["payment_id"] = payment.clone();
        sale["settled"] = json!(true);
    };
    for event in of("MAKE_PAYMENT") {
        let transaction = event["transaction_id"].as_str().unwrap().to_owned();
        let row = json!({ "transaction_id": transaction, "sale_id": event["sale_id"], "payment_date_id": day(event),
                          "payment_method": event["payment_method"], "payment_status": event["payment_status"],
                          "settled": true });
        payments.insert(transaction, row);
        if event["payment_status"] == "Failed" {
            end(sales.get_mut(&number(event, "sale_id")).unwrap(), "Canceled", &event["transaction_id"]);
        }
    }
    for event in of("SUCCESS_SALE") {
        end(sales.get_mut(&number(event, "sale_id")).unwrap(), "Completed", &event["transaction_id"]);
        let cart = carts.get_mut(&number(event, "cart_id")).unwrap();
        cart["sale_id"] = event["sale_id"].clone();
        cart["sold"] = json!(true);
    }
    for event in of("ORDER_DETAILS") {
        let row = json!({ "event_id": id(event), "sale_id": event["sale_id"], "product_id": event["product_id"],
                          "quantity": event["quantity"], "total_price": event["total_price"] });
        details.insert(id(event), row);
    }
    for event in of("ADD_TO_CART") {
        let row = json!({ "event_id": id(event), "cart_id": event["cart_id"], "product_id": event["product_id"],
                          "quantity": event["quantity"], "date_added": day(event) });
        activity.insert(id(event), row);
    }
    BTreeMap::from([
        ("dim_cart", carts.into_values().collect()),
        ("fact_sales", sales.into_values().collect()),
        ("fact_payments", payments.into_values().collect()),
        ("fact_order_details", details.into_values().collect()),
        ("fact_cart_activity", activity.into_values().collect::<Vec<_>>()),
    ])
}

#[track_caller]
fn check(site: &Site, events: &[Value]) {
    let mut found = site.tables();
    for (table, expected) in model(events) {
        same_rows(table, found.remove(table).unwrap(), expected);
    }
    let days: BTreeSet<i64> = events.iter().map(day).collect();
    let found_days: BTreeSet<i64> = found["dim_date"].iter().map(|row| number(row, "date_id")).collect();
    assert!(found_days.is_subset(&days));
    assert_eq!(dead_letters(site).len(), 0);
}

/// What the dashboard asks, of the same events.
#[track_caller]
fn check_questions(host: &Host, events: &[Value]) {
    let rows = |path: &str| read(host, &format!("/store-events/{path}"))["rows"].as_array().unwrap().clone();
    let model = model(events);
    let (mut by_day, mut quantities) = (BTreeMap::new(), BTreeMap::new());
    for sale in &model["fact_sales"] {
        let status = sale["order_status"].as_str().unwrap();
        let entry = by_day.entry((number(sale, "order_date_id"), status)).or_insert((0, 0));
        *entry = (entry.0 + 1, entry.1 + cents(&sale["total_amount"]));
    }
    let found: BTreeMap<(i64, String), (i64, i64)> = rows("sales-by-day?limit=1000")
        .iter()
        .map(|row| {
            let day = row["full_date"].as_str().unwrap().replace('-', "").parse().unwrap();
            let revenue = (row["revenue"].as_f64().unwrap() * 100.0).round() as i64;
            ((day, row["order_status"].as_str().unwrap().to_owned()), (number(row, "sales"), revenue))
        })
        .collect();
    let by_day: BTreeMap<(i64, String), (i64, i64)> =
        by_day.into_iter().map(|((day, status), sums)| ((day, status.to_owned()), sums)).collect();
    assert_eq!(found, by_day);
    let sold = model["dim_cart"].iter().filter(|cart| cart["sold"] == true).count();
    assert_eq!(json!(rows("conversion")), json!([{ "carts": model["dim_cart"].len(), "sold": sold }]));
    // Today's top ten: the date is the question's, not the clock's.
    let today = 20_261_121;
    let completed: BTreeSet<i64> = model["fact_sales"]
        .iter()
        .filter(|sale| sale["order_status"] == "Completed" && sale["order_date_id"] == today)
        .map(|sale| number(sale, "sale_id"))
        .collect();
    for line in &model["fact_order_details"] {
        if completed.contains(&number(line, "sale_id")) {
            *quantities.entry(number(line, "product_id")).or_insert(0) += number(line, "quantity");
        }
    }
    let rank = |quantity: i64| 1 + quantities.values().filter(|other| **other > quantity).count();
    let expected = quantities
        .iter()
        .filter(|(_, quantity)| rank(**quantity) <= 10)
        .map(|(product, quantity)| {
            json!({ "full_date": "2026-11-21", "rank": rank(*quantity), "product_id": product, "quantity": quantity })
        });
    same_rows("top-products", rows("top-products?full_date=2026-11-21&rank[lte]=10"), expected);
    let trending = rows("trending?full_date=2026-11-21&rank=1");
    let added = model["fact_cart_activity"].iter().filter(|row| row["date_added"] == today);
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    added.for_each(|row| *sums.entry(number(row, "product_id")).or_default() += number(row, "quantity"));
    assert_eq!(number(&trending[0], "quantity"), *sums.values().max().unwrap());
}

/// Any permutation, everything twice, kills, and all of it once more from offset 0.
fn any_order_ends_the_same(set: Set, count: usize, kills: usize) {
    let site = site(set, "store", 40, 60);
    let events = made_up(&site, "store-events", count, 3);
    let mut random = fastrand::Rng::with_seed(4);
    let mut shuffled = events.clone();
    random.shuffle(&mut shuffled);
    let mut host: Host = site.host(None);
    for part in shuffled.chunks(shuffled.len().div_ceil(kills)) {
        feed(&site, part, false);
        if random.bool() {
            feed(&site, part, false);
        }
        std::thread::sleep(Duration::from_millis(random.u64(100..600)));
        host.kill();
        host = site.host(None);
    }
    site.wait_until_done(&mut [&mut host]);
    check(&site, &events);
    check_questions(&host, &events);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    site.rename_pipelines();
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    check(&site, &events);
    check_questions(&host, &events);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn any_order_and_thirty_kills_end_the_same() {
    any_order_ends_the_same(Set::Real, 3_000, 30);
}

#[test]
fn any_order_and_kills_end_the_same_on_the_embedded_set() {
    any_order_ends_the_same(Set::Embedded, 1_200, 30);
}

/// All orders of all lengths: each checkout has sales of its own, and its events come in one of the 120 orders of five.
#[test]
fn any_permutation_of_a_checkout_ends_the_same() {
    let site = site(Set::Embedded, "permutations", 50, 60);
    let (mut events, mut permuted) = (Vec::new(), Vec::new());
    for (n, order) in permutations(5).into_iter().enumerate() {
        // Every third one fails, and has no success.
        let (sale, failed) = (1_000 + i64::try_from(n).unwrap(), n % 3 == 0);
        let event = |kind: &str, mut fields: Value| {
            fields["type"] = json!(kind);
            fields["id"] = json!(format!("{sale}-{kind}"));
            fields["timestamp"] = json!("2026-11-21T09:00:00Z");
            fields
        };
        let transaction = format!("t{sale}");
        let status = if failed { "Failed" } else { "Paid" };
        let mut checkout = vec![
            event("CREATE_CART", json!({ "user_id": 1, "cart_id": sale })),
            event(
                "SALES",
                json!({ "sale_id": sale, "cart_id": sale, "customer_id": 1, "total_amount": "12.50",
                                   "order_status": "Pending" }),
            ),
            event(
                "MAKE_PAYMENT",
                json!({ "sale_id": sale, "payment_method": "E-Wallet", "payment_status": status,
                                          "transaction_id": transaction }),
            ),
            event(
                "ORDER_DETAILS",
                json!({ "sale_id": sale, "product_id": 1, "quantity": 2, "total_price": "12.50" }),
            ),
        ];
        checkout.push(if failed {
            event("ADD_TO_CART", json!({ "cart_id": sale, "product_id": 1, "quantity": 2 }))
        } else {
            event("SUCCESS_SALE", json!({ "sale_id": sale, "cart_id": sale, "transaction_id": transaction }))
        });
        permuted.extend(order.iter().map(|place| checkout[*place].clone()));
        events.extend(checkout);
    }
    feed(&site, &permuted, true);
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    check(&site, &events);
    let sales = &site.tables()["fact_sales"];
    let canceled = sales.iter().filter(|sale| sale["order_status"] == "Canceled").count();
    assert_eq!((sales.len(), canceled), (120, 40));
}

/// Other shops, other orders of what they tell.
#[test]
fn any_order_of_any_shop_ends_the_same() {
    for seed in seeds(300) {
        let mut random = fastrand::Rng::with_seed(seed);
        let site = site(Set::Embedded, "shops", random.u32(1..80), 60);
        let events = made_up(&site, "store-events", 250, seed);
        let mut shuffled = events.clone();
        random.shuffle(&mut shuffled);
        let mut host = site.host(None);
        for _ in 0..random.u32(1..=2) {
            feed(&site, &shuffled, random.bool());
        }
        site.wait_until_done(&mut [&mut host]);
        check(&site, &events);
        check_questions(&host, &events);
        assert_eq!(host.terminate(), Some(0), "seed {seed}: {}", host.log());
    }
}

/// All orders of so many places.
fn permutations(places: usize) -> Vec<Vec<usize>> {
    match places {
        0 => vec![Vec::new()],
        _ => permutations(places - 1)
            .into_iter()
            .flat_map(|before| {
                (0..places).map(move |at| {
                    let mut order = before.clone();
                    order.insert(at, places - 1);
                    order
                })
            })
            .collect(),
    }
}

/// What the warehouse says was earned is what the shop has earned, to the cent.
#[test]
fn revenue_is_the_shops_own_over_a_hundred_thousand_events() {
    let site = site(Set::Real, "revenue", 2_000, 60);
    let events = made_up(&site, "store-events", 100_000, 5);
    feed(&site, &events, true);
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    let paid: BTreeSet<i64> =
        events.iter().filter(|event| event["type"] == "SUCCESS_SALE").map(|e| number(e, "sale_id")).collect();
    let earned: i64 = events
        .iter()
        .filter(|event| event["type"] == "SALES" && paid.contains(&number(event, "sale_id")))
        .map(|event| cents(&event["total_amount"]))
        .sum();
    let statement = "SELECT sum(total_amount) * 100 FROM fact_sales WHERE order_status = 'Completed'";
    let found = crate::city::sql(&site.database_url(), statement);
    assert_eq!(found.split('.').next().unwrap(), earned.to_string());
    let pending = "SELECT count(*) FROM fact_sales WHERE order_status = 'Pending'";
    let open: i64 = crate::city::sql(&site.database_url(), pending).parse().unwrap();
    // The last events are cut off: a sale may lack its payment.
    assert!(open <= 1, "{open}");
    assert_eq!(dead_letters(&site).len(), 0);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// One bad event is one dead letter, and what never gets its parent is one in the end.
#[test]
fn faulty_events_are_dead_letters() {
    let site = site(Set::Embedded, "faulty", 100, 3);
    let at = "2026-11-21T09:00:00Z";
    let events = [
        json!({ "type": "CREATE_CART", "timestamp": at, "user_id": 1, "cart_id": 1 }),
        json!({ "type": "REFUND", "timestamp": at, "sale_id": 1 }),
        json!({ "type": "ADD_TO_CART", "timestamp": at, "cart_id": 1, "product_id": 2, "quantity": 0 }),
        json!({ "type": "ADD_TO_CART", "timestamp": at, "cart_id": 1, "product_id": 2, "quantity": 3 }),
        json!({ "type": "SALES", "timestamp": "yesterday", "sale_id": 1, "customer_id": 1, "total_amount": "1.00" }),
        json!({ "type": "SALES", "timestamp": at, "sale_id": 1, "customer_id": 1, "total_amount": "1.005" }),
        json!({ "type": "ORDER_DETAILS", "timestamp": at, "sale_id": 77, "product_id": 1, "quantity": 1,
                "total_price": "1.00" }),
    ];
    feed(&site, &events, false);
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    let mut letters: Vec<(String, Option<String>)> = dead_letters(&site)
        .iter()
        .map(|letter| (letter.failure.code().to_owned(), letter.failure.faults[0].pointer.clone()))
        .collect();
    letters.sort();
    let expected = [
        ("bad-amount", "/total_amount"),
        ("bad-quantity", "/quantity"),
        ("no-sale", "/sale_id"),
        ("unknown-event", "/type"),
        ("wrong-shape", "/timestamp"),
    ];
    let expected: Vec<_> =
        expected.map(|(code, pointer)| (code.to_owned(), Some(pointer.to_owned()))).to_vec();
    assert_eq!(letters, expected);
    let found = site.tables();
    assert_eq!(
        (found["fact_cart_activity"].len(), found["dim_cart"].len(), found["fact_sales"].len()),
        (1, 1, 0)
    );
    // Made from where its record stands.
    let id = found["fact_cart_activity"][0]["event_id"].as_str().unwrap();
    assert!(id.starts_with(&site.topic()), "{id}");
}
