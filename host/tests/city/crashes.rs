//! Hosts killed with `kill -9` at every named crash point. On the real set a second host takes over; on the embedded
//! one the host is started again. The outcome is that of an undisturbed run.

use super::outcome::Outcome;
use super::site::{Set, Site, repository};

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

#[test]
fn kills_at_random_moments_change_nothing() {
    let site = Site::city(Set::Real, "kills");
    site.ingest(&samples());
    // Longer each time: from the take-over through the first batches to the last.
    for round in 0..8_u64 {
        let mut host = site.host(None);
        std::thread::sleep(std::time::Duration::from_millis(700 + round * 350));
        host.kill();
    }
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    Outcome::of(&site).check(&Outcome::expected());
}
