//! The journal of the embedded set.

use super::bench::{Bench, bounds, records};
use super::checks;
use gristmill::log::journal::Journal;
use gristmill::log::{GroupLedger, Log};
use gristmill::record::Batch;
use gristmill::store::sqlite::database::Database;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn open(runtime: &Runtime, path: &Path) -> (Arc<Database>, Arc<dyn Log>) {
    let database = runtime.block_on(Database::open(path)).unwrap();
    let journal = Journal::new(database.clone(), runtime.handle().clone());
    (database, Arc::new(journal))
}

#[test]
fn the_journal_passes_all_checks() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let (_, log) = open(&runtime, &folder.path().join("journal.db"));
    checks::run(&Bench::new(log, runtime.handle().clone(), "check"));
}

#[test]
fn two_journals_on_one_file_agree() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let path = folder.path().join("journal.db");
    let (_, one) = open(&runtime, &path);
    let (_, other) = open(&runtime, &path);
    let one = Bench::new(one, runtime.handle().clone(), "two");
    let topic = one.topic(1);
    let spec = one.pipeline(&topic, 1, "target");
    let source = one.source(&spec, 0);
    let mut reader = source.reader();
    let other = Bench::new(other, runtime.handle().clone(), "two");
    assert_eq!(other.append(&topic, records(&["a"])), [(0, 0)]);
    assert_eq!(one.append(&topic, records(&["b"])), [(0, 1)]);
    let mut batch = Batch::new(&topic, 0);
    while batch.len() < 2 {
        reader.read(&mut batch, &bounds(2)).unwrap();
    }
    assert_eq!(batch.offsets, [0, 1]);
}

#[test]
fn a_foreign_groups_metadata_is_no_batch() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let (database, log) = open(&runtime, &folder.path().join("journal.db"));
    let bench = Bench::new(log.clone(), runtime.handle().clone(), "foreign");
    let topic = bench.topic(1);
    let spec = bench.pipeline(&topic, 1, "target");
    let lane = bench.lane(&spec);
    let mut publisher = log.publisher(&lane, true);
    publisher.open().unwrap();
    publisher.publish(3, 9, &[]).unwrap();
    let reset = sqlx::query("UPDATE gristmill_journal_groups SET next_offset = 4, metadata = 'by hand'");
    runtime.block_on(reset.execute(database.writer())).unwrap();
    assert_eq!(publisher.open().unwrap(), GroupLedger { next_offset: Some(4), batch: None });
    // As a group offset that has expired.
    let reset = sqlx::query("UPDATE gristmill_journal_groups SET next_offset = NULL");
    runtime.block_on(reset.execute(database.writer())).unwrap();
    assert_eq!(publisher.open().unwrap(), GroupLedger::default());
}

#[test]
fn concurrent_appends_share_no_offset() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let (_, log) = open(&runtime, &folder.path().join("journal.db"));
    let bench = Bench::new(log, runtime.handle().clone(), "concurrent");
    let topic = bench.topic(2);
    let mut offsets: Vec<(i32, i64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| (0..20).flat_map(|_| bench.append(&topic, records(&["a", "b"]))).collect())
            })
            .collect();
        threads.into_iter().flat_map(|thread| -> Vec<(i32, i64)> { thread.join().unwrap() }).collect()
    });
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), 160);
}

/// Figures for the embedded set: `cargo test --test main figures -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn figures_of_the_journal() {
    let (runtime, folder) = (runtime(), tempfile::tempdir_in(".").unwrap());
    let (_, log) = open(&runtime, &folder.path().join("journal.db"));
    let bench = Bench::new(log.clone(), runtime.handle().clone(), "figures");
    let value = "x".repeat(1_000);
    let topic = bench.topic(1);
    let began = Instant::now();
    for _ in 0..20 {
        bench.append(&topic, records(&vec![value.as_str(); 1_000]));
    }
    println!(
        "append, 1,000 records of 1 KB each time: {:.0} records/s",
        20_000.0 / began.elapsed().as_secs_f64()
    );
    let spec = bench.pipeline(&topic, 1, &bench.name("target"));
    let source = bench.source(&spec, 0);
    let mut reader = source.reader();
    let began = Instant::now();
    let mut read = 0;
    while read < 20_000 {
        let mut batch = Batch::new(&topic, 0);
        reader.read(&mut batch, &gristmill::log::ReadBounds { bytes_max: 4 << 20, ..bounds(2_000) }).unwrap();
        read += batch.len();
    }
    println!("read, 2,000 at once: {:.0} records/s", 20_000.0 / began.elapsed().as_secs_f64());
    let mut publisher = log.publisher(&bench.lane(&spec), true);
    publisher.open().unwrap();
    let outbox = super::bench::outbox_of(&spec, &vec![(Some("1"), value.as_str()); 2_000]);
    let began = Instant::now();
    for batch in 1..=10 {
        publisher.publish(batch, batch, &[&outbox]).unwrap();
    }
    println!("publish, 2,000 at once: {:.0} messages/s", 20_000.0 / began.elapsed().as_secs_f64());
    for clients in [1, 16] {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| (0..50).for_each(|_| drop(bench.append(&topic, records(&[&value])))));
            }
        });
        let rate = f64::from(clients * 50) / began.elapsed().as_secs_f64();
        println!("append, one record each time, {clients} clients: {rate:.0} records/s");
    }
}
