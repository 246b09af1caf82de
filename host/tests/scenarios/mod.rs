//! The examples that are scenarios of their own, on both sets: samples in, what must come out; and again after everything
//! was sent twice, hosts were killed, and all of it was read once more from offset 0.

mod stock_ledger;

use crate::city::Site;
use gristmill::spec::Spec;
use gristmill::store::{DeadLetter, DeadLetterQuery, TableQuery};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// All rows of all tables of a place, in the order of their keys.
fn tables(site: &Site) -> BTreeMap<String, Vec<Value>> {
    let (runtime, store, log) = site.open();
    let specs: Vec<Spec> =
        std::iter::once(&site.spec_path).chain(&site.more).map(|path| Spec::read(path).unwrap()).collect();
    let tables = runtime.block_on(async {
        let mut tables = BTreeMap::new();
        for table in specs.iter().flat_map(|spec| &spec.tables) {
            let mut query = TableQuery { limit: 1_000, ..TableQuery::default() };
            let mut rows = Vec::new();
            loop {
                let page = store.read_table(table, &query).await.unwrap();
                rows.extend(page.rows);
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            tables.insert(table.name.clone(), rows);
        }
        tables
    });
    drop((store, log));
    runtime.shutdown_background();
    tables
}

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

/// A new file of this place.
fn file(site: &Site, ending: &str, lines: impl IntoIterator<Item = String>) -> String {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = site.folder.path().join(format!("feed-{number}.{ending}"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    lines.into_iter().for_each(|line| writeln!(file, "{line}").unwrap());
    path.display().to_string()
}

/// Gives the pipeline another name, so that it reads every record from offset 0 once more, over the same tables.
fn rename_pipeline(site: &Site) {
    let text = std::fs::read_to_string(&site.spec_path).unwrap();
    let again =
        text.replace(&format!("name = \"{}\"", site.name), &format!("name = \"{}-again\"", site.name));
    assert_ne!(text, again);
    std::fs::write(&site.spec_path, again).unwrap();
}
