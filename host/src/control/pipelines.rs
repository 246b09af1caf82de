//! How the pipelines are: `GET /v1/pipelines`, `GET /v1/pipelines/{name}`.

use super::problem::Problem;
use super::site::Site;
use super::state::PipelineStatus;
use super::{Parts, parts};
use crate::catalog::Activation;
use crate::spec::suggestion;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn list(State(site): State<Arc<Site>>) -> Json<Value> {
    let statuses = site.state.status.pipelines().await;
    let pipelines: Vec<Value> = statuses
        .iter()
        .map(|status| {
            let about = site.pipeline(&status.name).map(|spec| spec.about.clone()).unwrap_or_default();
            let lag: Option<i64> = status.lanes.iter().map(|lane| lane.lag).sum();
            json!({
                "name": status.name,
                "about": about,
                "state": status.state,
                "lanes": status.lanes.len(),
                "lag": lag,
                "error": status.error,
            })
        })
        .collect();
    Json(json!({ "pipelines": pipelines }))
}

pub(super) async fn show(State(site): State<Arc<Site>>, name: Parts<String>) -> Result<Json<Value>, Problem> {
    let name = parts(name)?;
    let spec = site.pipeline(&name);
    let statuses = site.state.status.pipelines().await;
    let status: Option<PipelineStatus> = statuses.into_iter().find(|status| status.name == name);
    // One of the catalog that this host cannot run has a status, which says why, and no spec here.
    if spec.is_none() && status.is_none() {
        return Err(unknown(&site, &name));
    }
    let store = &site.state.store;
    let in_force = store.in_force(&name).await?;
    let dead_letters = store.dead_letter_counts(&name).await?;
    let total: u64 = dead_letters.iter().map(|(_, count)| count).sum();
    let by_code: serde_json::Map<String, Value> =
        dead_letters.into_iter().map(|(code, count)| (code, json!(count))).collect();
    Ok(Json(json!({
        "name": name,
        "about": spec.as_ref().map_or("", |spec| &spec.about),
        "source": spec.as_ref().map(|spec| &spec.source.topic),
        "stages": spec.iter().flat_map(|spec| &spec.stages).map(|stage| stage_shown(stage, &in_force)).collect::<Vec<_>>(),
        "state": status.as_ref().map(|status| status.state),
        "error": status.as_ref().and_then(|status| status.error.clone()),
        "lanes": status.map(|status| status.lanes).unwrap_or_default(),
        "dead_letters": { "total": total, "by_code": by_code },
        "parked": store.parked_count(&name).await?,
        "mails": store.mail_counts(&name).await?,
    })))
}

/// A stage, and the swap that is in force in it, if one is.
fn stage_shown(stage: &crate::spec::Stage, in_force: &[Activation]) -> Value {
    let base = stage.base();
    let active = in_force.iter().find(|one| one.stage == stage.name && one.base == base);
    json!({ "name": stage.name, "module": stage.module, "active": active })
}

/// A pipeline's name, if there is such a pipeline here.
pub(super) fn known(site: &Site, name: String) -> Result<String, Problem> {
    match site.pipeline(&name) {
        Some(_) => Ok(name),
        None => Err(unknown(site, &name)),
    }
}

/// No such pipeline, and which there are.
pub(super) fn unknown(site: &Site, name: &str) -> Problem {
    let hint = suggestion(name, site.doors().specs.iter().map(|spec| spec.name.as_str()));
    Problem::not_found(format!("there is no pipeline `{name}`{hint}"))
}
