//! Errors as RFC 9457 has them: what the one outside may know goes out, what the one inside needs is logged under
//! an id that both have.

use crate::{log, store};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::hash::{BuildHasher, Hasher};

/// Seconds after which a client may try again when the log or the store cannot be reached.
const UNAVAILABLE_RETRY_S: u64 = 5;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    retry_after_s: Option<u64>,
    allow: Option<HeaderValue>,
    challenge: Option<&'static str>,
}

impl Problem {
    /// A problem of a kind (the end of its `type`), with what to do about it.
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let (members, detail) = (Map::new(), detail.into());
        let (retry_after_s, allow, challenge) = (None, None, None);
        Problem(Box::new(Inner { status, kind, title, detail, members, retry_after_s, allow, challenge }))
    }

    /// A body that cannot be read.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-body", "The body cannot be read", detail)
    }

    /// A query that makes no sense.
    pub(super) fn query(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-query", "The query cannot be answered", detail)
    }

    /// Something that is not there.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
    }

    /// Too much at once.
    pub(super) fn busy(detail: impl Into<String>, retry_after_s: u64) -> Self {
        let mut problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", "Too much at once, try again later", detail);
        problem.0.retry_after_s = Some(retry_after_s.max(1));
        problem
    }

    /// Something that this host depends on is not there; `inside` is logged.
    pub(super) fn unavailable(detail: impl Into<String>, inside: impl Display) -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Not available, try again later",
            detail,
        )
        .logged(inside);
        problem.0.retry_after_s = Some(UNAVAILABLE_RETRY_S);
        problem
    }

    /// A fault of ours; `inside` is logged and not told.
    pub(super) fn internal(inside: impl Display) -> Self {
        let detail = "something went wrong in here; the log has it under this id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail).logged(inside)
    }

    fn logged(self, inside: impl Display) -> Self {
        // Random enough to find a line by.
        let id = format!("{:016x}", std::hash::RandomState::new().build_hasher().finish());
        tracing::error!(id, status = self.0.status.as_u16(), "{inside}");
        self.with("id", json!(id))
    }

    /// Whether it is about a body's size.
    pub(super) fn is_too_large(&self) -> bool {
        self.0.status == StatusCode::PAYLOAD_TOO_LARGE
    }

    /// Adds a member.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// Names the methods that are allowed.
    pub(super) fn allowing(mut self, allow: Option<&HeaderValue>) -> Self {
        self.0.allow = allow.cloned();
        self
    }

    /// Says how to say who one is.
    pub(super) fn challenging(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(challenge);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { status, kind, title, detail, members, retry_after_s, allow, challenge } = *self.0;
        let mut body = Map::new();
        body.insert("type".into(), json!(format!("urn:gristmill:problem:{kind}")));
        body.insert("title".into(), json!(title));
        body.insert("status".into(), json!(status.as_u16()));
        body.insert("detail".into(), json!(detail));
        body.extend(members);
        let mut response = (status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::BadRequest(detail) => Self::query(detail),
            store::Error::Unavailable { .. } => Self::unavailable("the store is not available", error),
            store::Error::Fenced { .. } | store::Error::Unfit { .. } | store::Error::TakenOut(_) => {
                Self::internal(error)
            }
        }
    }
}

impl From<log::Error> for Problem {
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::Busy => Self::busy("the log takes no more records at the moment", 1),
            log::Error::UnknownTopic(topic) => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-topic",
                "No such topic",
                format!("there is no topic `{topic}`"),
            ),
            log::Error::Refused { index, message } => {
                let (title, detail) = ("The log refuses a record", format!("record {index}: {message}"));
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "refused-record", title, detail)
                    .with("record", json!(index))
            }
            log::Error::Unavailable { .. } => {
                Self::unavailable("the log is not available; some of the records may have arrived", error)
            }
            log::Error::Fenced { .. } | log::Error::NoMember { .. } | log::Error::Unfit(_) => {
                Self::internal(error)
            }
        }
    }
}
