//! What goes wrong in the sandbox: before a pipeline runs ([`Error`]), and in a call ([`Fault`]).

/// A module that cannot be used, or not in this place.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The module itself.
    #[error("module `{module}`: {message}")]
    Module {
        /// The module.
        module: String,
        /// Short and stable: what was refused.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// The module in a stage of a pipeline: its configuration, or what it plans to do there.
    #[error("stage `{stage}` (module `{module}`): {message}")]
    Stage {
        /// The stage.
        stage: String,
        /// The module.
        module: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// A guest's call that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped: a panic, an unreachable, a stack overflow, memory that it was not given.
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// It took longer than it may.
    #[error("the guest was stopped after {0} ms of processor time")]
    Timeout(u64),
    /// It said that it could not work the batch through.
    #[error("the guest gave up: {0}")]
    GaveUp(String),
    /// What it returned makes no sense, or is too much.
    #[error("the guest returned garbage: {0}")]
    Garbage(String),
    /// A lookup's source cannot be reached: nobody's fault here, try the batch again later.
    #[error("{0}")]
    Unavailable(String),
}

impl Fault {
    /// The code that dead letters are counted by.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Trap(_) => "guest-trap",
            Fault::Timeout(_) => "guest-timeout",
            Fault::GaveUp(_) => "guest-error",
            Fault::Garbage(_) => "guest-garbage",
            Fault::Unavailable(_) => "lookup-unavailable",
        }
    }

    /// Whether the instance can be used again.
    pub(super) fn keeps_instance(&self) -> bool {
        matches!(self, Fault::GaveUp(_))
    }
}
