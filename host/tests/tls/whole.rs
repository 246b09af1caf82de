//! A host of which every connection is protected: from the record over HTTP to row, message, lookup and mail.

use super::{account, assert_no_secret, certificate};
use crate::city::{Set, Site, repository, server, sql};
use gristmill::log::Log;
use gristmill::log::kafka::{KafkaLog, KafkaSettings, Properties};
use std::path::Path;
use std::time::{Duration, Instant};

/// A place for the harness's guest, which causes every kind of effect, with its lookup's key set; all its servers want
/// TLS and the password, which comes from files as far as it can.
pub fn site(test: &str) -> Site {
    let spec = std::fs::read_to_string(repository().join("host/tests/chaos/pipeline.toml")).unwrap();
    let modules = crate::sandbox::modules().display().to_string();
    let mut site = Site::new(Set::Real, test, &spec, |spec, name| {
        let spec = spec.replace("NAME", name).replace("MODULES", &modules);
        spec.replace("prefix = \"\"", &format!("prefix = \"{name}:\""))
            .replace("partitions = 4", "partitions = 1")
    });
    let client = redis::Client::open(server("GRISTMILL_TEST_LOOKUP")).unwrap();
    let mut redis = client.get_connection().unwrap();
    let key = format!("{}:gate", site.name);
    let () = redis::cmd("SET").arg(key).arg(100).arg("EX").arg(600).query(&mut redis).unwrap();

    let (user, password, _) = account();
    let mut store = url::Url::parse(&server("GRISTMILL_TEST_STORE_TLS")).unwrap();
    let base = site.database_url();
    let database = url::Url::parse(&base).unwrap().path().to_owned();
    sql(&base, &format!("ALTER DATABASE {} OWNER TO {user}", database.trim_start_matches('/')));
    store.set_path(&database);
    site.settings.store = Some(store.to_string());
    site.settings.log = Some(server("GRISTMILL_TEST_LOG_TLS"));
    site.settings.mail = Some(server("GRISTMILL_TEST_MAIL_TLS"));
    let file = |name: &str, text: &str| {
        let path = site.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let settings = format!(
        "kafka_username = \"{user}\"\n[kafka]\n\"security.protocol\" = \"SASL_SSL\"\nsasl.mechanism = \"SCRAM-SHA-512\"\n"
    );
    site.environment = [
        // Who may send records is not what is looked at here.
        ("GRISTMILL_OPEN_INGEST", "true".to_owned()),
        ("GRISTMILL_CA_FILE", certificate("ca.pem").display().to_string()),
        ("GRISTMILL_SETTINGS", file("settings.toml", &settings)),
        ("GRISTMILL_KAFKA_PASSWORD_FILE", file("kafka-password", &format!("{password}\n"))),
        (
            "GRISTMILL_KAFKA_PROPERTIES_FILE",
            file("kafka-properties", "# a comment\nsocket.nagle.disable=true\n"),
        ),
        ("GRISTMILL_LOOKUP_FILE", file("lookup", &server("GRISTMILL_TEST_LOOKUP_TLS"))),
        ("GRISTMILL_TRACE", "trace".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    site
}

/// A record for the guest.
pub fn record(n: i64, deed: &str) -> String {
    format!(r#"{{"n":{n},"claim":{n},"bucket":0,"amount":1,"topic":"b","mail":true,"do":"{deed}"}}"#)
}

/// How many of the mails that the sink has received are of this place.
fn mails(site: &Site) -> usize {
    let folder = Path::new(&server("GRISTMILL_TEST_MAILDIR")).join("new");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let from = format!("{}@gristmill.example", site.name);
    files.filter(|file| std::fs::read_to_string(file).is_ok_and(|mail| mail.contains(&from))).count()
}

#[test]
fn everything_flows_over_tls_with_passwords() {
    let site = site("tls-whole");
    let mut host = site.host(None);
    host.wait_until_ready();
    let records: Vec<String> = (0..5).map(|n| record(n, "gated")).collect();
    let answer = ureq::post(format!("http://{}/v1/topics/{}/records", host.address, site.topic()))
        .header("content-type", "application/x-ndjson")
        .send(records.join("\n"))
        .unwrap();
    assert_eq!(answer.status(), 202);
    site.wait_until_done(&mut [&mut host]);
    let psql = format!("{}&sslrootcert={}", site.database_url(), certificate("ca.pem").display());
    assert_eq!(sql(&psql, "SELECT count(*), count(DISTINCT n), min(note) FROM items"), "5|5|gated");
    let log = KafkaLog::new(KafkaSettings {
        bootstrap: server("GRISTMILL_TEST_LOG").strip_prefix("kafka://").unwrap().to_owned(),
        session_timeout_ms: 6_000,
        properties: Properties::default(),
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let messages = runtime.block_on(log.unwrap().read_topic(&format!("{}.out", site.name), 100)).unwrap();
    assert_eq!(messages.len(), 5);
    let start = Instant::now();
    while mails(&site) < 5 {
        assert!(start.elapsed() < Duration::from_secs(30), "{} mails: {}", mails(&site), host.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(host.terminate(), Some(0));
    assert_no_secret(&host.whole_log());
}
