//! What every log must do: one list, run over each of them.

use super::bench::{Bench, bounds, outbox_of, record, records, values};
use gristmill::log::{Error, NewRecord, NewTopic, ReadBounds, ledger_metadata};
use gristmill::record::Batch;
use std::time::{Duration, Instant};

/// Something that every log must do.
pub type Check = fn(&Bench);

/// All checks, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("append answers dense offsets in order", append_answers_dense_offsets_in_order),
    ("nothing to append is nothing", nothing_to_append_is_nothing),
    ("keys go to Java's partitions", keys_go_to_javas_partitions),
    ("records without a key are spread", records_without_a_key_are_spread),
    ("records keep every byte", records_keep_every_byte),
    ("a large record is refused alone", a_large_record_is_refused),
    ("an unknown topic is told", an_unknown_topic_is_told),
    ("a topic is made once", a_topic_is_made_once),
    ("bounds follow what is appended", bounds_follow_what_is_appended),
    ("a source brings all partitions", a_source_brings_all_partitions),
    ("a reader begins where it is told", a_reader_begins_where_it_is_told),
    ("a read stops at its bounds", a_read_stops_at_its_bounds),
    ("an idle read ends in time", an_idle_read_ends_in_time),
    ("a waiting reader hears an append", a_waiting_reader_hears_an_append),
    ("a reader collects until its time", a_reader_collects_until_its_time),
    ("publishing shows messages and moves the ledger", publishing_shows_messages_and_moves_the_ledger),
    ("a batch without messages moves the ledger", a_batch_without_messages_moves_the_ledger),
    ("several batches are published at once", several_batches_are_published_at_once),
    ("a large batch is published in order", a_large_batch_is_published_in_order),
    ("a newer publisher fences the older", a_newer_publisher_fences_the_older),
    ("what is published is read to its end", what_is_published_is_read_to_its_end),
    ("groups keep apart", groups_keep_apart),
    ("a pipeline without outputs moves the ledger", a_pipeline_without_outputs_moves_the_ledger),
];

/// Runs all checks.
pub fn run(bench: &Bench) {
    for (name, check) in CHECKS {
        eprintln!("{}: {name}", bench.log.kind());
        check(bench);
    }
}

fn append_answers_dense_offsets_in_order(bench: &Bench) {
    let topic = bench.topic(1);
    assert_eq!(bench.append(&topic, records(&["a", "b", "c"])), [(0, 0), (0, 1), (0, 2)]);
    assert_eq!(bench.append(&topic, records(&["d"])), [(0, 3)]);
    assert_eq!(values(&bench.read_topic(&topic)), ["a", "b", "c", "d"]);
}

fn nothing_to_append_is_nothing(bench: &Bench) {
    let topic = bench.topic(1);
    assert_eq!(bench.append(&topic, Vec::new()), []);
}

fn keys_go_to_javas_partitions(bench: &Bench) {
    let topic = bench.topic(3);
    let keyed = ["1", "2", "3", "4", "5"].map(|key| record(Some(key), key)).to_vec();
    assert_eq!(bench.append(&topic, keyed), [(0, 0), (2, 0), (2, 1), (1, 0), (0, 1)]);
}

fn records_without_a_key_are_spread(bench: &Bench) {
    let topic = bench.topic(3);
    let positions = bench.append(&topic, (0..300).map(|n| record(None, &n.to_string())).collect());
    assert_eq!(positions.len(), 300);
    assert_eq!(bench.read_topic(&topic).len(), 300);
}

fn records_keep_every_byte(bench: &Bench) {
    let topic = bench.topic(1);
    let binary: Vec<u8> = (0..=255).collect();
    let all = vec![
        NewRecord { key: None, value: None, headers: Vec::new(), timestamp_ms: Some(1) },
        NewRecord {
            key: Some(Vec::new()),
            value: Some(Vec::new()),
            headers: vec![],
            timestamp_ms: Some(1_709_164_800_123),
        },
        NewRecord {
            key: Some(binary.clone()),
            value: Some(binary.clone()),
            headers: vec![("a".into(), Some(binary)), ("a".into(), None), ("Köln".into(), Some(Vec::new()))],
            // Not 0: to librdkafka that is no timestamp.
            timestamp_ms: Some(2),
        },
    ];
    bench.append(&topic, all.clone());
    let read = bench.read_topic(&topic);
    assert_eq!(read.len(), all.len());
    for (read, written) in read.into_iter().zip(all) {
        assert_eq!((read.key, read.value, read.headers), (written.key, written.value, written.headers));
        assert_eq!(Some(read.timestamp_ms), written.timestamp_ms);
    }
    let before = now_ms();
    bench.append(&topic, records(&["now"]));
    let stamped = bench.read_topic(&topic)[3].timestamp_ms;
    assert!((before - 1..=now_ms() + 1).contains(&stamped), "{stamped} is not now");
}

fn a_large_record_is_refused(bench: &Bench) {
    let topic = bench.topic(1);
    let large = NewRecord { value: Some(vec![b'x'; 64 << 20]), ..NewRecord::default() };
    let answer = bench.runtime.block_on(bench.log.append(&topic, vec![large]));
    assert!(matches!(answer, Err(Error::Refused { index: 0, .. })), "{answer:?}");
    assert_eq!(bench.append(&topic, records(&["small"])), [(0, 0)]);
}

fn an_unknown_topic_is_told(bench: &Bench) {
    let topic = bench.name("nowhere");
    let unknown = |error: Error| assert!(matches!(&error, Error::UnknownTopic(t) if *t == topic), "{error}");
    unknown(bench.runtime.block_on(bench.log.append(&topic, records(&["a"]))).unwrap_err());
    unknown(bench.runtime.block_on(bench.log.bounds(&topic, 0)).unwrap_err());
    unknown(bench.runtime.block_on(bench.log.read_topic(&topic, 1)).unwrap_err());
    assert_eq!(bench.runtime.block_on(bench.log.partitions(&topic)).unwrap(), None);
}

fn a_topic_is_made_once(bench: &Bench) {
    let topic = bench.topic(3);
    let again = NewTopic { name: topic.clone(), partitions: 5, replication: 1 };
    bench.runtime.block_on(bench.log.ensure_topic(&again)).unwrap();
    assert_eq!(bench.runtime.block_on(bench.log.partitions(&topic)).unwrap(), Some(3));
    assert!(bench.runtime.block_on(bench.log.topics()).unwrap().contains(&topic));
}

fn bounds_follow_what_is_appended(bench: &Bench) {
    let topic = bench.topic(2);
    let of = |partition| bench.runtime.block_on(bench.log.bounds(&topic, partition));
    assert_eq!(of(0).unwrap(), (0, 0));
    let positions = bench.append(&topic, vec![record(Some("1"), "a"), record(Some("1"), "b")]);
    let partition = positions[0].0;
    assert_eq!(of(partition).unwrap(), (0, 2));
    assert_eq!(of(1 - partition).unwrap(), (0, 0));
    assert!(of(2).is_err());
}

fn a_source_brings_all_partitions(bench: &Bench) {
    let topic = bench.name("source");
    let spec = bench.pipeline(&topic, 3, &bench.name("target"));
    let mut source = bench.source(&spec, 0);
    let readers = source.readers(3);
    assert_eq!(bench.runtime.block_on(bench.log.partitions(&topic)).unwrap(), Some(3));
    assert_eq!(readers.len(), 3);
    drop(readers);
    source.stop();
    for seen in [&source.events.assigned, &source.events.revoked] {
        let mut partitions = seen.lock().unwrap().clone();
        partitions.sort_unstable();
        assert_eq!(partitions, [0, 1, 2]);
    }
}

fn a_reader_begins_where_it_is_told(bench: &Bench) {
    let topic = bench.topic(1);
    let headed = NewRecord { headers: vec![("h".into(), None)], ..record(Some("k"), "c") };
    bench.append(&topic, [records(&["a", "b"]), vec![headed]].concat());
    let spec = bench.pipeline(&topic, 1, &bench.name("target"));
    let source = bench.source(&spec, 1);
    let mut reader = source.reader();
    let mut batch = Batch::new(&topic, 0);
    assert_eq!(reader.read(&mut batch, &bounds(2)).unwrap(), Some(3));
    assert_eq!(batch.offsets, [1, 2]);
    assert_eq!((batch.key(0), batch.value(0)), (None, Some(&b"b"[..])));
    assert_eq!((batch.key(1), batch.value(1)), (Some(&b"k"[..]), Some(&b"c"[..])));
    assert_eq!((batch.headers_of(1)[0].name.as_str(), &batch.headers_of(1)[0].value), ("h", &None));
}

fn a_read_stops_at_its_bounds(bench: &Bench) {
    let topic = bench.topic(1);
    let large = "x".repeat(1_000);
    bench.append(&topic, records(&["a", "b", "c", &large, "d", "e"]));
    let spec = bench.pipeline(&topic, 1, &bench.name("target"));
    let source = bench.source(&spec, 0);
    let mut reader = source.reader();
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 6 {
        let collect_until = Instant::now() + Duration::from_millis(300);
        let small = ReadBounds { bytes_max: 500, collect_until, ..bounds(2) };
        let mut batch = Batch::new(&topic, 0);
        let next = reader.read(&mut batch, &small).unwrap();
        assert_eq!(next, batch.offsets.last().map(|last| last + 1));
        sizes.push(batch.len());
    }
    // Two by the number of records; then the bytes part `c`, the large one and the rest.
    assert_eq!(sizes, [2, 1, 1, 2]);
}

fn an_idle_read_ends_in_time(bench: &Bench) {
    let topic = bench.topic(1);
    let spec = bench.pipeline(&topic, 1, &bench.name("target"));
    let source = bench.source(&spec, 0);
    let mut reader = source.reader();
    let began = Instant::now();
    let idle = ReadBounds { idle: Duration::from_millis(200), ..bounds(10) };
    let mut batch = Batch::new(&topic, 0);
    assert_eq!(reader.read(&mut batch, &idle).unwrap(), None);
    assert!(batch.is_empty());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(5), "{took:?}");
}

fn a_waiting_reader_hears_an_append(bench: &Bench) {
    let topic = bench.topic(1);
    let spec = bench.pipeline(&topic, 1, &bench.name("target"));
    let source = bench.source(&spec, 0);
    let mut reader = source.reader();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut batch = Batch::new("t", 0);
            reader.read(&mut batch, &bounds(10)).unwrap();
            batch.len()
        });
        std::thread::sleep(Duration::from_millis(100));
        bench.append(&topic, records(&["a"]));
        assert_eq!(reading.join().unwrap(), 1);
    });
}

fn a_reader_collects_until_its_time(bench: &Bench) {
    let topic = bench.topic(1);
    let spec = bench.pipeline(&topic, 1, &bench.name("target"));
    let source = bench.source(&spec, 0);
    let mut reader = source.reader();
    bench.append(&topic, records(&["a"]));
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut batch = Batch::new("t", 0);
            let collect_until = Instant::now() + Duration::from_secs(20);
            let patient = ReadBounds { collect_until, ..bounds(2) };
            reader.read(&mut batch, &patient).unwrap();
            batch.len()
        });
        std::thread::sleep(Duration::from_millis(100));
        bench.append(&topic, records(&["b"]));
        assert_eq!(reading.join().unwrap(), 2);
    });
}

fn publishing_shows_messages_and_moves_the_ledger(bench: &Bench) {
    let (source, target) = (bench.topic(1), bench.name("target"));
    let spec = bench.pipeline(&source, 1, &target);
    let lane = bench.lane(&spec);
    let mut publisher = bench.log.publisher(&lane, true);
    let ledger = publisher.open().unwrap();
    assert_eq!((ledger.next_offset, ledger.batch), (None, None));
    let value = outbox_of(&spec, &[(Some("2"), "a"), (Some("3"), "b"), (Some("1"), "c")]);
    publisher.publish(7, 42, &[&value]).unwrap();

    assert_eq!(bench.runtime.block_on(bench.log.partitions(&target)).unwrap(), Some(3));
    let read = bench.read_topic(&target);
    let places: Vec<i32> = read.iter().map(|record| record.position.partition).collect();
    assert_eq!((values(&read), places), (vec!["c".into(), "a".into(), "b".into()], vec![0, 2, 2]));
    assert_eq!((read[1].timestamp_ms, read[1].key.as_deref()), (1_000, Some(&b"2"[..])));
    assert_eq!(read[1].headers, [("n".to_owned(), Some(b"0".to_vec()))]);
    let ledger = bench.runtime.block_on(bench.log.group_ledger(&lane)).unwrap();
    assert_eq!((ledger.next_offset, ledger.batch), (Some(42), Some(7)));
    assert_eq!(publisher.open().unwrap(), ledger);
    // At the same offset too: a batch of parked records.
    publisher.publish(8, 42, &[&value]).unwrap();
    let ledger = bench.runtime.block_on(bench.log.group_ledger(&lane)).unwrap();
    assert_eq!((ledger.next_offset, ledger.batch), (Some(42), Some(8)));
    assert_eq!(ledger_metadata(8), "gristmill batch=8");
}

fn a_batch_without_messages_moves_the_ledger(bench: &Bench) {
    let source = bench.topic(1);
    let spec = bench.pipeline(&source, 1, &bench.name("target"));
    let lane = bench.lane(&spec);
    let mut publisher = bench.log.publisher(&lane, true);
    publisher.open().unwrap();
    publisher.publish(1, 5, &[]).unwrap();
    publisher.publish(2, 6, &[&[]]).unwrap();
    let ledger = bench.runtime.block_on(bench.log.group_ledger(&lane)).unwrap();
    assert_eq!((ledger.next_offset, ledger.batch), (Some(6), Some(2)));
}

fn several_batches_are_published_at_once(bench: &Bench) {
    let (source, target) = (bench.topic(1), bench.name("target"));
    let spec = bench.pipeline(&source, 1, &target);
    let mut publisher = bench.log.publisher(&bench.lane(&spec), true);
    publisher.open().unwrap();
    let first = outbox_of(&spec, &[(Some("1"), "a"), (Some("1"), "b")]);
    let second = outbox_of(&spec, &[(Some("1"), "c"), (None, "spread")]);
    publisher.publish(2, 9, &[&first, &[], &second]).unwrap();
    let read = bench.read_topic(&target);
    let keyed: Vec<_> = read.into_iter().filter(|record| record.key.is_some()).collect();
    assert_eq!(values(&keyed), ["a", "b", "c"]);
}

/// More than the Kafka log hands over at a time: 4 MB, single messages of 700 KB among them.
fn a_large_batch_is_published_in_order(bench: &Bench) {
    let (source, target) = (bench.topic(1), bench.topic(1));
    let spec = bench.pipeline(&source, 1, &target);
    let mut publisher = bench.log.publisher(&bench.lane(&spec), true);
    publisher.open().unwrap();
    let (short, long) = ("x".repeat(800), "x".repeat(700_000));
    let sent: Vec<String> = (0..4_000)
        .map(|number| format!("{number} {}", if number % 2_000 == 999 { &long } else { &short }))
        .collect();
    let messages: Vec<_> = sent.iter().map(|value| (None, value.as_str())).collect();
    publisher.publish(1, 1, &[&outbox_of(&spec, &messages)]).unwrap();
    let read = values(&bench.read_topic(&target));
    assert!(read == sent, "lost, doubled or out of order: {} of {} messages", read.len(), sent.len());
}

fn a_newer_publisher_fences_the_older(bench: &Bench) {
    let (source, target) = (bench.topic(1), bench.name("target"));
    let spec = bench.pipeline(&source, 1, &target);
    let lane = bench.lane(&spec);
    let value = outbox_of(&spec, &[(Some("1"), "once")]);
    let mut older = bench.log.publisher(&lane, true);
    older.open().unwrap();
    older.publish(1, 1, &[&value]).unwrap();
    let mut newer = bench.log.publisher(&lane, true);
    newer.open().unwrap();
    let refused = older.publish(2, 2, &[&value]).unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
    newer.publish(2, 2, &[&value]).unwrap();
    assert_eq!(values(&bench.read_topic(&target)), ["once", "once"]);
    // Opened anew, the older is the newer.
    assert_eq!(older.open().unwrap().batch, Some(2));
    assert!(matches!(newer.publish(3, 3, &[]), Err(Error::Fenced { .. })));
}

fn what_is_published_is_read_to_its_end(bench: &Bench) {
    let (source, target) = (bench.topic(1), bench.topic(1));
    let spec = bench.pipeline(&source, 1, &target);
    let mut publisher = bench.log.publisher(&bench.lane(&spec), true);
    publisher.open().unwrap();
    publisher.publish(1, 1, &[&outbox_of(&spec, &[(None, "a"), (None, "b")])]).unwrap();
    publisher.publish(2, 2, &[&outbox_of(&spec, &[(None, "c")])]).unwrap();
    let follower = bench.pipeline(&target, 1, &bench.name("unused"));
    let follower_source = bench.source(&follower, 0);
    let mut reader = follower_source.reader();
    let mut all = Vec::new();
    let mut next = 0;
    while all.len() < 3 {
        let mut batch = Batch::new(&target, 0);
        next = reader.read(&mut batch, &bounds(10)).unwrap().unwrap_or(next);
        assert!(batch.offsets.iter().all(|offset| *offset < next));
        all.extend((0..batch.len()).map(|index| batch.value(index).unwrap().to_vec()));
    }
    assert_eq!(all, [b"a", b"b", b"c"]);
    let (_, end) = bench.runtime.block_on(bench.log.bounds(&target, 0)).unwrap();
    assert!(next <= end);
}

fn groups_keep_apart(bench: &Bench) {
    let source = bench.topic(1);
    let (one, other) = (bench.pipeline(&source, 1, "x"), bench.pipeline(&source, 1, "x"));
    let mut publisher = bench.log.publisher(&bench.lane(&one), true);
    publisher.open().unwrap();
    publisher.publish(1, 3, &[]).unwrap();
    let ledger = bench.runtime.block_on(bench.log.group_ledger(&bench.lane(&other))).unwrap();
    assert_eq!((ledger.next_offset, ledger.batch), (None, None));
}

fn a_pipeline_without_outputs_moves_the_ledger(bench: &Bench) {
    let source = bench.topic(1);
    bench.append(&source, records(&["a", "b"]));
    let spec = bench.pipeline(&source, 1, &bench.name("target"));
    let lane = bench.lane(&spec);
    let mut publisher = bench.log.publisher(&lane, false);
    publisher.open().unwrap();
    publisher.publish(1, 2, &[]).unwrap();
    let ledger = bench.runtime.block_on(bench.log.group_ledger(&lane)).unwrap();
    assert_eq!((ledger.next_offset, ledger.batch), (Some(2), Some(1)));
    publisher.publish(2, 9, &[]).unwrap();
    let ledger = bench.runtime.block_on(bench.log.group_ledger(&lane)).unwrap();
    assert_eq!((ledger.next_offset, ledger.batch), (Some(9), Some(2)));
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
