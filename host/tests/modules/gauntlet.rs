//! Bad modules: each is refused with a code of its own and a sentence, the running pipeline does not notice, and nothing
//! of them stays, in memory or on disk.

use super::{Answer, misbehave, to};
use crate::city::{Host, Set, Site};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// A core module in the text format, without a component type.
const CORE: &[u8] = &[0, b'a', b's', b'm', 1, 0, 0, 0];

fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(leb(u32::try_from(content.len()).unwrap()));
    bytes.extend_from_slice(content);
    bytes
}

/// A core module of so many functions that do nothing.
fn many_functions(count: u32) -> Vec<u8> {
    let mut code = CORE.to_vec();
    code.extend(section(1, &[1, 0x60, 0, 0]));
    let mut types = leb(count);
    types.resize(types.len() + count as usize, 0);
    code.extend(section(3, &types));
    let mut bodies = leb(count);
    for _ in 0..count {
        bodies.extend_from_slice(&[2, 0, 0x0b]);
    }
    code.extend(section(10, &bodies));
    code
}

/// A core module with a memory of so many pages, and data of so many bytes.
fn large_memory(pages: u32, data_bytes: u32) -> Vec<u8> {
    let mut code = CORE.to_vec();
    let mut memory = vec![1, 0];
    memory.extend(leb(pages));
    code.extend(section(5, &memory));
    if data_bytes > 0 {
        let mut data = vec![1, 0, 0x41, 0, 0x0b];
        data.extend(leb(data_bytes));
        data.resize(data.len() + data_bytes as usize, b'x');
        code.extend(section(11, &data));
    }
    code
}

/// A core module that exports what a transform does, without saying of which type.
fn typeless() -> Vec<u8> {
    let mut code = CORE.to_vec();
    code.extend(section(1, &[1, 0x60, 0, 0]));
    code.extend(section(3, &[1, 0]));
    let name = b"gristmill:transform/transformer@0.1.0#apply";
    let mut export = vec![1, u8::try_from(name.len()).unwrap()];
    export.extend_from_slice(name);
    export.extend_from_slice(&[0, 0]);
    code.extend(section(7, &export));
    code.extend(section(10, &[1, 2, 0, 0x0b]));
    code
}

/// The bytes with a text replaced by another of the same length, wherever it stands.
fn replaced(code: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut code, mut found) = (code.to_vec(), 0);
    for start in 0..code.len() - from.len() {
        if &code[start..start + from.len()] == from.as_bytes() {
            code[start..start + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from}");
    code
}

fn module(name: &str) -> Vec<u8> {
    std::fs::read(crate::sandbox::modules().join(name)).unwrap()
}

/// A form with a module and one more part.
fn form(code: &[u8], part: &str, content: &str) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, bytes) in [("module", code), (part, content.as_bytes())] {
        body.extend_from_slice(
            format!("--b0undary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0undary--\r\n");
    ("multipart/form-data; boundary=b0undary".to_owned(), body)
}

fn refused((status, answer): &Answer) -> (u16, String) {
    let code = answer["code"].as_str().map(str::to_owned);
    let kind = answer["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned();
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{answer:#}");
    (*status, code.unwrap_or(kind))
}

/// Bytes in a folder and below.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { folder_bytes(&path) } else { path.metadata().map_or(0, |data| data.len()) }
        })
        .sum()
}

fn resident_bytes(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn every_bad_module_is_refused_by_its_name() {
    let site = Site::acting_with("gauntlet", Set::Embedded, 2, &misbehave(&[("stamp", 'S')]));
    let pair =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref())
            .unwrap();
    let other =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref())
            .unwrap();
    let keys = site.folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("ci.pub"), BASE64_STANDARD.encode(pair.public_key())).unwrap();
    let cache = site.folder.path().join("cache");
    let mut host = site.host_with(&[
        ("GRISTMILL_TRUSTED_KEYS", keys.to_str().unwrap()),
        ("GRISTMILL_UPLOAD_BYTES_MAX", "8000000"),
        ("GRISTMILL_CACHE", cache.to_str().unwrap()),
    ]);
    host.wait_until_ready();
    let good = misbehave(&[("stamp", 'A')]);
    host.must_push("stamp", "1", &good);
    let id = host.must_swap(&site.name, "act", &to("1"));
    host.wait_for_swap(&site.name, id);

    // Records flow all the while.
    let feed = site.folder.path().join("feed.ndjson");
    let lines: String = (0..20_000).map(|id| format!("{{\"id\": {id}}}\n")).collect();
    std::fs::write(&feed, lines).unwrap();
    let mut ingest = site.gristmill();
    let mut ingesting = ingest
        .args(["ingest", &site.topic(), feed.to_str().unwrap(), "--key", "/id", "--partitions", "2"])
        .spawn()
        .unwrap();
    let push = |code: &[u8]| host.push("stamp", "2", code);
    // Once before anything is measured: what is paid once is not what a refused module leaves.
    push(&misbehave(&[("describe", 't')]));
    let (memory, disk) = (resident_bytes(&host), folder_bytes(site.folder.path()));
    let disk_cache = folder_bytes(&cache);

    let named = |name: &str| host.push(name, "1", &good);
    let signed = |signature: &str| {
        let (ty, body) = form(&misbehave(&[("stamp", 'Z')]), "signature", signature);
        host.send("POST", "/v1/modules/stamp/versions/2", &ty, body)
    };
    let sign = |pair: &Ed25519KeyPair, code: &[u8]| BASE64_STANDARD.encode(pair.sign(code));
    let other_contract =
        replaced(&good, "gristmill:transform/transformer@0.1.0", "gristmill:transform/transformer@0.9.0");
    // The tool that makes components runs out of its stack on this one.
    let contradicting = replaced(&other_contract, "transformer@0.9.0#", "transformer@0.1.0#");
    // What it is compared with: a module under another name, with a case, and without a lookup.
    host.must_push("calm", "1", &module("test/core-orders.wasm"));
    let (ty, body) = form(&good, "cases", &case(1, "A"));
    let (status, answer) = host.send("POST", "/v1/modules/cased/versions/1", &ty, body);
    assert_eq!((status, &answer["module"]["report"]["cases"]["passed"]), (201, &json!(1)), "{answer:#}");
    let with_cases = |code: &[u8], cases: &str| {
        let (ty, body) = form(code, "cases", cases);
        host.send("POST", "/v1/modules/cased/versions/2", &ty, body)
    };
    let floods = misbehave(&[("stamp", 'F')]);
    let flooding = case(1, "F").replace(
        &BASE64_STANDARD.encode("{\"value\": {\"id\": 1}}\n"),
        &BASE64_STANDARD.encode("{\"value\": {\"id\": 1, \"do\": \"log-flood\"}}\n"),
    );
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(4_096, 0);
    let tried: Vec<(&str, Answer, u16, &str)> = vec![
        ("no wasm at all", push(b"hello, I am a module"), 422, "not-wasm"),
        ("nothing", push(b""), 422, "not-wasm"),
        ("truncated", push(&good[..good.len() / 2]), 422, "malformed"),
        (
            "a damaged byte in the head",
            push(&replaced(&good, "\0asm\u{1}\0\0\0", "\0asm\u{7}\0\0\0")),
            422,
            "malformed",
        ),
        ("a core module without a type", push(&large_memory(1, 0)), 422, "export-missing"),
        ("another contract's version", push(&other_contract), 422, "contract-version"),
        ("types that contradict each other", push(&contradicting), 422, "compile-failed"),
        ("a core module without a type that exports ours", push(&typeless()), 422, "export-missing"),
        ("a component without our export", push(b"\0asm\x0d\0\x01\0"), 422, "export-missing"),
        ("precompiled code", push(&elf), 422, "precompiled"),
        ("compiled code of this very host", push(&compiled(&cache)), 422, "not-wasm"),
        ("too large", push(&vec![0; 8_000_001]), 413, "too-large"),
        ("100,000 functions", push(&many_functions(100_000)), 422, "too-complex"),
        ("4 GiB of memory", push(&large_memory(65_536, 0)), 422, "start-memory"),
        ("a data section of 7 MB and no type", push(&large_memory(200, 7_000_000)), 422, "export-missing"),
        ("WASI", host.push("wasi", "1", &module("test/wasi-sample.wasm")), 422, "wasi-forbidden"),
        ("a trap at the start", push(&misbehave(&[("start", 't')])), 422, "start-trap"),
        ("a loop at the start", push(&misbehave(&[("start", 'l')])), 422, "start-timeout"),
        ("a memory bomb at the start", push(&misbehave(&[("start", 'h')])), 422, "start-memory"),
        ("a trap in describe", push(&misbehave(&[("describe", 't')])), 422, "describe-trap"),
        ("a loop in describe", push(&misbehave(&[("describe", 'l')])), 422, "describe-timeout"),
        ("a memory bomb in describe", push(&misbehave(&[("describe", 'h')])), 422, "describe-memory"),
        ("a trap in configure", push(&misbehave(&[("configure", 't')])), 422, "configure-trap"),
        ("a loop in configure", push(&misbehave(&[("configure", 'l')])), 422, "configure-timeout"),
        ("a memory bomb in configure", push(&misbehave(&[("configure", 'h')])), 422, "configure-memory"),
        ("an unknown table", push(&misbehave(&[("plan", 't')])), 422, "does-not-fit"),
        ("a column of another kind", push(&misbehave(&[("plan", 'c')])), 422, "does-not-fit"),
        ("another module under this name", push(&module("test/core-orders.wasm")), 422, "does-not-fit"),
        (
            "an import that was not granted",
            host.push("calm", "2", &module("test/every-effect.wasm")),
            422,
            "grant-needed",
        ),
        ("cases that are none", with_cases(&good, "[]"), 422, "cases-unreadable"),
        (
            "cases that lead elsewhere",
            with_cases(&good, r#"{"../x/case.toml": ""}"#),
            422,
            "cases-unreadable",
        ),
        ("a failing case", with_cases(&good, &case(1, "Z-")), 422, "cases-failed"),
        (
            "a case whose files are wrong",
            with_cases(&good, r#"{"one/case.toml": "eA=="}"#),
            422,
            "cases-failed",
        ),
        ("cases that take far more fuel than before", with_cases(&floods, &flooding), 422, "too-slow"),
        ("a signature of nobody", signed("not base64!"), 422, "signature-malformed"),
        ("a bad signature", signed(&sign(&pair, b"other bytes")), 422, "signature-untrusted"),
        ("an unknown key", signed(&sign(&other, &misbehave(&[("stamp", 'Z')]))), 422, "signature-untrusted"),
        ("a name with ../", named("..%2F..%2Fetc"), 422, "bad-name"),
        ("a hidden name", named(".stamp"), 422, "bad-name"),
        ("a version with a slash", host.push("stamp", "1%2F2", &good), 422, "bad-version"),
        (
            "the same version with other bytes",
            host.push("stamp", "1", &misbehave(&[("stamp", 'B')])),
            409,
            "version-exists",
        ),
        ("a version in use removed", host.ask("DELETE", "/v1/modules/stamp/versions/1", None), 409, "in-use"),
        (
            "a version removed that is not there",
            host.ask("DELETE", "/v1/modules/stamp/versions/7", None),
            404,
            "not-found",
        ),
        (
            "no content type",
            host.send("POST", "/v1/modules/stamp/versions/2", "text/plain", good.clone()),
            415,
            "content-type",
        ),
        (
            "an unknown option",
            host.send("POST", "/v1/modules/stamp/versions/2?forse=1", "application/wasm", good.clone()),
            400,
            "bad-query",
        ),
        (
            "a swap to a version that is not there",
            swap(&host, &site, &json!({ "module": "stamp@9" })),
            404,
            "not-found",
        ),
        ("a swap to no version", swap(&host, &site, &json!({ "module": "stamp" })), 422, "bad-module"),
        ("a swap to nothing", swap(&host, &site, &json!({})), 400, "malformed-body"),
        (
            "a configuration that it refuses",
            swap(&host, &site, &json!({ "config": { "do": "configure-error" } })),
            422,
            "does-not-fit",
        ),
        (
            "a configuration that makes it trap",
            swap(&host, &site, &json!({ "config": { "do": "configure-trap" } })),
            422,
            "does-not-fit",
        ),
        ("a configuration that is none", swap(&host, &site, &json!({ "config": 7 })), 400, "malformed-body"),
    ];
    let mut wrong = Vec::new();
    for (what, answer, status, code) in &tried {
        let got = refused(answer);
        println!("{what}: {} {}: {}", got.0, got.1, answer.1["detail"].as_str().unwrap());
        if got != (*status, (*code).to_owned()) {
            wrong.push(format!("{what}: expected {status} {code}, got {got:?}: {:#}", answer.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What was refused for its fuel or its imports is taken by those who mean it.
    let (ty, body) = form(&floods, "cases", &flooding);
    let (status, answer) = host.send("POST", "/v1/modules/cased/versions/2?force=true", &ty, body);
    assert_eq!(status, 201, "{answer:#}");
    let path = "/v1/modules/calm/versions/2?grant=lookup";
    let (status, answer) = host.send("POST", path, "application/wasm", module("test/every-effect.wasm"));
    assert_eq!(status, 201, "{answer:#}");
    for (name, version) in [("cased", "1"), ("cased", "2"), ("calm", "1"), ("calm", "2")] {
        let path = format!("/v1/modules/{name}/versions/{version}");
        assert_eq!(host.ask("DELETE", &path, None).0, 204, "{name}@{version}");
    }

    // What was good before is good now, and the pipeline has not noticed.
    let (ty, body) = form(&good, "signature", &sign(&pair, &good));
    let (status, answer) = host.send("POST", "/v1/modules/signed/versions/1", &ty, body);
    assert_eq!((status, answer["module"]["signed_by"].as_str()), (201, Some("ci")), "{answer:#}");
    assert!(ingesting.wait().unwrap().success());
    site.wait_until_done(&mut [&mut host]);
    let (_, status) = host.ask("GET", &format!("/v1/pipelines/{}", site.name), None);
    assert_eq!(status["dead_letters"]["total"], 0, "{status:#}");
    assert_eq!(status["stages"][0]["active"]["id"], id, "{status:#}");
    assert_eq!(folder_bytes(&cache), disk_cache, "compiled code of refused modules stays");
    let (_, versions) = host.ask("GET", "/v1/modules/stamp", None);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1, "{versions:#}");
    let grown = resident_bytes(&host).saturating_sub(memory);
    println!(
        "gauntlet: {} tried; memory {} MiB, {} MiB more than before; disk {} KiB more, of records and rows",
        tried.len(),
        resident_bytes(&host) >> 20,
        grown >> 20,
        folder_bytes(site.folder.path()).saturating_sub(disk) >> 10,
    );
    assert!(grown < 96 << 20, "{} MiB of memory stay", grown >> 20);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}

/// A case as it travels: one record, which becomes a row with this note.
fn case(id: i64, note: &str) -> String {
    let file = |text: String| BASE64_STANDARD.encode(text);
    json!({
        "one/case.toml": file(String::new()),
        "one/input.ndjson": file(format!("{{\"value\": {{\"id\": {id}}}}}\n")),
        "one/expected.json": file(json!({ "rows": { "items": [{ "record": 0, "columns": { "id": id, "note": note } }] } }).to_string()),
    })
    .to_string()
}

fn swap(host: &Host, site: &Site, order: &serde_json::Value) -> Answer {
    host.ask("POST", &format!("/v1/pipelines/{}/stages/act/swap", site.name), Some(order))
}

/// What the host itself has compiled, as it lies in its cache.
fn compiled(cache: &Path) -> Vec<u8> {
    let file = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    std::fs::read(file).unwrap()
}

#[test]
fn a_host_that_requires_signatures_takes_nothing_without_one() {
    let site = Site::acting_with("signed", Set::Embedded, 1, &misbehave(&[("stamp", 'S')]));
    let keys = site.folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let code = misbehave(&[("stamp", 'A')]);
    let file = site.folder.path().join("a.wasm");
    std::fs::write(&file, &code).unwrap();
    // As the documentation says it, with openssl.
    let openssl = |arguments: &[&str]| {
        let output =
            Command::new("openssl").current_dir(site.folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "keys/release.pem"]);
    openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "a.wasm", "-out", "a.sig"]);
    let mut host = site.host_with(&[
        ("GRISTMILL_TRUSTED_KEYS", keys.to_str().unwrap()),
        ("GRISTMILL_REQUIRE_SIGNATURE", "true"),
    ]);
    host.wait_until_ready();
    assert_eq!(refused(&host.push("stamp", "1", &code)), (422, "signature-missing".to_owned()));
    let url = format!("http://{}", host.address);
    let output = site
        .gristmill()
        .args(["module", "push", "stamp@1", file.to_str().unwrap(), "--signature"])
        .arg(site.folder.path().join("a.sig"))
        .env("GRISTMILL_HOST", url)
        .env("GRISTMILL_TOKEN", site.token.as_ref().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (_, version) = host.ask("GET", "/v1/modules/stamp/versions/1", None);
    assert_eq!(version["signed_by"], "release", "{version:#}");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
