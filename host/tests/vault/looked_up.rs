//! What the order vault looks up, and is not there: a user or a restaurant that nobody knows yet, and a Redis that cannot be
//! reached.

use super::order_vault::{Shape, check, feed, orders, reference, site, texts};
use crate::city::{Host, Set, Site, server};
use crate::proxy::Proxy;
use gristmill::store::{DeadLetter, DeadLetterQuery};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A user or a restaurant that nobody knows yet: the order waits, and is loaded when the reference data is there; for ever
/// unknown, it is a dead letter.
fn what_is_unknown_waits(set: Set) {
    let site = site(set, Shape::One, "unknown");
    let mut host = site.host(None);
    host.wait_until_ready();
    let mut all = orders(&site, 4, 3);
    let unknown: [String; 4] = std::array::from_fn(|_| format!("{:024x}", fastrand::u64(..)));
    let [late_user, no_user, late_restaurant, no_restaurant] = &unknown;
    let place = |order: &mut Value, whose: &str, id: &str| {
        std::mem::replace(&mut order["payload"][whose]["id"], json!(id)).as_str().unwrap().to_owned()
    };
    place(&mut all[0], "user", late_user);
    place(&mut all[1], "user", no_user);
    let moved = place(&mut all[2], "restaurant", late_restaurant);
    place(&mut all[3], "restaurant", no_restaurant);
    feed(&site, texts(&all));
    let start = Instant::now();
    while site.status()["parked"] != 4 {
        assert!(start.elapsed() < Duration::from_secs(60), "{:#}\n{}", site.status(), host.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(site.tables().values().all(Vec::is_empty), "nothing of a record that waits is written");
    let path = site.folder.path().join("late.ndjson");
    let user = json!({ "_id": late_user, "name": "Поздний", "login": "late" });
    // It has the dishes of the one that the order was made for.
    let mut restaurant = reference()[&moved].clone();
    restaurant["_id"] = json!(late_restaurant);
    let lines = [(late_user, user), (late_restaurant, restaurant)]
        .map(|(key, value)| json!({ "key": key, "value": value }).to_string());
    std::fs::write(&path, lines.join("\n")).unwrap();
    site.must(&["reference", "load", &path.display().to_string()]);
    site.wait_until_done(&mut [&mut host]);
    let tables = site.tables();
    assert_eq!(tables["dds.h_order"].len(), 2);
    let has = |table: &str, column: &str, id: &str| tables[table].iter().any(|row| row[column] == id);
    assert!(
        has("dds.h_user", "user_id", late_user) && has("dds.h_restaurant", "restaurant_id", late_restaurant)
    );
    let (runtime, store, log) = site.open();
    let query =
        DeadLetterQuery { pipeline: Some(site.name.clone()), limit: 10, ..DeadLetterQuery::default() };
    let letters = runtime.block_on(store.dead_letters(&query)).unwrap();
    assert_eq!(letters.len(), 2, "{letters:#?}");
    for id in [no_user, no_restaurant] {
        let names = |letter: &&DeadLetter| letter.failure.faults[0].reason.contains(id);
        let letter = letters.iter().find(names).unwrap_or_else(|| panic!("{id}: {letters:#?}"));
        assert_eq!(letter.failure.faults[0].code, "not-found");
    }
    drop((store, log));
    runtime.shutdown_background();
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn what_is_unknown_waits_on_the_embedded_set() {
    what_is_unknown_waits(Set::Embedded);
}

#[test]
fn what_is_unknown_waits_for_redis() {
    what_is_unknown_waits(Set::Real);
}

/// Where a Redis cannot be reached batches wait, and say so; no record is blamed, and none is lost.
#[test]
fn orders_wait_for_a_redis_that_is_away() {
    let mut site = site(Set::Real, Shape::One, "away");
    let redis = url::Url::parse(&server("GRISTMILL_TEST_LOOKUP")).unwrap();
    let proxy = Proxy::start();
    proxy.lead_to(redis.port().unwrap());
    let mut through_proxy = redis.clone();
    through_proxy.set_port(Some(proxy.port)).unwrap();
    site.environment.push(("GRISTMILL_LOOKUP".into(), through_proxy.to_string()));
    let mut host = site.host(None);
    host.wait_until_ready();
    let all = orders(&site, 600, 11);
    feed(&site, texts(&all[..200]));
    site.wait_until_done(&mut [&mut host]);
    // Away: connections break off, and nobody takes new ones.
    proxy.lead_to(0);
    assert!(proxy.cut(false) > 0, "the host is connected");
    feed(&site, texts(&all[200..400]));
    let told = "the lookup `user` is not available";
    wait_for(&site, &host, |status| {
        let tells = |place: &Value| place.as_str().is_some_and(|text| text.contains(told));
        tells(&status["error"])
            && status["lanes"].as_array().unwrap().iter().all(|lane| tells(&lane["last_error"]))
    });
    assert!(host.whole_log().contains(told), "{}", host.log());
    assert_eq!(site.tables()["dds.h_order"].len(), 200);
    // A host that stops meanwhile gives its batches up, and the next one waits with them.
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    let mut host = site.host(None);
    host.wait_until_ready();
    feed(&site, texts(&all[400..]));
    proxy.lead_to(redis.port().unwrap());
    site.wait_until_done(&mut [&mut host]);
    check(&site, &all);
    let status = site.status();
    assert_eq!((&status["parked"], &status["dead_letters"]), (&json!(0), &json!({})), "{status:#}");
    wait_for(&site, &host, |status| status["error"].is_null());
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// Waits for what the host says of its pipeline.
#[track_caller]
fn wait_for(site: &Site, host: &Host, what: impl Fn(&Value) -> bool) {
    let start = Instant::now();
    loop {
        let (status, said) = host.ask("GET", &format!("/v1/pipelines/{}", site.name), None);
        if status == 200 && what(&said) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{status} {said:#}\n{}", host.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
