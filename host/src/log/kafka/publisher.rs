//! Publishing one lane's batches to Kafka: a transaction that carries the messages and the group's offset.
//!
//! After any error the producer is thrown away: librdkafka knows only the first version of the transaction
//! protocol, in which a timed-out end leaves it open whether the transaction ended. The next [`Publisher::open`]
//! makes a new one, whose `init_transactions` ends what is open and fences the old one; the group's offset tells
//! whether the transaction had ended.

use super::super::{Error, GroupLedger, NewTopic, Publisher, ledger_metadata};
use super::aside::Aside;
use super::client::{Client, TIMEOUT, unavailable};
use super::patience::Patience;
use super::source::SourceConsumer;
use crate::publish::outbox::{self, Outgoing};
use crate::record::LaneId;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long the messages of one portion may take to be acknowledged.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// What one portion holds for each partition of a topic, if its messages spread evenly, bytes: three quarters of the
/// largest request that librdkafka makes for a partition (`batch.size`, 1,000,000), since they seldom do.
const PORTION_BYTES: usize = 768 * 1024;

/// How long a request waits for company, milliseconds: handing over a portion takes a few.
const LINGER_MS: &str = "5";

/// A lane looks for acknowledgements after an eighth of the time that it has waited for them, within these bounds: so much
/// later its batch is published.
const LOOK_MIN: Duration = Duration::from_micros(500);
const LOOK_MAX: Duration = Duration::from_millis(4);

/// The pipeline's consumer, whose place in the group is sent along.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) sources: Arc<Mutex<HashMap<String, Weak<SourceConsumer>>>>,
    pub(super) client: Client,
}

impl Source {
    fn consumer(&self, lane: &LaneId) -> Option<Arc<SourceConsumer>> {
        self.sources.lock().get(&*lane.pipeline).and_then(Weak::upgrade)
    }

    /// This host's place in the group, with its generation: an old one is refused by the broker. Where the pipeline
    /// has no consumer here, the group without a member.
    fn group(&self, lane: &LaneId) -> Result<ConsumerGroupMetadata, Error> {
        let metadata = match self.consumer(lane) {
            Some(consumer) => consumer.group_metadata(),
            None => self.client.group_consumer(lane)?.group_metadata(),
        };
        metadata.ok_or_else(|| unavailable(format!("publishing {lane}"), &"the consumer has no group"))
    }
}

fn group_offset(lane: &LaneId, batch: i64, next_offset: i64) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(&lane.topic, lane.partition);
    element.set_offset(Offset::Offset(next_offset))?;
    element.set_metadata(ledger_metadata(batch));
    Ok(list)
}

/// For pipelines without outputs: the group's offset is moved plainly, as a hint for tools that show lag.
pub(super) struct Plain {
    source: Source,
    lane: LaneId,
}

impl Plain {
    pub(super) fn new(source: Source, lane: LaneId) -> Self {
        Plain { source, lane }
    }
}

impl Publisher for Plain {
    fn open(&mut self) -> Result<GroupLedger, Error> {
        self.source.client.group_ledger(&self.lane)
    }

    fn publish(&mut self, batch: i64, next_offset: i64, _outbox: &[&[u8]]) -> Result<(), Error> {
        let moved = group_offset(&self.lane, batch, next_offset).and_then(|list| {
            match self.source.consumer(&self.lane) {
                Some(consumer) => consumer.commit(&list, CommitMode::Async),
                None => match self.source.client.group_consumer(&self.lane) {
                    Ok(consumer) => consumer.commit(&list, CommitMode::Sync),
                    Err(_) => Ok(()),
                },
            }
        });
        if let Err(error) = moved {
            tracing::debug!(lane = %self.lane, %error, "the group's offset was not moved");
        }
        Ok(())
    }
}

/// Remembers the first message that could not be delivered: its topic, and why.
#[derive(Default)]
struct Deliveries(Mutex<Option<(String, KafkaError)>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.0.lock().get_or_insert_with(|| (message.topic().to_owned(), error.clone()));
        }
    }
}

type TransactionalProducer = Aside<BaseProducer<Deliveries>>;

/// A lane's transactional producer.
pub(super) struct Transactional {
    source: Source,
    lane: LaneId,
    producer: Option<TransactionalProducer>,
    patience: Patience,
    /// Topics that are known to be there, and how many partitions they have.
    topics: HashMap<String, usize>,
}

impl Transactional {
    pub(super) fn new(source: Source, lane: LaneId) -> Self {
        Transactional { source, lane, producer: None, patience: Patience::default(), topics: HashMap::new() }
    }

    fn doing(&self, step: &str) -> String {
        format!("{step} of {}", self.lane)
    }

    /// What an error means. A fenced producer's messages are purged with an error of their own: that it is fenced
    /// stands in the client's fatal error.
    fn failed(&self, producer: &BaseProducer<Deliveries>, step: &str, error: &KafkaError) -> Error {
        use RDKafkaErrorCode::{
            Fenced, IllegalGeneration, InvalidProducerEpoch, ProducerFenced, UnknownMemberId,
        };
        let code = match error {
            KafkaError::Transaction(error) => Some(error.code()),
            error => error.rdkafka_error_code(),
        };
        let fatal = producer.client().fatal_error().map(|(code, _)| code);
        if [code, fatal]
            .iter()
            .flatten()
            .any(|code| matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch))
        {
            return Error::Fenced { doing: self.doing(step), message: error.to_string() };
        }
        if matches!(code, Some(UnknownMemberId | IllegalGeneration)) {
            return Error::NoMember { doing: self.doing(step), message: error.to_string() };
        }
        unavailable(self.doing(step), error)
    }

    /// Makes one of librdkafka's blocking calls, whose time limit is [`TIMEOUT`].
    fn blocking(
        &self,
        producer: &TransactionalProducer,
        step: &str,
        call: impl FnOnce(&BaseProducer<Deliveries>) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), Error> {
        let shared = producer.shared();
        match self.patience.call(TIMEOUT, move || call(&shared)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.failed(producer, step, &error)),
            None => Err(unavailable(self.doing(step), &"the Kafka client does not answer; it is given up")),
        }
    }

    /// Makes the topics that are not there yet.
    fn ensure_topics(&mut self, topics: &[NewTopic]) -> Result<(), Error> {
        let mut missing = Vec::new();
        for topic in topics {
            if self.topics.contains_key(&topic.name) {
                continue;
            }
            match self.source.client.partitions(&topic.name)? {
                Some(partitions) => self.know(topic.name.clone(), partitions),
                None => missing.push(topic.clone()),
            }
        }
        if !missing.is_empty() {
            self.source.client.create_topics(&missing)?;
            for topic in missing {
                self.know(topic.name, topic.partitions);
            }
        }
        Ok(())
    }

    fn know(&mut self, topic: String, partitions: i32) {
        self.topics.insert(topic, usize::try_from(partitions).unwrap_or(1));
    }

    fn transaction(
        &self,
        producer: &TransactionalProducer,
        batch: i64,
        next_offset: i64,
        outbox: &[outbox::Outbox<'_>],
    ) -> Result<(), Error> {
        self.blocking(producer, "beginning the transaction", BaseProducer::begin_transaction)?;
        for outbox in outbox {
            self.produce(producer, outbox)?;
        }
        crate::crash::point("publish.produced");
        let group = self.source.group(&self.lane)?;
        let offset = group_offset(&self.lane, batch, next_offset)
            .map_err(|error| self.failed(producer, "writing the group's offset", &error))?;
        self.blocking(producer, "adding the group's offset to the transaction", move |producer| {
            producer.send_offsets_to_transaction(&offset, &group, TIMEOUT)
        })?;
        crate::crash::point("publish.offset-added");
        self.blocking(producer, "committing the transaction", |producer| {
            producer.commit_transaction(TIMEOUT)
        })?;
        crate::crash::point("publish.ended");
        Ok(())
    }

    /// Sends the messages of one batch; all are acknowledged afterwards.
    fn produce(&self, producer: &BaseProducer<Deliveries>, outbox: &outbox::Outbox<'_>) -> Result<(), Error> {
        let portion = |topic: &NewTopic| PORTION_BYTES * self.topics.get(&topic.name).copied().unwrap_or(1);
        let full: Vec<usize> = outbox.topics.iter().map(portion).collect();
        // What the current portion has room for, by topic.
        let mut room = full.clone();
        for message in &outbox.messages {
            let Some(topic) = outbox.topics.get(message.topic) else { continue };
            let bytes = message.bytes();
            if room.get(message.topic).is_some_and(|left| *left < bytes) {
                self.wait_for_deliveries(producer)?;
                room.clone_from(&full);
            }
            if let Some(left) = room.get_mut(message.topic) {
                *left = left.saturating_sub(bytes);
            }
            self.send(producer, &topic.name, message)?;
        }
        self.wait_for_deliveries(producer)
    }

    fn send(
        &self,
        producer: &BaseProducer<Deliveries>,
        topic: &str,
        message: &Outgoing<'_>,
    ) -> Result<(), Error> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).timestamp(message.timestamp_ms);
        record.key = message.key;
        record.payload = message.value;
        if !message.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(message.headers.len());
            record.headers = Some(
                message
                    .headers
                    .iter()
                    .fold(headers, |out, (key, value)| out.insert(Header { key, value: *value })),
            );
        }
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    record = back;
                    producer.poll(Duration::from_millis(5));
                }
                Err((error, _)) => {
                    return Err(self.failed(producer, &producing(topic, &error), &error));
                }
            }
        }
    }

    /// Looks and sleeps until nothing is in flight. `flush` waits in slices of 100 ms, and `poll` with a time limit of
    /// a millisecond never sleeps at all: it rounds what is left of it down, and kept a core busy for each lane.
    fn wait_for_deliveries(&self, producer: &BaseProducer<Deliveries>) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            let before = producer.in_flight_count();
            if before == 0 {
                break;
            }
            producer.poll(Duration::ZERO);
            let waited = start.elapsed();
            if waited > DELIVERY_TIMEOUT {
                return Err(unavailable(self.doing("producing the messages"), &"not acknowledged in time"));
            }
            if producer.in_flight_count() == before {
                std::thread::sleep((waited / 8).clamp(LOOK_MIN, LOOK_MAX));
            }
        }
        producer.poll(Duration::ZERO);
        match producer.context().0.lock().take() {
            Some((topic, error)) => Err(self.failed(producer, &producing(&topic, &error), &error)),
            None => Ok(()),
        }
    }
}

/// What was being done when a message failed, with what to do where trying again will not help by itself.
fn producing(topic: &str, error: &KafkaError) -> String {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
        format!(
            "producing to topic {topic}, whose max.message.bytes is less than limits.message_bytes_max of the spec \
             leaves room for: raise the topic's; what stands in the outbox is sent then"
        )
    } else {
        format!("producing to topic {topic}")
    }
}

impl Publisher for Transactional {
    fn open(&mut self) -> Result<GroupLedger, Error> {
        self.producer = None;
        let producer: TransactionalProducer = self
            .source
            .client
            .config()
            .set(
                "transactional.id",
                format!("gristmill.{}.{}.{}", self.lane.pipeline, self.lane.topic, self.lane.partition),
            )
            .set("partitioner", "murmur2_random")
            .set("transaction.timeout.ms", "30000")
            .set("linger.ms", LINGER_MS)
            .set("message.timeout.ms", "25000")
            .set("message.max.bytes", "67108864")
            .set("queue.buffering.max.kbytes", "131072")
            .create_with_context(Deliveries::default())
            .map(Aside::new)
            .map_err(|error| Error::Unfit(format!("Kafka producer: {error}")))?;
        let too_early = match crate::sabotage::group_before_init() {
            true => Some(self.source.client.group_ledger(&self.lane)?),
            false => None,
        };
        crate::crash::point("publish.opening");
        self.blocking(&producer, "opening the publisher", |producer| producer.init_transactions(TIMEOUT))?;
        // Only now is the group's offset stable: the predecessor's transaction has ended.
        let ledger = match too_early {
            Some(ledger) => ledger,
            None => self.source.client.group_ledger(&self.lane)?,
        };
        self.producer = Some(producer);
        Ok(ledger)
    }

    fn publish(&mut self, batch: i64, next_offset: i64, outbox: &[&[u8]]) -> Result<(), Error> {
        let decoded: Result<Vec<_>, _> = outbox.iter().map(|value| outbox::decode(value)).collect();
        let decoded =
            decoded.map_err(|error| Error::Unfit(format!("{}: {error}", self.doing("publishing"))))?;
        for outbox in &decoded {
            self.ensure_topics(&outbox.topics)?;
        }
        // Taken out: only a transaction that went well puts the producer back.
        let Some(producer) = self.producer.take() else {
            return Err(unavailable(self.doing("publishing"), &"the publisher is not open"));
        };
        let result = self.transaction(&producer, batch, next_offset, &decoded);
        if result.is_ok() {
            self.producer = Some(producer);
        }
        result
    }
}
