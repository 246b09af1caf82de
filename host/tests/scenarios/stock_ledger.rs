//! `examples/stock-ledger`: what is in stock is what a simple model says, whatever happened on the way.

use super::{dead_letters, file, seeds};
use crate::city::{Host, Set, Site, repository};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const FOLDER: &str = "examples/stock-ledger";
const KEY: &str = "{/store_number}-{/item_number}";
pub(super) const HEADER: &str = "transaction_id,event_type,date,store_number,item_number,value";

pub(super) fn site(set: Set, test: &str, change: impl Fn(String) -> String) -> Site {
    let spec = std::fs::read_to_string(repository().join(FOLDER).join("pipeline.toml")).unwrap();
    let mut site = Site::new(set, test, &spec, |spec, name| {
        let spec = spec
            .replace("name = \"stock-ledger\"", &format!("name = \"{name}\""))
            .replace("\"events\"", &format!("\"{name}.events\""))
            .replace("\"errors\"", &format!("\"{name}.errors\""));
        // Many attempts and small batches: much happens in a short time.
        change(
            spec.replace("attempts_max = 6", "attempts_max = 40")
                .replace("delay_ms_first = 1_000", "delay_ms_first = 100")
                .replace("60_000", "400"),
        )
    });
    site.settings.open_ingest = Some(true);
    site
}

fn batches_of(records: u32) -> impl Fn(String) -> String {
    move |spec| format!("{spec}\n[limits]\nbatch_records_max = {records}\n")
}

fn ingest(site: &Site, file: &str) {
    site.must(&["ingest", &site.topic(), file, "--key", KEY, "--partitions", "4"]);
}

/// A transaction.
#[derive(Clone, Debug)]
struct Moved {
    id: String,
    sale: bool,
    store: u32,
    item: u32,
    value: i64,
}

impl Moved {
    fn row(&self) -> String {
        let kind = if self.sale { "sale" } else { "incoming" };
        format!("{},{kind},2026-11-21T09:00:00Z,{},{},{}", self.id, self.store, self.item, self.value)
    }
}

/// Transactions of many items in any order. Of most items no more is sold than came in, so that every sale finds what it
/// sells in the end; some sell what is never there.
fn transactions(random: &mut fastrand::Rng, count: usize) -> (Vec<Moved>, BTreeSet<String>) {
    let (mut all, mut never) = (Vec::new(), BTreeSet::new());
    let id = |random: &mut fastrand::Rng| {
        let (a, b) = (random.u64(..), random.u64(..));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        )
    };
    let mut left: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    for _ in 0..count {
        let (store, item) = (random.u32(1..=4), random.u32(1..=6));
        let left = left.entry((store, item)).or_default();
        let sale = *left > 0 && random.bool();
        let value = if sale { random.i64(1..=*left) } else { random.i64(1..=100) };
        *left += if sale { -value } else { value };
        all.push(Moved { id: id(random), sale, store, item, value });
    }
    for n in 0..count / 100 {
        let moved = Moved { id: id(random), sale: true, store: 9, item: u32::try_from(n).unwrap(), value: 1 };
        never.insert(moved.id.clone());
        all.push(moved);
    }
    random.shuffle(&mut all);
    (all, never)
}

/// Some ids whose lines are not the same in the other journal.
fn differing(a: &Journal, b: &Journal) -> Vec<String> {
    a.iter().filter(|(id, line)| b.get(*id) != Some(line)).map(|(id, _)| id.clone()).take(5).collect()
}

/// Kind and value by transaction.
type Journal = BTreeMap<String, (String, i64)>;

/// Amount by store and item.
type Stock = BTreeMap<(i64, i64), i64>;

/// What the transactions make of stock and journal.
fn model(all: &[Moved], never: &BTreeSet<String>) -> (Stock, Journal) {
    let (mut stock, mut journal) = (Stock::new(), Journal::new());
    for moved in all.iter().filter(|moved| !never.contains(&moved.id)) {
        let kind = if moved.sale { "sale" } else { "incoming" };
        *stock.entry((moved.store.into(), moved.item.into())).or_default() +=
            if moved.sale { -moved.value } else { moved.value };
        journal.insert(moved.id.clone(), (kind.to_owned(), moved.value));
    }
    (stock, journal)
}

fn number(row: &Value, column: &str) -> i64 {
    row[column].as_i64().unwrap()
}

fn stock_of(rows: &[Value]) -> Stock {
    let of = |row| ((number(row, "store_id"), number(row, "item_id")), number(row, "amount"));
    rows.iter().map(of).collect()
}

/// What is found when stock is searched.
#[track_caller]
fn check_search(host: &Host, all: &[Moved], never: &BTreeSet<String>) {
    let (mut stock, _) = model(all, never);
    assert_eq!(stock_of(&host.rows("/stock-ledger/stock?limit=7")), stock);
    let enough = stock_of(&host.rows("/stock-ledger/stock?store_id=2&amount[gt]=50"));
    stock.retain(|(store, _), amount| *store == 2 && *amount > 50);
    assert_eq!(enough, stock);
}

/// Stock and journal are what the transactions make of them, whatever their order was.
#[track_caller]
fn check(site: &Site, all: &[Moved], never: &BTreeSet<String>) {
    let found = site.tables();
    let (stock, journal) = model(all, never);
    let found_journal: Journal = found["transactions"]
        .iter()
        .map(|row| {
            let text = |column: &str| row[column].as_str().unwrap().to_owned();
            (text("transaction_id"), (text("event"), number(row, "amount")))
        })
        .collect();
    let (missing, more) = (differing(&journal, &found_journal), differing(&found_journal, &journal));
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, unexpected {more:?}");
    let found_stock = stock_of(&found["items"]);
    assert_eq!(found_stock, stock);
    assert!(found_stock.values().all(|amount| *amount >= 0));
    let dead: BTreeSet<String> = dead_letters(site)
        .iter()
        .map(|letter| {
            assert_eq!(letter.failure.code(), "no-item", "{letter:?}");
            let value: Value = serde_json::from_slice(letter.value.as_ref().unwrap()).unwrap();
            value["transaction_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(dead, *never);
}

/// The sample of the example: two lines of one item are both counted, and each once, however often the file comes.
fn the_example(set: Set) {
    let site = site(set, "stock", batches_of(4));
    let mut host = site.host(None);
    let sample = repository().join(FOLDER).join("example.csv");
    let text = std::fs::read_to_string(&sample).unwrap();
    ingest(&site, &sample.display().to_string());
    ingest(&site, &sample.display().to_string());
    host.wait_until_ready();
    let address = host.address.clone();
    let url = |path: &str| format!("http://{address}/stock-ledger/{path}");
    let answer = ureq::post(url("events")).content_type("text/csv").send(&text).unwrap();
    assert_eq!(answer.status(), 202);
    site.wait_until_done(&mut [&mut host]);
    let read = |path: &str| -> Value {
        let text = ureq::get(url(path)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let expected: Value = serde_json::from_str(
        &std::fs::read_to_string(repository().join(FOLDER).join("expected/items.json")).unwrap(),
    )
    .unwrap();
    let found = site.tables();
    assert_eq!(json!(found["items"]), expected);
    assert_eq!(found["transactions"].len(), 9);
    assert_eq!(json!(found["stores"]), json!([{ "id": 5 }, { "id": 6 }, { "id": 8 }]));
    // Searched by store, by item, by what is there.
    let stock = |query: &str| read(&format!("stock?{query}"))["rows"].clone();
    assert_eq!(stock("store_id=5&item_id=12"), json!([{ "store_id": 5, "item_id": 12, "amount": 800 }]));
    assert_eq!(stock("amount[gt]=400").as_array().unwrap().len(), 1);
    assert_eq!(stock("store_id=8&amount[lte]=400").as_array().unwrap().len(), 2);
    // What is faulty is told field by field, and what is not there waits and is given up in the end.
    let lines = [
        HEADER,
        "no-uuid,incoming,2020-13-01T00:00:00Z,5,x,-4",
        "7d6d51f9-2c39-4be1-8f0c-3d1c66c5a9b7,gift,2020-01-01T00:00:00Z,5,12,1",
        "7d6d51f9-2c39-4be1-8f0c-3d1c66c5a9b8,sale,2020-01-01T00:00:00Z,5,12,801",
        "7d6d51f9-2c39-4be1-8f0c-3d1c66c5a9b9,sale,2020-01-01T00:00:00Z,5,99,1",
    ];
    ingest(&site, &file(&site, "csv", lines.map(str::to_owned)));
    // Another transaction of an id that is there.
    let taken = text.lines().nth(1).unwrap().replace(",400", ",401");
    ingest(&site, &file(&site, "csv", [HEADER.to_owned(), taken]));
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(json!(site.tables()["items"]), expected);
    let mut letters: Vec<(String, String)> = dead_letters(&site)
        .into_iter()
        .map(|letter| (letter.failure.code().to_owned(), letter.failure.reason()))
        .collect();
    letters.sort();
    let codes: Vec<&str> = letters.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["bad-event-type", "bad-uuid", "key-conflict", "no-item", "out-of-stock"]);
    for place in ["/transaction_id: ", "/date: ", "/item_number: ", "/value: "] {
        assert!(letters[1].1.contains(place), "{letters:#?}");
    }
    // Each is copied to the topic once, for consumers that read what is committed.
    let (runtime, store, log) = site.open();
    let copies = runtime.block_on(log.read_topic(&format!("{}.errors", site.name), 100)).unwrap();
    assert_eq!(copies.len(), letters.len());
    drop((store, log));
    runtime.shutdown_background();
    assert_eq!(letters[3].1, "given up after 40 attempts: 5-99 does not exist!");
    assert_eq!(letters[4].1, "given up after 40 attempts: 5-12 stock amount would be less than 0: -1!");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn the_example_on_the_real_set() {
    the_example(Set::Real);
}

#[test]
fn the_example_on_the_embedded_set() {
    the_example(Set::Embedded);
}

/// Any order, files sent twice, kills, and all of it once more from offset 0.
fn stock_is_what_the_journal_says(set: Set, count: usize, kills: usize, seed: u64) {
    let site = site(set, "ledger", batches_of(25));
    let mut random = fastrand::Rng::with_seed(seed);
    let (all, never) = transactions(&mut random, count);
    let mut host: Host = site.host(None);
    for part in all.chunks(all.len().div_ceil(kills)) {
        let name = file(&site, "csv", [HEADER.to_owned()].into_iter().chain(part.iter().map(Moved::row)));
        ingest(&site, &name);
        if random.bool() {
            ingest(&site, &name);
        }
        std::thread::sleep(Duration::from_millis(random.u64(100..600)));
        host.kill();
        host = site.host(None);
    }
    site.wait_until_done(&mut [&mut host]);
    check(&site, &all, &never);
    check_search(&host, &all, &never);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    site.rename_pipelines();
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    check(&site, &all, &never);
    check_search(&host, &all, &never);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn thirty_kills_and_a_replay_leave_the_stock_right() {
    stock_is_what_the_journal_says(Set::Real, 6_000, 30, 11);
}

#[test]
fn kills_and_a_replay_leave_the_stock_right_on_the_embedded_set() {
    stock_is_what_the_journal_says(Set::Embedded, 2_000, 30, 12);
}

/// Without kills: what a pipeline with state has to see to.
fn undisturbed(
    set: Set,
    test: &str,
    count: usize,
    change: impl Fn(String) -> String,
) -> (Site, Vec<Moved>, BTreeSet<String>) {
    let site = site(set, test, change);
    let (all, never) = transactions(&mut fastrand::Rng::with_seed(21), count);
    ingest(&site, &file(&site, "csv", [HEADER.to_owned()].into_iter().chain(all.iter().map(Moved::row))));
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    (site, all, never)
}

/// Whatever the order: other transactions, other interleavings, each file twice.
#[test]
fn any_interleaving_gives_the_same_stock() {
    for seed in seeds(100) {
        let mut random = fastrand::Rng::with_seed(seed);
        let site = site(Set::Embedded, "any", batches_of(random.u32(1..60)));
        let (all, never) = transactions(&mut random, 400);
        let name = file(&site, "csv", [HEADER.to_owned()].into_iter().chain(all.iter().map(Moved::row)));
        ingest(&site, &name);
        let mut host = site.host(None);
        ingest(&site, &name);
        site.wait_until_done(&mut [&mut host]);
        check(&site, &all, &never);
        assert_eq!(host.terminate(), Some(0), "seed {seed}: {}", host.log());
    }
}

/// A lookup waits for the batch before: few records of few items in each, so that what one batch has written the next one
/// needs.
#[test]
fn a_batch_finds_what_the_one_before_it_has_left() {
    let (site, all, never) = undisturbed(Set::Real, "batches", 600, batches_of(5));
    check(&site, &all, &never);
}

/// The guest may return so little that every batch has to be cut: the halves find what those before them have left.
#[test]
fn halves_find_what_the_halves_before_them_have_left() {
    let small = "\n[limits]\nbatch_records_max = 100\neffects_bytes_max = 3_000\n";
    let (site, all, never) = undisturbed(Set::Embedded, "halves", 2_000, |spec| spec + small);
    check(&site, &all, &never);
}

/// What the database refuses has not been counted on by others, nor by what comes later.
fn what_is_taken_out_was_never_there(set: Set) {
    let large = |spec: String| {
        let line =
            "{ name = \"item_number\", type = \"integer\" },\n  { name = \"amount\", type = \"integer\" }";
        assert!(spec.contains(line));
        // The journal takes no number above 32,767.
        spec.replace(line, &line.replace("amount\", type = \"integer", "amount\", type = \"smallint"))
    };
    let site = site(set, "taken-out", |spec| batches_of(500)(large(spec)));
    let id = |n: u32| format!("00000000-0000-4000-8000-{n:012}");
    let row = |n: u32, kind: &str, value: u32| format!("{},{kind},2026-11-21T09:00:00Z,1,1,{value}", id(n));
    let mut rows = vec![HEADER.to_owned()];
    for n in 0..100 {
        // In between, much that is refused only when it is written, and sales that would live on it.
        rows.push(row(3 * n, "incoming", 10));
        rows.push(row(3 * n + 1, "incoming", 40_000 + n));
        rows.push(row(3 * n + 2, "sale", 10));
    }
    rows.push(row(1_000, "sale", 1));
    ingest(&site, &file(&site, "csv", rows));
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    let found = site.tables();
    assert_eq!(json!(found["items"]), json!([{ "store_id": 1, "item_id": 1, "amount": 0 }]));
    assert_eq!(found["transactions"].len(), 200);
    let codes: Vec<String> =
        dead_letters(&site).iter().map(|letter| letter.failure.code().to_owned()).collect();
    assert_eq!(codes.iter().filter(|code| *code == "out-of-stock").count(), 1, "{codes:?}");
    assert_eq!(codes.len(), 101);
}

#[test]
fn what_is_taken_out_was_never_there_on_the_real_set() {
    what_is_taken_out_was_never_there(Set::Real);
}

#[test]
fn what_is_taken_out_was_never_there_on_the_embedded_set() {
    what_is_taken_out_was_never_there(Set::Embedded);
}
