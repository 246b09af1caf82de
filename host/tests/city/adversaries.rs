//! A whole host with a guest that now and then does what no transform may: on the real set, where the others' rows
//! (in a table that would show a double) and messages must all be there, once.

use super::site::{Site, sql};
use gristmill::store::DeadLetterQuery;
use std::collections::BTreeMap;
use std::io::Write;

const CRIMES: [(&str, &str); 11] = [
    ("trap", "guest-trap"),
    ("panic", "guest-trap"),
    ("hog", "guest-trap"),
    ("recurse", "guest-trap"),
    ("loop", "guest-timeout"),
    ("error", "guest-error"),
    ("short-column", "guest-garbage"),
    ("unknown-table", "guest-garbage"),
    ("bad-index", "guest-garbage"),
    ("gigabyte", "guest-garbage"),
    ("large", "message-too-large"),
];

#[test]
fn a_host_outlives_what_its_guest_does() {
    let site = Site::acting("crime");
    const RECORDS: usize = 5_500;
    let file = site.folder.path().join("items.ndjson");
    let mut lines = std::fs::File::create(&file).unwrap();
    for id in 0..RECORDS {
        match (id % 500, CRIMES.get(id / 500)) {
            (250, Some((crime @ "large", _))) => {
                let pad = "x".repeat(1_000);
                writeln!(lines, r#"{{"id": {id}, "to": true, "do": "{crime}", "pad": "{pad}"}}"#).unwrap();
            }
            (250, Some((crime, _))) => {
                writeln!(lines, r#"{{"id": {id}, "to": true, "do": "{crime}"}}"#).unwrap()
            }
            _ => writeln!(lines, r#"{{"id": {id}, "to": true}}"#).unwrap(),
        }
    }
    site.ingest(&file);
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    let good = RECORDS - CRIMES.len();
    assert_eq!(
        sql(&site.database_url(), "SELECT count(*), count(DISTINCT id) FROM items"),
        format!("{good}|{good}")
    );
    let (runtime, store, log) = site.open();
    let query =
        DeadLetterQuery { pipeline: Some(site.name.clone()), limit: 1_000, ..DeadLetterQuery::default() };
    let letters = runtime.block_on(store.dead_letters(&query)).unwrap();
    let mut found = BTreeMap::new();
    for letter in &letters {
        let value: serde_json::Value = serde_json::from_slice(letter.value.as_ref().unwrap()).unwrap();
        assert_eq!((letter.failure.stage.as_str(), letter.failure.digest.len()), ("act", 64));
        found.insert(value["do"].as_str().unwrap().to_owned(), letter.failure.code().to_owned());
    }
    assert_eq!(letters.len(), CRIMES.len(), "{found:?}");
    assert_eq!(found, CRIMES.iter().map(|(crime, code)| ((*crime).to_owned(), (*code).to_owned())).collect());
    let messages = runtime.block_on(log.read_topic(&format!("{}.out", site.name), usize::MAX)).unwrap();
    let keys: std::collections::BTreeSet<_> = messages.iter().map(|message| message.key.clone()).collect();
    assert_eq!((messages.len(), keys.len()), (good, good));
    let copies = runtime.block_on(log.read_topic(&format!("{}.dlq", site.name), usize::MAX)).unwrap();
    let without_value = copies.iter().filter(|copy| copy.value.is_none()).count();
    assert_eq!((copies.len(), without_value), (CRIMES.len(), 1), "the large one's copy has headers only");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    runtime.shutdown_background();
}
