//! Progress for a person who waits: lines on stderr with the seconds since the start. stdout stays free for
//! what a script reads.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Seconds since the first call, which `main` makes.
pub(crate) fn seconds() -> f64 {
    START.elapsed().as_secs_f64()
}

pub(crate) fn say(text: &str) {
    eprintln!("[{:6.1} s] {text}", seconds());
}

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on Ctrl-C and SIGTERM do not end this program: they end the program of the running step, and no
/// other step begins but those that clean up.
pub(crate) fn finish_steps_when_interrupted() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&INTERRUPTED))?;
    }
    Ok(())
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
        if INTERRUPTED.load(Relaxed) {
            bail!("interrupted before: {name}");
        }
        self.run_always(name, step)
    }

    /// A step that cleans up.
    pub(crate) fn run_always<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
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
