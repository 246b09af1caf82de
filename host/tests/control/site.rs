//! The router over fakes, and how tests ask it.

use super::fakes::{Fake, Mood};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use gristmill::access::{Grant, Role};
use gristmill::catalog::check::Policy as UploadPolicy;
use gristmill::catalog::registry::Registry;
use gristmill::catalog::wake::Wake;
use gristmill::control::auth::{Policy, digest};
use gristmill::control::{AppState, IngestLimits, router};
use gristmill::lookup::{Reference, Sources};
use gristmill::secrets::Secrets;
use gristmill::spec::Spec;
use gristmill::store::{NewToken, Store, Token};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tower::ServiceExt;

pub const SPEC: &str = r#"version = 1
name = "orders"
[source]
topic = "orders"
[[stage]]
name = "validate"
module = "validate"
[[table]]
name = "dds.orders"
mode = "once"
key = ["id"]
columns = [
  { name = "id", type = "bigint" },
  { name = "city", type = "varchar(50)" },
  { name = "quantity", type = "integer", nullable = true },
]
[[http]]
method = "POST"
path = "/orders"
topic = "orders"
key = "/id"
check = "validate"
[[http]]
method = "GET"
path = "/orders"
table = "dds.orders"
"#;

/// What tests ask with, unless they are about who may.
pub const TOKEN: &str = "gm_of-an-admin";

/// A token as the store has it.
pub fn token(id: i64, secret: &str, grant: Grant) -> Token {
    let (name, created_by) = (secret.replace("gm_of-", ""), "test".to_owned());
    let given = NewToken { name, digest: digest(secret), grant, created_ms: 0, created_by, expires_ms: None };
    Token { id, given, revoked_ms: None, revoked_by: None }
}

pub fn spec(text: &str) -> Arc<Spec> {
    Arc::new(Spec::parse("test.toml", text.into(), Path::new(".")).unwrap())
}

/// A registry that knows no pipeline.
pub fn registry(store: Arc<dyn Store>) -> Arc<Registry> {
    Arc::new(Registry {
        sources: Sources { keys: Arc::new(Reference(store.clone())), secrets: Secrets::default() },
        store,
        engine: crate::sandbox::engine(),
        meter: crate::sandbox::meter(),
        policy: UploadPolicy::default(),
        sites: Arc::default(),
        wake: Wake::default(),
        checks: tokio::sync::Semaphore::new(1),
    })
}

pub fn state(fake: &Arc<Fake>, specs: Vec<Arc<Spec>>, limits: IngestLimits) -> AppState {
    AppState {
        store: fake.clone(),
        log: fake.clone(),
        specs: tokio::sync::watch::channel(specs.into()).1,
        checker: fake.clone(),
        status: fake.clone(),
        registry: registry(fake.clone()),
        limits,
        policy: Policy { loopback: true, open_ingest: false },
        metrics: PrometheusBuilder::new().build_recorder().handle(),
    }
}

/// A router with everything behind it.
pub struct Site {
    pub fake: Arc<Fake>,
    pub router: Router,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// Checks that this is a problem of this status; answers its detail.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("urn:gristmill:problem:"));
        assert!(!self.body.contains("secret"), "{}", self.body);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Site {
    pub fn new() -> Self {
        Self::with(IngestLimits { request_records_max: 5, ..IngestLimits::default() })
    }

    pub fn with(limits: IngestLimits) -> Self {
        let fake = Arc::new(Fake::default());
        fake.tokens.lock().unwrap().push(token(1, TOKEN, Grant::Role(Role::Admin)));
        let router = router(state(&fake, vec![spec(SPEC)], limits)).unwrap();
        Site { fake, router }
    }

    pub fn mood(&self, mood: Mood) {
        *self.fake.mood.lock().unwrap() = mood;
    }

    /// Asks as an admin, unless the request says who asks.
    pub async fn ask(&self, mut request: Request<Body>) -> Answer {
        let headers = request.headers_mut();
        if !headers.contains_key(header::AUTHORIZATION) {
            headers.insert(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
        }
        self.ask_as_it_stands(request).await
    }

    pub async fn ask_as_it_stands(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub async fn call(&self, method: &str, path: &str) -> Answer {
        self.ask(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        self.ask(request.body(body.into()).unwrap()).await
    }

    pub async fn post_json(&self, path: &str, body: &str) -> Answer {
        self.post(path, "application/json", body.to_owned()).await
    }
}
