//! Versions that are accepted and then fail on live records: taken back by themselves; and what people do by hand:
//! rollback, pause, removing what is in use.

use super::{misbehave, to};
use crate::city::{Host, Set, Site};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

pub fn feed(site: &Site, from: i64, count: i64) {
    let path = site.folder.path().join("feed.ndjson");
    let mut file = std::fs::File::create(&path).unwrap();
    for id in from..from + count {
        writeln!(file, r#"{{"id": {id}}}"#).unwrap();
    }
    drop(file);
    let partitions = site.spec().source.partitions.to_string();
    site.must(&[
        "ingest",
        &site.topic(),
        &path.display().to_string(),
        "--key",
        "/id",
        "--partitions",
        &partitions,
    ]);
}

pub fn wait_until(what: &str, host: &Host, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}\n{}", host.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn active(host: &Host, site: &Site) -> Value {
    host.ask("GET", &format!("/v1/pipelines/{}", site.name), None).1["stages"][0]["active"].clone()
}

/// Notes by their first letter, from the table itself.
pub fn letters(host: &Host) -> std::collections::BTreeMap<String, usize> {
    let mut letters = std::collections::BTreeMap::new();
    let mut path = "/v1/tables/items?limit=1000".to_owned();
    loop {
        let (status, page) = host.ask("GET", &path, None);
        assert_eq!(status, 200, "{page}");
        for row in page["rows"].as_array().unwrap() {
            *letters.entry(row["note"].as_str().unwrap()[..1].to_owned()).or_default() += 1;
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/tables/items?limit=1000&after={next}"),
            None => return letters,
        }
    }
}

fn a_bad_version(set: Set, letter: char, code: &str) {
    let site = Site::acting_with("trial", set, 2, &misbehave(&[("stamp", 'S')]));
    let mut host = site.host(None);
    host.wait_until_ready();
    feed(&site, 0, 500);
    wait_until("the first records", &host, || letters(&host).get("S") == Some(&500));
    host.must_push("stamp", "good", &misbehave(&[("stamp", 'G')]));
    host.must_push("stamp", "bad", &misbehave(&[("stamp", letter)]));
    let good = host.must_swap(&site.name, "act", &to("good"));
    host.wait_for_swap(&site.name, good);
    feed(&site, 500, 500);
    wait_until("the good version's records", &host, || letters(&host).get("G") == Some(&500));
    let bad = host.must_swap(&site.name, "act", &to("bad"));
    host.wait_for_swap(&site.name, bad);
    // It is taken back by itself, to the last good one, and says why.
    feed(&site, 1_000, 400);
    wait_until("the bad version is taken back", &host, || {
        active(&host, &site)["version"] == "good" && active(&host, &site)["id"].as_i64() > Some(bad)
    });
    let taken_back = host.progress(&site.name, bad)["activation"]["taken_back"].clone();
    assert!(taken_back.as_str().unwrap().contains("refused"), "{taken_back}");
    // What it dead-lettered is replayed through the good one.
    let dead_letters = || {
        let path = format!("/v1/pipelines/{}/dead-letters?limit=1000", site.name);
        host.ask("GET", &path, None).1["dead_letters"].as_array().unwrap().clone()
    };
    wait_until("all 400 are rows or dead letters", &host, || {
        letters(&host).get("G").copied().unwrap_or(0) + dead_letters().len() == 900
    });
    let dead = dead_letters();
    assert!(!dead.is_empty() && dead.iter().all(|letter| letter["code"] == code), "{dead:#?}");
    for letter in &dead {
        let path = format!("/v1/pipelines/{}/dead-letters/{}/replay", site.name, letter["id"]);
        assert_eq!(host.ask("POST", &path, None).0, 202);
    }
    wait_until("everything is there", &host, || letters(&host).get("G") == Some(&900));
    let (_, page) = host.ask("GET", "/v1/audit?limit=1000", None);
    let actions: Vec<&str> =
        page["audit"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    let actions: Vec<&str> = actions.into_iter().filter(|action| *action != "dead-letter-replay").collect();
    assert_eq!(actions[..5], ["rollback", "swap", "swap", "module-push", "module-push"], "{page:#}");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn a_version_that_refuses_what_it_should_not_is_taken_back_by_itself() {
    a_bad_version(Set::Embedded, 'R', "asked-for");
}

#[test]
fn a_version_that_traps_is_taken_back_by_itself() {
    a_bad_version(Set::Real, 'T', "guest-trap");
}

#[test]
fn people_swap_roll_back_pause_and_remove_on_the_command_line() {
    let site = Site::acting_with("hand", Set::Embedded, 2, &misbehave(&[("stamp", 'S')]));
    let mut host = site.host(None);
    host.wait_until_ready();
    let url = format!("http://{}", host.address);
    let run = |arguments: &[&str]| {
        let output = site
            .gristmill()
            .args(arguments)
            .env("GRISTMILL_HOST", &url)
            .env("GRISTMILL_TOKEN", site.token.as_ref().unwrap())
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let must = |arguments: &[&str]| {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    };
    let refused = |arguments: &[&str], with: &str| {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains(with), "{arguments:?}: {said}");
    };
    let file = |name: &str, letter| {
        let path = site.folder.path().join(name);
        std::fs::write(&path, misbehave(&[("stamp", letter)])).unwrap();
        path.display().to_string()
    };
    let (a, b) = (file("a.wasm", 'A'), file("b.wasm", 'B'));
    let said = must(&["module", "push", "stamp@1", &a]);
    assert!(said.contains("stamp@1: accepted") && said.contains("log@0.1.0"), "{said}");
    assert!(must(&["module", "push", "stamp@1", &a]).contains("was there already"));
    refused(&["module", "push", "stamp@1", &b], "version-exists");
    must(&["module", "push", "stamp@2", &b]);
    assert!(must(&["module", "list"]).contains("stamp"));
    assert!(must(&["module", "show", "stamp"]).contains("stamp@2"));
    let said = must(&["swap", &site.name, "act", "stamp@1", "--note", "first"]);
    assert!(said.contains("stamp@1") && said.contains("every lane works with it"), "{said}");
    refused(&["module", "remove", "stamp@1"], "in-use");
    refused(&["swap", &site.name, "act", "stamp@3"], "there is no module stamp@3");
    refused(&["swap", &site.name, "acting", "stamp@1"], "no stage");
    // Another configuration of the same version.
    let config = site.folder.path().join("config.toml");
    std::fs::write(&config, "note = \"x\"\n").unwrap();
    must(&["swap", &site.name, "act", "--config", &config.display().to_string()]);
    feed(&site, 0, 10);
    wait_until("rows", &host, || letters(&host).get("A") == Some(&10));
    must(&["swap", &site.name, "act", "stamp@2"]);
    must(&["rollback", &site.name, "act", "--reason", "B is ugly"]);
    assert_eq!(active(&host, &site)["version"], "1");
    assert_eq!(active(&host, &site)["config"], json!({ "note": "x" }));
    must(&["module", "remove", "stamp@2"]);
    // Paused: records wait in the log, and a swap is taken up all the same.
    assert!(must(&["pipeline", "pause", &site.name]).contains("is paused"));
    assert!(must(&["pipeline", "list"]).contains("paused"));
    std::thread::sleep(Duration::from_millis(300));
    feed(&site, 10, 10);
    must(&["rollback", &site.name, "act"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(letters(&host).values().sum::<usize>(), 10);
    must(&["pipeline", "resume", &site.name]);
    wait_until("rows after the pause", &host, || letters(&host).values().sum::<usize>() == 20);
    // Two steps back: the same version without its configuration, then what the spec names.
    assert_eq!(active(&host, &site)["config"], json!({}));
    must(&["rollback", &site.name, "act"]);
    assert_eq!(active(&host, &site)["version"], "");
    refused(&["rollback", &site.name, "act"], "nothing-to-roll-back");
    // What is in force holds for a host that starts.
    let version = must(&["swap", &site.name, "act", "stamp@1", "--json"]);
    assert!(version.contains("\"done\": true"), "{version}");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    let mut again = site.host(None);
    again.wait_until_ready();
    feed(&site, 20, 10);
    wait_until("rows of the host that starts", &again, || letters(&again).get("A") == Some(&30));
    assert_eq!(again.terminate(), Some(0), "{}", again.log());
}
