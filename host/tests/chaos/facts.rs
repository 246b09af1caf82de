//! What is there: lines of the database by SQL, topics by a consumer of our own under `read_committed`.

use super::say;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::{AssertSqlSafe, PgPool, Row, SqlitePool};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// The database, read directly.
#[derive(Clone)]
pub enum Database {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Database {
    /// Answers a query of one text column.
    pub async fn lines(&self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        match self {
            Database::Postgres(pool) => {
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            }
            Database::Sqlite(pool) => {
                let sql = sql.replace("gristmill.", "gristmill_");
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            }
        }
    }

    /// The same, repeated until the database answers.
    pub fn must(&self, runtime: &Handle, sql: &str) -> Vec<String> {
        let start = Instant::now();
        loop {
            match runtime.block_on(self.lines(sql)) {
                Ok(lines) => return lines,
                Err(error) if start.elapsed() > Duration::from_secs(60) => panic!("{sql}: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

/// A message that was read.
#[derive(Debug)]
pub struct Found {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: String,
    headers: Vec<(String, String)>,
}

impl Found {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or(b"(none)")).into_owned()
}

/// Topics of one site: each message is given out once.
pub enum Topics {
    Kafka { bootstrap: String, positions: BTreeMap<(String, i32), i64> },
    Journal { log: Arc<dyn gristmill::log::Log>, seen: HashSet<(String, i32, i64)>, runtime: Handle },
}

impl Topics {
    /// The topics with this prefix, by name, with what came since the last call.
    pub fn news(&mut self, prefix: &str) -> BTreeMap<String, Vec<Found>> {
        match self {
            Topics::Kafka { bootstrap, positions } => {
                let start = Instant::now();
                loop {
                    match kafka_news(bootstrap, positions, prefix) {
                        Ok(news) => return news,
                        Err(error) if start.elapsed() > Duration::from_secs(60) => panic!("{error}"),
                        Err(error) => say(&format!("reading the topics again: {error}")),
                    }
                }
            }
            Topics::Journal { log, seen, runtime } => runtime.block_on(async {
                let mut news = BTreeMap::new();
                for topic in log.topics().await.unwrap() {
                    if !topic.starts_with(prefix) {
                        continue;
                    }
                    let mut found = Vec::new();
                    for record in log.read_topic(&topic, usize::MAX).await.unwrap() {
                        if seen.insert((topic.clone(), record.position.partition, record.position.offset)) {
                            let headers = record.headers.iter();
                            found.push(Found {
                                partition: record.position.partition,
                                offset: record.position.offset,
                                key: text(record.key.as_deref()),
                                value: text(record.value.as_deref()),
                                headers: headers.map(|(k, v)| (k.clone(), text(v.as_deref()))).collect(),
                            });
                        }
                    }
                    news.insert(topic, found);
                }
                news
            }),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);

fn kafka_news(
    bootstrap: &str,
    positions: &mut BTreeMap<(String, i32), i64>,
    prefix: &str,
) -> Result<BTreeMap<String, Vec<Found>>, KafkaError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "chaos-judge")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()?;
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let mut list = TopicPartitionList::new();
    let mut news: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    let mut after = positions.clone();
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
        news.entry(topic.name().to_owned()).or_default();
        for partition in topic.partitions() {
            let place = (topic.name().to_owned(), partition.id());
            let from = *after.entry(place).or_insert(0);
            list.add_partition_offset(topic.name(), partition.id(), Offset::Offset(from))?;
        }
    }
    consumer.assign(&list)?;
    let mut open = list.count();
    let deadline = Instant::now() + 3 * TIMEOUT;
    while open > 0 {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let headers = message.headers().into_iter().flat_map(Headers::iter);
                let found = Found {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: text(message.key()),
                    value: text(message.payload()),
                    headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
                };
                after.insert((message.topic().to_owned(), message.partition()), message.offset() + 1);
                news.entry(message.topic().to_owned()).or_default().push(found);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error),
            None if Instant::now() > deadline => return Err(KafkaError::Canceled),
            None => {}
        }
    }
    *positions = after;
    Ok(news)
}
