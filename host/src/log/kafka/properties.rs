//! librdkafka's own properties, as people set them. They pass through to every client of the host, but for those that
//! the host's promises rest on, and those that other settings decide.

use crate::tls::{Roots, systems_folder};
use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaConfRes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Properties that nobody sets, and what decides about them instead.
const OWNED: [(&str, &str); 31] = [
    ("bootstrap.servers", "the servers are those of GRISTMILL_LOG"),
    ("metadata.broker.list", "the servers are those of GRISTMILL_LOG"),
    ("group.id", "the group is the pipeline's name"),
    ("group.instance.id", "a host is a member of its groups as long as it runs"),
    ("group.protocol", GROUPS),
    ("group.protocol.type", GROUPS),
    ("group.remote.assignor", GROUPS),
    ("partition.assignment.strategy", GROUPS),
    ("session.timeout.ms", "it is GRISTMILL_SESSION_TIMEOUT_MS"),
    ("heartbeat.interval.ms", "it follows from GRISTMILL_SESSION_TIMEOUT_MS"),
    ("max.poll.interval.ms", "it follows from limits.drain_ms_max of the pipeline's spec"),
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.enable", OFFSETS),
    ("auto.commit.interval.ms", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("auto.offset.reset", "where reading begins stands in the store, and else in the pipeline's spec"),
    ("enable.partition.eof", "the host's readers rely on it"),
    ("isolation.level", "only what is committed is read, or messages would come twice"),
    ("allow.auto.create.topics", "the host makes topics itself, with the partitions that the spec names"),
    ("transactional.id", EXACTLY),
    ("transaction.timeout.ms", EXACTLY),
    ("enable.idempotence", EXACTLY),
    ("enable.gapless.guarantee", EXACTLY),
    ("acks", EXACTLY),
    ("request.required.acks", EXACTLY),
    ("delivery.timeout.ms", EXACTLY),
    ("message.timeout.ms", EXACTLY),
    ("request.timeout.ms", EXACTLY),
    ("message.max.bytes", "it is what limits.message_bytes_max of the pipeline's spec may be at most"),
    ("partitioner", "which partition a key belongs to is part of what is promised (murmur2, as in Java)"),
    ("msg_order_cmp", EXACTLY),
];
const GROUPS: &str = "how partitions are shared and taken over is the host's own";
const OFFSETS: &str = "the group's offset says what was published, and moves with it";
const EXACTLY: &str = "that messages are published exactly once rests on it";

/// Two names for one thing, where both might be set: the second one is used.
const ALIASES: [(&str, &str); 2] =
    [("queue.buffering.max.ms", "linger.ms"), ("sasl.mechanisms", "sasl.mechanism")];

/// What is mostly set, for suggestions.
const USUAL: [&str; 16] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    "broker.address.family",
];

/// A property that is not taken; says which, where it was set, and why, and never its value if that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// librdkafka's properties by name, with their values.
#[derive(Clone, Default)]
pub struct Properties(BTreeMap<String, String>);

impl fmt::Debug for Properties {
    /// The names alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Properties {
    /// Adds a property, unless it is there already: what goes first is added first. `origin` is where it was set.
    ///
    /// # Errors
    /// A property that is the host's own, or that librdkafka does not know, or a value that it does not take.
    pub fn add(&mut self, name: &str, value: &str, origin: &str) -> Result<(), Refused> {
        let refused = |why: String| Err(Refused(format!("{origin}: {why}")));
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        if let Some((_, why)) = OWNED.iter().find(|(owned, _)| *owned == name) {
            return refused(format!("the Kafka property `{name}` is not to be set: {why}"));
        }
        let mut alone = ClientConfig::new();
        match alone.set(name, value).create_native_config() {
            Ok(_) => {}
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                let near = USUAL.iter().min_by_key(|usual| strsim::damerau_levenshtein(usual, name));
                let near = near.filter(|usual| strsim::damerau_levenshtein(usual, name) < 4);
                let near = near.map_or(String::new(), |near| format!(": is it `{near}`?"));
                return refused(format!("librdkafka knows no property `{name}`{near}"));
            }
            Err(KafkaError::ClientConfig(_, said, ..)) if !is_secret(name) => {
                return refused(format!("the Kafka property `{name}`: {said}"));
            }
            Err(_) => return refused(format!("librdkafka does not take the value of `{name}`")),
        }
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        Ok(())
    }

    /// Adds `name=value`, each on a line of its own, or all on one line with `;` between them. Lines that begin with
    /// `#` are comments.
    ///
    /// # Errors
    /// As [`Properties::add`], and an entry without `=`.
    pub fn add_text(&mut self, text: &str, origin: &str) -> Result<(), Refused> {
        let (separator, part) = if text.contains('\n') { ('\n', "line") } else { (';', "entry") };
        let mut secret_before = false;
        for (number, entry) in text.split(separator).enumerate() {
            let entry = entry.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let place = format!("{origin}, {part} {}", number + 1);
            // What looks like an entry may be the end of a password with a `;` in it: then it is not shown.
            let hidden = separator == ';' && secret_before;
            let Some((name, value)) = entry.split_once('=') else {
                return Err(Refused(format!(
                    "{place}: there is no `=` in it: write name=value; a value with `;` in it needs lines instead"
                )));
            };
            self.add(name.trim(), value.trim(), &place).map_err(|error| match hidden {
                true => Refused(format!(
                    "{place}: it is no property: if the value before has a `;` in it, write lines instead"
                )),
                false => error,
            })?;
            secret_before |= is_secret(name);
        }
        Ok(())
    }

    /// Adds a table of a settings file. `"sasl.mechanism" = …` and `sasl.mechanism = …` say the same.
    ///
    /// # Errors
    /// As [`Properties::add`], and a value that is a list or a time.
    pub fn add_table(&mut self, table: &toml::Table, origin: &str) -> Result<(), Refused> {
        self.add_below("", table, origin)
    }

    fn add_below(&mut self, above: &str, table: &toml::Table, origin: &str) -> Result<(), Refused> {
        for (name, value) in table {
            let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            match value {
                toml::Value::Table(below) => self.add_below(&name, below, origin)?,
                toml::Value::String(value) => self.add(&name, value, origin)?,
                toml::Value::Integer(value) => self.add(&name, &value.to_string(), origin)?,
                toml::Value::Boolean(value) => self.add(&name, &value.to_string(), origin)?,
                _ => {
                    return Err(Refused(format!(
                        "{origin}: the value of `{name}` is to be a text, a number, true or false"
                    )));
                }
            }
        }
        Ok(())
    }

    /// All are there: checks that those that protect have an effect, and has brokers' certificates checked against
    /// `roots` too, unless properties name others.
    ///
    /// # Errors
    /// Properties of TLS or SASL that librdkafka would not look at.
    pub fn complete(mut self, roots: Option<&Roots>) -> Result<Self, Refused> {
        let protocol = self.get("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        for (prefix, needed) in [("sasl.", "sasl"), ("ssl.", "ssl")] {
            let idle = self.0.keys().find(|name| name.starts_with(prefix));
            if let Some(idle) = idle.filter(|_| !protocol.contains(needed)) {
                return Err(Refused(format!(
                    "the Kafka property `{idle}` has no effect with security.protocol={protocol}: set \
                     security.protocol to SASL_SSL (TLS and a password) or SSL (TLS alone)"
                )));
            }
        }
        if protocol.contains("sasl") && !self.has("sasl.mechanism") {
            return Err(Refused(format!(
                "security.protocol={protocol} needs the Kafka property sasl.mechanism: SCRAM-SHA-512, SCRAM-SHA-256 \
                 or PLAIN"
            )));
        }
        let named = ["ssl.ca.location", "ssl.ca.pem"];
        if let Some(roots) = roots.filter(|_| protocol.contains("ssl") && !named.iter().any(|n| self.has(n)))
        {
            self.0.insert("ssl.ca.pem".to_owned(), roots.pem());
            if let Some(folder) = systems_folder() {
                self.0.insert("ssl.ca.location".to_owned(), folder.display().to_string());
            }
        }
        Ok(self)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// Whether a property's value is not to be shown.
fn is_secret(name: &str) -> bool {
    let words = ["password", "secret", "key.pem", "private.key", "username", "oauthbearer", "jaas"];
    words.iter().any(|word| name.contains(word))
}

/// The settings of one client: the host's own, and people's properties, which go first. What the host must have its
/// way with is none of those: see [`Properties::add`].
pub(super) struct Config {
    inner: ClientConfig,
    properties: Arc<Properties>,
}

impl Config {
    pub(super) fn new(properties: Arc<Properties>) -> Self {
        let mut inner = ClientConfig::new();
        for (name, value) in &properties.0 {
            inner.set(name, value);
        }
        Config { inner, properties }
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        if !self.properties.has(name) {
            self.inner.set(name, value);
        }
        self
    }

    /// Has librdkafka say so much: for clients that are polled often, for what it says waits until then.
    pub(super) fn saying(&mut self, level: RDKafkaLogLevel) -> &mut Self {
        self.inner.set_log_level(level);
        self
    }

    /// Has librdkafka say what the property `debug` asks for, if it is set.
    pub(super) fn saying_what_debug_asks(&mut self) -> &mut Self {
        if self.properties.has("debug") { self.saying(RDKafkaLogLevel::Debug) } else { self }
    }

    pub(super) fn create<T: FromClientConfig>(&self) -> KafkaResult<T> {
        self.inner.create()
    }

    pub(super) fn create_with_context<C, T>(&self, context: C) -> KafkaResult<T>
    where
        C: rdkafka::ClientContext,
        T: FromClientConfigAndContext<C>,
    {
        self.inner.create_with_context(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Properties, String> {
        let mut properties = Properties::default();
        properties.add_text(text, "HERE").map_err(|error| error.to_string())?;
        properties.complete(None).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_and_pairs_are_read() {
        let lines = read("# mine\nsecurity.protocol = SASL_SSL\nsasl.mechanism=PLAIN\nsasl.password=a;b=c\n")
            .unwrap();
        assert_eq!(lines.get("sasl.password"), Some("a;b=c"));
        let pairs = read("security.protocol=SASL_SSL; sasl.mechanisms=PLAIN;").unwrap();
        assert_eq!((pairs.get("sasl.mechanism"), pairs.has("sasl.mechanisms")), (Some("PLAIN"), false));
        assert_eq!(format!("{lines:?}"), r#"{"sasl.mechanism", "sasl.password", "security.protocol"}"#);
    }

    #[test]
    fn what_was_set_first_holds() {
        let mut properties = Properties::default();
        properties.add("client.rack", "a", "HERE").unwrap();
        properties.add("client.rack", "b", "THERE").unwrap();
        assert_eq!(properties.get("client.rack"), Some("a"));
    }

    #[test]
    fn tables_say_names_either_way() {
        let table =
            "security.protocol = 'ssl'\n'ssl.ca.location' = '/ca'\nssl.key.password = 'x'\nlinger.ms = 7";
        let mut properties = Properties::default();
        properties.add_table(&toml::from_str(table).unwrap(), "FILE").unwrap();
        assert_eq!(properties.get("ssl.key.password"), Some("x"));
        assert_eq!(properties.get("linger.ms"), Some("7"));
        let list = toml::from_str("client = { rack = [1] }").unwrap();
        assert!(
            properties
                .add_table(&list, "FILE")
                .unwrap_err()
                .to_string()
                .starts_with("FILE: the value of `client.rack`")
        );
    }

    #[test]
    fn the_hosts_own_are_refused_with_the_reason() {
        for (name, why) in OWNED {
            let error = read(&format!("{name}=1")).unwrap_err();
            assert!(error.contains(&format!("`{name}`")) && error.contains(why), "{error}");
        }
        assert!(read("acks=0").unwrap_err().starts_with("HERE, entry 1: the Kafka property `acks`"));
    }

    #[test]
    fn mistakes_are_named_without_secrets() {
        for (text, part) in [
            (
                "sasl.pasword=hunter2",
                "HERE, entry 1: librdkafka knows no property `sasl.pasword`: is it `sasl.password`?",
            ),
            ("bogus=hunter2", "knows no property `bogus`"),
            ("security.protocol=TLS", "the Kafka property `security.protocol`: Invalid value \"TLS\""),
            ("client.rack=a\nhunter2\n", "HERE, line 2: there is no `=`"),
            ("security.protocol=ssl;ssl.key.password=x;hunter2", "entry 3: there is no `=`"),
            ("security.protocol=ssl;ssl.key.password=x;hunter2=hunter2", "entry 3: it is no property"),
            ("sasl.password=hunter2", "`sasl.password` has no effect with security.protocol=plaintext"),
            (
                "security.protocol=ssl\nsasl.password=hunter2",
                "`sasl.password` has no effect with security.protocol=ssl",
            ),
            ("security.protocol=sasl_ssl;sasl.password=hunter2", "needs the Kafka property sasl.mechanism"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
