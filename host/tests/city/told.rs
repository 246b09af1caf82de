//! What the group hears of batches without messages, and what becomes of them when the host dies before it hears of them.

use super::site::{Site, sql};
use gristmill::log::{Log, NewRecord};
use gristmill::record::LaneId;
use gristmill::store::Store;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A lane as store and log have it.
struct Watched {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    lane: LaneId,
}

impl Watched {
    fn of(site: &Site) -> Self {
        let (runtime, store, log) = site.open();
        let (pipeline, topic) = (site.name.as_str().into(), site.topic().as_str().into());
        Watched { runtime, store, log, lane: LaneId { pipeline, topic, partition: 0 } }
    }

    /// Appends a record to the lane; `to`: with a message.
    fn feed(&self, id: u32, to: bool) {
        let value = if to { format!(r#"{{"id": {id}, "to": true}}"#) } else { format!(r#"{{"id": {id}}}"#) };
        let (key, value) = (Some(b"a".to_vec()), Some(value.into_bytes()));
        let record = NewRecord { key, value, headers: Vec::new(), timestamp_ms: None };
        let places = self.runtime.block_on(self.log.append(&self.lane.topic, vec![record])).unwrap();
        assert_eq!(places[0].partition, self.lane.partition, "another key is needed");
    }

    /// The store's batch and next offset.
    fn stored(&self) -> (i64, i64) {
        let state = self.runtime.block_on(self.store.lane(&self.lane)).unwrap();
        state.map_or((0, 0), |state| (state.batch, state.next_offset.unwrap_or(0)))
    }

    /// The batch that the group was told of last.
    fn told(&self) -> Option<i64> {
        self.runtime.block_on(self.log.group_ledger(&self.lane)).unwrap().batch
    }

    fn wait(&self, what: &str, until: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !until(self) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{what}: {:?}, {:?}",
                self.stored(),
                self.told()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Each telling takes the broker some 6 ms, and goes through the connection of the heartbeats: a lane with fifty small
/// batches a second filled it until the group took its host for dead.
#[test]
fn the_group_is_told_of_batches_without_messages_once_a_second() {
    let site = Site::acting("told");
    let watched = Watched::of(&site);
    let mut host = site.host(None);
    host.wait_until_ready();
    watched.wait("the lane is taken over", |watched| watched.told().is_some());
    let (start, mut told) = (Instant::now(), BTreeSet::new());
    for id in 0..30 {
        watched.feed(id, false);
        watched.wait("the record is stored", |watched| watched.stored().1 > i64::from(id));
        told.extend(watched.told());
    }
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!(watched.stored().0 >= 30, "each record was a batch of its own");
    assert!(told.len() <= seconds + 2, "in {seconds} s the group was told of {told:?}");

    watched.feed(30, true);
    watched.wait("the group hears of the message", |watched| watched.told() == Some(31));
    watched.feed(31, false);
    watched.wait("and of what comes last", |watched| watched.told() == Some(32));
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// Killed before the group has heard of them, batches without messages are not worked through again; and a message after
/// them goes out once.
#[test]
fn a_host_dies_before_the_group_is_told() {
    let site = Site::acting("untold");
    let watched = Watched::of(&site);
    let order = site.folder.path().join("order").display().to_string();
    let mut untold = 0;
    for (round, point) in (0..).zip(["publish.produced", "publish.ended", "publish.offset-added"]) {
        let mut host = site.host_with(&[("GRISTMILL_CRASH_FILE", &order)]);
        let taken_over = |watched: &Watched| watched.told().is_some_and(|told| told == watched.stored().0);
        watched.wait("the lane is taken over", taken_over);
        for id in round * 10..round * 10 + 9 {
            watched.feed(id, false);
            watched.wait("the record is stored", |watched| watched.stored().1 > i64::from(id));
        }
        untold += i64::from(watched.told() < Some(watched.stored().0));
        // In the transaction of the message, or after it; or in that of a telling.
        std::fs::write(&order, format!("kill {point} 1 0")).unwrap();
        watched.feed(round * 10 + 9, true);
        assert_eq!(host.wait_for_end(), None, "{}", host.log());
    }
    assert!(untold > 0, "the group knew of every batch");
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(sql(&site.database_url(), "SELECT count(*), count(DISTINCT id) FROM items"), "30|30");
    let out = format!("{}.out", site.name);
    let messages = watched.runtime.block_on(watched.log.read_topic(&out, usize::MAX)).unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
