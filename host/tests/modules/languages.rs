//! Modules in other languages: pushed with the cases of the Rust module that they stand for, swapped in for it while
//! city-orders runs, with the same results.

use crate::city::outcome::Outcome;
use crate::city::{Host, Set, Site, repository};
use serde_json::{Value, json};
use std::io::Write;

/// Feeds the `part`th of three parts of the example's orders; answers how many these are.
fn feed(site: &Site, part: usize) -> usize {
    let orders = std::fs::read_to_string(repository().join("examples/city-orders/orders.ndjson")).unwrap();
    let orders: Vec<&str> = orders.lines().collect();
    let path = site.folder.path().join(format!("part-{part}.ndjson"));
    let mut file = std::fs::File::create(&path).unwrap();
    let orders = orders.chunks(orders.len().div_ceil(3)).nth(part).unwrap();
    for order in orders {
        writeln!(file, "{order}").unwrap();
    }
    drop(file);
    site.ingest(&path);
    orders.len()
}

/// The processor time that the stage `route` has taken, microseconds.
fn route_us(host: &Host) -> f64 {
    host.metric("gristmill_guest_microseconds_total", "\"route\"")
}

/// Pushes what was built from `examples/<language>` with the cases of `route`, by the command line. Answers the version.
fn push(site: &Site, host: &Host, language: &str) -> Value {
    let file = crate::sandbox::modules().join(format!("other/route-{language}.wasm"));
    let output = site
        .gristmill()
        .args(["module", "push", &format!("route@{language}")])
        .arg(&file)
        .arg("--cases")
        .arg(repository().join("guests/route/cases"))
        .args(["--grant", "wasi"])
        .env("GRISTMILL_HOST", format!("http://{}", host.address))
        .env("GRISTMILL_TOKEN", site.token.as_ref().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let version = host.ask("GET", &format!("/v1/modules/route/versions/{language}"), None).1;
    assert_eq!(version["report"]["cases"]["passed"], 5, "{version:#}");
    version
}

#[test]
fn modules_of_other_languages_take_over_and_nothing_changes() {
    let mut site = Site::city(Set::Real, "languages");
    site.token = Some(site.must(&["token", "create", "tests", "--role", "admin"]).trim().to_owned());
    // Python's runtime imports WASI, of which a guest gets nothing.
    let mut host = site.host_with(&[("GRISTMILL_UPLOAD_WASI", "true")]);
    host.wait_until_ready();
    let records = feed(&site, 0);
    site.wait_until_done(&mut [&mut host]);
    println!("languages: rust: {:.0} µs per record", route_us(&host) / records as f64);
    for (part, language) in [(1, "javascript"), (2, "python")] {
        let version = push(&site, &host, language);
        let swap = host.must_swap(&site.name, "route", &json!({ "module": format!("route@{language}") }));
        let progress = host.wait_for_swap(&site.name, swap);
        assert_eq!(progress["activation"]["version"], language, "{progress:#}");
        let before_us = route_us(&host);
        let records = feed(&site, part);
        site.wait_until_done(&mut [&mut host]);
        let report = &version["report"];
        println!(
            "languages: {language}: {} bytes, compiled in {} ms, instantiated in {} µs, {} bytes of memory at the start, \
             {:.0} µs per record (a debug host's)",
            version["bytes"],
            report["compiled_in_ms"],
            report["instantiated_in_us"],
            report["memory_bytes"],
            (route_us(&host) - before_us) / records as f64,
        );
        let pipeline = host.ask("GET", &format!("/v1/pipelines/{}", site.name), None).1;
        assert_eq!(pipeline["stages"][1]["active"]["version"], language, "{pipeline:#}");
    }
    Outcome::of(&site).check(&Outcome::expected());
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
