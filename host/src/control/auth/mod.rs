//! Who may ask what. Every request passes [`guard`], which finds out who asks ([`Actor`]) and what it takes
//! ([`RULES`]); handlers find the actor among the request's extensions.
//!
//! - What no rule names, nobody may do.
//! - Without a token: `/healthz` and `/readyz`; on loopback also reading, as long as no token was ever made; records,
//!   if the host is told so ([`Policy::open_ingest`]). Everything else takes a token.
//! - A token that is presented and does not hold is refused, also where none would be needed: the same words for one
//!   that never was, is revoked or has expired.
//! - A token is nowhere but with its owner: the store has its digest, no log line and no answer has it.

mod audit;
mod describe;
mod issue;
mod known;
mod rules;
mod secret;

pub use audit::{Entry, Outcome, line, write as audit};
pub use issue::{Error as IssueError, Wanted, issue};
pub use rules::{Need, RULES, Rule, ruled};
pub use secret::{NoRandomness, Secret, digest};

pub(super) use describe::describe;
pub(super) use known::Known;
pub(super) use rules::Rules;

use self::audit::Trail;
use self::rules::Ruling;
use super::problem::Problem;
use super::site::Site;
use crate::access::{Grant, Role};
use crate::lane::now_ms;
use crate::store::LiveTokens;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// Requests that were refused, by why (`unauthenticated`, `forbidden`).
const REFUSED_TOTAL: &str = "gristmill_http_refused_total";

const ANONYMOUS: &str = "anonymous";
const LOCAL: &str = "local";

/// Where the interface listens, and what it is told to leave open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Only programs on this machine can reach it.
    pub loopback: bool,
    /// Records are taken from everybody.
    pub open_ingest: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    name: Arc<str>,
    grant: Option<Grant>,
}

impl Actor {
    /// Somebody without a token.
    pub fn anonymous() -> Self {
        Actor { name: ANONYMOUS.into(), grant: None }
    }

    /// Whoever may use the store itself: the command line.
    pub fn local() -> Self {
        Actor { name: LOCAL.into(), grant: Some(Grant::Role(Role::Admin)) }
    }

    /// Somebody with a token.
    pub fn with(name: &str, grant: Grant) -> Self {
        Actor { name: name.into(), grant: Some(grant) }
    }

    /// Its token's name, `anonymous` or `local`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may do what a role may.
    pub fn may(&self, needed: Role) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.covers(needed))
    }

    /// Whether it may send records to a topic.
    pub fn may_ingest(&self, topic: &str) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.covers_ingest(topic))
    }
}

/// Lets a request through to its handler if whoever asks may.
pub(super) async fn guard(
    State(site): State<Arc<Site>>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = matched.as_ref().map_or(request.uri().path(), MatchedPath::as_str);
    let ruling = site.doors().rules.ruling(request.method().as_str(), path);
    let admitted =
        admit(&site, &ruling, matched.is_some(), parameters.as_ref().ok(), request.headers()).await;
    let actor = match admitted {
        Ok(actor) => actor,
        Err(refusal) => return refused(&refusal, request.method().as_str(), path).into_response(),
    };
    let action = match ruling {
        // Answered here, so that a handler that no rule names is never reached.
        Ruling::OtherMethods(allowed) => {
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed.join(", "))]).into_response();
        }
        Ruling::Needs { action, .. } => action,
        Ruling::Unknown => "",
    };
    let trail =
        (!action.is_empty()).then(|| Trail::begin(actor.clone(), action, request.uri().path().to_owned()));
    request.extensions_mut().insert(actor);
    let response = next.run(request).await;
    if let Some(trail) = trail {
        keep(&site, &trail, response.status());
        trail.end(response.status());
    }
    response
}

/// Keeps what was done in the catalog's trail, where the catalog has not done so itself together with the change. It is
/// done already: that the line cannot be written is logged, and no reason to say otherwise.
fn keep(site: &Arc<Site>, trail: &Trail, status: StatusCode) {
    if !status.is_success() || !["dead-letter.", "token."].iter().any(|of| trail.action().starts_with(of)) {
        return;
    }
    let (store, line) = (site.state.store.clone(), trail.line());
    tokio::spawn(async move {
        if let Err(error) = store.audit(&line).await {
            tracing::error!(%error, action = line.action, target = line.target, "the audit trail has no line of this");
        }
    });
}

/// Why somebody may not.
enum Refusal {
    /// No token, where one is needed: for what.
    Missing(String),
    /// A token that does not hold.
    Invalid,
    /// A token that is not enough: whose, for what.
    Insufficient { actor: Actor, needed: String },
    /// A route that no rule names.
    NoRule,
    /// Nobody can be told from anybody.
    NotKnown,
}

async fn admit(
    site: &Site,
    ruling: &Ruling,
    routed: bool,
    parameters: Option<&RawPathParams>,
    headers: &HeaderMap,
) -> Result<Actor, Refusal> {
    // A path that is nowhere, or a method that is not there, is told to whoever may read.
    let (need, topic) = match ruling {
        Ruling::Needs { need: Need::Nothing, .. } => return Ok(Actor::anonymous()),
        Ruling::Needs { need, topic, .. } => (*need, topic.as_deref()),
        Ruling::Unknown if routed => return Err(Refusal::NoRule),
        Ruling::OtherMethods(_) | Ruling::Unknown => (Need::Role(Role::Viewer), None),
    };
    let topic =
        topic.or_else(|| parameters?.iter().find(|(name, _)| *name == "topic").map(|(_, topic)| topic));
    let presented = presented(headers)?;
    let policy = site.state.policy;
    // On loopback, whoever names another host comes by a web page that has been pointed here, or by a proxy for others.
    let near = policy.loopback && names_loopback(headers);
    let open_ingest = need == Need::Ingest && policy.open_ingest && (near || !policy.loopback);
    if open_ingest && presented.is_none() {
        // Also while the store does not answer: the log takes records without it.
        return Ok(Actor::anonymous());
    }
    let live = site.known.live().await.map_err(|_| Refusal::NotKnown)?;
    let actor = match presented {
        Some(presented) => {
            let actor = |live: &LiveTokens| {
                let token = known::find(&live.tokens, presented, now_ms())?;
                Some(Actor::with(&token.given.name, token.given.grant.clone()))
            };
            match actor(&live) {
                Some(actor) => actor,
                None => {
                    let again = site.known.live_again().await.map_err(|_| Refusal::NotKnown)?;
                    actor(&again).ok_or(Refusal::Invalid)?
                }
            }
        }
        None => Actor::anonymous(),
    };
    let (may, needed) = match need {
        Need::Nothing => (true, String::new()),
        Need::Role(role) => {
            let open = role == Role::Viewer && presented.is_none() && near && !live.any_made;
            (actor.may(role) || open, format!("the role {role}"))
        }
        Need::Ingest => {
            let topic = topic.unwrap_or_default();
            let needed = format!("a token for the topic `{topic}`, or the role operator");
            (actor.may_ingest(topic) || open_ingest, needed)
        }
    };
    match (may, presented) {
        (true, _) => Ok(actor),
        (false, None) => Err(Refusal::Missing(needed)),
        (false, Some(_)) => Err(Refusal::Insufficient { actor, needed }),
    }
}

/// The token that a request presents: `Authorization: Bearer …`.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::Invalid),
        (Some(value), None) => {
            let (scheme, token) =
                value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(Refusal::Invalid)?;
            let bearer = scheme.eq_ignore_ascii_case("bearer");
            if bearer { Ok(Some(token.trim())) } else { Err(Refusal::Invalid) }
        }
    }
}

/// Whether the host that a request names, if it names one, is this machine itself.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = || name.parse().is_ok_and(|address: IpAddr| is_loopback(address));
    name.eq_ignore_ascii_case("localhost") || address()
}

/// Whether only programs on this machine can reach an address.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn refused(refusal: &Refusal, method: &str, path: &str) -> Problem {
    let unauthenticated = |detail: String, challenge: &'static str| {
        metrics::counter!(REFUSED_TOTAL, "why" => "unauthenticated").increment(1);
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A token is needed", detail)
            .challenging(challenge)
    };
    let forbidden = |detail: String| {
        metrics::counter!(REFUSED_TOTAL, "why" => "forbidden").increment(1);
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "This token is not enough", detail)
    };
    match refusal {
        Refusal::Missing(needed) => unauthenticated(
            format!("this takes {needed}: send `Authorization: Bearer` and a token"),
            "Bearer realm=\"gristmill\"",
        ),
        Refusal::Invalid => unauthenticated(
            "what stands in `Authorization` is no token of this host, or not any more".to_owned(),
            "Bearer realm=\"gristmill\", error=\"invalid_token\"",
        ),
        Refusal::Insufficient { actor, needed } => {
            tracing::warn!(actor = actor.name(), method, path, needed, "refused");
            let has = actor.grant.as_ref().map_or("nothing".to_owned(), Grant::to_string);
            forbidden(format!("this takes {needed}; the token `{}` has {has}", actor.name()))
                .challenging("Bearer realm=\"gristmill\", error=\"insufficient_scope\"")
        }
        Refusal::NoRule => {
            tracing::error!(method, path, "no rule says who may do this: it is refused");
            forbidden("nobody may do this: the host has no rule for it".to_owned())
        }
        Refusal::NotKnown => {
            Problem::unavailable("tokens cannot be checked at the moment", "the tokens were not read lately")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn header(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_one_bearer_token_is_a_token() {
        let token = |values: &[&'static str]| {
            presented(&header(header::AUTHORIZATION, values)).map(|token| token.map(str::to_owned)).ok()
        };
        assert_eq!(token(&[]), Some(None));
        assert_eq!(token(&["Bearer gm_a"]), Some(Some("gm_a".to_owned())));
        assert_eq!(token(&["bearer  gm_a "]), Some(Some("gm_a".to_owned())));
        for wrong in [&["gm_a"][..], &["Basic gm_a"], &["Bearer"], &["Bearer gm_a", "Bearer gm_a"]] {
            assert_eq!(token(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_page_that_was_pointed_here_is_not_near() {
        for (host, near) in [
            ("127.0.0.1:7171", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("[::1]:7171", true),
            ("[::ffff:127.0.0.1]", true),
            ("127.0.0.1.evil.example", false),
            ("evil.example:7171", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(names_loopback(&header(header::HOST, &[host])), near, "{host}");
        }
        assert!(names_loopback(&HeaderMap::new()));
    }
}
