//! The audit trail: who changed what, one line each. The one place that everything which changes something goes
//! through; for now a line is an event of the target `audit` in the log.

use super::Actor;
use crate::catalog::AuditLine;
use crate::lane::now_ms;

/// A line of the trail.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// What was done, as the rules call it: `dead-letter.drop`.
    pub action: &'a str,
    /// What it was done to: a path of the interface, or a name.
    pub target: &'a str,
    /// How it ended.
    pub outcome: Outcome,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It was refused or failed: the status that was answered.
    Failed(u16),
    /// Whoever asked went away before the answer: it may be done or not.
    Unknown,
}

/// A line for the catalog's trail: something that is done.
pub fn line(actor: &Actor, action: &str, target: &str) -> AuditLine {
    AuditLine::new(now_ms(), actor.name(), &action.replace('.', "-"), target, serde_json::Value::Null)
}

/// Writes a line.
pub fn write(entry: &Entry<'_>) {
    let Entry { actor, action, target, outcome } = entry;
    tracing::info!(target: "audit", actor = %actor.name(), action, on = target, ?outcome, "changed by hand");
}

/// A request that changes something: it leaves a line however it ends, also if its client is gone before.
pub(super) struct Trail {
    actor: Actor,
    action: &'static str,
    target: String,
    outcome: Outcome,
}

impl Trail {
    pub(super) fn begin(actor: Actor, action: &'static str, target: String) -> Self {
        Trail { actor, action, target, outcome: Outcome::Unknown }
    }

    pub(super) fn action(&self) -> &'static str {
        self.action
    }

    /// The line for the catalog's trail.
    pub(super) fn line(&self) -> AuditLine {
        line(&self.actor, self.action, &self.target)
    }

    pub(super) fn end(mut self, status: axum::http::StatusCode) {
        self.outcome = if status.is_success() { Outcome::Done } else { Outcome::Failed(status.as_u16()) };
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let Trail { actor, action, target, outcome } = self;
        write(&Entry { actor, action, target, outcome: *outcome });
    }
}
