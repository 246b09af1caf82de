//! Modules: `POST /v1/modules/{name}/versions/{version}` takes one after it was checked; `GET /v1/modules…` shows what
//! there is; `DELETE` removes a version that is active nowhere.

use super::body;
use super::problem::Problem;
use super::query::Query;
use super::site::Site;
use super::{Parts, parts};
use crate::catalog::Version;
use crate::catalog::check::{Refused, Upload};
use crate::catalog::registry::Error;
use axum::Json;
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a module's cases, as they are sent.
const CASES_BYTES_MAX: usize = 24 << 20;
/// Bytes of a signature.
const SIGNATURE_BYTES_MAX: usize = 1_000;
/// How long a module may take to arrive.
const ARRIVE: Duration = Duration::from_secs(300);

pub(super) async fn list(State(site): State<Arc<Site>>, uri: Uri) -> Result<Json<Value>, Problem> {
    Query::of(&uri)?.nothing_else(&[])?;
    let versions = site.state.registry.versions(None).await?;
    let mut modules: Vec<Value> = Vec::new();
    for of_one in versions.chunk_by(|one, other| one.name == other.name) {
        let Some(newest) = of_one.first() else { continue };
        let names: Vec<&str> = of_one.iter().map(|version| version.version.as_str()).collect();
        modules.push(json!({ "name": newest.name, "about": newest.about, "versions": names }));
    }
    Ok(Json(json!({ "modules": modules })))
}

pub(super) async fn versions(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let name = parts(name)?;
    Query::of(&uri)?.nothing_else(&[])?;
    let versions = site.state.registry.versions(Some(&name)).await?;
    Ok(Json(json!({ "name": name, "versions": versions })))
}

pub(super) async fn show(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
    uri: Uri,
) -> Result<Json<Version>, Problem> {
    let (name, version) = parts(path)?;
    Query::of(&uri)?.nothing_else(&[])?;
    Ok(Json(site.state.registry.version(&name, &version).await?))
}

pub(super) async fn remove(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
    uri: Uri,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (name, version) = parts(path)?;
    Query::of(&uri)?.nothing_else(&[])?;
    let (registry, by) = (site.state.registry.clone(), super::actor(&request));
    super::to_its_end(async move { registry.remove(&name, &version, &by).await }).await??;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn push(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let (name, version) = parts(path)?;
    let mut query = Query::of(&uri)?;
    let grants = query.take("grant")?.unwrap_or_default();
    let force = match query.take("force")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::query("`force` is true or false")),
    };
    query.nothing_else(&["grant", "force"])?;
    let grants = grants.split(',').map(str::trim).filter(|grant| !grant.is_empty()).map(str::to_owned);
    let by = super::actor(&request);
    let mut upload = Upload { name, version, grants: grants.collect(), force, by, ..Upload::default() };
    let code_bytes_max = site.state.registry.policy.code_bytes_max;
    let announced = body::announced_bytes(request.headers(), code_bytes_max + CASES_BYTES_MAX)?;
    let mut room = site.admission.room(announced.unwrap_or(0))?;
    let ty = request.headers().get(header::CONTENT_TYPE).and_then(|ty| ty.to_str().ok()).unwrap_or("");
    if ty.starts_with("multipart/form-data") {
        let reading = form(request, &mut upload, code_bytes_max);
        let read = tokio::time::timeout(ARRIVE, reading).await;
        read.map_err(|_| body::slow(ARRIVE))??;
        room.reach(upload.code.len() + upload.cases.as_ref().map_or(0, String::len))?;
    } else if ty == "application/wasm" || ty == "application/octet-stream" {
        upload.code = body::read(&mut request.into_body(), code_bytes_max, ARRIVE, &mut room)
            .await
            .map_err(|problem| if problem.is_too_large() { too_large(code_bytes_max) } else { problem })?;
    } else {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type",
            "No such content type is taken",
            "a module comes as application/wasm, or as multipart/form-data with the parts `module`, `cases`, \
             `signature`",
        ));
    }
    let registry = site.state.registry.clone();
    let (version, new) = super::to_its_end(async move { registry.push(upload).await }).await??;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "module": version, "new": new }))).into_response())
}

/// Reads a form's parts: `module` (bytes), `cases` (JSON), `signature` (base64).
async fn form(request: Request, upload: &mut Upload, code_bytes_max: usize) -> Result<(), Problem> {
    let malformed =
        |error: &dyn std::fmt::Display| Problem::malformed(format!("the form cannot be read: {error}"));
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|error| malformed(&error.body_text()))?;
    let mut seen = false;
    while let Some(field) = form.next_field().await.map_err(|error| malformed(&error.body_text()))? {
        match field.name().unwrap_or_default() {
            "module" => {
                upload.code = part(field, code_bytes_max).await?.ok_or_else(|| too_large(code_bytes_max))?;
                seen = true;
            }
            "cases" => upload.cases = Some(text(field, "cases", CASES_BYTES_MAX).await?),
            "signature" => upload.signature = Some(text(field, "signature", SIGNATURE_BYTES_MAX).await?),
            other => {
                let shown = other.chars().take(50).collect::<String>();
                return Err(Problem::malformed(format!(
                    "the form has a part `{}`: module, cases, signature are known",
                    shown.escape_debug()
                )));
            }
        }
    }
    if seen { Ok(()) } else { Err(Problem::malformed("the form has no part `module`")) }
}

/// A part's bytes; `None` if there are too many.
async fn part(mut field: Field<'_>, bytes_max: usize) -> Result<Option<Vec<u8>>, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|_| Problem::malformed("the body broke off"))? {
        if bytes.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

async fn text(field: Field<'_>, name: &str, bytes_max: usize) -> Result<String, Problem> {
    let bytes = part(field, bytes_max).await?;
    let bytes = bytes.ok_or_else(|| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "large-body",
            "The body is too large",
            format!("the part `{name}` may have {bytes_max} bytes"),
        )
    })?;
    String::from_utf8(bytes).map_err(|_| Problem::malformed(format!("the part `{name}` is not UTF-8")))
}

fn too_large(bytes_max: usize) -> Problem {
    let message = format!("a module may have {bytes_max} bytes here (GRISTMILL_UPLOAD_BYTES_MAX)");
    refused(StatusCode::PAYLOAD_TOO_LARGE, Refused::new("too-large", message))
}

fn refused(status: StatusCode, refused: Refused) -> Problem {
    let title = match status {
        StatusCode::CONFLICT => "It contradicts what is there",
        StatusCode::PAYLOAD_TOO_LARGE => "The module is too large",
        _ => "It is refused",
    };
    let mut problem =
        Problem::new(status, "refused", title, refused.message).with("code", json!(refused.code));
    if let Value::Object(more) = refused.more {
        for (name, value) in more {
            problem = problem.with(&name, value);
        }
    }
    problem
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(it) => {
                let status = match it.code {
                    "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
                    "compiler-unavailable" | "check-failed" => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                refused(status, it)
            }
            Error::Conflict(it) => refused(StatusCode::CONFLICT, it),
            Error::NotFound(detail) => Problem::not_found(detail),
            Error::Store(error) => error.into(),
        }
    }
}
