//! Too much at once, on a real host with a real Kafka: what is refused is told when to come back, and what was
//! acknowledged is there, once.

use super::site::{Site, sql};

/// Records of a large request.
const REQUEST: usize = 10_000;
const CLIENTS: usize = 3;

#[test]
fn a_flood_is_held_back_and_nothing_acknowledged_is_lost() {
    let mut site = Site::acting("flood");
    // What comes at once is taken up to the records of one request at most; what comes after that, hardly.
    site.settings.ingest_records_per_second_max = Some(10);
    site.settings.open_ingest = Some(true);
    let mut host = site.host(None);
    host.wait_until_ready();
    let url = format!("http://{}/v1/topics/{}/records?key=/id", host.address, site.topic());
    let clients = [(); CLIENTS].map(|()| {
        let url = url.clone();
        std::thread::spawn(move || flood(&url))
    });
    let taken: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(taken > 0, "nothing was taken");
    come_back(&url);
    site.wait_until_done(&mut [&mut host]);
    let accepted = taken * REQUEST + 1;
    assert_eq!(sql(&site.database_url(), "SELECT count(*) FROM items"), accepted.to_string());
    let (runtime, _, log) = site.open();
    assert_eq!(runtime.block_on(log.read_topic(&site.topic(), usize::MAX)).unwrap().len(), accepted);
    runtime.shutdown_background();
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// One request: `None` if it was taken, else how many seconds to wait.
fn post(url: &str, records: usize) -> Option<u64> {
    let body = vec![r#"{"id": 1, "to": true}"#; records].join("\n");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.post(url).content_type("application/x-ndjson").send(body).unwrap();
    match answer.status().as_u16() {
        202 => None,
        429 => {
            let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok());
            Some(after.and_then(|after| after.parse().ok()).expect("seconds in Retry-After"))
        }
        other => panic!("{other}: {}", answer.body_mut().read_to_string().unwrap()),
    }
}

/// Posts until it is held back; answers how many requests were taken.
fn flood(url: &str) -> usize {
    let taken = (0..50).take_while(|_| post(url, REQUEST).is_none()).count();
    assert!(taken < 50, "it is never held back");
    taken
}

/// Whoever comes back when told is taken.
fn come_back(url: &str) {
    for _ in 0..3 {
        let Some(after) = post(url, 1) else { return };
        assert!((1..=5).contains(&after), "{after} s for one record");
        std::thread::sleep(std::time::Duration::from_secs(after));
    }
    panic!("it is held back although it came back when told");
}
