//! `GET /healthz`: this process answers. `GET /readyz`: what it depends on answers too, and its pipelines run.

use super::problem::Problem;
use super::site::Site;
use super::state::PipelineState;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long a dependency may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Never asks anybody else: a host must not be restarted because its database is.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn ready(State(site): State<Arc<Site>>) -> Result<Json<Value>, Problem> {
    let (store, log) =
        tokio::join!(answers("store", site.state.store.ping()), answers("log", site.state.log.ping()));
    let mut checks = Map::new();
    checks.insert("store".into(), json!(if store { "ok" } else { "no answer" }));
    checks.insert("log".into(), json!(if log { "ok" } else { "no answer" }));
    let mut ready = store && log;
    for pipeline in site.state.status.pipelines().await {
        ready &= !matches!(pipeline.state, PipelineState::Starting | PipelineState::Failed);
        checks.insert(format!("pipeline {}", pipeline.name), json!(pipeline.state));
    }
    if ready {
        return Ok(Json(json!({ "status": "ready", "checks": checks })));
    }
    let detail = "something that this host depends on is not there, or a pipeline does not run";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready", detail)
        .with("checks", Value::Object(checks)))
}

async fn answers<E: std::fmt::Display>(what: &str, ping: impl Future<Output = Result<(), E>>) -> bool {
    match tokio::time::timeout(PING_TIMEOUT, ping).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the {what} does not answer");
            false
        }
        Err(_) => {
            tracing::warn!("not ready: the {what} does not answer in time");
            false
        }
    }
}
