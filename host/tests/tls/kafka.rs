//! Kafka: SCRAM and PLAIN over TLS.

use super::{WRONG, account, assert_no_secret, roots};
use crate::city::server;
use gristmill::log::Log;
use gristmill::log::kafka::{KafkaLog, KafkaSettings, Properties};
use gristmill::tls::Roots;

/// What a client with these properties is told.
async fn ask(properties: String, roots: Option<Roots>) -> Result<Vec<String>, String> {
    let bootstrap = server("GRISTMILL_TEST_LOG_TLS").strip_prefix("kafka://").unwrap().to_owned();
    let mut read = Properties::default();
    read.add_text(&properties, "the test").map_err(|error| error.to_string())?;
    let properties = read.complete(roots.as_ref()).map_err(|error| error.to_string())?;
    let settings = KafkaSettings { bootstrap, session_timeout_ms: 6_000, properties };
    let log = KafkaLog::new(settings).map_err(|error| error.to_string())?;
    log.topics().await.map_err(|error| error.to_string())
}

fn sasl(protocol: &str, mechanism: &str, password: &str) -> String {
    let user = account().0;
    format!(
        "security.protocol={protocol}\nsasl.mechanism={mechanism}\nsasl.username={user}\nsasl.password={password}\n"
    )
}

#[tokio::test]
async fn every_mechanism_lets_the_right_password_in() {
    let password = account().1;
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] {
        let answer = ask(sasl("SASL_SSL", mechanism, &password), Some(roots("ca.pem"))).await;
        assert!(answer.is_ok(), "{mechanism}: {answer:?}");
    }
    // A root that the properties name goes before the setting for all.
    let named = format!("ssl.ca.location={}\n", super::certificate("ca.pem").display());
    let answer = ask(sasl("SASL_SSL", "PLAIN", &password) + &named, Some(roots("other.pem"))).await;
    assert!(answer.is_ok(), "{answer:?}");
}

/// All at once: each is tried again until its time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_let_in_is_told_why() {
    let password = account().1;
    let ca = || Some(roots("ca.pem"));
    let cases = [
        (sasl("SASL_SSL", "SCRAM-SHA-256", WRONG), ca(), "Authentication failed"),
        (sasl("SASL_SSL", "SCRAM-SHA-512", WRONG), ca(), "Authentication failed"),
        (sasl("SASL_SSL", "PLAIN", WRONG), ca(), "Authentication failed"),
        (sasl("SASL_SSL", "PLAIN", &password), None, "certificate verify failed"),
        (sasl("SASL_SSL", "PLAIN", &password), Some(roots("other.pem")), "certificate verify failed"),
        (sasl("SASL_PLAINTEXT", "PLAIN", &password), None, "security.protocol"),
        ("security.protocol=SSL".to_owned(), ca(), "security.protocol"),
        (String::new(), None, "security.protocol"),
    ];
    let asked = cases
        .map(|(properties, roots, part)| (tokio::spawn(ask(properties.clone(), roots)), properties, part));
    for (answer, properties, part) in asked {
        let error = answer.await.unwrap().unwrap_err();
        let told = properties.lines().filter(|line| !line.contains("password"));
        let told: Vec<&str> = told.collect();
        assert!(error.contains(part), "{told:?}: {error}");
        assert_no_secret(&error);
    }
}

#[tokio::test]
async fn files_that_are_not_there_are_told_at_once() {
    let error = ask("security.protocol=ssl\nssl.ca.location=/no/such".to_owned(), None).await.unwrap_err();
    assert!(error.contains("ssl.ca.location"), "{error}");
}
