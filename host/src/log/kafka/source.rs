//! One pipeline's consumer: rebalances become calls to [`PartitionEvents`], each partition gets a queue of its own
//! that its lane reads, so that a lane that stands still holds up no other.

use super::super::{Error, NewTopic, PartitionEvents, ReadBounds, Reader};
use super::aside::discard;
use super::client::{Client, unavailable};
use super::headers_of;
use super::{KAFKA, KafkaSettings};
use crate::record::Batch;
use crate::spec::Spec;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A pipeline's consumer.
pub(super) type SourceConsumer = BaseConsumer<SourceContext>;

/// How often the consumer looks for rebalances, and whether it is to stop.
const POLL: Duration = Duration::from_millis(100);

/// What may be read ahead of all partitions of a source, KiB; of each it is at least one MiB.
const AHEAD_KIB_MAX: i32 = 64 << 10;

/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(10);

/// How much longer than draining its lanes a host may take over a rebalance before the group goes on without it:
/// taking others over is all that is to be done then, and what cannot be taken over in this time, another host may.
/// No longer than needed: for so long the group also waits for a member that was there when its connection was lost in
/// the middle of a rebalance, and that the coordinator does not know to be gone.
const TAKE_OVER: Duration = Duration::from_secs(15);

/// Turns rebalances into events.
pub(super) struct SourceContext {
    topic: String,
    events: Arc<dyn PartitionEvents>,
    consumer: OnceLock<Weak<SourceConsumer>>,
    owned: Mutex<BTreeSet<i32>>,
}

impl ClientContext for SourceContext {
    /// What the client has to say, among it why it has left the group.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let topic = &self.topic;
        match level {
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(topic, facility, "Kafka client: {message}");
            }
            _ => tracing::info!(topic, facility, "Kafka client: {message}"),
        }
    }
}

impl ConsumerContext for SourceContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list
            .elements()
            .iter()
            .filter(|element| element.topic() == self.topic)
            .map(|element| element.partition())
            .collect();
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &partitions),
            _ => self.unassign(consumer, &partitions),
        }
    }
}

impl SourceContext {
    /// Takes the new partitions over, then has them read from where the *store* says.
    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let Some(shared) = self.consumer.get().and_then(Weak::upgrade) else { return };
        let starts = self.events.assigned(partitions);
        let mut list = TopicPartitionList::new();
        let mut readers = Vec::new();
        for (partition, offset) in starts {
            // Before the assignment, or the partition's first records go to the consumer's common queue.
            let Some(queue) = shared.split_partition_queue(&self.topic, partition) else { continue };
            if list.add_partition_offset(&self.topic, partition, Offset::Offset(offset)).is_ok() {
                readers.push((partition, queue));
            }
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&list),
            _ => consumer.assign(&list),
        };
        if let Err(error) = assigned {
            tracing::error!(topic = self.topic, %error, "partitions could not be assigned");
            return;
        }
        for (partition, queue) in readers {
            self.owned.lock().insert(partition);
            self.events.started(partition, Box::new(QueueReader { queue, carried: None }));
        }
    }

    /// Gives back what was assigned. A partition whose take-over was let go never was, and librdkafka refuses a list
    /// with such a one as a whole: the rebalance would then never end, nor would the consumer.
    fn unassign(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let gone: Vec<i32> = {
            let mut owned = self.owned.lock();
            partitions.iter().copied().filter(|partition| owned.remove(partition)).collect()
        };
        if !gone.is_empty() {
            if consumer.assignment_lost() { self.events.lost(&gone) } else { self.events.revoked(&gone) }
        }
        let mut list = TopicPartitionList::new();
        for partition in gone {
            list.add_partition(&self.topic, partition);
        }
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&list),
            _ => consumer.unassign(),
        };
        if let Err(error) = unassigned {
            tracing::warn!(topic = self.topic, %error, "partitions could not be given back");
        }
    }
}

/// Runs a pipeline's consumer until `stop` is cancelled.
pub(super) fn run(
    client: &Client,
    settings: &KafkaSettings,
    sources: &Mutex<HashMap<String, Weak<SourceConsumer>>>,
    spec: &Spec,
    events: Arc<dyn PartitionEvents>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let source = &spec.source;
    let topic = NewTopic {
        name: source.topic.clone(),
        partitions: source.partitions,
        replication: source.replication,
    };
    while let Err(error) = client.partitions(&source.topic).and_then(|known| match known {
        Some(_) => Ok(()),
        None => client.create_topics(std::slice::from_ref(&topic)),
    }) {
        tracing::warn!(pipeline = spec.name, %error, "waiting for the source topic");
        if wait(stop, Duration::from_secs(1)) {
            return Ok(());
        }
    }
    let partitions = client.partitions(&source.topic).ok().flatten().unwrap_or(source.partitions);
    let doing = || format!("subscribing pipeline {} to {}", spec.name, source.topic);
    let context = SourceContext {
        topic: source.topic.clone(),
        events: events.clone(),
        consumer: OnceLock::new(),
        owned: Mutex::default(),
    };
    let consumer: Arc<SourceConsumer> = client
        .config()
        .set("group.id", &spec.name)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", settings.session_timeout_ms.to_string())
        // For so long a group waits for a member that takes its time; the client leaves it then by itself.
        .set("max.poll.interval.ms", rebalance_ms_max(spec, settings).to_string())
        .set("heartbeat.interval.ms", (settings.session_timeout_ms / 4).max(100).to_string())
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        // Per partition: records read ahead wait here, outside the batches' own bounds.
        .set("queued.max.messages.kbytes", ahead_kib(partitions).to_string())
        .saying_what_debug_asks()
        .create_with_context(context)
        .map(Arc::new)
        .map_err(|error| Error::Unfit(format!("{}: {error}", doing())))?;
    let _ = consumer.context().consumer.set(Arc::downgrade(&consumer));
    sources.lock().insert(spec.name.clone(), Arc::downgrade(&consumer));
    consumer.subscribe(&[&source.topic]).map_err(|error| unavailable(doing(), &error))?;
    while !stop.is_cancelled() {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(_)) => tracing::error!(pipeline = spec.name, "a record outside its partition's queue"),
            Some(Err(error)) => tracing::warn!(pipeline = spec.name, %error, "Kafka consumer"),
        }
    }
    // Leaving: the rebalance callback drains what is left.
    consumer.unsubscribe();
    let deadline = Instant::now() + Duration::from_millis(spec.limits.drain_ms_max) + Duration::from_secs(5);
    while !consumer.context().owned.lock().is_empty() && Instant::now() < deadline {
        let _ = consumer.poll(POLL);
    }
    sources.lock().remove(&spec.name);
    // The group is left when the consumer is destroyed. Without an answer it is left when the session ends.
    if discard(consumer).recv_timeout(LEAVE) == Err(RecvTimeoutError::Timeout) {
        tracing::warn!(pipeline = spec.name, "the group was not left in time");
    }
    Ok(())
}

/// What may be read ahead of each partition, KiB: enough for a few batches, and bounded for all partitions together.
fn ahead_kib(partitions: i32) -> i32 {
    (AHEAD_KIB_MAX / partitions.max(1)).clamp(1_024, 8_192)
}

/// How long this host may take over a rebalance, milliseconds; not less than its session.
fn rebalance_ms_max(spec: &Spec, settings: &KafkaSettings) -> u64 {
    let needed =
        spec.limits.drain_ms_max.saturating_add(u64::try_from(TAKE_OVER.as_millis()).unwrap_or(u64::MAX));
    // librdkafka takes a day at most.
    needed.clamp(u64::from(settings.session_timeout_ms), 86_400_000)
}

/// Waits, unless told to stop; answers whether it was.
fn wait(stop: &CancellationToken, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline && !stop.is_cancelled() {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.is_cancelled()
}

/// Reads one partition's own queue. Polled with a time limit, for its wake-ups can be lost (rust-rdkafka#840).
struct QueueReader {
    queue: PartitionQueue<SourceContext>,
    /// A record that did not fit into the last batch: the first of the next one.
    carried: Option<OwnedMessage>,
}

impl Reader for QueueReader {
    fn read(&mut self, batch: &mut Batch, bounds: &ReadBounds) -> Result<Option<i64>, Error> {
        let (mut next, mut bytes) = (None, 0);
        let mut deadline = Instant::now() + bounds.idle;
        if let Some(message) = self.carried.take() {
            next = Some(message.offset() + 1);
            bytes += size(&message);
            push(batch, &message);
            deadline = bounds.collect_until;
        }
        while batch.len() < bounds.records_max && bytes < bounds.bytes_max {
            // What is there already is taken without a look at the clock.
            let polled = self.queue.poll(Duration::ZERO);
            match polled.or_else(|| self.queue.poll(deadline.saturating_duration_since(Instant::now()))) {
                Some(Ok(message)) => {
                    bytes += size(&message);
                    if bytes > bounds.bytes_max && next.is_some() {
                        self.carried = Some(message.detach());
                        break;
                    }
                    deadline = bounds.collect_until;
                    next = Some(message.offset() + 1);
                    push(batch, &message);
                }
                Some(Err(error)) if next.is_none() => return Err(read_error(batch, error)),
                // What was read comes first; the error comes again.
                Some(Err(_)) => break,
                None if Instant::now() >= deadline => break,
                None => {}
            }
        }
        Ok(next)
    }
}

/// Bytes of key, value and headers.
fn size(message: &impl Message) -> usize {
    let headers = headers_of(message.headers());
    let headers: usize = headers.map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
    message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len) + headers
}

fn push(batch: &mut Batch, message: &impl Message) {
    let timestamp_ms = message.timestamp().to_millis().unwrap_or(0);
    batch.push(message.offset(), timestamp_ms, message.key(), message.payload());
    for (name, value) in headers_of(message.headers()) {
        batch.push_header(name, value);
    }
}

fn read_error(batch: &Batch, error: KafkaError) -> Error {
    use rdkafka::error::RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    let place = format!("{}/{}", batch.topic, batch.partition);
    match error.rdkafka_error_code() {
        Some(AutoOffsetReset | OffsetOutOfRange) => Error::Unfit(format!(
            "the log no longer has the offset of {place} that the store asks for ({error}): records were removed \
             before they were read, or the topic was made anew"
        )),
        _ => Error::Unavailable { log: KAFKA, doing: format!("reading {place}"), message: error.to_string() },
    }
}
