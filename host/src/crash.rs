//! Named points at which a host can be told to die or to stand still, for the tests that prove exactly-once with
//! kills in the middle. Compiled in only with the feature `crash-points`.
//!
//! - `GRISTMILL_CRASH_AT` names a point before the start: `store.committed`, or `store.committed:3` for the third time
//!   that it is passed. The host dies there, as by `kill -9`.
//! - `GRISTMILL_CRASH_FILE` names a file that may appear at any time: `kill store.committed 3 200` dies at the third
//!   pass from then on, after a pause of 200 ms, in which the other threads go on (a transaction that is slow, then a
//!   crash). `stop` in its place raises SIGSTOP. The file is removed first, so that it happens once.

/// Dies or stops here, if this point is named.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    at_the_start(name);
    told_later(name);
}

/// Nothing, without the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}

#[cfg(feature = "crash-points")]
fn at_the_start(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSES: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("GRISTMILL_CRASH_AT") else { return };
    let (point, pass) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point == name && PASSES.fetch_add(1, Ordering::SeqCst) + 1 == pass.parse().unwrap_or(1) {
        signal("-9");
        std::process::abort();
    }
}

#[cfg(feature = "crash-points")]
fn told_later(name: &str) {
    use parking_lot::Mutex;
    use std::time::Duration;
    /// What was last told, and how often its point was passed since.
    static TOLD: Mutex<(String, u64)> = Mutex::new((String::new(), 0));
    let Some(path) = std::env::var_os("GRISTMILL_CRASH_FILE") else { return };
    let Ok(order) = std::fs::read_to_string(&path) else { return };
    let words: Vec<&str> = order.split_whitespace().collect();
    let [action, point, pass, pause_ms] = words.as_slice() else { return };
    if *point != name {
        return;
    }
    {
        let mut told = TOLD.lock();
        if told.0 != order {
            *told = (order.clone(), 0);
        }
        told.1 += 1;
        // Another thread may have taken the order meanwhile.
        if told.1 < pass.parse().unwrap_or(1) || std::fs::remove_file(&path).is_err() {
            return;
        }
        told.0.clear();
    }
    std::thread::sleep(Duration::from_millis(pause_ms.parse().unwrap_or(0)));
    if *action == "stop" {
        signal("-STOP");
    } else {
        signal("-9");
        std::process::abort();
    }
}

#[cfg(feature = "crash-points")]
fn signal(which: &str) {
    let _ = std::process::Command::new("kill").args([which, &std::process::id().to_string()]).status();
}
