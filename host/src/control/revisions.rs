//! Pipelines of the catalog: `PUT /v1/pipelines/{name}` applies a spec, `DELETE` removes the pipeline; what was applied
//! when, `GET /v1/pipelines/{name}/revisions` tells, and how far it is on each host, `…/revisions/{number}`.

use super::problem::Problem;
use super::query::Query;
use super::site::Site;
use super::swaps::{bounded, json_body, text_body};
use super::{Parts, parts};
use crate::catalog::Revision;
use crate::catalog::pipelines::{Applied, RevisionProgress, SpecOrder};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

/// A spec with the files that it names, or a revision that is to hold again.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyBody {
    spec: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    revision: Option<i64>,
    #[serde(default)]
    note: String,
}

pub(super) async fn apply(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let name = parts(name)?;
    let mut query = Query::of(&uri)?;
    let dry_run = query.take("dry_run")?.is_some_and(|value| value != "false");
    query.nothing_else(&["dry_run"])?;
    let by = super::actor(&request);
    let ty = request.headers().get(header::CONTENT_TYPE).and_then(|ty| ty.to_str().ok()).unwrap_or_default();
    let body: ApplyBody = match ty.split(';').next().unwrap_or_default().trim() {
        "application/json" => json_body(&site, request).await?.unwrap_or_default(),
        "application/toml" | "text/plain" | "" => {
            ApplyBody { spec: Some(text_body(&site, request).await?), ..ApplyBody::default() }
        }
        other => {
            let detail = format!(
                "a spec comes as application/toml, or with its files as application/json, not as {other}"
            );
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "Not this type",
                detail,
            ));
        }
    };
    let note = bounded(&body.note)?;
    let (spec, files) = match (body.spec, body.revision) {
        (Some(spec), None) => (spec, body.files),
        (None, Some(number)) => {
            let there = site.state.store.revision(&name, number).await?.filter(|one| !one.removed);
            let there = there.ok_or_else(|| {
                Problem::not_found(format!("there is no spec in a revision {number} of a pipeline `{name}`"))
            })?;
            (there.spec, there.files)
        }
        _ => {
            return Err(Problem::malformed(
                "say what is to hold: {\"spec\": \"…\", \"files\": {…}}, or {\"revision\": …}",
            ));
        }
    };
    let order = SpecOrder { spec, files, note, by, dry_run };
    let registry = site.state.registry.clone();
    let applied = super::to_its_end(async move { registry.apply(&name, order).await }).await??;
    Ok(match applied {
        Applied::New(revision) => (StatusCode::CREATED, Json(answer("applied", Some(revision)))),
        Applied::Same(revision) => (StatusCode::OK, Json(answer("unchanged", Some(revision)))),
        Applied::Fits => (StatusCode::OK, Json(answer("fits", None))),
    }
    .into_response())
}

fn answer(outcome: &str, revision: Option<Revision>) -> Value {
    json!({ "outcome": outcome, "revision": revision })
}

pub(super) async fn remove(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let name = parts(name)?;
    let mut query = Query::of(&uri)?;
    let note = bounded(&query.take("note")?.unwrap_or_default())?;
    query.nothing_else(&["note"])?;
    let by = super::actor(&request);
    let registry = site.state.registry.clone();
    let removed =
        super::to_its_end(async move { registry.remove_pipeline(&name, &by, &note).await }).await??;
    Ok(Json(answer("removed", Some(removed))))
}

pub(super) async fn list(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let name = parts(name)?;
    let mut query = Query::of(&uri)?;
    let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    query.nothing_else(&["limit"])?;
    let revisions = site.state.registry.revisions(&name, limit).await?;
    Ok(Json(json!({ "revisions": revisions })))
}

pub(super) async fn progress(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
    uri: Uri,
) -> Result<Json<RevisionProgress>, Problem> {
    let (name, number) = parts(path)?;
    Query::of(&uri)?.nothing_else(&[])?;
    let number = number.parse().map_err(|_| Problem::not_found("a revision has a whole number"))?;
    Ok(Json(site.state.registry.revision_progress(&name, number).await?))
}
