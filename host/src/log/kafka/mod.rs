//! The Kafka log. Three kinds of clients: one idempotent producer for what comes in over HTTP, one consumer per
//! pipeline ([`source`]), one transactional producer per lane ([`publisher`]). librdkafka's blocking calls
//! (transactions, metadata, committed offsets) never run on the async threads.

mod aside;
mod client;
mod patience;
mod properties;
mod publisher;
mod source;

use super::{
    Error, GroupLedger, Log, NewRecord, NewTopic, PartitionEvents, Position, Publisher, StoredRecord,
};
use crate::record::LaneId;
use crate::spec::Spec;
use async_trait::async_trait;
use client::{Client, TIMEOUT, unavailable};
pub use properties::{Properties, Refused};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use source::SourceConsumer;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

const KAFKA: &str = "Kafka";

/// How long a topic's number of partitions is believed.
const TOPIC_KNOWN: Duration = Duration::from_secs(30);

/// Settings of the Kafka log.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// How long a silent host keeps its partitions, milliseconds. Brokers allow 6,000 or more unless told otherwise.
    pub session_timeout_ms: u32,
    /// librdkafka's own properties: TLS, SASL, and whatever else.
    pub properties: Properties,
}

/// A Kafka cluster.
pub struct KafkaLog {
    client: Client,
    settings: KafkaSettings,
    ingest: OnceCell<FutureProducer>,
    /// The consumers of running pipelines, by pipeline: publishers send their group's metadata along.
    sources: Arc<parking_lot::Mutex<HashMap<String, Weak<SourceConsumer>>>>,
    topics: parking_lot::Mutex<HashMap<String, (Instant, i32)>>,
}

impl KafkaLog {
    /// Does not connect yet.
    ///
    /// # Errors
    /// Settings that librdkafka refuses.
    pub fn new(settings: KafkaSettings) -> Result<Self, Error> {
        Ok(KafkaLog {
            client: Client::new(&settings.bootstrap, settings.properties.clone())?,
            settings,
            ingest: OnceCell::new(),
            sources: Arc::default(),
            topics: parking_lot::Mutex::default(),
        })
    }

    /// A producer whose records are acknowledged by all replicas, without gaps or repeats.
    async fn ingest(&self) -> Result<&FutureProducer, Error> {
        let create = || async {
            self.client
                .config()
                .set("enable.idempotence", "true")
                .set("partitioner", "murmur2_random")
                .set("linger.ms", "2")
                .set("message.max.bytes", "1048588")
                .set("delivery.timeout.ms", "20000")
                .set("queue.buffering.max.kbytes", "65536")
                .create()
                .map_err(|error| Error::Unfit(format!("Kafka producer: {error}")))
        };
        self.ingest.get_or_try_init(create).await
    }

    async fn known_partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let known = self.topics.lock().get(topic).copied();
        if let Some((_, partitions)) = known.filter(|(seen, _)| seen.elapsed() < TOPIC_KNOWN) {
            return Ok(Some(partitions));
        }
        let partitions = self.partitions(topic).await?;
        if let Some(partitions) = partitions {
            self.topics.lock().insert(topic.to_owned(), (Instant::now(), partitions));
        }
        Ok(partitions)
    }
}

#[async_trait]
impl Log for KafkaLog {
    fn kind(&self) -> &'static str {
        KAFKA
    }

    async fn append(&self, topic: &str, records: Vec<NewRecord>) -> Result<Vec<Position>, Error> {
        super::check_sizes(&records)?;
        if self.known_partitions(topic).await?.is_none() {
            return Err(Error::UnknownTopic(topic.to_owned()));
        }
        let doing = || format!("appending to topic {topic}");
        let producer = self.ingest().await?;
        let mut sent = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            let mut message = FutureRecord::<[u8], [u8]>::to(topic);
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            message.timestamp = record.timestamp_ms;
            if !record.headers.is_empty() {
                message.headers = Some(headers(&record.headers));
            }
            // Once one record of a request is on its way, the others follow it: they wait for room.
            let deadline = Instant::now() + TIMEOUT;
            loop {
                match producer.send_result(message) {
                    Ok(delivery) => sent.push(delivery),
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        if index == 0 {
                            return Err(Error::Busy);
                        }
                        if Instant::now() < deadline {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            message = back;
                            continue;
                        }
                        return Err(unavailable(doing(), &"no room in the producer's queue"));
                    }
                    Err((error, _)) => return Err(unavailable(doing(), &error)),
                }
                break;
            }
        }
        let mut positions = Vec::with_capacity(sent.len());
        for (index, delivery) in sent.into_iter().enumerate() {
            match delivery.await {
                Ok(Ok(delivered)) => {
                    positions.push(Position { partition: delivered.partition, offset: delivered.offset });
                }
                Ok(Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _))) => {
                    return Err(Error::Refused {
                        index,
                        message: "it is too large for the topic".to_owned(),
                    });
                }
                Ok(Err((error, _))) => return Err(unavailable(doing(), &error)),
                Err(_) => {
                    return Err(Error::Unavailable {
                        log: KAFKA,
                        doing: doing(),
                        message: "the producer was closed".to_owned(),
                    });
                }
            }
        }
        Ok(positions)
    }

    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), Error> {
        let client = self.client.clone();
        let topic = topic.clone();
        blocking(move || client.create_topics(std::slice::from_ref(&topic))).await
    }

    async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let (client, topic) = (self.client.clone(), topic.to_owned());
        blocking(move || client.partitions(&topic)).await
    }

    async fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        let (client, topic) = (self.client.clone(), topic.to_owned());
        blocking(move || client.bounds(&topic, partition)).await
    }

    async fn lag(&self, topic: &str, partition: i32, next: i64) -> Result<i64, Error> {
        let (client, topic) = (self.client.clone(), topic.to_owned());
        blocking(move || {
            let (_, end) = client.bounds(&topic, partition)?;
            let lag = (end - next).max(0);
            // More than a few are not asked about: they are a lag, markers or not.
            let only_markers = (1..=MARKERS_MAX).contains(&lag)
                && read_from(&client, &topic, partition, next, 1)?.is_empty();
            Ok(if only_markers { 0 } else { lag })
        })
        .await
    }

    async fn read_range(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        limit: usize,
    ) -> Result<Vec<StoredRecord>, Error> {
        let (client, topic) = (self.client.clone(), topic.to_owned());
        blocking(move || read_from(&client, &topic, partition, from, limit)).await
    }

    async fn read_topic(&self, topic: &str, limit: usize) -> Result<Vec<StoredRecord>, Error> {
        let (client, topic) = (self.client.clone(), topic.to_owned());
        blocking(move || read_all(&client, &topic, limit)).await
    }

    async fn topics(&self) -> Result<Vec<String>, Error> {
        let client = self.client.clone();
        blocking(move || client.topics()).await
    }

    async fn group_ledger(&self, lane: &LaneId) -> Result<GroupLedger, Error> {
        let (client, lane) = (self.client.clone(), lane.clone());
        blocking(move || client.group_ledger(&lane)).await
    }

    async fn group_ledger_now(&self, lane: &LaneId) -> Result<GroupLedger, Error> {
        let (client, lane) = (self.client.clone(), lane.clone());
        blocking(move || client.group_ledger_now(&lane)).await
    }

    fn run_source(
        &self,
        spec: &Arc<Spec>,
        events: Arc<dyn PartitionEvents>,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        source::run(&self.client, &self.settings, &self.sources, spec, events, &stop)
    }

    fn publisher(&self, lane: &LaneId, publishes: bool) -> Box<dyn Publisher> {
        let source = publisher::Source { sources: self.sources.clone(), client: self.client.clone() };
        if publishes {
            Box::new(publisher::Transactional::new(source, lane.clone()))
        } else {
            Box::new(publisher::Plain::new(source, lane.clone()))
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        let client = self.client.clone();
        blocking(move || client.topics().map(|_| ())).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::Unfit(format!("a call to Kafka ended early: {error}"))))
}

fn headers(headers: &[(String, Option<Vec<u8>>)]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |out, (key, value)| {
        out.insert(Header { key, value: value.as_ref() })
    })
}

/// What stands in place of a header's name that is not UTF-8.
const UNREADABLE: &str = "\u{fffd}";

/// A message's headers. Names are bytes in Kafka, and rdkafka panics at one that is not UTF-8, whoever wrote it: such
/// a header is there without its name and value, and its record goes its way.
fn headers_of<H: Headers>(headers: Option<&H>) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    let all = headers.into_iter().flat_map(|headers| (0..headers.count()).map(move |at| (headers, at)));
    all.map(|(headers, at)| {
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| headers.try_get(at)));
        read.ok().flatten().map_or((UNREADABLE, None), |header| (header.key, header.value))
    })
}

/// Offsets behind a reader that may all be markers: of so many transactions without a record for the partition, or that
/// were taken back.
const MARKERS_MAX: i64 = 100;

/// A consumer that is in no group, and says where partitions end.
fn looker(client: &Client, assignment: &TopicPartitionList) -> Result<BaseConsumer, KafkaError> {
    let consumer: BaseConsumer = client
        .config()
        .set("group.id", "gristmill-read")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // That a partition has ended is said after an empty fetch.
        .set("fetch.wait.max.ms", "10")
        .create()?;
    consumer.assign(assignment)?;
    Ok(consumer)
}

/// Reads the visible records of a partition from an offset on, up to its end or so many.
fn read_from(
    client: &Client,
    topic: &str,
    partition: i32,
    from: i64,
    limit: usize,
) -> Result<Vec<StoredRecord>, Error> {
    let doing = || format!("reading {topic}/{partition}");
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, partition, Offset::Offset(from))
        .map_err(|error| unavailable(doing(), &error))?;
    let consumer = looker(client, &assignment).map_err(|error| unavailable(doing(), &error))?;
    let (mut records, mut heard) = (Vec::new(), Instant::now());
    while records.len() < limit {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                records.push(stored(&message));
            }
            // The end, transaction markers included.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) => return Err(unavailable(doing(), &error)),
            None if heard.elapsed() > TIMEOUT => return Err(unavailable(doing(), &"no answer in time")),
            None => {}
        }
    }
    Ok(records)
}

/// Reads a topic up to its end as it is now.
fn read_all(client: &Client, topic: &str, limit: usize) -> Result<Vec<StoredRecord>, Error> {
    let doing = || format!("reading topic {topic}");
    let Some(partitions) = client.partitions(topic)? else {
        return Err(Error::UnknownTopic(topic.to_owned()));
    };
    let mut ends = HashMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        let (first, end) = client.settled_bounds(topic, partition)?;
        if first < end {
            ends.insert(partition, end);
            assignment
                .add_partition_offset(topic, partition, Offset::Offset(first))
                .map_err(|error| unavailable(doing(), &error))?;
        }
    }
    let consumer = looker(client, &assignment).map_err(|error| unavailable(doing(), &error))?;
    let mut records = Vec::new();
    let deadline = Instant::now() + TIMEOUT;
    while !ends.is_empty() && records.len() < limit {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message))
                if ends.get(&message.partition()).is_some_and(|end| message.offset() < *end) =>
            {
                records.push(stored(&message));
            }
            Some(Ok(_)) => {}
            // The end of a partition, transaction markers included.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            Some(Err(error)) => return Err(unavailable(doing(), &error)),
            None if Instant::now() > deadline => return Err(unavailable(doing(), &"no answer in time")),
            None => {}
        }
    }
    records.sort_by_key(|record| (record.position.partition, record.position.offset));
    Ok(records)
}

fn stored(message: &impl Message) -> StoredRecord {
    let headers = headers_of(message.headers());
    StoredRecord {
        position: Position { partition: message.partition(), offset: message.offset() },
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
    }
}
