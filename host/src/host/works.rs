//! Pipelines made ready, from their spec: modules compiled and configured, tables made.

use crate::deploy;
use crate::lane::GuestSlots;
use crate::live::Live;
use crate::log::Log;
use crate::lookup::{Lookups, PipelineLookups, Sources};
use crate::pipeline::{Parts, Pipeline};
use crate::sites::Site;
use crate::spec::Spec;
use crate::store::Store;
use crate::transform::{Engine, Pipeline as Transform};
use anyhow::Context;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What every pipeline of a host works with.
pub(super) struct Works {
    pub(super) store: Arc<dyn Store>,
    pub(super) log: Arc<dyn Log>,
    pub(super) engine: Engine,
    pub(super) sources: Sources,
    /// Guest calls of one pipeline that run at once.
    pub(super) guest_calls: usize,
    pub(super) mail_committed: Arc<Notify>,
    pub(super) taken_up: Arc<Notify>,
    pub(super) stop: CancellationToken,
}

impl Works {
    /// A pipeline that is ready to be started.
    pub(super) async fn open(&self, spec: Arc<Spec>, revision: i64) -> anyhow::Result<Arc<Site>> {
        self.open_adapted(spec, revision, Ok).await
    }

    /// The same with other stages than those that are loaded.
    pub(super) async fn open_adapted(
        &self,
        spec: Arc<Spec>,
        revision: i64,
        adapt: impl FnOnce(Transform) -> anyhow::Result<Transform>,
    ) -> anyhow::Result<Arc<Site>> {
        let named = || format!("pipeline {}", spec.name);
        self.store.prepare_tables(&spec).await.with_context(named)?;
        let (store, sources) = (self.store.clone(), self.sources.clone());
        let lookups: Arc<dyn Lookups> =
            Arc::new(PipelineLookups::new(spec.clone(), store, sources, Handle::current()));
        let own = deploy::own_stages(&self.store, &self.engine, &spec, &lookups).await.with_context(named)?;
        let own = adapt(own)?;
        let first = deploy::first_stages(&self.store, &self.engine, &spec, &lookups, &own);
        let first = first.await.with_context(named)?;
        for stage in &first.stages {
            self.store.keep_recipes(&stage.plan.recipes).await.with_context(named)?;
        }
        let live = Live::new(first, spec.swap, self.taken_up.clone());
        live.pause(self.store.paused().await?.contains(&spec.name));
        let parts = Parts {
            spec,
            live,
            log: self.log.clone(),
            store: self.store.clone(),
            runtime: Handle::current(),
            slots: Arc::new(GuestSlots::new(self.guest_calls)),
            mail_committed: self.mail_committed.clone(),
        };
        let pipeline = Pipeline::new(parts, self.stop.child_token());
        Ok(Arc::new(Site::new(pipeline, lookups, own, revision)))
    }
}
