//! The HTTP side: records come in, rows and dead letters are read, pipelines are looked after. One file per
//! resource.
//!
//! - Ingest answers after the log has acknowledged, with the place of every record, or takes nothing.
//! - Whatever a client sends wrong is a 4xx with a problem (RFC 9457) that says what and where; what goes wrong in
//!   here is a 5xx that tells nothing but an id.
//! - Every request passes [`auth`], which decides by method and path whether whoever asks may.
//! - Everything that comes in is bounded: bytes, records, time ([`IngestLimits`]).

mod admission;
pub mod auth;
mod body;
mod dead_letters;
mod health;
mod hearing;
mod ingest;
mod metrics;
mod modules;
mod openapi;
mod openapi_catalog;
mod pipelines;
mod problem;
mod query;
mod revisions;
mod routes;
mod schemas;
mod site;
mod state;
mod swaps;
mod tables;
pub mod tls;
mod tokens;

pub use site::Error;
pub use state::{
    AppState, CheckUnavailable, Checker, IngestLimits, LaneStatus, PipelineState, PipelineStatus, Status,
};

use self::auth::Actor;
use self::problem::Problem;
use self::site::Site;
use self::tls::Tls;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

/// How long requests that are being worked on may go on once the host is told to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// How long taking a module may take: it is compiled, and its cases are run.
const PUSH: Duration = Duration::from_secs(900);

/// All routes: the host's and those that the pipelines' specs add.
///
/// # Errors
/// Two pipelines that add the same route, or tables of the same name.
pub fn router(state: AppState) -> Result<Router, Error> {
    Ok(router_of(&Arc::new(Site::new(state)?)))
}

fn router_of(site: &Arc<Site>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi::show))
        .route("/v1/topics/{topic}/records", post(ingest::to_topic))
        .route("/v1/tables/{table}", get(tables::by_name))
        .route("/v1/pipelines", get(pipelines::list))
        .route("/v1/pipelines/{name}", get(pipelines::show).put(revisions::apply).delete(revisions::remove))
        .route("/v1/pipelines/{name}/revisions", get(revisions::list))
        .route("/v1/pipelines/{name}/revisions/{number}", get(revisions::progress))
        .route("/v1/pipelines/{name}/pause", post(swaps::pause))
        .route("/v1/pipelines/{name}/resume", post(swaps::resume))
        .route("/v1/pipelines/{name}/activations", get(swaps::activations))
        .route("/v1/pipelines/{name}/activations/{id}", get(swaps::progress))
        .route("/v1/pipelines/{name}/stages/{stage}/swap", post(swaps::swap))
        .route("/v1/pipelines/{name}/stages/{stage}/rollback", post(swaps::roll_back))
        .route("/v1/modules", get(modules::list))
        .route("/v1/modules/{name}", get(modules::versions))
        .route(
            "/v1/modules/{name}/versions/{version}",
            get(modules::show)
                .delete(modules::remove)
                // It is bounded where it is read.
                .merge(post(modules::push).layer(DefaultBodyLimit::disable())),
        )
        .route("/v1/audit", get(swaps::audit))
        .route("/v1/pipelines/{name}/dead-letters", get(dead_letters::list))
        .route("/v1/pipelines/{name}/dead-letters/{id}", get(dead_letters::show).delete(dead_letters::drop))
        .route("/v1/pipelines/{name}/dead-letters/{id}/replay", post(dead_letters::replay))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{id}", axum::routing::delete(tokens::revoke))
        .fallback(routes::serve)
        .layer(middleware::from_fn_with_state(site.clone(), bounded))
        .layer(middleware::from_fn_with_state(site.clone(), auth::guard))
        .layer(middleware::map_response_with_state(site.clone(), method_not_allowed))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(hearing::hear_out))
        .with_state(site.clone())
}

/// Serves until `stop` is cancelled, then ends what is being worked on. With `tls` nothing but TLS is spoken.
///
/// # Errors
/// The routes contradict each other, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    mut state: AppState,
    stop: CancellationToken,
) -> Result<(), Error> {
    // Whoever put the state together may have meant another address than the one that is listened on.
    state.policy.loopback = auth::is_loopback(listener.local_addr().map_err(Error::Listen)?.ip());
    let site = Arc::new(Site::new(state)?);
    let app = router_of(&site);
    let stopping = stop.clone().cancelled_owned();
    let serving = async move {
        match tls {
            None => axum::serve(listener, app).with_graceful_shutdown(stopping).await,
            Some(tls) => axum::serve(tls.over(listener), app).with_graceful_shutdown(stopping).await,
        }
    };
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served.map_err(Error::Listen),
        never = site.known.keep_fresh() => match never {},
        // Whoever is still sending then is cut off; what the log has acknowledged stays.
        () = too_long => Ok(()),
    }
}

/// Ends requests that take too long.
async fn bounded(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let is_push = request.method() == Method::POST && request.uri().path().starts_with("/v1/modules/");
    let limit = if is_push { PUSH } else { Duration::from_millis(site.state.limits.request_ms_max) };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the request took too long; whether it was carried out is not known";
            Problem::unavailable(detail, format!("a request took more than {} ms", limit.as_millis()))
                .into_response()
        }
    }
}

/// The router's own answer to a wrong method has no body.
async fn method_not_allowed(method: Method, response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED || method == Method::HEAD {
        return response;
    }
    let allow = response.headers().get(header::ALLOW);
    let allowed = allow.and_then(|allow| allow.to_str().ok()).unwrap_or("none").to_owned();
    let detail = format!("{method} is not allowed here; allowed: {allowed}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "No such method here", detail)
        .allowing(allow)
        .into_response()
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<&str>()
        .map(|said| (*said).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Problem::internal(format!("a request panicked: {said}")).into_response()
}

/// Who asks.
fn actor(request: &Request) -> String {
    request.extensions().get::<Actor>().map_or_else(|| "unknown".to_owned(), |actor| actor.name().to_owned())
}

/// Runs something that changes what is there to its end, also when the client goes away meanwhile (sqlx#4385).
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(Problem::internal)
}

/// The parts of a path, or why they cannot be read.
type Parts<T> = Result<Path<T>, PathRejection>;

fn parts<T>(path: Parts<T>) -> Result<T, Problem> {
    path.map(|Path(parts)| parts).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-path", "The path cannot be read", error.body_text())
    })
}
