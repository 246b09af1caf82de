//! Ledgers that contradict each other stop the pipeline, with both figures and the command that decides; after the
//! decision it goes on.

use super::outcome::Outcome;
use super::site::{Set, Site, repository, server, sql};
use std::process::Command;

fn samples() -> std::path::PathBuf {
    repository().join("examples/city-orders/orders.ndjson")
}

fn kafka_tool(class: &str, arguments: &[&str]) -> String {
    let libs = format!("{}/*", server("GRISTMILL_TEST_KAFKA_LIBS"));
    let bootstrap = server("GRISTMILL_TEST_LOG").replace("kafka://", "");
    let output = Command::new("java")
        .args(["-cp", &libs, class, "--bootstrap-server", &bootstrap])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{class}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The host must stop with an error that has these parts.
#[track_caller]
fn stops_with(site: &Site, parts: &[&str]) {
    let mut host = site.host(None);
    assert_eq!(host.wait_for_end(), Some(1), "{}", host.log());
    for part in parts {
        assert!(host.log().contains(part), "{part}: {}", host.log());
    }
}

fn resolve(site: &Site, trust: &str) {
    for partition in ["0", "1", "2", "3"] {
        site.must(&[
            "pipeline",
            "resolve",
            &site.name,
            "--topic",
            &site.topic(),
            "--partition",
            partition,
            "--trust",
            trust,
        ]);
    }
}

fn worked_once(test: &str) -> Site {
    let site = Site::city(Set::Real, test);
    site.ingest(&samples());
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    site
}

#[test]
fn a_store_from_a_backup_stops_the_pipeline() {
    let site = worked_once("backup");
    sql(&site.database_url(), "UPDATE gristmill.lanes SET batch = 1, next_offset = 40, published = 1");
    stops_with(&site, &["ahead of the store's 40 (batch 1)", "gristmill pipeline resolve", "--trust group"]);
    resolve(&site, "group");
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    Outcome::of(&site).check(&Outcome::expected());
}

/// The host ends, too, when some of its partitions were assigned and others let go.
#[test]
fn a_contradiction_of_one_lane_stops_the_pipeline() {
    let site = worked_once("lane");
    sql(
        &site.database_url(),
        "UPDATE gristmill.lanes SET batch = 1, next_offset = 40, published = 1 WHERE partition = 1",
    );
    stops_with(&site, &["partition 1", "ahead of the store's 40 (batch 1)", "--trust group"]);
}

#[test]
fn a_store_that_knows_nothing_stops_the_pipeline() {
    let site = worked_once("empty");
    sql(&site.database_url(), "DELETE FROM gristmill.lanes");
    stops_with(&site, &["the store knows nothing of this lane", "--trust group"]);
    resolve(&site, "group");
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    Outcome::of(&site).check(&Outcome::expected());
}

#[test]
fn a_topic_made_anew_stops_the_pipeline() {
    let site = worked_once("anew");
    kafka_tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", &site.topic()]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let topic = site.topic();
    kafka_tool("org.apache.kafka.tools.TopicCommand", &["--create", "--topic", &topic, "--partitions", "4"]);
    stops_with(&site, &["the log ends at 0", "--trust log"]);
    resolve(&site, "log");
    // The orders come again, all of them known: duplicates and dead letters, no new rows, messages or mails.
    site.ingest(&samples());
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    let (outcome, expected) = (Outcome::of(&site), Outcome::expected());
    assert_eq!(outcome.rows, expected.rows);
    assert_eq!(outcome.topics, expected.topics);
}

#[test]
fn a_group_offset_that_vanished_before_publishing_stops_the_pipeline() {
    let site = Site::city(Set::Real, "vanished");
    site.ingest(&samples());
    let mut doomed = site.host(Some("publish.produced:10"));
    assert_eq!(doomed.wait_for_end(), None, "{}", doomed.log());
    // The dead member leaves the group after its session has timed out.
    let start = std::time::Instant::now();
    let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    while !kafka_tool(class, &["--describe", "--state", "--group", &site.name]).contains("Empty") {
        assert!(start.elapsed().as_secs() < 30);
    }
    kafka_tool(class, &["--delete-offsets", "--group", &site.name, "--topic", &site.topic()]);
    stops_with(&site, &["the group's offset is missing", "in its outbox", "--trust store"]);
    // Nothing of what lies in the outboxes was published: the transactions were never ended.
    resolve(&site, "store");
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    let outcome = Outcome::of(&site);
    let expected = Outcome::expected();
    assert_eq!(outcome.rows, expected.rows);
    assert!(
        outcome.topics.len() >= expected.topics.len(),
        "`--trust store` publishes again rather than not at all"
    );
}
