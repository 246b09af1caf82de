//! Requests to the HTTP interface of a host on the embedded set: whatever is asked is answered, and never as a fault of
//! ours.
#![no_main]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "that is how a fuzz target says what it has found"
)]

use arbitrary::Unstructured;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use gristmill::access::{Grant, Role};
use gristmill::config::Settings;
use gristmill::control::auth::{Wanted, issue};
use gristmill::control::{IngestLimits, router};
use gristmill::host::Host;
use gristmill::spec::Spec;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// The host's own paths, and those of the example; `{}` is anything.
const PATHS: [&str; 13] = [
    "/orders",
    "/orders?{}",
    "/v1/topics/product_orders/records",
    "/v1/topics/product_orders/records?key={}",
    "/v1/topics/{}/records",
    "/v1/tables/orders?{}",
    "/v1/tables/{}",
    "/v1/pipelines",
    "/v1/pipelines/{}",
    "/v1/pipelines/city-orders/dead-letters?{}",
    "/v1/pipelines/city-orders/dead-letters/{}",
    "/v1/pipelines/city-orders/dead-letters/{}/replay",
    "/{}",
];
const METHODS: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH"];
const KINDS: [&str; 4] = ["application/json", "application/x-ndjson", "application/json; charset=latin1", ""];

/// A request made of arbitrary bytes; `None` if they are too few, or what comes of them is no URI: that does not get
/// through HTTP either.
fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let mut bytes = Unstructured::new(bytes);
    let path = bytes.choose(&PATHS).ok()?.replace("{}", bytes.arbitrary().ok()?);
    let (method, kind) = (*bytes.choose(&METHODS).ok()?, *bytes.choose(&KINDS).ok()?);
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind);
    request.body(Body::from(bytes.take_rest().to_vec())).ok()
}

/// With the token of an operator: what is refused at the door is not looked at any further.
static SITE: LazyLock<(Runtime, Router, HeaderValue)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let (router, token) = runtime.block_on(async {
        // In memory where there is such a folder: requests that are taken are written down.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let data = folder.join(format!("gristmill-fuzz-{}", std::process::id()));
        let settings = Settings {
            log: Some("journal:".to_owned()),
            store: Some(format!("sqlite:{}", data.join("gristmill.db").display())),
            mail: Some(format!("file:{}", data.join("mail").display())),
            ..Settings::default()
        };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/city-orders/pipeline.toml");
        let spec = Arc::new(Spec::read(&example).unwrap());
        let host = Host::open(&settings, vec![spec]).await.unwrap();
        host.ensure_topics().await.unwrap();
        let metrics = gristmill::telemetry::install_metrics().unwrap();
        let grant = Grant::Role(Role::Operator);
        let wanted = Wanted { name: "fuzz".to_owned(), grant, expires_days: None, by: "fuzz".to_owned() };
        let (_, secret) = issue(&*host.store, wanted).await.unwrap();
        let token = HeaderValue::try_from(format!("Bearer {}", secret.reveal())).unwrap();
        (router(host.app_state(IngestLimits::default(), metrics)).unwrap(), token)
    });
    (runtime, router, token)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(mut request) = request(bytes) else { return };
    let (runtime, router, token) = &*SITE;
    request.headers_mut().insert(header::AUTHORIZATION, token.clone());
    // No pipeline runs here: the host is not ready, and says so.
    let unready = request.uri().path() == "/readyz";
    runtime.block_on(async {
        let response = router.clone().oneshot(request).await.expect("a router does not fail");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body that was made here");
        let expected = unready && status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(expected || !status.is_server_error(), "{status}: {}", String::from_utf8_lossy(&body));
    });
});
