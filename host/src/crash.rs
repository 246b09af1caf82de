//! Named points at which a host can be told to die, for the tests that prove exactly-once with kills in the middle.
//! Compiled in only with the feature `crash-points`.

/// Dies here, as by `kill -9`, if `GRISTMILL_CRASH_AT` names this point: `store.committed`, or `store.committed:3`
/// for the third time that it is passed.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSES: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("GRISTMILL_CRASH_AT") else { return };
    let (point, pass) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point == name && PASSES.fetch_add(1, Ordering::SeqCst) + 1 == pass.parse().unwrap_or(1) {
        let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        std::process::abort();
    }
}

/// Nothing, without the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}
