//! The routes that the pipelines' specs add: an ingest path for a topic, a read path for a table. Which there are may
//! change while the host runs, so they are looked up with each request.

use super::ingest::{self, Target};
use super::problem::Problem;
use super::query::Query;
use super::site::Site;
use super::tables;
use super::tables::Source;
use crate::spec::{Readable, Route};
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::response::Response;
use std::sync::Arc;

/// Answers what the host's own routes do not.
pub(super) async fn serve(
    State(site): State<Arc<Site>>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let doors = site.doors();
    let posts = request.method() == Method::POST;
    let routes = doors.specs.iter().flat_map(|spec| spec.routes.iter().map(move |route| (spec, route)));
    let found = routes
        .filter(|(_, route)| route.path() == uri.path())
        .find(|(_, route)| route.topic().is_some() == posts);
    match found {
        Some((spec, Route::Ingest { topic, key, check, .. })) => {
            Query::of(&uri)?.nothing_else(&[])?;
            let check = check.map(|stage| (spec.name.clone(), stage));
            let target = Target { topic: topic.clone(), key: key.clone(), check };
            ingest::accept(&site, &target, request).await
        }
        Some((_, Route::Generate { topic, scenario, .. })) => {
            Query::of(&uri)?.nothing_else(&[])?;
            ingest::make_up(&site, topic, *scenario, request).await
        }
        Some((spec, Route::Read { of, .. })) => {
            let source = match of {
                Readable::Table(place) => spec.tables.get(*place).map(Source::Table),
                Readable::View(place) => spec.views.get(*place).map(Source::View),
            };
            match source {
                Some(source) => tables::read(&site, source, &uri).await,
                None => Err(Problem::internal("a route without its table")),
            }
        }
        None => Err(Problem::not_found(format!("no such path: {}", uri.path()))),
    }
}
