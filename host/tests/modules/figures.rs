//! What it takes until a module is at work: `cargo test --test main modules::figures -- --ignored --nocapture`.

use super::misbehave;
use crate::city::{Host, Set, Site};
use serde_json::{Value, json};
use std::time::Instant;

const TIMES: usize = 15;

/// The module with another digest: a custom section more, which nothing reads.
fn with_section(code: &[u8], number: usize) -> Vec<u8> {
    let content = format!("\u{4}more{number:04}");
    let mut code = code.to_vec();
    code.extend([0, u8::try_from(content.len()).unwrap()]);
    code.extend_from_slice(content.as_bytes());
    code
}

/// Pushes a version and swaps it in. Answers what the check reported, and how long the upload, the swap, and both took,
/// milliseconds.
fn to_work(site: &Site, host: &Host, version: &str, code: &[u8]) -> (Value, [f64; 3]) {
    let ms = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    let answer = host.must_push("stamp", version, code);
    let pushed_ms = ms(start);
    let id = host.must_swap(&site.name, "act", &json!({ "module": format!("stamp@{version}") }));
    host.wait_for_swap(&site.name, id);
    let both_ms = ms(start);
    (answer["module"]["report"].clone(), [pushed_ms, both_ms - pushed_ms, both_ms])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "measures"]
fn figures_of_an_upload() {
    let code = misbehave(&[("stamp", 'S')]);
    let site = Site::acting_with("figures", Set::Real, 1, &code);
    let say = |host: &Host, what: &str| {
        let (mut times, mut compiled, mut instantiated) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..TIMES {
            let version = format!("{what}-{number}");
            let (report, took) = to_work(&site, host, &version, &with_section(&code, number));
            times.push(took);
            compiled.push(report["compiled_in_ms"].as_f64().unwrap());
            instantiated.push(report["instantiated_in_us"].as_f64().unwrap());
        }
        let of = |part: usize| median(times.iter().map(|times| times[part]).collect());
        println!(
            "figures: {what}, {} bytes, medians of {TIMES}: upload to active {:.0} ms (the upload {:.0}, of it compiled in \
             {:.0}; the swap {:.0}); instantiated in {:.0} µs",
            code.len(),
            of(2),
            of(0),
            median(compiled),
            of(1),
            median(instantiated),
        );
    };
    let mut host = site.host(None);
    host.wait_until_ready();
    say(&host, "cold");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    // Another process finds them compiled on disk.
    let mut host = site.host(None);
    host.wait_until_ready();
    say(&host, "compiled-before");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
