//! Pipelines of the catalog: applied, changed under load, removed and applied again, on hosts that were told no spec.

use super::misbehave;
use super::trials::{feed, letters, wait_until};
use crate::city::{Host, Set, Site};
use serde_json::{Value, json};

/// The spec of the tests' pipeline with a version of the catalog in its stage.
fn spec(site: &Site, version: &str) -> String {
    site.spec().text.replace("\"stamp.wasm\"", &format!("\"stamp@{version}\""))
}

fn put(host: &Host, site: &Site, spec: &str) -> (u16, Value) {
    let path = format!("/v1/pipelines/{}", site.name);
    host.send("PUT", &path, "application/toml", spec.as_bytes().to_vec())
}

fn revision_of(answer: &(u16, Value)) -> i64 {
    answer.1["revision"]["revision"].as_i64().unwrap_or_else(|| panic!("{answer:?}"))
}

fn wait_for_revision(host: &Host, site: &Site, number: i64, hosts: usize) {
    let path = format!("/v1/pipelines/{}/revisions/{number}", site.name);
    wait_until(&format!("revision {number}"), host, || {
        let progress = host.ask("GET", &path, None).1;
        let working = progress["hosts"].as_array().map_or(0, Vec::len);
        progress["done"] == true && working >= hosts
    });
}

/// Every record is there once.
fn all_once(host: &Host, records: usize) {
    wait_until(&format!("{records} rows"), host, || letters(host).values().sum::<usize>() >= records);
    assert_eq!(
        letters(host).values().sum::<usize>(),
        records,
        "append-only: a double would show\n{}",
        host.log()
    );
}

fn refused(host: &Host, site: &Site, spec: &str, status: u16, code: &str, says: &str) {
    let (got, answer) = put(host, site, spec);
    assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains(says), "{answer}");
}

fn a_pipelines_life(set: Set) {
    let site = Site::acting_with("applied", set, 2, &misbehave(&[("stamp", 'S')]));
    let mut host = site.host_of_catalog();
    host.wait_until_ready();
    let first = spec(&site, "a");
    // What does not fit is refused with its place, and nothing of it stays.
    refused(&host, &site, "name = 7", 422, "bad-spec", "spec:1:8: ");
    refused(&host, &site, &site.spec().text, 422, "bad-spec", "name it `stamp@VERSION`");
    refused(&host, &site, &first, 422, "does-not-fit", "stamp@a");
    host.must_push("stamp", "a", &misbehave(&[("stamp", 'A')]));
    host.must_push("stamp", "b", &misbehave(&[("stamp", 'B')]));
    let other_name = first.replace(&format!("name = \"{}\"", site.name), "name = \"other\"");
    refused(&host, &site, &other_name, 422, "other-name", "`other`");
    assert_eq!(host.ask("GET", &format!("/v1/pipelines/{}/revisions", site.name), None).0, 404);
    // Applied, it works; applied again, nothing changes.
    let applied = put(&host, &site, &first);
    assert_eq!(applied.0, 201, "{applied:?}");
    wait_for_revision(&host, &site, revision_of(&applied), 1);
    let same = put(&host, &site, &first);
    assert_eq!((same.0, revision_of(&same)), (200, 1), "{same:?}");
    feed(&site, 0, 300);
    all_once(&host, 300);
    assert_eq!(letters(&host).get("A"), Some(&300));
    // A table belongs to one pipeline, and a version that a revision names is in use.
    let rival = first.replace(&format!("name = \"{}\"", site.name), "name = \"rival\"");
    let (status, answer) = host.send("PUT", "/v1/pipelines/rival", "application/toml", rival.into_bytes());
    assert_eq!((status, answer["code"].as_str()), (409, Some("table-taken")), "{answer}");
    assert_eq!(host.ask("DELETE", "/v1/modules/stamp/versions/a", None).0, 409);
    // Another revision, with a column more and a route, while records come.
    let second = spec(&site, "b").replace(
        "{ name = \"note\", type = \"text\", nullable = true }",
        "{ name = \"note\", type = \"text\", nullable = true }, { name = \"more\", type = \"text\", nullable = true }",
    ) + "[[http]]\nmethod = \"GET\"\npath = \"/items\"\ntable = \"items\"\n";
    assert_eq!(host.ask("GET", "/items", None).0, 404);
    feed(&site, 300, 300);
    let changed = put(&host, &site, &second);
    assert_eq!(changed.0, 201, "{changed:?}");
    feed(&site, 600, 300);
    wait_for_revision(&host, &site, revision_of(&changed), 1);
    feed(&site, 900, 300);
    all_once(&host, 1_200);
    assert!(letters(&host).get("B").copied().unwrap_or(0) >= 300);
    assert_eq!(host.ask("GET", "/items?limit=1", None).1["rows"][0]["more"], Value::Null);
    // One that this host cannot run leaves the one before it at work: here a host that starts knows what it is told.
    let shown = host.ask("GET", "/v1/pipelines", None).1;
    assert_eq!(shown["pipelines"][0]["state"], "running", "{shown}");
    // Removed, it is gone, and its routes with it; what it wrote stays, and it goes on where it was.
    let path = format!("/v1/pipelines/{}", site.name);
    let (status, removed) = host.ask("DELETE", &path, None);
    assert_eq!(status, 200, "{removed}");
    wait_until("it is removed", &host, || host.ask("GET", &path, None).0 == 404);
    assert_eq!(host.ask("GET", "/items", None).0, 404);
    assert_eq!(host.ask("DELETE", &path, None).0, 404);
    feed(&site, 1_200, 100);
    let (status, again) = host.ask("PUT", &path, Some(&json!({ "revision": 1, "note": "as it was" })));
    assert_eq!(status, 201, "{again}");
    wait_for_revision(&host, &site, again["revision"]["revision"].as_i64().unwrap(), 1);
    all_once(&host, 1_300);
    // A host that starts has nothing but the store to know it from.
    host.kill();
    let mut host = site.host_of_catalog();
    host.wait_until_ready();
    feed(&site, 1_300, 100);
    wait_until("its tables are known", &host, || host.ask("GET", "/v1/tables/items", None).0 == 200);
    all_once(&host, 1_400);
    // Who did it, and why.
    let trail = host.ask("GET", "/v1/audit?limit=1000", None).1;
    let actions: Vec<&str> =
        trail["audit"].as_array().unwrap().iter().filter_map(|line| line["action"].as_str()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "pipeline-apply").count(), 3, "{actions:?}");
    assert_eq!(actions.iter().filter(|action| **action == "pipeline-remove").count(), 1, "{actions:?}");
}

#[test]
fn a_pipelines_life_embedded() {
    a_pipelines_life(Set::Embedded);
}

#[test]
fn a_pipelines_life_on_the_real_set() {
    a_pipelines_life(Set::Real);
}

/// Two hosts, records all the while, ten revisions, and one host killed while it goes over: nothing lost or doubled.
#[test]
fn revisions_lose_and_double_nothing_when_a_host_is_killed() {
    let site = Site::acting_with("revised", Set::Real, 4, &misbehave(&[("stamp", 'S')]));
    let (mut one, mut two) = (site.host_of_catalog(), site.host_of_catalog());
    one.wait_until_ready();
    one.must_push("stamp", "a", &misbehave(&[("stamp", 'A')]));
    one.must_push("stamp", "b", &misbehave(&[("stamp", 'B')]));
    let first = put(&one, &site, &spec(&site, "a"));
    two.wait_until_ready();
    wait_for_revision(&one, &site, revision_of(&first), 2);
    for round in 0..10_i64 {
        feed(&site, round * 500, 500);
        let version = if round % 2 == 0 { "b" } else { "a" };
        let applied = put(&two, &site, &spec(&site, version));
        assert_eq!(applied.0, 201, "{applied:?}");
        if round % 3 == 1 {
            // While it goes over, or just before or after.
            std::thread::sleep(std::time::Duration::from_millis(u64::try_from(round).unwrap() * 60));
            one.kill();
            one = site.host_of_catalog();
            one.wait_until_ready();
        }
        wait_for_revision(&two, &site, revision_of(&applied), 1);
    }
    all_once(&two, 5_000);
    two.kill();
}
