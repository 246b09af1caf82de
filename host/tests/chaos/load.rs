//! The load: a thread that keeps every lane supplied, and one that watches the lanes, opens the gate for parked
//! records, and takes the time from a fault to the next batches. Both speak to the servers directly.

use super::facts::Database;
use super::model::record;
use super::say;
use super::site::Site;
use gristmill::log::{Log, NewRecord, NewTopic};
use gristmill::store::Store;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Records that wait for the hosts at any time: enough that every lane has a batch or two.
const WINDOW: i64 = 500;
/// Records that are written at once.
const CHUNK: i64 = 40;
/// A gated record is parked for about so long.
const GATED: Duration = Duration::from_millis(500);
/// A gate that opens later than this after its record was written may be too late for its last attempt.
const GATE_LATE: Duration = Duration::from_millis(2_500);

/// A lane, as the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneAt {
    pub epoch: i64,
    pub batch: i64,
    pub next_offset: i64,
}

pub type View = BTreeMap<i32, LaneAt>;

/// A time being taken.
struct Taking {
    what: &'static str,
    since: Instant,
    from: View,
}

/// From a fault to the first batch after it, and to a batch on every lane.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub what: &'static str,
    pub ms: u64,
}

#[derive(Default)]
pub struct Shared {
    /// Records `0..fed` are in the source.
    pub fed: AtomicI64,
    paused: AtomicBool,
    /// Whether the feeder has nothing under way.
    resting: AtomicBool,
    stop: AtomicBool,
    view: Mutex<View>,
    /// Gated records whose gate opened late: either end is right for them.
    pub late: Mutex<Vec<(i64, i64)>>,
    taking: Mutex<Option<Taking>>,
    pub recoveries: Mutex<Vec<Recovery>>,
    pub trouble: Mutex<Option<String>>,
}

pub struct Load {
    pub shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

enum Sink {
    Kafka(Box<FutureProducer>, String),
    Journal(Arc<dyn Log>, String),
}

impl Load {
    pub fn start(site: &Site) -> Self {
        let topic = NewTopic { name: site.topic(), partitions: site.partitions, replication: 1 };
        site.runtime.block_on(site.log.ensure_topic(&topic)).unwrap();
        let sink = match &site.bootstrap {
            Some(bootstrap) => {
                let producer = ClientConfig::new()
                    .set("bootstrap.servers", bootstrap)
                    .set("enable.idempotence", "true")
                    .set("acks", "all")
                    .set("partitioner", "murmur2_random")
                    // Through any restart: what is written is known, not guessed.
                    .set("delivery.timeout.ms", "300000")
                    .set("reconnect.backoff.max.ms", "1000")
                    .create()
                    .unwrap();
                Sink::Kafka(Box::new(producer), topic.name)
            }
            None => Sink::Journal(site.log.clone(), topic.name),
        };
        let shared = Arc::new(Shared::default());
        let (runtime, feeding) = (site.runtime.clone(), shared.clone());
        let feeder = std::thread::spawn(move || feed(&feeding, &sink, &runtime));
        let (runtime, watching) = (site.runtime.clone(), shared.clone());
        let (database, store) = (site.database.clone(), site.store.clone());
        let watcher = std::thread::spawn(move || watch(&watching, &database, &store, &runtime));
        Load { shared, threads: vec![feeder, watcher] }
    }

    pub fn pause(&self, pause: bool) {
        self.shared.paused.store(pause, Ordering::SeqCst);
    }

    /// Stops the feeder, once what it has begun is written; answers whether it is.
    pub fn rest(&self, within: Duration) -> bool {
        self.pause(true);
        let start = Instant::now();
        while !self.shared.resting.load(Ordering::SeqCst) && start.elapsed() < within {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.shared.resting.load(Ordering::SeqCst)
    }

    pub fn view(&self) -> View {
        self.shared.view.lock().clone()
    }

    pub fn batches(&self) -> i64 {
        self.view().values().map(|lane| lane.batch).sum()
    }

    /// Takes the time from now until every lane has committed something that it has not yet.
    pub fn take_time(&self, what: &'static str) {
        let from = self.view();
        *self.shared.taking.lock() = Some(Taking { what, since: Instant::now(), from });
    }

    /// Another fault comes into the middle: no time is taken of what it disturbs.
    pub fn drop_time(&self) {
        *self.shared.taking.lock() = None;
    }

    /// Waits until a lane has another owner than it had, one that has committed so many batches; answers whether one has.
    pub fn followed(&self, before: &View, batches: i64, within: Duration) -> bool {
        let start = Instant::now();
        let follows = |(lane, at): (&i32, &LaneAt)| {
            before
                .get(lane)
                .is_some_and(|before| at.epoch > before.epoch && at.batch >= before.batch + batches)
        };
        loop {
            if self.view().iter().any(follows) {
                return true;
            }
            if start.elapsed() >= within {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every lane has committed something new; answers whether they have.
    pub fn all_move(&self, within: Duration) -> bool {
        let (from, start) = (self.view(), Instant::now());
        while start.elapsed() < within {
            if moved(&from, &self.view()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn moved(from: &View, to: &View) -> bool {
    to.len() >= from.len()
        && to
            .iter()
            .all(|(partition, lane)| from.get(partition).is_none_or(|before| lane.batch > before.batch))
}

fn feed(shared: &Shared, sink: &Sink, runtime: &Handle) {
    while !shared.stop.load(Ordering::SeqCst) {
        let fed = shared.fed.load(Ordering::SeqCst);
        let read: i64 = shared.view.lock().values().map(|lane| lane.next_offset).sum();
        if shared.paused.load(Ordering::SeqCst) || fed - read > WINDOW {
            shared.resting.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        shared.resting.store(false, Ordering::SeqCst);
        // A pause that was asked for meanwhile is kept.
        if shared.paused.load(Ordering::SeqCst) {
            continue;
        }
        match runtime.block_on(write(sink, fed)) {
            Ok(()) => {
                shared.fed.store(fed + CHUNK, Ordering::SeqCst);
                if let Sink::Journal(..) = sink {
                    // Faster than Kafka by far: the small disk would be full of records.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            Err(error) => {
                // The journal takes a chunk whole or not at all, so that it can be given again. Kafka's producer goes on
                // for minutes by itself; an error of it is final.
                if let Sink::Kafka(..) = sink {
                    *shared.trouble.lock() = Some(format!("the harness's own producer: {error}"));
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

async fn write(sink: &Sink, from: i64) -> Result<(), String> {
    let records: Vec<(String, String)> =
        (from..from + CHUNK).map(record).map(|asked| (asked.claim().to_string(), asked.value())).collect();
    match sink {
        Sink::Kafka(producer, topic) => {
            let mut sent = Vec::new();
            for (key, value) in &records {
                let message = FutureRecord::to(topic).key(key).payload(value);
                sent.push(producer.send_result(message).map_err(|(error, _)| error.to_string())?);
            }
            for delivery in sent {
                let delivered = delivery.await.map_err(|_| "the producer is gone".to_owned())?;
                delivered.map_err(|(error, _)| error.to_string())?;
            }
            Ok(())
        }
        Sink::Journal(log, topic) => {
            let records = records.into_iter().map(|(key, value)| NewRecord {
                key: Some(key.into_bytes()),
                value: Some(value.into_bytes()),
                headers: Vec::new(),
                timestamp_ms: None,
            });
            log.append(topic, records.collect()).await.map(drop).map_err(|error| error.to_string())
        }
    }
}

const LANES: &str = "SELECT partition || ' ' || epoch || ' ' || batch || ' ' || coalesce(next_offset, 0) FROM gristmill.lanes";

fn watch(shared: &Shared, database: &Database, store: &Arc<dyn Store>, runtime: &Handle) {
    let mut written: VecDeque<(i64, Instant)> = VecDeque::new();
    let mut gate = (-1, Instant::now());
    while !shared.stop.load(Ordering::SeqCst) {
        if let Ok(lines) = runtime.block_on(database.lines(LANES)) {
            *shared.view.lock() = lines.iter().map(|line| lane(line)).collect();
            take(shared);
        }
        let fed = shared.fed.load(Ordering::SeqCst);
        if written.back().is_none_or(|(last, _)| *last < fed) {
            written.push_back((fed, Instant::now()));
        }
        if gate.1.elapsed() > Duration::from_millis(150) {
            open_gate(shared, store, runtime, &mut written, &mut gate.0);
            gate.1 = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

fn lane(line: &str) -> (i32, LaneAt) {
    let numbers: Vec<i64> = line.split(' ').map(|word| word.parse().unwrap_or(-1)).collect();
    let at = LaneAt { epoch: numbers[1], batch: numbers[2], next_offset: numbers[3] };
    (i32::try_from(numbers[0]).unwrap(), at)
}

/// Opens the gate for all records that were written a while ago.
fn open_gate(
    shared: &Shared,
    store: &Arc<dyn Store>,
    runtime: &Handle,
    written: &mut VecDeque<(i64, Instant)>,
    gate: &mut i64,
) {
    let ripe = written.iter().take_while(|(_, at)| at.elapsed() > GATED).count();
    let Some(&(upto, _)) = ripe.checked_sub(1).and_then(|last| written.get(last)) else { return };
    let entry = (b"gate".to_vec(), upto.to_string().into_bytes());
    if runtime.block_on(store.put_reference(&[entry])).is_err() {
        return;
    }
    let mut from = *gate;
    for (upto, at) in written.drain(..ripe) {
        if at.elapsed() > GATE_LATE {
            say(&format!("the gate for records {from}..{upto} opened late"));
            shared.late.lock().push((from, upto));
        }
        from = upto;
    }
    *gate = upto;
}

fn take(shared: &Shared) {
    let mut taking = shared.taking.lock();
    if taking.as_ref().is_some_and(|taking| moved(&taking.from, &shared.view.lock()))
        && let Some(done) = taking.take()
    {
        let ms = u64::try_from(done.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.recoveries.lock().push(Recovery { what: done.what, ms });
    }
}
