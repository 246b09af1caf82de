//! Who may ask what: every kind of asker against every kind of route.

use super::fakes::Fake;
use super::site::{Answer, SPEC, Site, TOKEN, spec, state, token};
use axum::body::Body;
use axum::http::{Request, header};
use gristmill::access::{Grant, Role};
use gristmill::control::auth::Policy;
use gristmill::control::{IngestLimits, router, serve};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A site that listens so, and has these tokens.
fn site(policy: Policy, tokens: Vec<gristmill::store::Token>) -> Site {
    let fake = Arc::new(Fake::default());
    *fake.tokens.lock().unwrap() = tokens;
    let mut state = state(&fake, vec![spec(SPEC)], IngestLimits::default());
    state.policy = policy;
    Site { fake, router: router(state).unwrap() }
}

const LOOPBACK: Policy = Policy { loopback: true, open_ingest: false };
const BEYOND: Policy = Policy { loopback: false, open_ingest: false };

async fn ask(site: &Site, secret: Option<&str>, method: &str, path: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(secret) = secret {
        request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
    }
    site.ask_as_it_stands(request.body(Body::empty()).unwrap()).await
}

async fn post_one(site: &Site, secret: Option<&str>, path: &str) -> Answer {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(secret) = secret {
        request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
    }
    site.ask_as_it_stands(request.body(Body::from("{\"id\":1}")).unwrap()).await
}

fn ingest(topic: &str) -> Grant {
    Grant::Ingest(vec!["other".into(), topic.into()])
}

/// What a route takes: a role, or for records the topic's token.
#[derive(Clone, Copy)]
enum Takes {
    Role(Role),
    Records,
}

/// Every route, also those that are not there on every host: who may not is told so first.
fn routes() -> Vec<(&'static str, &'static str, Takes)> {
    use Role::{Admin, Author, Operator, Viewer};
    let of_roles = [
        ("GET", "/metrics", Viewer),
        ("HEAD", "/metrics", Viewer),
        ("GET", "/openapi.json", Viewer),
        ("GET", "/orders", Viewer),
        ("GET", "/v1/tables/dds.orders", Viewer),
        ("GET", "/v1/pipelines", Viewer),
        ("GET", "/v1/pipelines/orders", Viewer),
        ("GET", "/v1/pipelines/orders/dead-letters", Viewer),
        ("GET", "/v1/pipelines/orders/dead-letters/1", Viewer),
        ("GET", "/v1/modules", Viewer),
        ("GET", "/v1/modules/route/versions/1", Viewer),
        ("GET", "/nowhere", Viewer),
        ("POST", "/nowhere", Viewer),
        ("PATCH", "/v1/pipelines/orders", Viewer),
        ("PUT", "/orders", Viewer),
        ("POST", "/v1/pipelines/orders/dead-letters/1/replay", Operator),
        ("DELETE", "/v1/pipelines/orders/dead-letters/1", Operator),
        ("POST", "/v1/pipelines/orders/pause", Operator),
        ("POST", "/v1/pipelines/orders/resume", Operator),
        ("POST", "/v1/pipelines/orders/stages/validate/swap", Operator),
        ("POST", "/v1/pipelines/orders/stages/validate/rollback", Operator),
        ("POST", "/v1/modules/route/versions/1", Author),
        ("DELETE", "/v1/modules/route/versions/1", Author),
        ("PUT", "/v1/pipelines/orders", Author),
        ("GET", "/v1/tokens", Admin),
        ("POST", "/v1/tokens", Admin),
        ("DELETE", "/v1/tokens/999", Admin),
        ("GET", "/v1/audit", Admin),
    ];
    let records = [("POST", "/orders"), ("POST", "/v1/topics/orders/records")];
    let of_roles = of_roles.map(|(method, path, role)| (method, path, Takes::Role(role)));
    let records = records.map(|(method, path)| (method, path, Takes::Records));
    of_roles.into_iter().chain(records).collect()
}

#[tokio::test]
async fn every_role_may_what_it_should_and_nothing_else() {
    let mut askers: Vec<(&str, Grant)> = vec![
        ("gm_of-viewer", Grant::Role(Role::Viewer)),
        ("gm_of-operator", Grant::Role(Role::Operator)),
        ("gm_of-author", Grant::Role(Role::Author)),
        ("gm_of-admin", Grant::Role(Role::Admin)),
        ("gm_of-shop", ingest("orders")),
        ("gm_of-stranger", ingest("order")),
    ];
    let tokens = (1..).zip(&askers).map(|(id, (secret, grant))| token(id, secret, grant.clone())).collect();
    let mut tokens: Vec<gristmill::store::Token> = tokens;
    let mut revoked = token(7, "gm_of-revoked", Grant::Role(Role::Admin));
    revoked.revoked_ms = Some(1);
    let mut expired = token(8, "gm_of-expired", Grant::Role(Role::Admin));
    expired.given.expires_ms = Some(1);
    tokens.extend([revoked, expired]);
    let nobody = Grant::Ingest(Vec::new());
    for secret in ["gm_of-revoked", "gm_of-expired", "gm_of-nobody", ""] {
        askers.push((secret, nobody.clone()));
    }
    for policy in [LOOPBACK, BEYOND] {
        let site = site(policy, tokens.clone());
        for (method, path, takes) in routes() {
            let missing = ask(&site, None, method, path).await;
            refused(&missing, method, path, 401);
            let asked = askers.iter().map(|(secret, _)| ask(&site, Some(secret), method, path));
            let answers = futures::future::join_all(asked).await;
            for ((secret, grant), answer) in askers.iter().zip(answers) {
                let may = match takes {
                    Takes::Role(role) => grant.covers(role),
                    Takes::Records => grant.covers_ingest("orders"),
                };
                let who = format!("{secret} {method} {path}: {answer:?}");
                if *grant == nobody {
                    let detail = refused(&answer, method, path, 401);
                    // The same words, whatever it is that does not hold.
                    assert!(method == "HEAD" || detail.contains("not any more"), "{who}");
                } else if may {
                    assert!(!matches!(answer.status.as_u16(), 401 | 403 | 500..), "{who}");
                } else {
                    let detail = refused(&answer, method, path, 403);
                    let needed = match takes {
                        Takes::Role(role) => format!("this takes the role {role}"),
                        Takes::Records => "a token for the topic `orders`, or the role operator".to_owned(),
                    };
                    assert!(method == "HEAD" || detail.contains(&needed), "{who}");
                }
            }
        }
        for path in ["/healthz", "/readyz"] {
            for secret in [None, Some("gm_of-nobody"), Some("gm_of-shop")] {
                assert_eq!(ask(&site, secret, "GET", path).await.status, 200, "{path}");
            }
        }
    }
}

/// Checks a refusal; answers its detail.
#[track_caller]
fn refused(answer: &Answer, method: &str, path: &str, status: u16) -> String {
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    assert!(!answer.body.contains("gm_"), "{}", answer.body);
    if method == "HEAD" { String::new() } else { answer.problem(status) }
}

#[tokio::test]
async fn a_token_may_come_in_no_other_way() {
    let site = site(LOOPBACK, vec![token(1, "gm_of-viewer", Grant::Role(Role::Viewer))]);
    for (name, value) in [
        ("authorization", "gm_of-viewer"),
        ("authorization", "Basic gm_of-viewer"),
        ("authorization", "Bearer"),
        ("authorization", "Bearer \"gm_of-viewer\""),
        ("cookie", "token=gm_of-viewer"),
        ("x-token", "gm_of-viewer"),
    ] {
        let request = Request::get("/v1/pipelines?token=gm_of-viewer").header(name, value);
        refused(&site.ask_as_it_stands(request.body(Body::empty()).unwrap()).await, "GET", name, 401);
    }
    let twice = Request::get("/metrics").header("authorization", "Bearer gm_of-viewer");
    let twice = twice.header("authorization", "Bearer gm_of-viewer").body(Body::empty()).unwrap();
    refused(&site.ask_as_it_stands(twice).await, "GET", "twice", 401);
    assert_eq!(ask(&site, Some("gm_of-viewer"), "GET", "/metrics").await.status, 200);
}

#[tokio::test]
async fn on_loopback_reading_takes_no_token_until_there_is_one() {
    let site = site(LOOPBACK, Vec::new());
    for path in ["/metrics", "/openapi.json", "/orders", "/v1/tables/dds.orders", "/v1/pipelines"] {
        assert_eq!(ask(&site, None, "GET", path).await.status, 200, "{path}");
    }
    ask(&site, None, "GET", "/nowhere").await.problem(404);
    ask(&site, None, "PATCH", "/orders").await.problem(405);
    for (method, path, takes) in routes() {
        if !matches!(takes, Takes::Role(Role::Viewer)) {
            refused(&ask(&site, None, method, path).await, method, path, 401);
        }
    }
    // A token that does not hold is not taken for none.
    refused(&ask(&site, Some("gm_of-nobody"), "GET", "/orders").await, "GET", "/orders", 401);
    // A web page that was pointed here by its name; a proxy that lets others in.
    for host in ["rebound.example:7171", "10.1.2.3"] {
        let request = Request::get("/orders").header(header::HOST, host).body(Body::empty()).unwrap();
        refused(&site.ask_as_it_stands(request).await, "GET", host, 401);
    }
    // One that was made and revoked: nothing opens again.
    let mut revoked = token(1, "gm_of-admin", Grant::Role(Role::Admin));
    revoked.revoked_ms = Some(1);
    let site = self::site(LOOPBACK, vec![revoked]);
    refused(&ask(&site, None, "GET", "/orders").await, "GET", "/orders", 401);
}

#[tokio::test]
async fn beyond_loopback_nothing_is_open_but_health() {
    let site = site(BEYOND, Vec::new());
    for (method, path, _) in routes() {
        refused(&ask(&site, None, method, path).await, method, path, 401);
    }
    assert_eq!(ask(&site, None, "GET", "/healthz").await.status, 200);
    assert_eq!(ask(&site, None, "GET", "/readyz").await.status, 200);
}

#[tokio::test]
async fn ingest_is_open_where_it_is_said_so_and_nothing_else_is() {
    for loopback in [true, false] {
        let viewer = token(1, "gm_of-viewer", Grant::Role(Role::Viewer));
        let site = site(Policy { loopback, open_ingest: true }, vec![viewer]);
        for path in ["/orders", "/v1/topics/orders/records"] {
            assert_eq!(post_one(&site, None, path).await.status, 202, "{path}");
            assert_eq!(post_one(&site, Some("gm_of-viewer"), path).await.status, 202, "{path}");
            refused(&post_one(&site, Some("gm_of-nobody"), path).await, "POST", path, 401);
        }
        refused(&ask(&site, None, "GET", "/orders").await, "GET", "/orders", 401);
        let drop = "/v1/pipelines/orders/dead-letters/1";
        refused(&ask(&site, None, "DELETE", drop).await, "DELETE", drop, 401);
        // Also while nobody knows which tokens there are.
        let site = self::site(Policy { loopback, open_ingest: true }, Vec::new());
        site.fake.tokens_unavailable.store(true, Ordering::SeqCst);
        assert_eq!(post_one(&site, None, "/orders").await.status, 202);
        ask(&site, None, "GET", "/orders").await.problem(503);
        assert_eq!(ask(&site, None, "GET", "/healthz").await.status, 200);
    }
    // From a web page that was pointed at this machine: not even then.
    let site = site(Policy { loopback: true, open_ingest: true }, Vec::new());
    let request = Request::post("/orders").header(header::HOST, "rebound.example");
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from("{\"id\":1}"));
    refused(&site.ask_as_it_stands(request.unwrap()).await, "POST", "/orders", 401);
}

#[tokio::test]
async fn an_ingest_token_is_for_its_topics() {
    let site = site(BEYOND, vec![token(1, "gm_of-shop", ingest("orders"))]);
    for path in ["/orders", "/v1/topics/orders/records", "/v1/topics/%6Frders/records"] {
        assert_eq!(post_one(&site, Some("gm_of-shop"), path).await.status, 202, "{path}");
    }
    for path in ["/v1/topics/Orders/records", "/v1/topics/orders%00/records", "/v1/topics/%ff/records"] {
        refused(&post_one(&site, Some("gm_of-shop"), path).await, "POST", path, 403);
    }
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_over_http() {
    let site = Site::new();
    let made = site.post_json("/v1/tokens", r#"{"name":"ada","role":"viewer","expires_days":3}"#).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.headers[header::CACHE_CONTROL], "no-store");
    let made = made.json();
    let secret = made["token"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("gm_") && secret.len() == 46, "{secret}");
    assert_eq!((&made["role"], &made["created_by"]), (&json!("viewer"), &json!("an-admin")));
    assert!(made["expires_at"].as_str().unwrap() > made["created_at"].as_str().unwrap());
    assert_eq!(ask(&site, Some(&secret), "GET", "/orders").await.status, 200, "it holds at once");

    let shop = site.post_json("/v1/tokens", r#"{"name":"shop","ingest":["orders"]}"#).await.json();
    assert_eq!((&shop["ingest"], &shop["expires_at"]), (&json!(["orders"]), &json!(null)));
    let list = site.get("/v1/tokens").await;
    assert_eq!(list.json()["tokens"].as_array().unwrap().len(), 3);
    assert!(!list.body.contains("gm_") && !list.body.contains("digest"), "{}", list.body);

    let path = format!("/v1/tokens/{}", made["id"]);
    assert_eq!(site.call("DELETE", &path).await.status, 204);
    refused(&ask(&site, Some(&secret), "GET", "/orders").await, "GET", "/orders", 401);
    assert_eq!(site.call("DELETE", &path).await.status, 204, "said again");
    let list = site.get("/v1/tokens").await.json();
    assert_eq!(list["tokens"][1]["revoked_by"], "an-admin");
    site.call("DELETE", "/v1/tokens/999").await.problem(404);
    site.call("DELETE", "/v1/tokens/x").await.problem(400);
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_not_made() {
    let site = Site::new();
    for (body, status, part) in [
        ("", 400, "line 1"),
        ("[]", 400, "this takes"),
        (r#"{"name":"a"}"#, 400, "either a `role`"),
        (r#"{"name":"a","role":"viewer","ingest":["t"]}"#, 400, "either a `role`"),
        (r#"{"name":"a","role":"root-secret"}"#, 400, "this takes"),
        (r#"{"name":"a","role":"viewer","scope":"secret"}"#, 400, "this takes"),
        (r#"{"name":"gm_secret","role":"viewer"}"#, 400, "does not begin with"),
        (r#"{"name":"a","ingest":["a b"]}"#, 400, "no topic"),
        (r#"{"name":"a","role":"viewer","expires_days":0}"#, 400, "days"),
        (r#"{"name":"an-admin","role":"viewer"}"#, 409, "there is a token called `an-admin`"),
    ] {
        let detail = site.post_json("/v1/tokens", body).await.problem(status);
        assert!(detail.contains(part), "{body}: {detail}");
    }
    site.post("/v1/tokens", "text/plain", "{}").await.problem(415);
    site.post_json("/v1/tokens", &format!("{{\"name\":\"{}\"}}", "a".repeat(70_000))).await.problem(413);
    assert_eq!(site.fake.tokens.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_document_says_what_each_route_takes() {
    let document = Site::new().get("/openapi.json").await.json();
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let open = path == "/healthz" || path == "/readyz";
            for status in ["401", "403"] {
                assert_eq!(operation["responses"][status].is_object(), !open, "{method} {path} {status}");
            }
            assert_eq!(operation["security"] == json!([]), open, "{method} {path}");
            assert!(open || operation["description"].as_str().unwrap().starts_with("Takes "));
        }
    }
    let takes = |path: &str, method: &str| paths[path][method]["description"].as_str().unwrap().to_owned();
    assert!(takes("/orders", "post").contains("ingest token"));
    assert!(takes("/orders", "get").contains("viewer"));
    assert!(takes("/v1/tables/dds.orders", "get").contains("viewer"));
    assert!(takes("/v1/tokens/{id}", "delete").contains("admin"));
}

#[tokio::test]
async fn what_is_revoked_elsewhere_is_refused_within_seconds() {
    let fake = Arc::new(Fake::default());
    fake.tokens.lock().unwrap().push(token(1, TOKEN, Grant::Role(Role::Admin)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let mut state = state(&fake, vec![spec(SPEC)], IngestLimits::default());
    // Whatever the state says, the listener's address counts.
    state.policy.loopback = false;
    let serving = tokio::spawn(serve(listener, None, state, stop.clone()));
    let status = |secret: &'static str| async move {
        let asked = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let asked = agent.get(format!("http://{address}/metrics"));
            asked.header("authorization", format!("Bearer {secret}")).call().unwrap().status().as_u16()
        });
        asked.await.unwrap()
    };
    assert_eq!(status(TOKEN).await, 200);
    fake.tokens.lock().unwrap()[0].revoked_ms = Some(1);
    let began = Instant::now();
    while status(TOKEN).await != 401 {
        assert!(began.elapsed() < Duration::from_secs(5), "it still holds");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fake.tokens.lock().unwrap().push(token(3, "gm_of-a-third", Grant::Role(Role::Viewer)));
    assert_eq!(status("gm_of-a-third").await, 200, "what was made elsewhere is taken at once");
    stop.cancel();
    serving.await.unwrap().unwrap();
}
