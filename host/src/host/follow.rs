//! A host that works the pipelines of the catalog: it starts those that are new there, goes over to new revisions, and
//! ends those that are removed. One that cannot be run leaves the revision before it at work.

use super::works::Works;
use crate::catalog::Revision;
use crate::catalog::wake::Wake;
use crate::pipeline::State;
use crate::sites::{Site, Sites};
use crate::spec::Spec;
use crate::store::{self, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long is waited for a pipeline to join its group, before that is reported as it is.
const JOINED: Duration = Duration::from_secs(10);

/// Follows the catalog.
pub(super) struct Follower {
    store: Arc<dyn Store>,
    works: Arc<Works>,
    sites: Arc<Sites>,
    wake: Wake,
    /// The catalog as it was looked at last.
    changes: Option<i64>,
    /// Revisions that could not be run, with the state of the catalog in which they were tried.
    tried: HashMap<String, (i64, i64)>,
}

impl Follower {
    pub(super) fn new(store: Arc<dyn Store>, works: Arc<Works>, sites: Arc<Sites>, wake: Wake) -> Self {
        Follower { store, works, sites, wake, changes: None, tried: HashMap::new() }
    }

    /// Works until it is told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut woken = self.wake.listen();
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the catalog's pipelines cannot be read; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = woken.up() => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), store::Error> {
        let changes = self.store.catalog_changes().await?;
        if self.changes == Some(changes) {
            return Ok(());
        }
        let mut all = true;
        for revision in self.store.newest_revisions().await? {
            all &= self.follow(&revision, changes).await;
        }
        // What the store kept us from is tried again at the next look.
        self.changes = all.then_some(changes);
        Ok(())
    }

    /// Brings one pipeline to its newest revision. Answers whether that need not be tried again.
    async fn follow(&mut self, newest: &Revision, changes: i64) -> bool {
        let (name, number) = (newest.pipeline.as_str(), newest.revision);
        let here = self.sites.get(name);
        if here.as_ref().is_some_and(|site| site.revision == number)
            || self.tried.get(name) == Some(&(number, changes))
        {
            return true;
        }
        if here.as_ref().is_some_and(|site| site.revision == 0) {
            let why = "this host runs the pipeline from a file: end it, or start it without that spec";
            self.sites.troubled(name, number, why.to_owned());
            self.tried.insert(name.to_owned(), (number, changes));
            return true;
        }
        if newest.removed {
            if let Some(site) = here {
                end(&site).await;
                tracing::info!(pipeline = name, revision = number, "removed");
            }
            self.sites.remove(name);
            return true;
        }
        match self.open(newest).await {
            Ok(site) => {
                if let Some(before) = here {
                    end(&before).await;
                }
                self.start(&site);
                true
            }
            Err(error) => {
                let passing = error.chain().any(|cause| {
                    matches!(cause.downcast_ref::<store::Error>(), Some(store::Error::Unavailable { .. }))
                });
                let why = format!("{error:#}");
                tracing::error!(
                    pipeline = name,
                    revision = number,
                    "cannot be run, what was there goes on: {why}"
                );
                self.sites.troubled(name, number, why);
                self.tried.insert(name.to_owned(), (number, changes));
                if passing {
                    self.tried.remove(name);
                }
                self.wake.all();
                !passing
            }
        }
    }

    async fn open(&self, revision: &Revision) -> anyhow::Result<Arc<Site>> {
        let name = format!("{} (revision {})", revision.pipeline, revision.revision);
        let spec = Spec::of_catalog(&name, revision.spec.clone(), &revision.files)?;
        self.works.open(Arc::new(spec), revision.revision).await
    }

    fn start(&mut self, site: &Arc<Site>) {
        let spec = site.spec();
        self.tried.remove(&spec.name);
        self.sites.put(site.clone());
        match site.start() {
            Ok(()) => tracing::info!(pipeline = spec.name, revision = site.revision, "at work"),
            Err(error) => self.sites.troubled(&spec.name, site.revision, format!("no thread: {error}")),
        }
        // Deploying looks at it, and whoever waits for it hears when it has joined its group.
        self.wake.all();
        let (site, wake) = (site.clone(), self.wake.clone());
        tokio::spawn(async move {
            let joined = async {
                while site.pipeline.state() == State::Starting {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let _ = tokio::time::timeout(JOINED, joined).await;
            wake.all();
        });
    }
}

/// Ends a pipeline: its lanes finish what they have begun, and it leaves its group.
async fn end(site: &Arc<Site>) {
    site.pipeline.finish();
    let joining = site.clone();
    match tokio::task::spawn_blocking(move || joining.join()).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::warn!(pipeline = site.spec().name, "it had stopped: {why}"),
        Err(error) => tracing::error!(pipeline = site.spec().name, %error, "ending it"),
    }
}
