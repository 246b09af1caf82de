//! Lanes that somebody else took while the log still counts on this host: found out, and taken back.

use super::site::{Site, sql};
use gristmill::effect::{Effects, MessageValues, Messages};
use gristmill::lane::{GuestSlots, LaneContext, take_over};
use gristmill::live::Live;
use gristmill::log::{NewRecord, NewTopic};
use gristmill::record::{Batch, LaneId};
use gristmill::spec::Spec;
use gristmill::store::{Origin, Work};
use gristmill::transform::Pipeline;
use std::io::Write;
use std::sync::Arc;
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
        assert!(start.elapsed() < Duration::from_secs(150), "nobody takes the lanes back: {}", host.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    feed(2);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(sql(&site.database_url(), "SELECT count(*) FROM items"), "2");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// A pipeline's spec loses its outputs while messages of its last batch wait in the outbox: they still go out.
#[test]
fn what_waits_goes_out_also_when_the_spec_has_no_outputs_any_more() {
    let site = Site::acting("dropped");
    let (runtime, store, log) = site.open();
    let with = Arc::new(site.spec());
    let without = Arc::new(Spec { outputs: Vec::new(), dead_letter_topic: None, ..site.spec() });
    let id = LaneId {
        pipeline: with.name.as_str().into(),
        topic: with.source.topic.as_str().into(),
        partition: 0,
    };
    let topic = NewTopic { name: site.topic(), partitions: 1, replication: 1 };
    let record = NewRecord { value: Some(b"{}".to_vec()), ..NewRecord::default() };
    runtime.block_on(log.ensure_topic(&topic)).unwrap();
    runtime.block_on(log.append(&topic.name, vec![record])).unwrap();
    runtime.block_on(store.prepare_tables(&with)).unwrap();
    let lane = |spec: &Arc<Spec>| {
        let slots = Arc::new(GuestSlots::new(1));
        let (store, log, runtime) = (store.clone(), log.clone(), runtime.handle().clone());
        let live = Live::new(Pipeline { stages: Vec::new() }, spec.swap, Arc::default());
        LaneContext::new(id.clone(), spec.clone(), store, log, runtime, live, slots, Arc::default())
    };
    // The first owner commits a batch with a message, and dies before it publishes.
    let taken = take_over(&lane(&with)).unwrap();
    let mut batch = Batch::new(&topic.name, 0);
    batch.push(0, 1, None, Some(b"{}"));
    let message = Messages {
        output: 0,
        records: vec![0],
        topics: None,
        keys: None,
        no_key: Vec::new(),
        values: MessageValues::Same,
        no_value: Vec::new(),
        headers: Vec::new(),
    };
    let effects = Effects { messages: vec![message], ..Effects::default() };
    let work = Arc::new(Work { batch, origin: Origin::Log { next_offset: 1 }, effects, stages: Vec::new() });
    runtime.block_on(store.commit(&with, &id, taken.fence, &work)).unwrap();
    drop(taken);

    take_over(&lane(&without)).unwrap();
    let out = format!("{}.out", site.name);
    assert_eq!(runtime.block_on(log.read_topic(&out, 10)).unwrap().len(), 1);
    runtime.shutdown_background();
}
