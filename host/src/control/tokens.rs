//! Tokens: `GET /v1/tokens`, `POST /v1/tokens`, `DELETE /v1/tokens/{id}`.

use super::auth::{Actor, IssueError, Wanted, issue};
use super::body;
use super::dead_letters::point_in_time;
use super::problem::Problem;
use super::site::Site;
use super::{Parts, parts};
use crate::access::{Grant, Role};
use crate::lane::now_ms;
use crate::store::Token;
use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a body that asks for a token.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    role: Option<Role>,
    ingest: Option<Vec<String>>,
    expires_days: Option<u32>,
}

pub(super) async fn list(State(site): State<Arc<Site>>) -> Result<Json<Value>, Problem> {
    let tokens: Vec<Value> = site.state.store.tokens().await?.iter().map(shown).collect();
    Ok(Json(json!({ "tokens": tokens })))
}

pub(super) async fn create(
    State(site): State<Arc<Site>>,
    Extension(actor): Extension<Actor>,
    request: Request,
) -> Result<Response, Problem> {
    let asked = read(&site, request).await?;
    let grant = match (asked.role, asked.ingest) {
        (Some(role), None) => Grant::Role(role),
        (None, Some(topics)) => Grant::Ingest(topics),
        _ => return Err(Problem::malformed("a token has either a `role`, or topics to `ingest` to")),
    };
    let by = actor.name().to_owned();
    let wanted = Wanted { name: asked.name, grant, expires_days: asked.expires_days, by };
    let store = site.state.store.clone();
    let (token, secret) =
        tokio::spawn(async move { issue(&*store, wanted).await }).await.map_err(Problem::internal)??;
    site.known.refresh().await;
    let mut made = shown(&token);
    if let Value::Object(members) = &mut made {
        members.insert("token".to_owned(), json!(secret.reveal()));
    }
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

pub(super) async fn revoke(
    State(site): State<Arc<Site>>,
    Extension(actor): Extension<Actor>,
    id: Parts<String>,
) -> Result<StatusCode, Problem> {
    let id: i64 = parts(id)?.parse().map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-path",
            "The path cannot be read",
            "a token's id is a number",
        )
    })?;
    let store = site.state.store.clone();
    let revoked = tokio::spawn(async move { store.revoke_token(id, actor.name(), now_ms()).await });
    let found = revoked.await.map_err(Problem::internal)??;
    site.known.refresh().await;
    found.map(|_| StatusCode::NO_CONTENT).ok_or_else(|| Problem::not_found(format!("there is no token {id}")))
}

async fn read(site: &Site, request: Request) -> Result<Asked, Problem> {
    if body::Format::of(request.headers()).ok() != Some(body::Format::Json) {
        let (title, detail) =
            ("No such content type is taken", "a token is asked for as application/json, in UTF-8");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", title, detail));
    }
    let mut room = site.admission.room(0)?;
    let within = Duration::from_millis(site.state.limits.body_ms_max);
    let bytes = body::read(&mut request.into_body(), BODY_BYTES_MAX, within, &mut room).await?;
    // Only where it is wrong, not what is there: somebody may have put a secret into it.
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::malformed(format!(
            "line {line}, column {column}: this takes {{\"name\": …, \"role\": …}} or {{\"name\": …, \"ingest\": [topic, …]}}, \
             and \"expires_days\" if you like"
        ))
    })
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Wrong(detail) => Self::malformed(detail),
            IssueError::Taken(_) | IssueError::TooMany => {
                Self::new(StatusCode::CONFLICT, "token-refused", "No token is made", error.to_string())
            }
            IssueError::NoRandomness(error) => Self::internal(error),
            IssueError::Store(error) => error.into(),
        }
    }
}

/// A token, without what it is recognised by.
fn shown(token: &Token) -> Value {
    let (kind, what) = match &token.given.grant {
        Grant::Role(role) => ("role", json!(role)),
        Grant::Ingest(topics) => ("ingest", json!(topics)),
    };
    json!({
        "id": token.id,
        "name": token.given.name,
        kind: what,
        "created_at": point_in_time(token.given.created_ms),
        "created_by": token.given.created_by,
        "expires_at": token.given.expires_ms.and_then(point_in_time),
        "revoked_at": token.revoked_ms.and_then(point_in_time),
        "revoked_by": token.revoked_by,
    })
}
