//! The program itself: tokens by the command line, a host that takes them, and what it writes down of them.

use crate::city::{Set, Site};
use gristmill::control::auth::digest;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A host, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(method: &str, url: &str, token: &str, body: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let request = request.header("authorization", format!("Bearer {token}"));
    let answer = match body {
        "" => agent.run(request.body(()).unwrap()),
        body => agent.run(request.header("content-type", "application/json").body(body).unwrap()),
    };
    let mut answer = answer.unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn wait_for(url: &str) {
    let began = Instant::now();
    while ureq::get(url).call().is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{url} does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn no_token_is_in_the_log_or_the_store() {
    let site = Site::city(Set::Embedded, "secrets");
    let admin = site.must(&["token", "create", "ada", "--role", "admin"]);
    let admin = admin.trim();
    assert!(admin.starts_with("gm_") && admin.len() == 46, "the token alone: {admin}");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = site.folder.path().join("trace.log");
    let spec = site.spec_path.display().to_string();
    let mut host: Command = site.gristmill();
    host.args(["run", &spec])
        .env("GRISTMILL_TRACE", "trace,sqlx=trace,cranelift_codegen=info,wasmtime=info,regalloc2=info");
    host.env("GRISTMILL_LISTEN", format!("127.0.0.1:{port}")).stdout(Stdio::null());
    let mut host = Running(host.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap());
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    wait_for(&url("/healthz"));

    assert_eq!(ask("GET", &url("/metrics"), admin, "").0, 200);
    let (status, made) = ask("POST", &url("/v1/tokens"), admin, r#"{"name":"bob","role":"viewer"}"#);
    assert_eq!(status, 201, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let bob = made["token"].as_str().unwrap();
    assert_eq!(ask("GET", &url("/metrics"), bob, "").0, 200);
    assert_eq!(ask("DELETE", &url("/v1/tokens/1"), bob, "").0, 403);
    let guessed = "gm_guessed-by-somebody";
    assert_eq!(ask("GET", &url("/metrics"), guessed, "").0, 401);
    // Somebody who puts a token where none belongs.
    assert_eq!(
        ask("POST", &url("/v1/tokens"), admin, &json!({ "name": bob, "role": "viewer" }).to_string()).0,
        400
    );
    assert_eq!(
        ask("POST", &url("/v1/tokens"), admin, &json!({ "name": "x", "role": bob }).to_string()).0,
        400
    );
    assert_eq!(ask("DELETE", &url(&format!("/v1/tokens/{}", made["id"])), admin, "").0, 204);
    let list = site.must(&["token", "list", "--json"]);
    let listed: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&listed[0]["role"], &listed[1]["revoked_by"]), (&json!("admin"), &json!("ada")), "{list}");
    let trail: serde_json::Value = serde_json::from_str(&site.must(&["audit", "--json", "-n", "1"])).unwrap();
    assert_eq!(trail.as_array().unwrap().len(), 1);
    assert!(trail[0]["action"].as_str().unwrap().starts_with("token-"), "{trail}");
    assert!(site.must(&["audit"]).contains("token-create"));
    let before = trail[0]["id"].to_string();
    assert!(!site.must(&["audit", "--before", &before, "--json"]).contains(&format!("\"id\": {before},")));
    let shown = site.must(&["token", "list"]);
    assert!(shown.contains("the role admin"), "{shown}");

    let id = host.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(host.0.wait().unwrap().success());
    let written = std::fs::read(&log).unwrap();
    let said = String::from_utf8_lossy(&written);
    assert!(said.contains("DEBUG") || said.contains("TRACE"), "the level was trace: {said}");
    for (action, actor) in [("token.create", "ada"), ("token.revoke", "ada"), ("token.revoke", "bob")] {
        let line = |line: &&str| line.contains(" audit: ") && line.contains(action) && line.contains(actor);
        // Bob's own try never reached what changes something: it is told, but is no change.
        assert_eq!(said.lines().any(|text| line(&text)), actor == "ada", "{action} by {actor}");
    }
    assert!(said.lines().any(|line| line.contains("refused") && line.contains("bob")));
    let mut stored = list.into_bytes();
    for entry in std::fs::read_dir(site.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.display().to_string().contains("gristmill.db") {
            stored.extend(std::fs::read(path).unwrap());
        }
    }
    for secret in [admin, bob, guessed] {
        let hex: String = digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [secret, &secret[3..], &hex] {
            assert!(!said.contains(text), "{text} of {secret} is in the log");
            assert!(
                !stored.windows(text.len()).any(|part| part == text.as_bytes()),
                "{text} is in the store"
            );
        }
    }
}

#[test]
fn the_command_line_says_what_is_wrong_with_a_token() {
    let site = Site::city(Set::Embedded, "tokens");
    site.must(&["token", "create", "ada", "--role", "admin", "--expires", "30"]);
    site.must(&["token", "create", "shop", "--ingest", "orders", "returns"]);
    for (arguments, code, part) in [
        (&["create", "ada", "--role", "viewer"][..], 1, "there is a token called `ada`: revoke it first"),
        (&["create", "gm_secret-thing", "--role", "viewer"], 1, "does not begin with `gm_`"),
        (&["create", "x", "--role", "root"], 2, "the roles are viewer, operator, author and admin"),
        (&["create", "x"], 2, "--role"),
        (&["create", "x", "--role", "viewer", "--ingest", "t"], 2, "cannot be used with"),
        (&["create", "x", "--ingest", "a b"], 1, "`a b` is no topic's name"),
        (&["revoke", "99"], 1, "there is no token 99"),
    ] {
        let output = site.run(&[&["token"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(part) && !error.contains("secret-thing"), "{arguments:?}: {error}");
    }
    assert!(site.must(&["token", "revoke", "1"]).contains("token 1 `ada` is revoked"));
    let ada = site.must(&["token", "create", "ada", "--role", "viewer"]);
    assert!(ada.starts_with("gm_"), "the name is free again: {ada}");
}

#[test]
fn settings_of_tls_go_together() {
    let site = Site::city(Set::Embedded, "tls");
    let spec = site.spec_path.display().to_string();
    for (variables, part) in [
        (&[("GRISTMILL_TLS_CERT", "/no/cert.pem")][..], "one of them is missing"),
        (
            &[("GRISTMILL_TLS_CERT", "/no/cert.pem"), ("GRISTMILL_TLS_KEY", "/no/key.pem")],
            "GRISTMILL_TLS_CERT: /no/cert.pem cannot be read",
        ),
    ] {
        let mut host = site.gristmill();
        host.args(["run", &spec]).envs(variables.iter().copied()).env("GRISTMILL_LISTEN", "127.0.0.1:0");
        let output = host.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(part), "{error}");
    }
}
