//! Over a real socket, with what clients should never send.

use super::fakes::{Fake, Mood};
use super::site::{SPEC, Site, spec, state};
use axum::body::Body;
use axum::http::Request;
use gristmill::control::{IngestLimits, serve};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

async fn start(fake: &Arc<Fake>) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let (mut state, stopped) = (state(fake, vec![spec(SPEC)], IngestLimits::default()), stop.clone());
    state.policy.open_ingest = true;
    let serving = tokio::spawn(async move { serve(listener, None, state, stopped).await.unwrap() });
    (address, stop, serving)
}

async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), reading).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn it_serves_until_it_is_stopped_and_ends_what_it_has_begun() {
    let fake = Arc::new(Fake::default());
    let (address, stop, serving) = start(&fake).await;
    let request = "POST /v1/topics/orders/records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Content-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]";
    let answer = send(address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");

    // A request whose body is still on its way when the host is told to stop.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&request.as_bytes()[..request.len() - 1]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!serving.is_finished());
    slow.write_all(b"]").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let began = Instant::now();
    serving.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_is_hardly_http_is_a_client_error() {
    let (address, _stop, _serving) = start(&Arc::new(Fake::default())).await;
    let long = "x".repeat(100_000);
    let header = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {long}{long}{long}{long}{long}\r\n\r\n"
    );
    let many: String = (0..500).map(|n| format!("X{n}: y\r\n")).collect();
    for request in [
        "\r\n\r\nnonsense\r\n\r\n".to_owned(),
        "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\nConnection: close\r\n\r\n".to_owned(),
        "POST /orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\
         Connection: close\r\n\r\nzz\r\n"
            .to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        header,
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{many}\r\n"),
    ] {
        let answer = send(address, request.as_bytes()).await;
        let shown: String = request.chars().take(60).collect();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer}");
    }
}

/// What a request is answered with may be the client's fault or nobody's, never ours.
fn never_ours(requests: Vec<Request<Body>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::new();
        site.mood(Mood::Well);
        for request in requests {
            let shown = format!("{} {}", request.method(), request.uri());
            let answer = site.ask(request).await;
            assert!(answer.status.as_u16() < 500, "{shown}: {answer:?}");
            if !answer.status.is_success() && !shown.starts_with("HEAD") {
                answer.problem(answer.status.as_u16());
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_body_is_answered(body: Vec<u8>, json in "[\\[\\]{}\",:0-9a-e\\\\ \n]{0,30}", kind in 0..4_usize) {
        let kind = ["application/json", "application/x-ndjson", "text/csv", ""][kind];
        let post = |path: &str, body: Vec<u8>| {
            Request::post(path).header("content-type", kind).body(Body::from(body)).unwrap()
        };
        never_ours(vec![
            post("/orders", body.clone()),
            post("/v1/topics/orders/records?key=/id", body),
            post("/orders", json.clone().into_bytes()),
            post("/v1/topics/orders/records?key=/a", json.into_bytes()),
        ]);
    }

    #[test]
    fn any_query_is_answered(query in "[a-z%0-9=&\\[\\]+;./-]{0,60}", name in "(id|city|quantity|limit|after|before|code)",
        op in "(|\\[gte\\]|\\[lt\\]|\\[x\\])", value in "\\PC{0,20}", method in "(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH)") {
        let encoded: String = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC).to_string();
        let paths = [
            format!("/orders?{name}{op}={encoded}"),
            format!("/orders?{query}"),
            format!("/v1/pipelines/orders/dead-letters?{query}"),
            format!("/v1/pipelines/orders/dead-letters?{name}={encoded}"),
            format!("/v1/pipelines/orders/dead-letters/{encoded}"),
            format!("/v1/tables/{encoded}"),
            format!("/v1/topics/{encoded}/records"),
            format!("/{encoded}"),
        ];
        let request = |path: &String| Request::builder().method(method.as_str()).uri(path).body(Body::empty()).ok();
        never_ours(paths.iter().filter_map(request).collect());
    }
}
