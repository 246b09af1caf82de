//! Connection, metadata, topics, and the group's ledger: what the Kafka log needs beside producing and consuming.
//! All calls block.

use super::super::{Error, GroupLedger, NewTopic, ledger_batch};
use super::KAFKA;
use super::aside::Aside;
use super::properties::{Config, Properties};
use crate::record::LaneId;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as AdminTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one call to the cluster may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a partition's leader is waited for.
const LEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long transactions that are just ending are waited for.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// How much of what the metadata client has to say is heard after each call.
const EVENTS_MAX: usize = 200;

/// Connects to a cluster; cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    bootstrap: Arc<str>,
    properties: Arc<Properties>,
    admin: Arc<AdminClient<DefaultClientContext>>,
    metadata: Arc<BaseConsumer<Reasons>>,
    /// Consumers of the pipelines' groups that join none, by group.
    groups: Arc<Mutex<HashMap<String, GroupConsumer>>>,
}

/// Asks for a group's offsets, and stands for the group where no member of it is here.
pub(super) type GroupConsumer = Arc<Aside<BaseConsumer>>;

/// An error that says to try again.
pub(super) fn unavailable(doing: String, error: &dyn Display) -> Error {
    Error::Unavailable { log: KAFKA, doing, message: error.to_string() }
}

/// Remembers why the cluster could not be reached: a call that fails says no more than that it took too long.
#[derive(Default)]
struct Reasons(Mutex<Option<String>>);

impl ClientContext for Reasons {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "Kafka client: {message}");
        if facility == "FAIL" {
            // Before that stands the thread's name.
            let mut reason = message.split_once("]: ").map_or(message, |(_, reason)| reason).to_owned();
            if hung_up_early(&reason) && !reason.contains("security.protocol") {
                reason.push_str(": is security.protocol the one that this listener wants?");
            }
            *self.0.lock() = Some(reason);
        }
    }

    fn error(&self, _: KafkaError, _: &str) {
        // It is logged, too.
    }
}

impl ConsumerContext for Reasons {}

/// Whether a broker hung up at the first question, or soon after: it speaks another protocol, mostly, and librdkafka
/// does not always say so.
fn hung_up_early(reason: &str) -> bool {
    let after_ms = reason.rsplit_once("(after ").and_then(|(_, rest)| rest.split_once("ms in state "));
    after_ms.is_some_and(|(ms, state)| {
        let soon = ms.parse().is_ok_and(|ms: u32| ms < 2_000);
        state.starts_with("APIVERSION_QUERY") || (soon && state.starts_with("UP"))
    })
}

impl Client {
    pub(super) fn new(bootstrap: &str, properties: Properties) -> Result<Self, Error> {
        let unfit = |error| Error::Unfit(format!("Kafka client: {error}"));
        let properties = Arc::new(properties);
        let mut config = base_config(bootstrap, &properties);
        let admin = Arc::new(config.create().map_err(unfit)?);
        // That a connection was closed is no more than an information, and may be the reason.
        let metadata = config.saying(RDKafkaLogLevel::Info).create_with_context(Reasons::default());
        Ok(Client {
            bootstrap: Arc::from(bootstrap),
            admin,
            metadata: Arc::new(metadata.map_err(unfit)?),
            properties,
            groups: Arc::default(),
        })
    }

    /// The settings that all clients share.
    pub(super) fn config(&self) -> Config {
        base_config(&self.bootstrap, &self.properties)
    }

    /// What the metadata client answers. An error says to try again; where the cluster could not be reached, with what
    /// the client had to say about that.
    fn answered<T>(&self, answer: Result<T, KafkaError>, doing: impl Fn() -> String) -> Result<T, Error> {
        use RDKafkaErrorCode::{
            AllBrokersDown, Authentication, BrokerTransportFailure, OperationTimedOut, SSL,
        };
        // Nobody else listens to this client.
        for _ in 0..EVENTS_MAX {
            let _ = self.metadata.poll(Duration::ZERO);
        }
        let error = match answer {
            Ok(answer) => {
                *self.metadata.context().0.lock() = None;
                return Ok(answer);
            }
            Err(error) => error,
        };
        let unreached = [AllBrokersDown, Authentication, BrokerTransportFailure, OperationTimedOut, SSL];
        let reason = match error.rdkafka_error_code().filter(|code| unreached.contains(code)) {
            // Said once in a while only: it stays.
            Some(_) => self.metadata.context().0.lock().clone(),
            None => None,
        };
        Err(match reason {
            Some(reason) => unavailable(doing(), &format!("{error}: {reason}")),
            None => unavailable(doing(), &error),
        })
    }

    pub(super) fn topics(&self) -> Result<Vec<String>, Error> {
        let metadata = self.metadata.fetch_metadata(None, TIMEOUT);
        let metadata = self.answered(metadata, || "listing topics".to_owned())?;
        let mut topics: Vec<String> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
        topics.retain(|topic| topic != "__consumer_offsets" && topic != "__transaction_state");
        topics.sort();
        Ok(topics)
    }

    pub(super) fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        let metadata = self.metadata.fetch_metadata(Some(topic), TIMEOUT);
        let metadata = self.answered(metadata, || format!("asking for topic {topic}"))?;
        let known = metadata.topics().iter().find(|known| known.name() == topic && known.error().is_none());
        Ok(known.map(|known| i32::try_from(known.partitions().len()).unwrap_or(i32::MAX)).filter(|n| *n > 0))
    }

    /// First offset and end of a partition. A partition that was just made has no leader for a moment: that is
    /// waited for.
    pub(super) fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        use RDKafkaErrorCode::{
            LeaderNotAvailable, NotLeaderForPartition, UnknownPartition, UnknownTopic,
            UnknownTopicOrPartition,
        };
        let deadline = Instant::now() + LEADER_TIMEOUT;
        loop {
            let error = match self.metadata.fetch_watermarks(topic, partition, TIMEOUT) {
                Ok(bounds) => return Ok(bounds),
                Err(error) => error,
            };
            match error.rdkafka_error_code() {
                Some(NotLeaderForPartition | LeaderNotAvailable) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some(UnknownPartition | UnknownTopic | UnknownTopicOrPartition) => {
                    return Err(Error::UnknownTopic(topic.to_owned()));
                }
                _ => {
                    return self
                        .answered(Err(error), || format!("asking for the bounds of {topic}/{partition}"));
                }
            }
        }
    }

    /// [`Client::bounds`], once transactions that are just ending have ended: a commit answers before every partition
    /// shows what it committed. One that stays open is waited for no longer than a moment.
    pub(super) fn settled_bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        let uncommitted: BaseConsumer =
            self.config().set("isolation.level", "read_uncommitted").create().map_err(|error| {
                unavailable(format!("asking for the bounds of {topic}/{partition}"), &error)
            })?;
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let (first, end) = self.bounds(topic, partition)?;
            let written = uncommitted.fetch_watermarks(topic, partition, TIMEOUT).map_or(end, |(_, end)| end);
            if end >= written || Instant::now() > deadline {
                return Ok((first, end));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes topics, and waits until the cluster tells of them; those that are there already are left as they are.
    pub(super) fn create_topics(&self, topics: &[NewTopic]) -> Result<(), Error> {
        let new: Vec<AdminTopic<'_>> = topics
            .iter()
            .map(|topic| {
                AdminTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replication))
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let doing = || format!("creating topics {}", names.join(", "));
        let results = futures::executor::block_on(self.admin.create_topics(&new, &options))
            .map_err(|error| unavailable(doing(), &error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(unavailable(format!("creating topic {topic}"), &code)),
            }
        }
        let deadline = Instant::now() + TIMEOUT;
        for topic in topics {
            while self.partitions(&topic.name)?.is_none() {
                if Instant::now() > deadline {
                    return Err(unavailable(doing(), &"the cluster does not tell of them in time"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// A consumer of the pipeline's group that does not join it; one for all its lanes.
    pub(super) fn group_consumer(&self, lane: &LaneId) -> Result<GroupConsumer, Error> {
        let mut groups = self.groups.lock();
        if let Some(consumer) = groups.get(&*lane.pipeline) {
            return Ok(consumer.clone());
        }
        let waits = !crate::sabotage::group_before_init();
        let consumer = Arc::new(Aside::new(self.aside_of_group(lane, waits)?));
        groups.insert(lane.pipeline.to_string(), consumer.clone());
        Ok(consumer)
    }

    /// Opens one. `waits`: what it asks of the group waits for open transactions.
    fn aside_of_group(&self, lane: &LaneId, waits: bool) -> Result<BaseConsumer, Error> {
        let mut config = self.config();
        if !waits {
            config.set("isolation.level", "read_uncommitted");
        }
        config
            .set("group.id", &*lane.pipeline)
            .set("enable.auto.commit", "false")
            .create()
            .map_err(|error| unavailable(format!("opening the group of {lane}"), &error))
    }

    /// What the group remembers; waits for open transactions to end (`read_committed`).
    pub(super) fn group_ledger(&self, lane: &LaneId) -> Result<GroupLedger, Error> {
        let consumer = self.group_consumer(lane)?;
        ledger_of(&consumer, lane)
    }

    /// What it remembers now.
    pub(super) fn group_ledger_now(&self, lane: &LaneId) -> Result<GroupLedger, Error> {
        ledger_of(&Aside::new(self.aside_of_group(lane, false)?), lane)
    }
}

fn ledger_of<C: ConsumerContext>(consumer: &BaseConsumer<C>, lane: &LaneId) -> Result<GroupLedger, Error> {
    let doing = || format!("reading the group's offset of {lane}");
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(&lane.topic, lane.partition);
    let deadline = Instant::now() + TIMEOUT;
    let found = loop {
        match consumer.committed_offsets(wanted.clone(), TIMEOUT) {
            Ok(found) => break found,
            // The first group of a new cluster, or one whose broker has just gone, is nobody's for a moment.
            Err(error) if is_moving(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(unavailable(doing(), &error)),
        }
    };
    let Some(element) = found.find_partition(&lane.topic, lane.partition) else {
        return Ok(GroupLedger::default());
    };
    element.error().map_err(|error| unavailable(doing(), &error))?;
    Ok(match element.offset() {
        Offset::Offset(offset) => {
            GroupLedger { next_offset: Some(offset), batch: ledger_batch(element.metadata()) }
        }
        _ => GroupLedger::default(),
    })
}

/// Whether an error says that a group's coordinator is elsewhere now, or not there yet.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    matches!(
        error.rdkafka_error_code(),
        Some(CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator)
    )
}

fn base_config(bootstrap: &str, properties: &Arc<Properties>) -> Config {
    let mut config = Config::new(properties.clone());
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", concat!("gristmill-", env!("CARGO_PKG_VERSION")))
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", "read_committed")
        .set("socket.keepalive.enable", "true")
        // A broker that is away for a moment is asked again soon.
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "60000");
    config
}
