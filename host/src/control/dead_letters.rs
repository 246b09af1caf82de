//! Dead letters of a pipeline: `GET /v1/pipelines/{name}/dead-letters`, one of them, `POST …/replay`, `DELETE`.

use super::pipelines::known;
use super::problem::Problem;
use super::query::{Query, link_to_next};
use super::site::Site;
use super::{Parts, parts, to_its_end};
use crate::store::{DeadLetter, DeadLetterQuery};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

pub(super) async fn list(
    State(site): State<Arc<Site>>,
    name: Parts<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let pipeline = known(&site, parts(name)?)?;
    let mut query = Query::of(&uri)?;
    let code = query.take("code")?;
    let before = query.take_number("before", 0..=i64::MAX)?;
    let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    query.nothing_else(&["code", "before", "limit"])?;
    let query = DeadLetterQuery { pipeline: Some(pipeline), code, before, limit };
    let letters = site.state.store.dead_letters(&query).await?;
    let full = letters.len() == limit as usize;
    let next = letters.last().filter(|_| full).map(|letter| letter.id.to_string());
    let link = next.as_ref().map(|next| [(header::LINK, link_to_next(&uri, "before", next))]);
    let letters: Vec<Value> = letters.iter().map(shown).collect();
    Ok((link, Json(json!({ "dead_letters": letters, "next": next }))).into_response())
}

pub(super) async fn show(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let letter = find(&site, path).await?;
    Ok(Json(shown(&letter)))
}

pub(super) async fn replay(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
) -> Result<Response, Problem> {
    let letter = find(&site, path).await?;
    let store = site.state.store.clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    match to_its_end(async move { store.replay_dead_letter(letter.id, now_ms).await }).await?? {
        true => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "id": letter.id, "replayed": true }))).into_response())
        }
        false => Err(gone(letter.id)),
    }
}

pub(super) async fn drop(
    State(site): State<Arc<Site>>,
    path: Parts<(String, String)>,
) -> Result<StatusCode, Problem> {
    let letter = find(&site, path).await?;
    let store = site.state.store.clone();
    match to_its_end(async move { store.drop_dead_letter(letter.id).await }).await?? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(gone(letter.id)),
    }
}

async fn find(site: &Site, path: Parts<(String, String)>) -> Result<DeadLetter, Problem> {
    let (name, id) = parts(path)?;
    let pipeline = known(site, name)?;
    let id: i64 = id.parse().map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-path",
            "The path cannot be read",
            "a dead letter has a number",
        )
    })?;
    let letter = site.state.store.dead_letter(id).await?;
    letter.filter(|letter| letter.pipeline == pipeline).ok_or_else(|| gone(id))
}

fn gone(id: i64) -> Problem {
    Problem::not_found(format!("there is no dead letter {id} of this pipeline"))
}

fn shown(letter: &DeadLetter) -> Value {
    let headers = letter.headers.iter();
    json!({
        "id": letter.id,
        "pipeline": letter.pipeline,
        "code": letter.failure.code(),
        "reason": letter.failure.reason(),
        "faults": letter.failure.faults,
        "stage": letter.failure.stage,
        "digest": letter.failure.digest,
        "attempts": letter.attempts,
        "at": point_in_time(letter.at_ms),
        "origin": {
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "timestamp": point_in_time(letter.timestamp_ms),
        },
        "key": bytes(letter.key.as_deref()),
        "value": bytes(letter.value.as_deref()),
        "headers": headers
            .map(|(name, value)| json!({ "name": name, "value": bytes(value.as_deref()) }))
            .collect::<Vec<_>>(),
    })
}

/// Bytes as a text, if they are one, or as base64.
fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!({ "text": text }),
        Some((bytes, Err(_))) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    }
}

/// RFC 3339; `null` for a time that has no such text (a record may say any).
pub(super) fn point_in_time(ms: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?.format(&Rfc3339).ok()
}
