//! The processor time of this thread: what a guest's limit on time is counted in. A guest cannot sleep, so all the
//! time that is its own is processor time; the time that other processes or a stopped machine take away from it is
//! not, and does not make a good record a dead letter.

use rustix::thread::Pid;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The processor time that this thread has had since it began. Differences are meaningful within one thread only.
pub(super) fn of_this_thread() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// This thread, by which others ask for its time.
pub(super) fn this_thread() -> Pid {
    thread_local! {
        static THREAD: Pid = rustix::thread::gettid();
    }
    THREAD.with(|thread| *thread)
}

/// That of another thread of this process, which may be a few milliseconds old; `None` if the system does not tell.
pub(super) fn of_thread(thread: Pid) -> Option<Duration> {
    let path = format!("/proc/self/task/{thread}/schedstat");
    let told = std::fs::read_to_string(path).ok()?;
    told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_the_same_time_for_others_as_for_itself() {
        let start = of_this_thread();
        while of_this_thread() < start + Duration::from_millis(50) {}
        // The system counts it up when the thread is interrupted, a hundred times a second at least.
        let told = of_thread(this_thread()).expect("Linux tells");
        let own = of_this_thread();
        assert!(told <= own && own - told < Duration::from_millis(30), "{told:?} instead of {own:?}");
    }
}
