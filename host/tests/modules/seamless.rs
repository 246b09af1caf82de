//! The seamless swap: while records flow through two hosts, one of which is killed on the way, versions and
//! configurations are swapped a hundred times. Every record becomes one row, and each row was made by what the batch
//! ledger names for its offset.

use super::{digest, misbehave};
use crate::city::{Host, Set, Site, sql};
use gristmill::log::{Log, NewRecord, Position};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 4;
const SWAPS: usize = 100;
/// A little more than the 10,000 that are asked for: what is offered lags behind by a moment.
const PER_SECOND: i64 = 10_100;

/// Offers so many records a second until it is told to stop; keeps where each stands.
fn offer(
    site: &Site,
    log: &Arc<dyn Log>,
    runtime: &tokio::runtime::Handle,
    stop: &AtomicBool,
    places: &Mutex<Vec<Position>>,
) {
    let topic = site.topic();
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = i64::try_from(start.elapsed().as_millis()).unwrap() * PER_SECOND / 1_000;
        let from = i64::try_from(places.lock().unwrap().len()).unwrap();
        if due <= from {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let to = due.min(from + 2_000);
        let records = (from..to).map(|id| NewRecord {
            key: Some(id.to_string().into_bytes()),
            value: Some(format!(r#"{{"id": {id}}}"#).into_bytes()),
            ..NewRecord::default()
        });
        let written = runtime.block_on(log.append(&topic, records.collect())).unwrap();
        places.lock().unwrap().extend(written);
    }
}

#[test]
fn a_hundred_swaps_under_load_lose_nothing_and_mix_nothing() {
    let site = Site::acting_with("seamless", Set::Real, PARTITIONS, &misbehave(&[("stamp", 'S')]));
    let (runtime, _store, log) = site.open();
    let mut first = site.host(None);
    first.wait_until_ready();
    let mut second = site.host(None);
    second.wait_until_ready();
    let versions = [("A", misbehave(&[("stamp", 'A')])), ("B", misbehave(&[("stamp", 'B')]))];
    for (version, code) in &versions {
        first.must_push("stamp", version, code);
    }
    let (stop, places) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut pauses: Vec<i64> = Vec::new();
    let mut took: Vec<u128> = Vec::new();
    // Which note each activation writes, beside its module's letter.
    let mut notes: HashMap<i64, String> = HashMap::from([(0, String::new())]);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| offer(&site, &log, runtime.handle(), &stop, &places));
        std::thread::sleep(Duration::from_secs(1));
        for swap in 0..SWAPS {
            if swap == SWAPS / 2 {
                second.kill();
            }
            // Three of four change the module, one the configuration alone.
            let note = format!("{}-", swap / 4);
            let order = if swap % 4 == 3 {
                json!({ "config": { "note": note } })
            } else {
                json!({ "module": format!("stamp@{}", versions[swap % 2].0), "config": { "note": note } })
            };
            let start = Instant::now();
            let id = first.must_swap(&site.name, "act", &order);
            notes.insert(id, note);
            let progress = first.wait_for_swap(&site.name, id);
            if swap != SWAPS / 2 {
                took.push(start.elapsed().as_millis());
            }
            pauses.extend(
                progress["lanes"].as_array().unwrap().iter().map(|lane| lane["pause_us"].as_i64().unwrap()),
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
    let swapping = began.elapsed();
    site.wait_until_done(&mut [&mut first]);
    let letters =
        [(misbehave(&[("stamp", 'S')]), 'S'), (versions[0].1.clone(), 'A'), (versions[1].1.clone(), 'B')];
    let letters: HashMap<String, char> =
        letters.into_iter().map(|(code, letter)| (digest(&code), letter)).collect();
    let places = places.into_inner().unwrap();
    let offered = places.len();
    let (rows, batches) = check(&site, &places, &letters, &notes);
    let guests_us = step_us(&first, "transform");
    let worked_us = guests_us + step_us(&first, "commit");
    let period_us = swapping.as_secs_f64() * 1e6 * f64::from(PARTITIONS) / batches as f64;
    pauses.sort_unstable();
    took.sort_unstable();
    let at = |share: usize| pauses[(pauses.len() - 1) * share / 100];
    let longer = pauses.iter().filter(|pause| **pause as f64 > worked_us).count();
    println!(
        "seamless: {SWAPS} swaps in {:.1} s under {offered} records ({:.0} a second offered), {rows} rows; a lane stood still for \
         p50 {} µs, p99 {} µs, at most {} µs; it began a batch every {period_us:.0} µs and worked {worked_us:.0} µs on it \
         ({guests_us:.0} of them the guests): {longer} of {} pauses were longer; from order to every lane p50 {} ms, at most {} ms",
        swapping.as_secs_f64(),
        offered as f64 / swapping.as_secs_f64(),
        at(50),
        at(99),
        at(100),
        pauses.len(),
        took[took.len() / 2],
        took.last().unwrap(),
    );
    assert!((at(50) as f64) < guests_us, "the pause is longer than a batch");
    assert_eq!(first.terminate(), Some(0), "{}", first.log());
    runtime.shutdown_background();
}

/// Each record has one row, and its note is what the ledger's version and configuration for its offset write. Answers how
/// many rows there are, and how many batches.
fn check(
    site: &Site,
    places: &[Position],
    letters: &HashMap<String, char>,
    notes: &HashMap<i64, String>,
) -> (usize, usize) {
    let (url, offered) = (site.database_url(), places.len());
    let counted = sql(&url, "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM items");
    assert_eq!(counted, format!("{offered}|{offered}|0|{}", offered - 1), "rows of records");
    let ledger = sql(
        &url,
        "SELECT partition, first_offset, last_offset, stages FROM gristmill.batches ORDER BY partition, batch",
    );
    let mut expected: HashMap<(i32, i64), String> = HashMap::new();
    let mut used: HashMap<i64, usize> = HashMap::new();
    for line in ledger.lines() {
        let parts: Vec<&str> = line.splitn(4, '|').collect();
        let [partition, first, last, stages] = parts.as_slice() else { panic!("{line}") };
        let stages: Value = serde_json::from_str(stages).unwrap();
        let run = &stages[0];
        let activation = run["activation"].as_i64().unwrap();
        let letter = letters[run["digest"].as_str().unwrap()];
        let (first, last): (i64, i64) = (first.parse().unwrap(), last.parse().unwrap());
        for offset in first..=last {
            let before = expected
                .insert((partition.parse().unwrap(), offset), format!("{letter}{}", notes[&activation]));
            assert_eq!(before, None, "offset {offset} of partition {partition} is in two batches");
        }
        *used.entry(activation).or_default() += 1;
    }
    let rows = sql(&url, "SELECT id, note FROM items ORDER BY id");
    let mut wrong = 0;
    for line in rows.lines() {
        let (id, note) = line.split_once('|').unwrap();
        let place = &places[id.parse::<usize>().unwrap()];
        wrong +=
            usize::from(expected.get(&(place.partition, place.offset)).map(String::as_str) != Some(note));
    }
    assert_eq!(wrong, 0, "rows whose note is not what the ledger's version writes");
    assert!(used.len() > SWAPS / 2, "{} activations made batches", used.len());
    (rows.lines().count(), used.values().sum())
}

/// How long a step of a batch takes, on average, microseconds.
fn step_us(host: &Host, step: &str) -> f64 {
    let step = format!("step=\"{step}\"");
    host.metric("gristmill_step_seconds_sum", &step) / host.metric("gristmill_step_seconds_count", &step)
        * 1e6
}
