//! Stops guests whose time is up, by the bytes that the checks in their code read ([`super::stoppable`]).

use super::cpu_time;
use parking_lot::Mutex;
use rustix::thread::{Pid, gettid};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often the watchdog looks: the granularity of guests' time limits.
const LOOK: Duration = Duration::from_millis(10);
/// When a guest is due that nobody calls.
const NEVER: u64 = u64::MAX;

/// One thread that looks after all calls of an engine's guests.
pub(super) struct Watchdog {
    began: Instant,
    watched: Mutex<Vec<Weak<Watched>>>,
}

impl Watchdog {
    /// Starts its thread, which ends with the last of those who hold it.
    ///
    /// # Errors
    /// The system makes no thread.
    pub(super) fn start() -> std::io::Result<Arc<Self>> {
        let watchdog = Arc::new(Watchdog { began: Instant::now(), watched: Mutex::default() });
        let looking = Arc::downgrade(&watchdog);
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            while let Some(watchdog) = looking.upgrade() {
                watchdog.look();
                drop(watchdog);
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(watchdog)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER)
    }

    fn look(&self) {
        let now_ms = self.now_ms();
        self.watched.lock().retain(|watched| {
            let watched = watched.upgrade();
            if let Some(watched) = &watched {
                watched.look(now_ms);
            }
            watched.is_some()
        });
    }

    /// Watches an instance, whose checks read these bytes.
    #[allow(
        unsafe_code,
        reason = "bytes of a guest's memory, to which another thread writes while the guest runs"
    )]
    /// # Safety
    /// The bytes can be written to, nobody but the guest's checks and what comes back here uses them, and they are there
    /// until what comes back is dropped.
    pub(super) unsafe fn watch(self: &Arc<Self>, bytes: &[u8]) -> Watch {
        let bytes = Bytes { first: bytes.as_ptr().expose_provenance(), count: bytes.len() };
        let state = State { running: None, bytes, stopped: false };
        let watched = Arc::new(Watched { due_ms: AtomicU64::new(NEVER), state: Mutex::new(state) });
        self.watched.lock().push(Arc::downgrade(&watched));
        Watch { watched, watchdog: Arc::clone(self) }
    }
}

/// An instance that is watched. Dropped, it is not any more.
pub(super) struct Watch {
    watched: Arc<Watched>,
    watchdog: Arc<Watchdog>,
}

impl Watch {
    /// A call begins, on this thread, which may take so much of its processor time.
    pub(super) fn begin(&self, time: Duration) {
        let stop_at = cpu_time::of_this_thread().saturating_add(time);
        self.watched.state.lock().running = Some(Running { thread: gettid(), stop_at });
        // By the clock it takes at least as long.
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(NEVER);
        self.watched.due_ms.store(self.watchdog.now_ms().saturating_add(time_ms), Ordering::Relaxed);
    }

    /// The call has ended. Answers whether its time was up: if it came back all the same, the next one is not stopped.
    pub(super) fn end(&self) -> bool {
        self.watched.due_ms.store(NEVER, Ordering::Relaxed);
        let mut state = self.watched.state.lock();
        state.running = None;
        let stopped = std::mem::take(&mut state.stopped);
        if stopped {
            state.bytes.write(0);
        }
        stopped
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.state.lock().bytes.count = 0;
    }
}

struct Watched {
    /// When somebody must look, on the watchdog's clock.
    due_ms: AtomicU64,
    state: Mutex<State>,
}

struct State {
    running: Option<Running>,
    bytes: Bytes,
    stopped: bool,
}

struct Running {
    thread: Pid,
    /// The processor time of that thread at which the call's is up.
    stop_at: Duration,
}

/// What a guest's checks read.
struct Bytes {
    /// Its address.
    first: usize,
    /// 0 as soon as they may not be there any more.
    count: usize,
}

impl Watched {
    fn look(&self, now_ms: u64) {
        if now_ms < self.due_ms.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        let Some(running) = &state.running else { return };
        // A system that does not say is taken by the clock.
        let left = cpu_time::of_thread(running.thread)
            .map_or(Duration::ZERO, |used| running.stop_at.saturating_sub(used));
        if left.is_zero() {
            state.running = None;
            state.stopped = true;
            state.bytes.write(1);
            self.due_ms.store(NEVER, Ordering::Relaxed);
        } else {
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(NEVER);
            self.due_ms.store(now_ms.saturating_add(left_ms), Ordering::Relaxed);
        }
    }
}

impl Bytes {
    fn write(&self, value: u8) {
        for n in 0..self.count {
            let byte = std::ptr::with_exposed_provenance_mut::<u8>(self.first + n);
            #[allow(unsafe_code, reason = "a byte of a guest's memory, which its compiled code reads")]
            // SAFETY: `watch`'s caller says that the byte is there and can be written to until the `Watch` is dropped,
            // which sets the count to 0 under the lock that is held here. Rust code never reads it; compiled code of
            // the guest does, of which the memory model of Rust does not know: each read gives the old or the new value.
            unsafe { AtomicU8::from_ptr(byte) }.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(bytes: &[AtomicU8]) -> Vec<u8> {
        bytes.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn only_who_has_used_up_its_time_is_stopped_and_only_once() {
        let watchdog = Watchdog::start().unwrap();
        let bytes: [AtomicU8; 3] = Default::default();
        #[allow(unsafe_code, reason = "the test's own bytes")]
        // SAFETY: atomics can be written to through a shared reference, and they outlive the watch.
        let watch = unsafe { watchdog.watch(std::slice::from_raw_parts(bytes.as_ptr().cast(), 3)) };
        watch.begin(Duration::from_millis(30));
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(checked(&bytes), [0, 0, 0], "it slept: that is no processor time");
        let start = Instant::now();
        while checked(&bytes) == [0, 0, 0] {
            assert!(start.elapsed() < Duration::from_secs(10), "it is not stopped");
        }
        while checked(&bytes) != [1, 1, 1] {}
        assert!(watch.end());
        assert_eq!(checked(&bytes), [0, 0, 0]);
        watch.begin(Duration::ZERO);
        // Whether it was stopped meanwhile or not.
        watch.end();
        assert_eq!(checked(&bytes), [0, 0, 0]);
        watch.begin(Duration::ZERO);
        drop(watch);
        let before = checked(&bytes);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(checked(&bytes), before, "nobody writes any more");
    }
}
