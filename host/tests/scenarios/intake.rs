//! Files that are dropped into a folder, and who is told of what went wrong: both with `examples/stock-ledger`.

use super::dead_letters;
use super::stock_ledger::{HEADER, site};
use crate::city::{Set, Site};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn incoming(n: u32, value: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012},incoming,2026-11-21T09:00:00Z,1,{},{value}", n % 3)
}

#[track_caller]
fn wait_for(path: &Path) -> String {
    let start = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(path) {
            return text;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn report(path: &Path) -> Value {
    let mut report = path.as_os_str().to_owned();
    report.push(".report.json");
    serde_json::from_str(&wait_for(&PathBuf::from(report))).unwrap()
}

fn folders_are_watched(set: Set) {
    let site = site(set, "watched", |spec| {
        spec.replace("folder = \"inbox\"", "folder = \"inbox\"\nsettle_ms = 700")
    });
    let inbox = site.folder.path().join("inbox");
    // Left by a host that died.
    std::fs::create_dir_all(inbox.join("working")).unwrap();
    std::fs::write(inbox.join("working/left.csv"), format!("{HEADER}\n{}\n", incoming(1, 10))).unwrap();
    let mut host = site.host(None);
    assert_eq!(report(&inbox.join("done/left.csv"))["records"], 1);
    // Written slowly: taken when it is whole.
    let mut slow = std::fs::File::create(inbox.join("slow.csv")).unwrap();
    writeln!(slow, "{HEADER}").unwrap();
    for n in 2..8 {
        writeln!(slow, "{}", incoming(n, 10)).unwrap();
        slow.flush().unwrap();
        std::thread::sleep(Duration::from_millis(250));
        assert!(inbox.join("slow.csv").exists(), "taken while it was written");
    }
    drop(slow);
    assert_eq!(report(&inbox.join("done/slow.csv"))["records"], 6);
    // Of a file that cannot be read nothing is taken, and it is told where.
    let bad = format!("{HEADER}\n{}\n1,2,3\n", incoming(9, 10));
    std::fs::write(inbox.join("bad.csv"), bad).unwrap();
    let told = report(&inbox.join("failed/bad.csv"));
    assert_eq!(
        (&told["records"], &told["error"]),
        (&json!(0), &json!("line 3: 3 values, and the first row names 6 columns"))
    );
    // What is hidden or unfinished by its name is left alone; the same name may come again.
    std::fs::write(inbox.join("next.csv.part"), "x").unwrap();
    std::fs::write(inbox.join("slow.csv"), format!("{HEADER}\n{}\n", incoming(2, 10))).unwrap();
    assert_eq!(report(&inbox.join("done/slow.csv.2"))["records"], 1);
    assert!(inbox.join("next.csv.part").exists());
    // A second host leaves the folder to the first one, and takes it over when that is gone.
    if set == Set::Real {
        let mut second = site.host(None);
        second.wait_until_ready();
        host.kill();
        std::fs::write(inbox.join("after.csv"), format!("{HEADER}\n{}\n", incoming(12, 10))).unwrap();
        assert_eq!(report(&inbox.join("done/after.csv"))["records"], 1);
        host = second;
    }
    site.wait_until_done(&mut [&mut host]);
    let stock: i64 = site.tables()["items"].iter().map(|row| row["amount"].as_i64().unwrap()).sum();
    assert_eq!(stock, if set == Set::Real { 80 } else { 70 });
    assert_eq!(dead_letters(&site).len(), 0);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

#[test]
fn folders_are_watched_on_the_real_set() {
    folders_are_watched(Set::Real);
}

#[test]
fn folders_are_watched_on_the_embedded_set() {
    folders_are_watched(Set::Embedded);
}

/// Head and body of each request that a webhook got.
type Calls = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that answers its first call with 503.
fn webhook() -> (String, Calls) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, calls) = (listener.local_addr().unwrap(), Calls::default());
    let seen = calls.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut bytes, mut buffer) = (stream.unwrap(), Vec::new(), [0; 4_096]);
            let call = loop {
                let read = stream.read(&mut buffer).unwrap();
                bytes.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str(body)
                {
                    break (head.to_ascii_lowercase(), body);
                }
            };
            let mut seen = seen.lock().unwrap();
            let answer = if seen.is_empty() { "503 Not Now" } else { "204 No Content" };
            seen.push(call);
            let _ = stream.write_all(
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
            );
        }
    });
    (format!("http://{address}/hook?secret=hunter2"), calls)
}

fn mails(site: &Site) -> u64 {
    site.status()["mails"]["sent"].as_u64().unwrap()
}

fn somebody_is_told(set: Set) {
    let (url, calls) = webhook();
    let site = site(set, "told", |spec| {
        let spec = spec.replace("attempts_max = 40", "attempts_max = 2");
        format!("{spec}\n[limits]\nbatch_records_max = 3\n[[alert]]\nname = \"any\"\nwebhook = \"{url}\"\n")
    });
    let sale =
        |n: u32, item: u32| format!("00000000-0000-4000-8000-{n:012},sale,2026-11-21T09:00:00Z,1,{item},1");
    let rows =
        (0..40).map(|n| sale(n, 1 + n % 2)).chain(["no-uuid,sale,2026-11-21T09:00:00Z,1,1,1".to_owned()]);
    let name = super::file(&site, "csv", [HEADER.to_owned()].into_iter().chain(rows));
    site.must(&[
        "ingest",
        &site.topic(),
        &name,
        "--key",
        "{/store_number}-{/item_number}",
        "--partitions",
        "4",
    ]);
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(dead_letters(&site).len(), 41);
    // Once for each item, by mail; once for each code, to the webhook. An hour may turn meanwhile.
    let hours = |of: u64, notices: u64| of <= notices && notices <= 2 * of;
    assert!(hours(4, mails(&site)), "{}", mails(&site));
    let calls = calls.lock().unwrap().clone();
    let mut by_id: std::collections::BTreeMap<String, Vec<&Value>> = std::collections::BTreeMap::new();
    for (head, body) in &calls {
        let id = head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap();
        by_id.entry(id.to_owned()).or_default().push(body);
    }
    assert!(hours(2, by_id.len() as u64), "{by_id:#?}");
    assert!(calls.len() > by_id.len(), "what is not taken is sent again");
    assert!(by_id.values().all(|bodies| bodies.iter().all(|body| *body == bodies[0])));
    let codes: std::collections::BTreeSet<&str> =
        calls.iter().map(|(_, body)| body["code"].as_str().unwrap()).collect();
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["bad-uuid", "no-item"]);
    let first = &calls.iter().find(|(_, body)| body["code"] == "no-item").unwrap().1;
    assert!(first["first"]["reason"].as_str().unwrap().ends_with("does not exist!"), "{first:#}");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    assert!(!host.whole_log().contains("hunter2"), "a webhook's secret is in the log");
}

#[test]
fn somebody_is_told_on_the_real_set() {
    somebody_is_told(Set::Real);
}

#[test]
fn somebody_is_told_on_the_embedded_set() {
    somebody_is_told(Set::Embedded);
}
