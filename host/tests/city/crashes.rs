//! Hosts killed with `kill -9` at every named crash point. On the real set a second host takes over; on the embedded
//! one the host is started again. The outcome is that of an undisturbed run.

use super::outcome::{Outcome, answered};
use super::site::{Host, Set, Site, repository};

/// Every named crash point.
const POINTS: [&str; 6] = [
    "store.advanced",
    "store.rows-written",
    "store.committed",
    "publish.produced",
    "publish.ended",
    "mail.sent",
];

fn samples() -> std::path::PathBuf {
    repository().join("examples/city-orders/orders.ndjson")
}

/// A host dies at the point, and a second one that stood by takes its partitions over.
fn taken_over(point: &str, pass: u32) {
    let site = Site::city(Set::Real, "crash");
    let mut doomed = site.host(Some(&format!("{point}:{pass}")));
    doomed.wait_until_ready();
    let mut heir = site.host(None);
    heir.wait_until_ready();
    site.ingest(&samples());
    assert_eq!(doomed.wait_for_end(), None, "the host was not killed at {point}: {}", doomed.log());
    site.wait_until_done(&mut [&mut heir]);
    Outcome::of(&site).check(&Outcome::expected());
    assert_eq!(heir.terminate(), Some(0), "{}", heir.log());
}

#[test]
fn a_second_host_takes_over_at_every_crash_point() {
    for point in POINTS {
        eprintln!("killed at {point}");
        taken_over(point, 3);
    }
}

/// A host that dies leaves its transaction open until somebody takes over, or it runs out: how far the pipeline is can be asked
/// all the same.
#[test]
fn status_is_told_while_a_transaction_is_open() {
    let site = Site::city(Set::Real, "open");
    site.ingest(&samples());
    // Of so many transactions one lane has opened two: it has ended one.
    let pass = site.spec().source.partitions + 1;
    let mut doomed = site.host(Some(&format!("publish.offset-added:{pass}")));
    assert_eq!(doomed.wait_for_end(), None, "the host was not killed: {}", doomed.log());
    let output = site.run(&["pipeline", "status", &site.spec_path.display().to_string(), "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lanes = status["lanes"].as_array().unwrap();
    // Each lane's beginning was published; of what it committed since the group does not know all.
    let known: Vec<i64> = lanes.iter().filter_map(|lane| lane["group_offset"].as_i64()).collect();
    let committed: i64 = lanes.iter().filter_map(|lane| lane["next_offset"].as_i64()).sum();
    assert!(!known.is_empty() && known.iter().sum::<i64>() < committed, "{status:#}");
    let mut heir = site.host(None);
    site.wait_until_done(&mut [&mut heir]);
    assert_eq!(heir.terminate(), Some(0), "{}", heir.log());
}

#[test]
fn the_embedded_set_survives_every_crash_point() {
    for point in POINTS {
        for pass in [1, 4] {
            eprintln!("killed at {point}, pass {pass}");
            let site = Site::city(Set::Embedded, "crash");
            site.ingest(&samples());
            let mut doomed = site.host(Some(&format!("{point}:{pass}")));
            assert_eq!(doomed.wait_for_end(), None, "the host was not killed at {point}: {}", doomed.log());
            let mut heir = site.host(None);
            site.wait_until_done(&mut [&mut heir]);
            Outcome::of(&site).check(&Outcome::expected());
        }
    }
}

/// When all is done, the outcome is this, and what is asked is answered so.
#[track_caller]
fn comes_out(site: &Site, host: &mut Host, expected: &Outcome) {
    site.wait_until_done(&mut [&mut *host]);
    Outcome::of(site).check(expected);
    answered(host, expected);
}

/// Orders come in while hosts are killed again and again; then all of them come once more, and all of it is read again from
/// offset 0. Whatever is asked afterwards is answered as after an undisturbed run.
fn kills_at_random_moments(set: Set) {
    const KILLS: usize = 30;
    let site = Site::city(set, "kills");
    let mut random = fastrand::Rng::with_seed(13);
    let orders = std::fs::read_to_string(samples()).unwrap();
    let orders: Vec<&str> = orders.lines().collect();
    let feed = |name: String, lines: &[&str]| {
        let path = site.folder.path().join(name);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        site.ingest(&path);
    };
    let mut host = site.host(None);
    for (n, part) in orders.chunks(orders.len().div_ceil(KILLS)).enumerate() {
        feed(format!("part-{n}.ndjson"), part);
        std::thread::sleep(std::time::Duration::from_millis(random.u64(100..1_000)));
        host.kill();
        host = site.host(None);
    }
    let expected = Outcome::expected();
    comes_out(&site, &mut host, &expected);
    // What is refused is refused once more; all else is a duplicate.
    site.ingest(&samples());
    let refused_twice = [&expected.dead_letters[..], &expected.dead_letters].concat();
    let expected = Outcome { dead_letters: refused_twice, ..expected };
    comes_out(&site, &mut host, &expected);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    // Another group over the same table: every record from offset 0. What the first one has sent is not sent again.
    site.rename_pipelines();
    let mut host = site.host(None);
    comes_out(&site, &mut host, &expected);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn kills_at_random_moments_change_nothing() {
    kills_at_random_moments(Set::Real);
}

#[test]
fn kills_at_random_moments_change_nothing_on_the_embedded_set() {
    kills_at_random_moments(Set::Embedded);
}
