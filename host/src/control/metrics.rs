//! `GET /metrics`, in Prometheus' text format.

use super::site::Site;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

pub(super) async fn show(State(site): State<Arc<Site>>) -> Response {
    let text = site.state.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
