//! What came out of city-orders, in a form that does not depend on where it ran: compared with `expected/`.

use super::site::{Host, Set, Site, repository, server};
use gristmill::log::Log;
use gristmill::store::{DeadLetterQuery, Store, TableQuery};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Rows, messages, mails and dead letters, each a sorted list of lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub rows: Vec<String>,
    pub topics: Vec<String>,
    pub mails: Vec<String>,
    pub dead_letters: Vec<String>,
}

impl Outcome {
    /// What the example says must come out.
    pub fn expected() -> Self {
        let folder = repository().join("examples/city-orders/expected");
        let lines = |file: &str| {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let line = |line: &str| {
                let mut value: Value = serde_json::from_str(line).unwrap();
                if let Some(topic) = value.get("topic").and_then(Value::as_str) {
                    value["topic"] = json!(shortened(topic));
                }
                canonical(&value)
            };
            sorted(text.lines().map(line).collect())
        };
        Outcome {
            rows: lines("rows.ndjson"),
            topics: lines("topics.ndjson"),
            mails: lines("mails.ndjson"),
            dead_letters: lines("dead-letters.ndjson"),
        }
    }

    /// What came out at a site.
    pub fn of(site: &Site) -> Self {
        let (runtime, store, log) = site.open();
        let outcome = runtime.block_on(async {
            Outcome {
                rows: rows(site, &store).await,
                topics: topics(site, &log).await,
                mails: mails(site),
                dead_letters: dead_letters(site, &store).await,
            }
        });
        drop((store, log));
        runtime.shutdown_background();
        outcome
    }

    /// Compares list by list, so that a difference can be read.
    #[track_caller]
    pub fn check(&self, expected: &Outcome) {
        same("rows", &self.rows, &expected.rows);
        same("topics", &self.topics, &expected.topics);
        same("mails", &self.mails, &expected.mails);
        same("dead letters", &self.dead_letters, &expected.dead_letters);
    }
}

#[track_caller]
fn same(what: &str, found: &[String], expected: &[String]) {
    let count = |lines: &[String]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        lines.iter().for_each(|line| *counts.entry(line.clone()).or_default() += 1);
        counts
    };
    let (found_counts, expected_counts) = (count(found), count(expected));
    let differing = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| -> Vec<String> {
        let differing = a.iter().filter(|(line, n)| b.get(*line) != Some(n));
        differing
            .take(5)
            .map(|(line, n)| format!("{n} × {}", line.chars().take(300).collect::<String>()))
            .collect()
    };
    let (extra, missing) =
        (differing(&found_counts, &expected_counts), differing(&expected_counts, &found_counts));
    assert!(
        extra.is_empty() && missing.is_empty(),
        "{what}: {} found, {} expected\nfound, not so expected: {extra:#?}\nexpected, not so found: {missing:#?}",
        found.len(),
        expected.len()
    );
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// A JSON value with its keys in order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: BTreeMap<&String, String> =
                map.iter().map(|(key, value)| (key, canonical(value))).collect();
            let pairs: Vec<String> =
                pairs.into_iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Whether `GET /orders` answers with the rows, page by page and filtered.
#[track_caller]
pub fn answered(host: &Host, expected: &Outcome) {
    let texts = |rows: Vec<Value>| sorted(rows.iter().map(canonical).collect());
    same("GET /orders", &texts(host.rows("/orders?limit=250")), &expected.rows);
    let of_city = "/orders?city=New%20York&quantity[gte]=30&limit=5";
    let expected = expected.rows.iter().filter(|row| {
        let row: Value = serde_json::from_str(row).unwrap();
        row["city"] == "New York" && row["quantity"].as_i64() >= Some(30)
    });
    let expected: Vec<String> = expected.cloned().collect();
    assert!(!expected.is_empty());
    same(of_city, &texts(host.rows(of_city)), &expected);
}

async fn rows(site: &Site, store: &Arc<dyn Store>) -> Vec<String> {
    let spec = site.spec();
    let mut query = TableQuery { limit: 333, ..TableQuery::default() };
    let mut rows = Vec::new();
    loop {
        let page = store.read_table(&spec.tables[0], &query).await.unwrap();
        rows.extend(page.rows.iter().map(canonical));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return sorted(rows),
        }
    }
}

async fn topics(site: &Site, log: &Arc<dyn Log>) -> Vec<String> {
    let (source, prefix) = (site.topic(), format!("{}.", site.name));
    let mut lines = Vec::new();
    let all = log.topics().await.unwrap();
    let own = all.iter().filter(|topic| topic.starts_with(&prefix));
    let read = own.map(|topic| async move { (topic, log.read_topic(topic, usize::MAX).await.unwrap()) });
    for (topic, records) in futures::future::join_all(read).await {
        let other = *topic == source || *topic == format!("{source}.dlq");
        let Some(own) = topic.strip_prefix(&prefix).filter(|_| !other) else { continue };
        for record in records {
            let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
            let city =
                record.headers.iter().find(|(name, _)| name == "city").and_then(|(_, value)| value.clone());
            // A topic's name is computed within what the prefix leaves of its 249 characters.
            let line = json!({
                "city": text(city), "key": text(record.key), "value": text(record.value), "topic": shortened(own),
            });
            lines.push(canonical(&line));
        }
    }
    sorted(lines)
}

/// A long topic name without the part that the prefix shortens.
fn shortened(topic: &str) -> String {
    match topic.rsplit_once("__") {
        Some((name, hash)) if name.len() > 100 => format!("{}__{hash}", &name[..100]),
        _ => topic.to_owned(),
    }
}

async fn dead_letters(site: &Site, store: &Arc<dyn Store>) -> Vec<String> {
    let query =
        DeadLetterQuery { pipeline: Some(site.name.clone()), limit: 10_000, ..DeadLetterQuery::default() };
    let letters = store.dead_letters(&query).await.unwrap();
    let lines = letters.iter().map(|letter| {
        let faults = &letter.failure.faults;
        let codes: BTreeSet<&str> = faults.iter().map(|fault| fault.code.as_str()).collect();
        let pointers: BTreeSet<&str> = faults.iter().filter_map(|fault| fault.pointer.as_deref()).collect();
        let value = String::from_utf8(letter.value.clone().unwrap()).unwrap();
        canonical(&json!({ "value": value, "codes": codes, "pointers": pointers }))
    });
    sorted(lines.collect())
}

/// The mails of this run, each Message-ID once: mail may be sent again, but as the same mail.
fn mails(site: &Site) -> Vec<String> {
    let folder = match site.set {
        Set::Embedded => site.folder.path().join("mail"),
        Set::Real => Path::new(&server("GRISTMILL_TEST_MAILDIR")).join("new"),
    };
    let mut by_id: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let Ok(bytes) = std::fs::read(entry.unwrap().path()) else { continue };
        let mail = mailparse::parse_mail(&bytes).unwrap();
        let header = |name: &str| {
            let found = mail.headers.iter().find(|header| header.get_key().eq_ignore_ascii_case(name));
            found.map(mailparse::MailHeader::get_value).unwrap_or_default()
        };
        if !header("From").contains(&format!("{}@", site.name)) {
            continue;
        }
        let text = mail.get_body().unwrap().replace("\r\n", "\n");
        let line = json!({ "to": header("To"), "subject": header("Subject"), "text": text.trim_end() });
        let line = canonical(&line);
        let id = header("Message-ID");
        assert!(!id.is_empty());
        if let Some(other) = by_id.insert(id.clone(), line.clone()) {
            assert_eq!(other, line, "two mails with the Message-ID {id}");
        }
    }
    sorted(by_id.into_values().collect())
}
