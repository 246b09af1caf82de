//! The four servers: what each is called, needs, and how it is recognised. Everything that differs between
//! them is here or in the file of its name.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Folder, kafka, mail, postgres, redis};
use crate::workspace;

/// One of the servers that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Kafka,
    Postgres,
    Redis,
    Mail,
}

/// A server that wants TLS and a password, for tests.
pub(crate) struct Secured {
    /// The environment variable with its URL.
    pub(crate) variable: &'static str,
    /// The name that its port is kept under.
    pub(crate) port_of: &'static str,
    /// The URL by the port.
    pub(crate) url: fn(u16) -> String,
}

impl Service {
    /// Kafka first: it takes longest to come up, and to go down.
    pub(crate) const ALL: [Service; 4] = [Service::Kafka, Service::Postgres, Service::Redis, Service::Mail];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Kafka => "kafka",
            Service::Postgres => "postgres",
            Service::Redis => "redis",
            Service::Mail => "mail",
        }
    }

    /// The environment variable that names such a server, for tests and for `up`.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Service::Kafka => "GRISTMILL_TEST_LOG",
            Service::Postgres => "GRISTMILL_TEST_STORE",
            Service::Redis => "GRISTMILL_TEST_LOOKUP",
            Service::Mail => "GRISTMILL_TEST_MAIL",
        }
    }

    pub(crate) fn url(self, port: u16) -> String {
        match self {
            Service::Kafka => format!("kafka://127.0.0.1:{port}"),
            Service::Postgres => postgres::url(port),
            Service::Redis => format!("redis://127.0.0.1:{port}"),
            Service::Mail => format!("smtp://127.0.0.1:{port}"),
        }
    }

    /// Where the same server wants TLS and a password.
    pub(crate) fn secured(self) -> Vec<Secured> {
        let at = |variable, port_of, url| Secured { variable, port_of, url };
        match self {
            Service::Kafka => vec![at("GRISTMILL_TEST_LOG_TLS", kafka::SECURE, kafka::secure_url)],
            Service::Postgres => vec![at("GRISTMILL_TEST_STORE_TLS", self.name(), postgres::secure_url)],
            Service::Redis => vec![at("GRISTMILL_TEST_LOOKUP_TLS", redis::SECURE, redis::secure_url)],
            Service::Mail => vec![
                at("GRISTMILL_TEST_MAIL_TLS", mail::STARTTLS, mail::starttls_url),
                at("GRISTMILL_TEST_MAIL_SMTPS", mail::SMTPS, mail::smtps_url),
            ],
        }
    }

    /// Makes data folder and settings, once; the address is written anew each time.
    pub(crate) fn prepare(self, folder: &Folder, port: u16) -> Result<()> {
        match self {
            Service::Kafka => kafka::prepare(folder, port),
            Service::Postgres => postgres::prepare(folder, port),
            Service::Redis => redis::prepare(folder),
            Service::Mail => mail::prepare(folder),
        }
    }

    /// The command line of the server, which stays in the foreground.
    pub(crate) fn command(self, folder: &Folder, port: u16) -> Result<Command> {
        match self {
            Service::Kafka => kafka::command(folder),
            Service::Postgres => postgres::command(folder),
            Service::Redis => redis::command(folder, port),
            Service::Mail => mail::command(folder, port),
        }
    }

    /// Whether the server does its work, not merely listens. `log` is what it has written since its start.
    pub(crate) fn answers(self, port: u16, log: &str) -> bool {
        match self {
            Service::Kafka => kafka::answers(port, log),
            Service::Postgres => postgres::answers(port),
            Service::Redis => redis::answers(port),
            Service::Mail => mail::answers(port),
        }
    }

    /// The signal for an orderly end. PostgreSQL's TERM would wait for clients to leave.
    pub(crate) fn stop_signal(self) -> &'static str {
        if self == Service::Postgres { "INT" } else { "TERM" }
    }

    pub(crate) fn start_time_max(self) -> Duration {
        Duration::from_secs(if self == Service::Kafka { 90 } else { 45 })
    }

    /// Takes the data away.
    pub(crate) fn purge(self, folder: &Folder) -> Result<()> {
        if self == Service::Postgres {
            postgres::purge(folder)?;
        }
        folder.purge(self.name())
    }

    fn missing_packages(self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        match self {
            Service::Kafka => {} // its tools are wanted in any case: see `missing_packages`
            Service::Postgres if postgres::programs().is_err() => missing.push("postgresql"),
            Service::Redis if workspace::find_program("redis-server").is_none() => {
                missing.push("redis-server");
            }
            Service::Mail if !Path::new("/usr/lib/python3/dist-packages/aiosmtpd").is_dir() => {
                missing.push("python3-aiosmtpd");
            }
            Service::Postgres | Service::Redis | Service::Mail => {}
        }
        missing
    }
}

/// What apt has to bring before `services` can start. Java and, for the download, Maven come even for a Kafka
/// elsewhere, because tests look at it through Kafka's own console tools.
pub(crate) fn missing_packages(services: &[Service]) -> Vec<&'static str> {
    let mut missing: Vec<_> = services.iter().flat_map(|service| service.missing_packages()).collect();
    if workspace::find_program("openssl").is_none() {
        missing.push("openssl"); // the certificates of all of them
    }
    if workspace::find_program("java").is_none() {
        missing.push("default-jre-headless");
    }
    if !kafka::libs_are_here() && workspace::find_program("mvn").is_none() {
        missing.push("maven");
    }
    missing
}
