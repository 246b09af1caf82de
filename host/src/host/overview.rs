//! How the pipelines of a host are.

use crate::control::{LaneStatus, PipelineState, PipelineStatus, Status};
use crate::pipeline::State;
use crate::sites::Sites;
use async_trait::async_trait;
use std::sync::Arc;

/// How the pipelines are, for people.
pub(super) struct Overview(pub(super) Arc<Sites>);

#[async_trait]
impl Status for Overview {
    async fn pipelines(&self) -> Vec<PipelineStatus> {
        let mut all = Vec::new();
        let mut trouble_with = self.0.trouble();
        for site in self.0.all() {
            let pipeline = &site.pipeline;
            let views = pipeline.lanes().await;
            let (state, error) = match pipeline.state() {
                State::Starting => (PipelineState::Starting, None),
                State::Running if pipeline.live().paused() => (PipelineState::Paused, None),
                State::Running => (PipelineState::Running, None),
                State::Stopped(why) => (PipelineState::Failed, Some(why)),
            };
            let cannot = trouble_with.remove(&pipeline.spec().name).map(|trouble| cannot_run(&trouble));
            let trouble = views.iter().find_map(|view| view.trouble.clone()).or(cannot);
            let lanes = views
                .into_iter()
                .map(|view| LaneStatus {
                    topic: pipeline.spec().source.topic.clone(),
                    partition: view.partition,
                    batch: view.batch,
                    published: view.published,
                    next_offset: Some(view.next_offset),
                    lag: view.lag,
                    last_error: view.trouble,
                })
                .collect();
            all.push(PipelineStatus {
                name: pipeline.spec().name.clone(),
                state,
                error: error.or(trouble),
                lanes,
            });
        }
        // Those that this host cannot run at all.
        all.extend(trouble_with.into_iter().map(|(name, trouble)| PipelineStatus {
            name,
            state: PipelineState::Failed,
            error: Some(cannot_run(&trouble)),
            lanes: Vec::new(),
        }));
        all
    }
}

fn cannot_run((revision, why): &(i64, String)) -> String {
    format!("revision {revision} cannot be run here: {why}")
}
