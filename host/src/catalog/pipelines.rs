//! Pipelines of the catalog: a spec is applied, which makes a revision of it, or a pipeline is removed, which is a
//! revision too. Hosts that follow the catalog go over to the newest one.

use super::check::Refused;
use super::registry::{self, Error, Registry};
use super::{NewRevision, Revision};
use crate::deploy::{self, ALIVE_MS_MAX};
use crate::lane::now_ms;
use crate::lookup::{Lookups, PipelineLookups};
use crate::spec::{self, Route, Spec};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// A spec that is to be applied.
#[derive(Clone, Debug, Default)]
pub struct SpecOrder {
    /// The spec, TOML.
    pub spec: String,
    /// The texts of the files that it names.
    pub files: BTreeMap<String, String>,
    /// Why, for people.
    pub note: String,
    /// Who.
    pub by: String,
    /// Only look whether it could be applied.
    pub dry_run: bool,
}

/// How applying a spec ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is this revision now.
    New(Revision),
    /// The newest revision says the same already.
    Same(Revision),
    /// It could be applied.
    Fits,
}

/// How far a revision is.
#[derive(Clone, Debug, Serialize)]
pub struct RevisionProgress {
    /// The revision.
    pub revision: Revision,
    /// Whether another one came after it.
    pub superseded: bool,
    /// Whether every host that follows the catalog works it, and there is one.
    pub done: bool,
    /// The hosts that follow the catalog and are alive.
    pub hosts: Vec<HostProgress>,
}

/// How far a revision is on one host.
#[derive(Clone, Debug, Serialize)]
pub struct HostProgress {
    /// The host.
    pub host: String,
    /// The revision that it works; 0 if none.
    pub works: i64,
    /// Whether it is where this revision wants it.
    pub done: bool,
    /// Why it cannot work the revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Registry {
    /// Checks a spec, as a host would that starts it, and makes it the newest revision of its pipeline.
    ///
    /// # Errors
    /// What does not fit, with its place.
    pub async fn apply(&self, pipeline: &str, order: SpecOrder) -> Result<Applied, Error> {
        let spec =
            Spec::of_catalog("spec", order.spec.clone(), &order.files).map_err(|error| bad_spec(&error))?;
        if spec.name != pipeline {
            let message = format!("the spec is of the pipeline `{}`, not of `{pipeline}`", spec.name);
            return Err(Refused::new("other-name", message).into());
        }
        if self.sites.get(pipeline).is_some_and(|site| site.revision == 0) {
            let message = format!(
                "this host runs `{pipeline}` from a file: change the file and start the host again, or start hosts \
                 without it (`gristmill run`) and apply the spec then"
            );
            return Err(Error::Conflict(Refused::new("runs-from-file", message)));
        }
        let newest = self.store.newest_revisions().await?;
        let before = newest.iter().find(|one| one.pipeline == pipeline);
        let revision = NewRevision {
            pipeline: pipeline.to_owned(),
            // Only what it names: two orders that differ in nothing else are the same.
            files: spec.files.clone(),
            spec: order.spec,
            by: order.by,
            at_ms: now_ms(),
            note: order.note,
        };
        if let Some(same) = before.filter(|one| !one.removed && one.digest == revision.digest()) {
            return Ok(Applied::Same(same.clone()));
        }
        self.alone(&spec, &newest)?;
        let spec = Arc::new(spec);
        self.opens(&spec).await?;
        if order.dry_run {
            return Ok(Applied::Fits);
        }
        self.store.prepare_tables(&spec).await.map_err(|error| match error {
            crate::store::Error::Unavailable { .. } => Error::Store(error),
            unfit => Refused::new("tables-do-not-fit", unfit.to_string()).into(),
        })?;
        let expected = before.map_or(0, |one| one.revision);
        self.write(&revision, expected).await.map(Applied::New)
    }

    /// Removes a pipeline from the catalog: hosts end it. What it has written stays.
    ///
    /// # Errors
    /// That there is none.
    pub async fn remove_pipeline(&self, pipeline: &str, by: &str, note: &str) -> Result<Revision, Error> {
        let newest = self.store.newest_revisions().await?;
        let before = newest.iter().find(|one| one.pipeline == pipeline && !one.removed);
        let before = before.ok_or_else(|| not_there(pipeline))?;
        let revision = NewRevision {
            pipeline: pipeline.to_owned(),
            spec: String::new(),
            files: BTreeMap::new(),
            by: by.to_owned(),
            at_ms: now_ms(),
            note: note.to_owned(),
        };
        self.write(&revision, before.revision).await
    }

    /// A pipeline's revisions, newest first.
    ///
    /// # Errors
    /// The store, or that there is no such pipeline in the catalog.
    pub async fn revisions(&self, pipeline: &str, limit: u32) -> Result<Vec<Revision>, Error> {
        let revisions = self.store.revisions(pipeline, limit).await?;
        if revisions.is_empty() { Err(not_there(pipeline)) } else { Ok(revisions) }
    }

    /// How far a revision is, on every host that follows the catalog.
    ///
    /// # Errors
    /// The store, or that there is no such revision.
    pub async fn revision_progress(&self, pipeline: &str, number: i64) -> Result<RevisionProgress, Error> {
        let found = self.store.revision(pipeline, number).await?;
        let revision = found.ok_or_else(|| {
            Error::NotFound(format!("there is no revision {number} of a pipeline `{pipeline}`"))
        })?;
        let newest = self.store.revisions(pipeline, 1).await?.first().map_or(number, |one| one.revision);
        let alive = self.store.hosts_since(now_ms() - ALIVE_MS_MAX).await?;
        let hosts: Vec<HostProgress> = alive
            .into_iter()
            .filter_map(|host| {
                let report = host.pipelines?.remove(pipeline);
                let works = report.as_ref().map_or(0, |report| report.revision);
                let running = report.as_ref().is_some_and(|report| report.running);
                let trouble = report.and_then(|report| report.trouble).filter(|(of, _)| *of == number);
                let done = if revision.removed { works == 0 } else { works >= number && running };
                Some(HostProgress { host: host.host, works, done, trouble: trouble.map(|(_, why)| why) })
            })
            .collect();
        let done = !hosts.is_empty() && hosts.iter().all(|host| host.done);
        Ok(RevisionProgress { superseded: newest > number, done, hosts, revision })
    }

    async fn write(&self, revision: &NewRevision, expected: i64) -> Result<Revision, Error> {
        let pipeline = &revision.pipeline;
        let number = self.store.put_revision(revision, expected).await?.ok_or_else(|| {
            let message =
                format!("somebody else has changed `{pipeline}` at this moment: look, and try again");
            Error::Conflict(Refused::new("changed-meanwhile", message))
        })?;
        self.wake.all();
        let written = self.store.revision(pipeline, number).await?;
        written.ok_or_else(|| Error::NotFound(format!("there is no revision {number} of `{pipeline}`")))
    }

    /// Whether a spec shares no table and no route with another pipeline, of the catalog or of this host's files.
    fn alone(&self, spec: &Spec, newest: &[Revision]) -> Result<(), Error> {
        let of_catalog = newest.iter().filter(|one| !one.removed).filter_map(|one| {
            Spec::of_catalog(&one.pipeline, one.spec.clone(), &one.files).ok().map(Arc::new)
        });
        let of_files = self.sites.all().into_iter().filter(|site| site.revision == 0);
        let others = of_catalog.chain(of_files.map(|site| site.spec().clone()));
        for other in others.filter(|other| other.name != spec.name) {
            let taken: Vec<&str> = other.all_tables().map(|table| table.name.as_str()).collect();
            let table = spec.all_tables().find(|table| taken.contains(&table.name.as_str()));
            if let Some(table) = table {
                let message = format!(
                    "the table `{}` is one of the pipeline `{}`: a table belongs to one pipeline",
                    table.name, other.name
                );
                return Err(Error::Conflict(Refused::new("table-taken", message)));
            }
            let posts = |route: &Route| route.topic().is_some();
            let route = spec.routes.iter().find(|route| {
                let same = |taken: &Route| taken.path() == route.path() && posts(taken) == posts(route);
                other.routes.iter().any(same)
            });
            if let Some(route) = route {
                let method = if posts(route) { "POST" } else { "GET" };
                let message =
                    format!("the route {method} {} is one of the pipeline `{}`", route.path(), other.name);
                return Err(Error::Conflict(Refused::new("route-taken", message)));
            }
        }
        Ok(())
    }

    /// Whether its modules are there, take their configuration, and fit its tables, outputs and lookups.
    async fn opens(&self, spec: &Arc<Spec>) -> Result<(), Error> {
        let (store, sources) = (self.store.clone(), self.sources.clone());
        let lookups: Arc<dyn Lookups> =
            Arc::new(PipelineLookups::new(spec.clone(), store, sources, Handle::current()));
        match deploy::own_stages(&self.store, &self.engine, spec, &lookups).await {
            Ok(stages) => {
                for stage in &stages.stages {
                    registry::makes_the_same_keys(&self.store, stage).await?;
                }
                Ok(())
            }
            Err(error) => match error.downcast::<crate::store::Error>() {
                Ok(error) => Err(Error::Store(error)),
                Err(error) => Err(Refused::new("does-not-fit", format!("{error:#}")).into()),
            },
        }
    }
}

/// Everything that is wrong with a spec, each with its line and key.
fn bad_spec(error: &spec::Error) -> Refused {
    let issue = |issue: &spec::Issue| -> Value {
        let (line, column) = error.place(issue);
        json!({ "line": line, "column": column, "key": issue.key, "message": issue.message })
    };
    Refused {
        code: "bad-spec",
        message: error.to_string(),
        more: json!({ "issues": error.issues.iter().map(issue).collect::<Vec<_>>() }),
    }
}

fn not_there(pipeline: &str) -> Error {
    Error::NotFound(format!("there is no pipeline `{pipeline}` in the catalog"))
}
