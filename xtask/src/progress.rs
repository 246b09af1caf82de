//! Progress for a person who waits: one line on stderr per thing done, with the seconds since the start.
//! stdout stays free for what a script reads.

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Seconds since the first call.
pub(crate) fn seconds() -> f64 {
    START.elapsed().as_secs_f64()
}

pub(crate) fn say(text: &str) {
    eprintln!("[{:6.1} s] {text}", seconds());
}
