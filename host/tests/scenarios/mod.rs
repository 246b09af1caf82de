//! The examples that are scenarios of their own, on both sets: samples in, what must come out; and again after everything
//! was sent twice, hosts were killed, and all of it was read once more from offset 0.

mod all;
mod intake;
mod shop_sync;
mod stock_ledger;
mod store_events;

use crate::city::{Host, Site};
use gristmill::store::{DeadLetter, DeadLetterQuery};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// The dead letters of a place, oldest first.
fn dead_letters(site: &Site) -> Vec<DeadLetter> {
    let (runtime, store, log) = site.open();
    let query = DeadLetterQuery { limit: 10_000, ..DeadLetterQuery::default() };
    let mut letters = runtime.block_on(store.dead_letters(&query)).unwrap();
    drop((store, log));
    runtime.shutdown_background();
    letters.reverse();
    letters
}

/// What a command makes up, as JSON.
fn made_up(site: &Site, scenario: &str, count: usize, seed: u64) -> Vec<Value> {
    let (count, seed) = (count.to_string(), seed.to_string());
    let at = "2026-11-21T09:00:00Z";
    let lines = site.must(&["generate", scenario, "-n", &count, "--seed", &seed, "--at", at]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What tests of properties begin with: seeds that are always the same, and some that no run had before. Each is told, so that
/// one that fails can be tried again.
fn seeds(first: u64) -> impl Iterator<Item = u64> {
    let fresh = std::iter::repeat_with(|| fastrand::u64(1_000..u64::from(u32::MAX))).take(3);
    (first..first + 3).chain(fresh).inspect(|seed| eprintln!("seed {seed}"))
}

/// What a path of a host answers.
fn read(host: &Host, path: &str) -> Value {
    let url = format!("http://{}{path}", host.address);
    let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Fails with what is missing and what should not be there, and not with all that is.
#[track_caller]
fn same_rows(table: &str, found: impl IntoIterator<Item = Value>, expected: impl IntoIterator<Item = Value>) {
    let texts = |rows: &mut dyn Iterator<Item = Value>| -> Vec<String> {
        // Columns in one order.
        let text =
            |row: Value| json!(row.as_object().unwrap().iter().collect::<BTreeMap<_, _>>()).to_string();
        let mut texts: Vec<String> = rows.map(text).collect();
        texts.sort();
        texts
    };
    let (found, expected) = (texts(&mut found.into_iter()), texts(&mut expected.into_iter()));
    let lacking = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|row| b.binary_search(row).is_err()).take(3).cloned().collect()
    };
    let (missing, more) = (lacking(&expected, &found), lacking(&found, &expected));
    assert!(missing.is_empty() && more.is_empty(), "{table}: missing {missing:#?}, unexpected {more:#?}");
    assert_eq!(found.len(), expected.len(), "{table}: some rows are there twice");
}

/// A row without these columns.
fn without(row: &Value, columns: &[&str]) -> Value {
    let mut row = row.clone();
    columns.iter().for_each(|column| drop(row.as_object_mut().unwrap().remove(*column)));
    row
}

/// A new file of this place.
fn file(site: &Site, ending: &str, lines: impl IntoIterator<Item = String>) -> String {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = site.folder.path().join(format!("feed-{number}.{ending}"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    lines.into_iter().for_each(|line| writeln!(file, "{line}").unwrap());
    path.display().to_string()
}

/// The READMEs say which commands print the samples.
#[test]
fn the_samples_are_what_the_generators_make() {
    let examples = crate::city::repository().join("examples");
    let gristmill = |arguments: &[&str]| -> String {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let at = "2026-11-21T09:00:00Z";
    for (arguments, file) in [
        (
            &["generate", "store-events", "-n", "300", "--seed", "1", "--at", at][..],
            "store-events/events.ndjson",
        ),
        (&["generate", "shop-sync", "-n", "60", "--seed", "1", "--at", at], "shop-sync/stock.ndjson"),
        (&["generate", "shop-sync", "--reference"], "shop-sync/reference.ndjson"),
        (
            &["generate", "shop-sync-categories", "-n", "5", "--at", "2026-11-20T08:00:00Z"],
            "shop-sync/catalogue/categories.ndjson",
        ),
        (
            &["generate", "shop-sync-products", "-n", "42", "--at", "2026-11-20T08:00:00Z"],
            "shop-sync/catalogue/products.ndjson",
        ),
        (
            &["generate", "shop-sync-descriptions", "-n", "1", "--at", "2026-11-21T08:00:00Z"],
            "shop-sync/catalogue/descriptions.ndjson",
        ),
        (&["generate", "order-vault", "-n", "300", "--seed", "1", "--at", at], "order-vault/orders.ndjson"),
        (&["generate", "order-vault", "--reference"], "order-vault/reference.ndjson"),
    ] {
        let made = gristmill(arguments);
        assert!(
            made == std::fs::read_to_string(examples.join(file)).unwrap(),
            "{file} is not what {arguments:?} prints"
        );
    }
}
