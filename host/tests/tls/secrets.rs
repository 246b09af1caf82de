//! No secret is told: not in what a host writes at its most talkative, not in what it answers, not in what commands
//! print.

use super::whole::{record, site};
use super::{WRONG, assert_no_secret, with_password};
use crate::city::{Host, Site, server};
use std::time::{Duration, Instant};

/// Sets another value, or one more.
fn set(site: &mut Site, name: &str, value: &str) {
    site.environment.retain(|(known, _)| known != name);
    site.environment.push((name.to_owned(), value.to_owned()));
}

/// What the host answers, as text, whatever the status.
fn answer(host: &Host, path: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.get(format!("http://{}{path}", host.address)).call().unwrap();
    format!("{} {}", answer.status(), answer.body_mut().read_to_string().unwrap())
}

fn post(host: &Host, topic: &str, records: String) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let posted = agent
        .post(format!("http://{}/v1/topics/{topic}/records", host.address))
        .header("content-type", "application/x-ndjson")
        .send(records);
    let mut answer = posted.unwrap();
    format!("{} {}", answer.status(), answer.body_mut().read_to_string().unwrap())
}

/// Waits for words in what the host writes.
#[track_caller]
fn wait_for(host: &Host, words: &str) {
    let start = Instant::now();
    while !host.whole_log().contains(words) {
        assert!(start.elapsed() < Duration::from_secs(60), "no `{words}`: {}", host.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Everything that the host answers to questions, and what commands print about it.
fn everything(site: &Site, host: &Host) -> String {
    let pipeline = format!("/v1/pipelines/{}", site.name);
    let paths = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v1/pipelines",
        &pipeline,
        &format!("{pipeline}/dead-letters"),
        "/v1/tables/items",
        "/v1/nothing",
    ];
    let mut all: Vec<String> = paths.iter().map(|path| answer(host, path)).collect();
    let spec = site.spec_path.display().to_string();
    for arguments in [
        &["pipeline", "status", &spec][..],
        &["dead-letter", "list", "--json"],
        &["mail", "list", "--json"],
        &["check", &spec],
        &["run", "--help"],
    ] {
        let output = site.run(arguments);
        all.push(String::from_utf8_lossy(&output.stdout).into_owned());
        all.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    all.join("\n")
}

#[test]
fn a_store_that_refuses_is_told_and_nothing_more() {
    let mut site = site("tls-store");
    let (right, wrong) = (site.database_url(), with_password("GRISTMILL_TEST_STORE_TLS", WRONG));
    site.settings.store = Some(wrong);
    let mut host = site.host(None);
    assert_eq!(host.wait_for_end(), Some(1));
    let log = host.whole_log();
    assert!(log.contains("password authentication failed"), "{log}");
    assert_no_secret(&log);
    site.settings.store = Some(right);
}

#[test]
fn a_log_that_refuses_is_told_and_nothing_more() {
    let mut site = site("tls-log");
    site.environment.retain(|(name, _)| name != "GRISTMILL_KAFKA_PASSWORD_FILE");
    set(&mut site, "GRISTMILL_KAFKA_PASSWORD", WRONG);
    // Whatever librdkafka has to say.
    set(&mut site, "GRISTMILL_KAFKA_PROPERTIES", "debug=all;ssl.key.password=hunter2");
    let host = site.host(None);
    wait_for(&host, "waiting for the source topic");
    let refused = post(&host, &site.topic(), record(1, "plain"));
    assert!(refused.starts_with("503"), "{refused}");
    let told = everything(&site, &host);
    assert!(host.whole_log().contains("Authentication failed"), "{}", host.log());
    assert!(told.contains("GRISTMILL_KAFKA_PASSWORD"), "--help tells of it");
    assert_no_secret(&format!("{refused}\n{told}\n{}", host.whole_log()));
}

#[test]
fn lookups_and_mail_that_refuse_are_told_and_nothing_more() {
    let mut site = site("tls-rest");
    site.environment.retain(|(name, _)| name != "GRISTMILL_LOOKUP_FILE");
    set(&mut site, "GRISTMILL_LOOKUP", &with_password("GRISTMILL_TEST_LOOKUP_TLS", WRONG));
    site.settings.mail = Some(with_password("GRISTMILL_TEST_MAIL_TLS", WRONG));
    set(&mut site, "GRISTMILL_KAFKA_PROPERTIES", "debug=all");
    let mut host = site.host(None);
    host.wait_until_ready();
    // The mail of the one is not taken, the lookup of the other is not answered.
    let taken = post(&host, &site.topic(), record(1, "plain"));
    assert!(taken.starts_with("202"), "{taken}");
    wait_for(&host, "535");
    let taken = post(&host, &site.topic(), record(2, "gated"));
    assert!(taken.starts_with("202"), "{taken}");
    wait_for(&host, "check user and password in GRISTMILL_LOOKUP");
    let told = everything(&site, &host);
    assert!(told.contains("check user and password in GRISTMILL_LOOKUP"), "{told}");
    assert_no_secret(&format!("{told}\n{}", host.whole_log()));
    host.kill();
}

/// Settings that are not understood, each with a secret in it.
#[test]
fn settings_that_are_wrong_are_named_without_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let kafka = server("GRISTMILL_TEST_LOG_TLS");
    let cases = [
        ("GRISTMILL_LOG", "kafka://u:hunter2@h:9".to_owned(), "kafka:// takes no user"),
        ("GRISTMILL_LOG", "hunter2".to_owned(), "is not kafka://host:port or journal:"),
        ("GRISTMILL_STORE", "postgres://u:hunter2@h/d?sslmod=x".to_owned(), "a parameter `sslmod`"),
        (
            "GRISTMILL_KAFKA_PROPERTIES",
            "sasl.password=hunter2;acks=0".to_owned(),
            "GRISTMILL_KAFKA_PROPERTIES, entry 2",
        ),
        ("GRISTMILL_KAFKA_PROPERTIES", "acks=0".to_owned(), "`acks` is not to be set"),
        (
            "GRISTMILL_KAFKA_PROPERTIES_FILE",
            file("p", "sasl.pasword=hunter2"),
            "/p, line 1: librdkafka knows no",
        ),
        ("GRISTMILL_KAFKA_PASSWORD", "hunter2".to_owned(), "`sasl.password` has no effect"),
        (
            "GRISTMILL_SETTINGS",
            file("a.toml", "a = 1\nstroe = 'sqlite:hunter2'"),
            "line 1: unknown field `a`",
        ),
        (
            "GRISTMILL_SETTINGS",
            file("b.toml", "\nkafka = 'sasl.password=hunter2'"),
            "line 2: invalid type: string …",
        ),
        ("GRISTMILL_SETTINGS", file("c.toml", "store = postgres://u:hunter2@h"), "c.toml, line 1"),
        (
            "GRISTMILL_SETTINGS",
            file("d.toml", "[kafka]\nsasl.pasword = 'hunter2'"),
            "d.toml, [kafka]: librdkafka knows no",
        ),
        ("GRISTMILL_CA_FILE", file("ca.pem", "hunter2"), "there is no certificate in it"),
    ];
    for (variable, value, part) in cases {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gristmill"));
        command.args(["dead-letter", "list"]).current_dir(folder.path());
        command.env("GRISTMILL_LOG", &kafka).env("GRISTMILL_TRACE", "trace").env(variable, &value);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{variable}: {error}");
        assert!(error.contains(part), "{variable}: {error}");
        assert_no_secret(&error);
    }
    let settings = gristmill::config::Settings { store: Some("hunter2".to_owned()), ..Default::default() };
    assert_no_secret(&format!("{settings:?}"));
}
