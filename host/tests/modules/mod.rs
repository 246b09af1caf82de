//! Modules pushed, checked, swapped in and taken back, on hosts as processes.

mod figures;
mod gauntlet;
mod languages;
mod pipelines;
mod seamless;
mod trials;

use crate::city::Host;
use serde_json::{Value, json};

/// The bytes of a test guest whose mode says something else.
pub fn misbehave(modes: &[(&str, char)]) -> Vec<u8> {
    let path = crate::sandbox::modules().join("test/misbehave.wasm");
    let mut code = std::fs::read(path).unwrap();
    for (name, letter) in modes {
        let start = find(&code, b"gristmill-mode: ");
        let place = start + find(&code[start..], format!(" {name}=").as_bytes()) + name.len() + 2;
        assert_eq!(code[place], b'.', "{name}");
        code[place] = u8::try_from(*letter).unwrap();
    }
    code
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

pub fn digest(code: &[u8]) -> String {
    gristmill::transform::Module::digest_of(code)
}

/// An answer: its status, and its JSON.
pub type Answer = (u16, Value);

impl Host {
    /// Asks this host; a body that is JSON.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        self.send(method, path, "application/json", bytes)
    }

    /// The same with any bytes.
    pub fn send(&self, method: &str, path: &str, ty: &str, bytes: Vec<u8>) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", ty);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(bytes).unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.run(request).unwrap();
        let text = answer.body_mut().with_config().limit(1 << 26).read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Pushes a module.
    pub fn push(&self, name: &str, version: &str, code: &[u8]) -> Answer {
        let path = format!("/v1/modules/{name}/versions/{version}");
        self.send("POST", &path, "application/wasm", code.to_vec())
    }

    /// Pushes a module that must be taken.
    #[track_caller]
    pub fn must_push(&self, name: &str, version: &str, code: &[u8]) -> Value {
        let (status, answer) = self.push(name, version, code);
        assert!(status == 201 || status == 200, "{status} {answer:#}\n{}", self.log());
        answer
    }

    /// Swaps, and answers the activation's number.
    #[track_caller]
    pub fn must_swap(&self, pipeline: &str, stage: &str, order: &Value) -> i64 {
        let path = format!("/v1/pipelines/{pipeline}/stages/{stage}/swap");
        let (status, answer) = self.ask("POST", &path, Some(order));
        assert_eq!(status, 202, "{answer:#}\n{}", self.log());
        answer["id"].as_i64().unwrap()
    }

    /// A figure of `/metrics`: the first with this name and this label.
    #[track_caller]
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let metrics = self.send("GET", "/metrics", "text/plain", Vec::new()).1;
        let mut lines = metrics.as_str().unwrap().lines();
        let line = lines.find(|line| line.starts_with(name) && line.contains(label)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// How far a swap is.
    pub fn progress(&self, pipeline: &str, activation: i64) -> Value {
        self.ask("GET", &format!("/v1/pipelines/{pipeline}/activations/{activation}"), None).1
    }

    /// Waits until every lane works with a swap; answers the last progress.
    #[track_caller]
    pub fn wait_for_swap(&self, pipeline: &str, activation: i64) -> Value {
        let start = std::time::Instant::now();
        loop {
            let progress = self.progress(pipeline, activation);
            if progress["done"] == true {
                return progress;
            }
            assert!(start.elapsed().as_secs() < 60, "not taken up: {progress:#}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// A swap to a version.
pub fn to(version: &str) -> Value {
    json!({ "module": format!("stamp@{version}") })
}
