//! Lanes that somebody else took while the log still counts on this host: found out, and taken back.

use super::site::{Site, sql};
use std::io::Write;
use std::time::{Duration, Instant};

fn epochs(site: &Site) -> String {
    sql(&site.database_url(), "SELECT string_agg(epoch::text, ',' ORDER BY partition) FROM gristmill.lanes")
}

/// A host that was taken for dead takes a lane over late, and dies. Its epoch stays; the owner has nothing to commit
/// that would run into it.
#[test]
fn an_idle_lane_hears_that_it_was_taken_and_takes_itself_back() {
    let site = Site::acting("taken");
    let file = site.folder.path().join("items.ndjson");
    let feed = |id: u32| {
        writeln!(std::fs::File::create(&file).unwrap(), r#"{{"id": {id}, "to": true}}"#).unwrap();
        site.must(&["ingest", &site.topic(), &file.display().to_string(), "--key", "/id"]);
    };
    let mut host = site.host(None);
    host.wait_until_ready();
    feed(1);
    site.wait_until_done(&mut [&mut host]);
    let before = epochs(&site);
    sql(&site.database_url(), "UPDATE gristmill.lanes SET epoch = epoch + 1");
    let taken = epochs(&site);
    assert_ne!(before, taken);
    let start = Instant::now();
    while epochs(&site).split(',').zip(taken.split(',')).any(|(now, taken)| now == taken) {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody takes the lanes back: {}", host.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    feed(2);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(sql(&site.database_url(), "SELECT count(*) FROM items"), "2");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
