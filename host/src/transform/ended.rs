//! How calls end that come to nothing.

use super::state::GuestState;
use std::time::Duration;
use wasmtime::Trap;

/// How a call ended that came to nothing.
pub(super) enum Ended {
    TimeUp,
    Failed(wasmtime::Error),
}

impl Ended {
    pub(super) fn of(error: wasmtime::Error) -> Self {
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Ended::TimeUp,
            _ => Ended::Failed(error),
        }
    }
}

/// A call before the first batch that came to nothing.
pub(super) enum Failed {
    Trap(String),
    /// It took longer than so many milliseconds.
    Time(u128),
    /// It asked for more memory than it may have, and could not do without.
    Memory(String),
    /// What it returned cannot be read, or it cannot be instantiated at all.
    Garbage(String),
}

impl Failed {
    pub(super) fn of(ended: &Ended, state: &GuestState, time: Duration) -> Self {
        let error = match ended {
            Ended::TimeUp => return Failed::Time(time.as_millis()),
            Ended::Failed(error) => error,
        };
        if state.limits.refused {
            return Failed::Memory(describe(error));
        }
        match error.downcast_ref::<Trap>() {
            Some(trap) => Failed::Trap(trap.to_string()),
            None => Failed::Garbage(describe(error)),
        }
    }

    /// A code that begins with the name of what was tried.
    pub(super) fn code(&self, tried: &'static str) -> &'static str {
        match (tried, self) {
            ("start", Failed::Trap(_)) => "start-trap",
            ("start", Failed::Time(_)) => "start-timeout",
            ("start", Failed::Memory(_)) => "start-memory",
            ("start", Failed::Garbage(_)) => "start-failed",
            ("describe", Failed::Trap(_)) => "describe-trap",
            ("describe", Failed::Time(_)) => "describe-timeout",
            ("describe", Failed::Memory(_)) => "describe-memory",
            ("describe", Failed::Garbage(_)) => "describe-garbage",
            (_, Failed::Trap(_)) => "configure-trap",
            (_, Failed::Time(_)) => "configure-timeout",
            (_, Failed::Memory(_)) => "configure-memory",
            (_, Failed::Garbage(_)) => "configure-garbage",
        }
    }

    pub(super) fn message(&self, what: &str) -> String {
        match self {
            Failed::Trap(trap) => {
                format!("{what} trapped: {trap}: run its cases with `gristmill module test` to see where")
            }
            Failed::Time(limit) => format!(
                "{what} was stopped after {limit} ms of processor time (limits.guest_time_ms_max): does it loop?"
            ),
            Failed::Memory(error) => {
                format!("{what} needs more memory than limits.guest_memory_bytes_max: {error}")
            }
            Failed::Garbage(error) => format!("{what} failed: {error}"),
        }
    }
}

/// An error of wasmtime's in one line, without the backtrace of the guest's functions.
pub(super) fn describe(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let said = causes.iter().find(|cause| !cause.starts_with("error while executing at wasm backtrace"));
    bounded(said.or(causes.last()).map_or("", String::as_str))
}

/// A guest's own words, cut to a length that a dead letter can carry.
pub(super) fn bounded(text: &str) -> String {
    const LENGTH_MAX: usize = 1_000;
    match text.get(..text.floor_char_boundary(LENGTH_MAX)) {
        Some(cut) if cut.len() < text.len() => format!("{cut}…"),
        _ => text.to_owned(),
    }
}
