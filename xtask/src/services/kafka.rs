//! Apache Kafka: one node in KRaft mode. Its jars come from Maven Central into the user's cache, so that a
//! fresh clone does not fetch them again; the console tools that tests use are in the same jars.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::certificates::{self, PASSWORD, USER};
use super::folder::remove_if_there;
use super::{Folder, KAFKA_VERSION, process};
use crate::{progress, workspace};

/// Any 16 bytes as unpadded base64; asking Kafka for a random one would start a JVM for it.
const CLUSTER_ID: &str = "Z3Jpc3RtaWxsLXRlc3RzMQ";
const CONTROLLER: &str = "kafka-controller";
/// Kafka tells its clients where to connect, so a proxy before it must be known to it: what comes in at this second
/// listener is told the port that [`PROXY`] names.
const PROXIED: &str = "kafka-proxied";
const PROXY: &str = "GRISTMILL_SERVICES_KAFKA_PROXY";
/// The listener that wants TLS and a password.
pub(super) const SECURE: &str = "kafka-secure";
/// What tells a log folder that knows the user from one of an earlier time.
const KNOWS_USER: &str = "knows-user";
const HEAP: &str = "-Xmx768m";
/// What writes the broker's log lines to stderr. Outside the folder of jars: see the pom.
const LOGGER: &str = "slf4j-simple-1.7.36.jar";
const DATES: &str = "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS";

/// User and password have no place in it.
pub(super) fn secure_url(port: u16) -> String {
    format!("kafka://127.0.0.1:{port}")
}

/// The folder of Kafka's jars, filled on first use.
pub(crate) fn libs() -> Result<PathBuf> {
    let cache = cache()?;
    let libs = cache.join("libs");
    if libs.is_dir() {
        return Ok(libs);
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let lock = File::create(cache.join("lock"))?;
    lock.lock().context("cannot lock the cache of Kafka's jars")?;
    if !libs.is_dir() {
        fetch(&cache, &libs)?;
    }
    Ok(libs)
}

pub(crate) fn libs_are_here() -> bool {
    cache().is_ok_and(|cache| cache.join("libs").is_dir())
}

fn cache() -> Result<PathBuf> {
    let cache = workspace::cache().context("no place for Kafka's jars")?;
    Ok(cache.join(format!("kafka-{KAFKA_VERSION}")))
}

/// Into a folder beside the right one, renamed when complete: an interrupted download leaves no half set.
fn fetch(cache: &Path, libs: &Path) -> Result<()> {
    progress::say(&format!("kafka: fetching {KAFKA_VERSION} from Maven Central"));
    let partial = cache.join("libs.partial");
    remove_if_there(fs::remove_dir_all(&partial))?;
    let pom = workspace::root().join("xtask/kafka/pom.xml");
    let mut maven = Command::new("mvn");
    maven
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"])
        .arg(pom)
        .arg(format!("-Dkafka.version={KAFKA_VERSION}"))
        .arg(format!("-DoutputDirectory={}", partial.display()));
    workspace::run_quietly(&mut maven)?;
    let jars = fs::read_dir(&partial).context("Maven has copied nothing")?.count();
    if jars < 50 {
        bail!("Maven copied {jars} jars, too few for Kafka");
    }
    fs::rename(partial.join(LOGGER), cache.join(LOGGER)).context("Maven has not copied the logger")?;
    fs::rename(&partial, libs)?;
    progress::say(&format!("kafka: {jars} jars in {}", libs.display()));
    Ok(())
}

/// Formats the log folder once, and writes the settings anew: the ports may have changed.
pub(crate) fn prepare(folder: &Folder, port: u16) -> Result<()> {
    let home = folder.data("kafka");
    fs::create_dir_all(&home)?;
    let controller = folder.free_port(CONTROLLER)?;
    let proxied = match workspace::variable(PROXY) {
        Some(proxy) => Some((folder.free_port(PROXIED)?, proxy.parse().context(PROXY)?)),
        None => None,
    };
    let secure = folder.free_port(SECURE)?;
    let key = certificates::folder(folder).join("server.all.pem");
    let settings = settings(&home, port, controller, secure, proxied) + &secured(&key);
    fs::write(home.join("server.properties"), settings)?;
    if !home.join("data/meta.properties").is_file() || !home.join(KNOWS_USER).is_file() {
        remove_if_there(fs::remove_dir_all(home.join("data")))?;
        format_storage(&home)?;
        fs::write(home.join(KNOWS_USER), "")?;
    }
    Ok(())
}

fn format_storage(home: &Path) -> Result<()> {
    let mut format = java(Command::new("java"))?;
    format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]);
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        format.arg("--add-scram").arg(format!("{mechanism}=[name={USER},password={PASSWORD}]"));
    }
    workspace::run_quietly(format.arg("-c").arg(home.join("server.properties")))
}

/// The listener for TLS with SCRAM or PLAIN. What is checked of a password by SCRAM is in the log folder.
fn secured(key: &Path) -> String {
    const MODULES: &str = "org.apache.kafka.common.security";
    format!(
        "\
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={key}
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config={MODULES}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.secure.scram-sha-256.sasl.jaas.config={MODULES}.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config={MODULES}.scram.ScramLoginModule required;
",
        key = key.display()
    )
}

/// One node, quick to join and to forget: what tests wait for is set to its least. `proxied`: the second listener's
/// port, and the port that its clients are told.
fn settings(home: &Path, port: u16, controller: u16, secure: u16, proxied: Option<(u16, u16)>) -> String {
    let listener =
        |port: Option<u16>| port.map_or(String::new(), |port| format!(",PROXIED://127.0.0.1:{port}"));
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SECURE://127.0.0.1:{secure}{behind}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure}{before}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,PROXIED:PLAINTEXT
log.dirs={data}
num.partitions=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# After a kill -9 the controller waits for the old session to end before the broker may come back. Not less: on a busy
# machine a broker that is late is fenced, and everything stands still until it has caught up with that.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
",
        behind = listener(proxied.map(|(own, _)| own)),
        before = listener(proxied.map(|(_, proxy)| proxy)),
        data = home.join("data").display()
    )
}

pub(crate) fn command(folder: &Folder) -> Result<Command> {
    let home = folder.data("kafka");
    let mut command = java(process::detached("java"))?;
    command.arg("kafka.Kafka").arg(home.join("server.properties"));
    Ok(command)
}

fn java(mut command: Command) -> Result<Command> {
    let classes = format!("{}:{}", libs()?.join("*").display(), cache()?.join(LOGGER).display());
    command.args([HEAP, "-Xms128m", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError"]);
    command.args(["-Dorg.slf4j.simpleLogger.showDateTime=true", DATES, "-cp", &classes]);
    Ok(command)
}

/// The port is open before the broker has caught up with its own metadata; the log tells when it has.
pub(crate) fn answers(port: u16, log: &str) -> bool {
    log.contains("Kafka Server started") && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_names_the_version_that_xtask_wants() {
        let pom = fs::read_to_string(workspace::root().join("xtask/kafka/pom.xml")).unwrap();
        assert!(pom.contains(&format!("<kafka.version>{KAFKA_VERSION}</kafka.version>")));
        assert!(LOGGER.ends_with("-1.7.36.jar") && pom.contains("<version>1.7.36</version>"));
    }

    #[test]
    fn everything_listens_on_loopback_only() {
        let settings = settings(Path::new("/s/kafka"), 20_001, 20_002, 20_005, Some((20_003, 20_004)));
        for line in settings.lines().filter(|line| line.contains("listeners=")) {
            assert!(!line.contains("//:") && line.contains("//127.0.0.1:"), "{line}");
        }
        assert!(settings.contains("log.dirs=/s/kafka/data\n"));
    }
}
