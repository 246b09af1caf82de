//! Records that are checked at the door, before the log takes them.

use crate::control::{CheckUnavailable, Checker};
use crate::effect::Fault;
use crate::log::NewRecord;
use crate::record::Batch;
use crate::sites::Sites;
use crate::transform::Instance;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Checks records at the door, in instances of their own.
pub(super) struct SandboxChecker {
    pub(super) sites: Arc<Sites>,
    pub(super) idle: Arc<IdleInstances>,
}

/// Instances that wait for the next check, by pipeline and stage, each with the activation that it is of.
pub(super) type IdleInstances = Mutex<HashMap<(String, usize), Vec<(i64, Instance)>>>;

/// Idle instances that are kept for one stage.
const IDLE_CHECKERS_MAX: usize = 4;

#[async_trait]
impl Checker for SandboxChecker {
    async fn check(
        &self,
        pipeline: &str,
        stage: usize,
        records: &[NewRecord],
    ) -> Result<Vec<Vec<Fault>>, CheckUnavailable> {
        let unknown = || CheckUnavailable(format!("no stage {stage} in pipeline {pipeline}"));
        let found = self.sites.get(pipeline).ok_or_else(unknown)?.pipeline.clone();
        let working = found.live().current().transform.stages.get(stage).cloned().ok_or_else(unknown)?;
        let mut batch = Batch::new(&found.spec().source.topic, -1);
        for record in records {
            batch.push(-1, record.timestamp_ms.unwrap_or(0), record.key.as_deref(), record.value.as_deref());
            for (name, value) in &record.headers {
                batch.push_header(name, value.as_deref());
            }
        }
        // Instances of what was at work before a swap are not asked any more.
        let (idle, place) = (self.idle.clone(), (pipeline.to_owned(), stage));
        let activation = working.activation;
        let time = Duration::from_millis(found.spec().limits.guest_time_ms_max);
        let check = move || -> Result<Vec<Vec<Fault>>, String> {
            let waiting = {
                let mut idle = idle.lock();
                let waiting = idle.get_mut(&place);
                waiting.and_then(|waiting| {
                    waiting.retain(|(made_for, _)| *made_for == activation);
                    waiting.pop().map(|(_, instance)| instance)
                })
            };
            let mut instance = match waiting {
                Some(instance) => instance,
                None => Instance::new(&working)?,
            };
            // An instance that failed is dropped: a trap poisons it.
            let (checked, _) = instance.apply(&working, &batch, time);
            let checked = checked.map_err(|fault| fault.to_string())?;
            let mut kept = idle.lock();
            let kept = kept.entry(place).or_default();
            if kept.len() < IDLE_CHECKERS_MAX {
                kept.push((activation, instance));
            }
            let mut faults = vec![Vec::new(); batch.len()];
            for (record, _, found) in checked.failures {
                if let Some(slot) = faults.get_mut(record as usize) {
                    *slot = found;
                }
            }
            Ok(faults)
        };
        tokio::task::spawn_blocking(check)
            .await
            .map_err(|error| CheckUnavailable(error.to_string()))?
            .map_err(CheckUnavailable)
    }
}
