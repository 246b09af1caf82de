//! Swaps: `POST /v1/pipelines/{name}/stages/{stage}/swap` and `…/rollback` write an activation; how far it is on each
//! host and lane, `GET /v1/pipelines/{name}/activations/{id}` tells. `POST /v1/pipelines/{name}/pause` and `…/resume`.

use super::body;
use super::problem::Problem;
use super::query::{Query, link_to_next};
use super::site::Site;
use super::{Parts, parts};
use crate::catalog::registry::{Progress, SwapOrder};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of what a swap's request may say: mostly configuration.
const BODY_BYTES_MAX: usize = 4 << 20;
const ARRIVE: Duration = Duration::from_secs(30);
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;
/// The longest note, characters.
const NOTE_CHARS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwapBody {
    module: Option<String>,
    config: Option<Value>,
    #[serde(default)]
    note: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    #[serde(default)]
    reason: String,
}

pub(super) async fn swap(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let (pipeline, stage) = parts(path)?;
    Query::of(&uri)?.nothing_else(&[])?;
    let by = super::actor(&request);
    let body: SwapBody = json_body(&site, request).await?.ok_or_else(|| {
        Problem::malformed("say what to swap in: {\"module\": \"NAME@VERSION\"}, {\"config\": {…}}, or both")
    })?;
    if body.module.is_none() && body.config.is_none() {
        return Err(Problem::malformed("a swap needs `module`, `config`, or both"));
    }
    if body.config.as_ref().is_some_and(|config| !config.is_object()) {
        return Err(Problem::malformed("`config` must be a JSON object"));
    }
    let order = SwapOrder { module: body.module, config: body.config, note: bounded(&body.note)?, by };
    let registry = site.state.registry.clone();
    let activation =
        super::to_its_end(async move { registry.swap(&pipeline, &stage, order).await }).await??;
    Ok((StatusCode::ACCEPTED, Json(activation)).into_response())
}

pub(super) async fn roll_back(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let (pipeline, stage) = parts(path)?;
    Query::of(&uri)?.nothing_else(&[])?;
    let by = super::actor(&request);
    let body: RollbackBody = json_body(&site, request).await?.unwrap_or_default();
    let reason = bounded(&body.reason)?;
    let reason = if reason.is_empty() { format!("rolled back by {by}") } else { reason };
    let registry = site.state.registry.clone();
    let activation =
        super::to_its_end(async move { registry.roll_back(&pipeline, &stage, &by, &reason).await }).await??;
    Ok((StatusCode::ACCEPTED, Json(activation)).into_response())
}

pub(super) async fn activations(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let pipeline = super::pipelines::known(&site, parts(name)?)?;
    let mut query = Query::of(&uri)?;
    let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    let stage = query.take("stage")?;
    query.nothing_else(&["limit", "stage"])?;
    let activations = site.state.store.activations(&pipeline, stage.as_deref(), limit).await?;
    Ok(Json(json!({ "activations": activations })))
}

pub(super) async fn progress(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
    uri: Uri,
) -> Result<Json<Progress>, Problem> {
    let (pipeline, id) = parts(path)?;
    Query::of(&uri)?.nothing_else(&[])?;
    let id = id.parse().map_err(|_| Problem::not_found("an activation has a whole number"))?;
    Ok(Json(site.state.registry.progress(&pipeline, id).await?))
}

pub(super) async fn pause(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
    request: Request,
) -> Result<Json<Value>, Problem> {
    set_paused(&site, parts(name)?, &uri, super::actor(&request), true).await
}

pub(super) async fn resume(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
    request: Request,
) -> Result<Json<Value>, Problem> {
    set_paused(&site, parts(name)?, &uri, super::actor(&request), false).await
}

async fn set_paused(
    site: &Arc<Site>,
    pipeline: String,
    uri: &Uri,
    by: String,
    paused: bool,
) -> Result<Json<Value>, Problem> {
    Query::of(uri)?.nothing_else(&[])?;
    let (registry, name) = (site.state.registry.clone(), pipeline.clone());
    let changed = super::to_its_end(async move { registry.pause(&name, paused, &by).await }).await??;
    Ok(Json(json!({ "pipeline": pipeline, "paused": paused, "changed": changed })))
}

pub(super) async fn audit(State(site): State<Arc<Site>>, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::of(&uri)?;
    let before = query.take_number("before", 0..=i64::MAX)?;
    let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    query.nothing_else(&["before", "limit"])?;
    let lines = site.state.store.audit_trail(before, limit).await?;
    let full = lines.len() == limit as usize;
    let next = lines.last().filter(|_| full).map(|line| line.id.to_string());
    let link = next.as_ref().map(|next| [(header::LINK, link_to_next(&uri, "before", next))]);
    Ok((link, Json(json!({ "audit": lines, "next": next }))).into_response())
}

/// A request's JSON; `None` if it has no body.
pub(super) async fn json_body<T: DeserializeOwned>(
    site: &Site,
    request: Request,
) -> Result<Option<T>, Problem> {
    let bytes = whole_body(site, request).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|error| Problem::malformed(error.to_string()))
}

/// A request's text.
pub(super) async fn text_body(site: &Site, request: Request) -> Result<String, Problem> {
    let bytes = whole_body(site, request).await?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Problem::malformed("the body is not UTF-8"))
}

async fn whole_body(site: &Site, request: Request) -> Result<impl std::ops::Deref<Target = [u8]>, Problem> {
    let announced = body::announced_bytes(request.headers(), BODY_BYTES_MAX)?;
    let mut room = site.admission.room(announced.unwrap_or(0))?;
    body::read(&mut request.into_body(), BODY_BYTES_MAX, ARRIVE, &mut room).await
}

/// A note, without what stands around it.
pub(super) fn bounded(note: &str) -> Result<String, Problem> {
    let note = note.trim();
    if note.chars().count() > NOTE_CHARS_MAX || note.contains('\0') {
        return Err(Problem::malformed(format!("a note has {NOTE_CHARS_MAX} characters at most")));
    }
    Ok(note.to_owned())
}
