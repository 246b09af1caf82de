//! Too much at once, on a real host with a real Kafka: what is refused is told when to come back, and what was
//! acknowledged is there, once.

use super::site::{Site, sql};

/// Records of a request.
const REQUEST: usize = 10_000;
/// Requests of a client that are taken in the end.
const REQUESTS: usize = 2;
const CLIENTS: usize = 3;

#[test]
fn a_flood_is_held_back_and_nothing_acknowledged_is_lost() {
    let mut site = Site::acting("flood");
    site.settings.ingest_records_per_second_max = Some(1_000);
    let mut host = site.host(None);
    host.wait_until_ready();
    let body = [r#"{"id": 1, "to": true}"#; REQUEST].join("\n");
    let url = format!("http://{}/v1/topics/{}/records?key=/id", host.address, site.topic());
    let clients = [(); CLIENTS].map(|()| {
        let (url, body) = (url.clone(), body.clone());
        std::thread::spawn(move || flood(&url, &body))
    });
    let held_back: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(held_back > 0, "nothing was held back");
    site.wait_until_done(&mut [&mut host]);
    let accepted = CLIENTS * REQUESTS * REQUEST;
    assert_eq!(sql(&site.database_url(), "SELECT count(*) FROM items"), accepted.to_string());
    let (runtime, _, log) = site.open();
    assert_eq!(runtime.block_on(log.read_topic(&site.topic(), usize::MAX)).unwrap().len(), accepted);
    runtime.shutdown_background();
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// Posts until so many requests were taken, heeding each Retry-After; answers how many were held back.
fn flood(url: &str, body: &str) -> usize {
    let (mut taken, mut held_back) = (0, 0);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    while taken < REQUESTS {
        let mut answer = agent.post(url).content_type("application/x-ndjson").send(body).unwrap();
        match answer.status().as_u16() {
            202 => taken += 1,
            429 => {
                held_back += 1;
                let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok());
                let after: u64 = after.and_then(|after| after.parse().ok()).expect("seconds in Retry-After");
                assert!((1..=60).contains(&after), "{after}");
                std::thread::sleep(std::time::Duration::from_secs(after));
            }
            other => panic!("{other}: {}", answer.body_mut().read_to_string().unwrap()),
        }
    }
    held_back
}
