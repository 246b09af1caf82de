//! The routes that the pipelines' specs add: an ingest path for a topic, a read path for a table.

use super::ingest::{self, Target};
use super::query::Query;
use super::site::Site;
use super::tables;
use crate::spec::{Route, Spec};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::routing::{get, post};
use std::sync::Arc;

/// Adds the routes of all specs, which [`Site`] has found to be distinct.
pub(super) fn add(mut router: Router<Arc<Site>>, site: &Arc<Site>) -> Router<Arc<Site>> {
    for spec in site.state.specs.iter() {
        for route in &spec.routes {
            router = match route {
                Route::Ingest { path, topic, key, check } => {
                    let check = check.map(|stage| (spec.name.clone(), stage));
                    let target = Target { topic: topic.clone(), key: key.clone(), check };
                    ingest_route(router, path, Arc::new(target))
                }
                Route::Read { path, table } => read_route(router, path, spec.clone(), *table),
            };
        }
    }
    router
}

fn ingest_route(router: Router<Arc<Site>>, path: &str, target: Arc<Target>) -> Router<Arc<Site>> {
    let accept = move |State(site): State<Arc<Site>>, uri: Uri, request: Request| async move {
        Query::of(&uri)?.nothing_else(&[])?;
        ingest::accept(&site, &target, request).await
    };
    router.route(path, post(accept))
}

fn read_route(router: Router<Arc<Site>>, path: &str, spec: Arc<Spec>, table: usize) -> Router<Arc<Site>> {
    let read = move |State(site): State<Arc<Site>>, uri: Uri| async move {
        match spec.tables.get(table) {
            Some(table) => tables::read(&site, table, &uri).await,
            None => Err(super::Problem::internal("a route without its table")),
        }
    };
    router.route(path, get(read))
}
