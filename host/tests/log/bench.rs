//! What the checks of a log stand on: the log, names of their own, a pipeline that reads and publishes.

use gristmill::effect::{Effects, MessageValues, Messages};
use gristmill::log::{Log, NewRecord, NewTopic, PartitionEvents, ReadBounds, Reader, StoredRecord};
use gristmill::publish::outbox;
use gristmill::record::{Batch, Blobs, Header, LaneId};
use gristmill::spec::Spec;
use gristmill::store::{Origin, Work};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A log to be checked. Checks run on plain threads, as lanes do, and wait for async calls on `runtime`.
pub struct Bench {
    pub log: Arc<dyn Log>,
    pub runtime: Handle,
    /// Tells one run's topics from another's, where the log outlives the run.
    pub prefix: String,
    pub names: AtomicUsize,
}

impl Bench {
    pub fn new(log: Arc<dyn Log>, runtime: Handle, prefix: &str) -> Self {
        Bench { log, runtime, prefix: prefix.to_owned(), names: AtomicUsize::new(0) }
    }

    /// A name that nothing else has.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}-{}", self.prefix, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A new topic.
    pub fn topic(&self, partitions: i32) -> String {
        let name = self.name("topic");
        let topic = NewTopic { name: name.clone(), partitions, replication: 1 };
        self.runtime.block_on(self.log.ensure_topic(&topic)).unwrap();
        name
    }

    /// Appends values without keys, one after the other; answers partition and offset of each.
    pub fn append(&self, topic: &str, records: Vec<NewRecord>) -> Vec<(i32, i64)> {
        let positions = self.runtime.block_on(self.log.append(topic, records)).unwrap();
        positions.iter().map(|position| (position.partition, position.offset)).collect()
    }

    /// Everything in a topic; nothing if there is no such topic.
    pub fn read_topic(&self, topic: &str) -> Vec<StoredRecord> {
        match self.runtime.block_on(self.log.partitions(topic)).unwrap() {
            Some(_) => self.runtime.block_on(self.log.read_topic(topic, 100_000)).unwrap(),
            None => Vec::new(),
        }
    }

    /// A pipeline that reads `source` and publishes to `target`, with names of its own.
    pub fn pipeline(&self, source: &str, partitions: i32, target: &str) -> Arc<Spec> {
        let text = format!(
            "version = 1\nname = \"{}\"\n[source]\ntopic = \"{source}\"\npartitions = {partitions}\n[[stage]]\n\
             name = \"only\"\nmodule = \"m\"\n[[output]]\nname = \"out\"\ntopic = \"{target}\"\npartitions = 3\n",
            self.name("pipeline")
        );
        Arc::new(Spec::parse("test.toml", text, Path::new(".")).unwrap())
    }

    /// The lane of a pipeline's first partition.
    pub fn lane(&self, spec: &Spec) -> LaneId {
        LaneId { pipeline: spec.name.as_str().into(), topic: spec.source.topic.as_str().into(), partition: 0 }
    }

    /// Runs a pipeline's source, each partition from `start` on, until the answer is dropped.
    pub fn source(&self, spec: &Arc<Spec>, start: i64) -> Source {
        let (sender, readers) = channel();
        let events = Arc::new(Seen {
            start,
            readers: Mutex::new(sender),
            assigned: Mutex::default(),
            revoked: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let (log, spec, of_thread, stopped) = (self.log.clone(), spec.clone(), events.clone(), stop.clone());
        let thread = std::thread::spawn(move || log.run_source(&spec, of_thread, stopped).unwrap());
        Source { events, readers, stop, thread: Some(thread) }
    }
}

/// A record with key and value.
pub fn record(key: Option<&str>, value: &str) -> NewRecord {
    NewRecord {
        key: key.map(|key| key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        ..NewRecord::default()
    }
}

/// Records without keys.
pub fn records(values: &[&str]) -> Vec<NewRecord> {
    values.iter().map(|value| record(None, value)).collect()
}

/// Values as texts.
pub fn values(records: &[StoredRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"NULL")).into())
        .collect()
}

/// An outbox value of a pipeline with one output: keys and values, each with the header `n`.
pub fn outbox_of(spec: &Spec, messages: &[(Option<&str>, &str)]) -> Vec<u8> {
    let mut batch = Batch::new(&spec.source.topic, 0);
    let (mut keys, mut values) = (Blobs::default(), Blobs::default());
    let (mut no_key, mut headers) = (Vec::new(), Vec::new());
    for (index, (key, value)) in (0..).zip(messages) {
        batch.push(i64::from(index), 1_000 + i64::from(index), None, Some(b"{}"));
        keys.push(key.unwrap_or("").as_bytes());
        if key.is_none() {
            no_key.push(index);
        }
        values.push(value.as_bytes());
        headers.push(Header { index, name: "n".into(), value: Some(index.to_string().into_bytes()) });
    }
    let messages = Messages {
        output: 0,
        records: (0..).take(messages.len()).collect(),
        topics: None,
        keys: Some(keys),
        no_key,
        values: MessageValues::Each(values),
        no_value: Vec::new(),
        headers,
    };
    let effects = Effects { messages: vec![messages], ..Effects::default() };
    let work = Work { batch, origin: Origin::Log { next_offset: 0 }, effects, stages: Vec::new() };
    outbox::encode(spec, &work, |_| true, &[])
}

/// Bounds that take what is there.
pub fn bounds(records_max: usize) -> ReadBounds {
    ReadBounds {
        records_max,
        bytes_max: 1 << 20,
        idle: Duration::from_secs(10),
        collect_until: Instant::now(),
    }
}

/// A pipeline's source, running.
pub struct Source {
    pub events: Arc<Seen>,
    readers: Receiver<(i32, Box<dyn Reader>)>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Source {
    /// The readers of all partitions, by partition.
    pub fn readers(&self, partitions: usize) -> HashMap<i32, Box<dyn Reader>> {
        (0..partitions).map(|_| self.readers.recv_timeout(Duration::from_secs(30)).unwrap()).collect()
    }

    /// The reader of a topic with one partition.
    pub fn reader(&self) -> Box<dyn Reader> {
        self.readers(1).remove(&0).unwrap()
    }

    /// Stops it and waits for its end.
    pub fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a source told its pipeline.
pub struct Seen {
    start: i64,
    readers: Mutex<Sender<(i32, Box<dyn Reader>)>>,
    pub assigned: Mutex<Vec<i32>>,
    pub revoked: Mutex<Vec<i32>>,
}

impl PartitionEvents for Seen {
    fn assigned(&self, partitions: &[i32]) -> Vec<(i32, i64)> {
        self.assigned.lock().unwrap().extend_from_slice(partitions);
        partitions.iter().map(|partition| (*partition, self.start)).collect()
    }

    fn started(&self, partition: i32, reader: Box<dyn Reader>) {
        self.readers.lock().unwrap().send((partition, reader)).unwrap();
    }

    fn revoked(&self, partitions: &[i32]) {
        self.revoked.lock().unwrap().extend_from_slice(partitions);
    }

    fn lost(&self, _partitions: &[i32]) {}
}
