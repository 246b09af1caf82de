//! Progress for a person who waits: lines on stderr with the seconds since the start. stdout stays free for
//! what a script reads.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Seconds since the first call, which `main` makes.
pub(crate) fn seconds() -> f64 {
    START.elapsed().as_secs_f64()
}

pub(crate) fn say(text: &str) {
    eprintln!("[{:6.1} s] {text}", seconds());
}

/// The steps of a long command, one after the other, with how long each took.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    held: bool,
}

impl Steps {
    pub(crate) fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        say(&format!("> {name}"));
        let begun = Instant::now();
        let outcome = step().with_context(|| name);
        self.done.push(Step { name, took: begun.elapsed(), held: outcome.is_ok() });
        outcome
    }

    pub(crate) fn print_summary(&self) {
        eprintln!();
        for Step { name, took, held } in &self.done {
            let verdict = if *held { "ok    " } else { "FAILED" };
            eprintln!("  {verdict} {:7.1} s  {name}", took.as_secs_f64());
        }
        eprintln!("         {:7.1} s  altogether", seconds());
    }
}
