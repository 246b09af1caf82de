//! Named places where a test kills the process, as `kill -9` would: only in builds with the feature `crash-points`.
//! `GRISTMILL_CRASH_AT=store.advanced:3` dies when that place is passed for the third time.

/// Dies here, if this is the place. Does nothing, and costs nothing, without the feature.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}

/// Dies here, if this is the place.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSES: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("GRISTMILL_CRASH_AT") else { return };
    let (place, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if place == name && PASSES.fetch_add(1, Ordering::SeqCst) + 1 == nth.parse().unwrap_or(1) {
        let own = std::process::id().to_string();
        // No unwinding, no flushing, no goodbye to any server.
        let _ = std::process::Command::new("kill").args(["-9", &own]).status();
        std::process::abort();
    }
}
