//! The processor time of this thread: what a guest's limit on time is counted in. A guest cannot sleep, so all the
//! time that is its own is processor time; the time that other processes or a stopped machine take away from it is
//! not, and does not make a good record a dead letter.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The processor time that this thread has had since it began. Differences are meaningful within one thread only.
pub(super) fn of_this_thread() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
