//! Stops guests whose time is up: where their code is ([`super::interrupt`]), and where it lets the host work for it, by the
//! byte that it reads before ([`super::stoppable`]).

use super::cpu_time;
use super::interrupt::{self, Stop, Stoppable};
use parking_lot::Mutex;
use rustix::thread::Pid;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often the watchdog looks: the granularity of guests' time limits.
const LOOK: Duration = Duration::from_millis(10);
/// How often while a guest is to stop, and has not been met in its code.
const AGAIN: Duration = Duration::from_micros(500);
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
    /// The system makes no thread, or takes no signal handler.
    pub(super) fn start() -> std::io::Result<Arc<Self>> {
        interrupt::install()?;
        let watchdog = Arc::new(Watchdog { began: Instant::now(), watched: Mutex::default() });
        let looking = Arc::downgrade(&watchdog);
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            while let Some(watchdog) = looking.upgrade() {
                let again = watchdog.look();
                drop(watchdog);
                std::thread::sleep(if again { AGAIN } else { LOOK });
            }
        })?;
        Ok(watchdog)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER)
    }

    /// Answers whether a guest is to stop and has not yet.
    fn look(&self) -> bool {
        let now_ms = self.now_ms();
        let mut again = false;
        self.watched.lock().retain(|watched| {
            let watched = watched.upgrade();
            again |= watched.as_ref().is_some_and(|watched| watched.look(now_ms));
            watched.is_some()
        });
        again
    }

    /// Watches an instance that is stopped by this, and reads this byte.
    #[allow(
        unsafe_code,
        reason = "a byte of a guest's memory, to which another thread writes while the guest runs"
    )]
    /// # Safety
    /// The byte can be written to, nobody but the guest's checks and what comes back here uses it, and it is there until
    /// what comes back is dropped.
    pub(super) unsafe fn watch(self: &Arc<Self>, stop: Arc<Stop>, byte: &u8) -> Watch {
        let byte = Byte(Some(std::ptr::from_ref(byte).expose_provenance()));
        let watched = Arc::new(Watched {
            due_ms: AtomicU64::new(NEVER),
            stop,
            state: Mutex::new(State { running: None, byte }),
        });
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
    /// A call begins, on this thread, which may take so much of its processor time: until it has had `stop_at`.
    pub(super) fn begin(&self, time: Duration, stop_at: Duration) -> Watching<'_> {
        self.watched.state.lock().running = Some(Running { thread: cpu_time::this_thread(), stop_at });
        // By the clock it takes at least as long.
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(NEVER);
        self.watched.due_ms.store(self.watchdog.now_ms().saturating_add(time_ms), Ordering::Relaxed);
        Watching { watched: Some(&self.watched), _stoppable: Stoppable::by(&self.watched.stop) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.state.lock().byte.0 = None;
    }
}

/// A call that is watched, until this is dropped.
pub(super) struct Watching<'a> {
    /// Absent when it has ended.
    watched: Option<&'a Watched>,
    _stoppable: Stoppable<'a>,
}

impl Watching<'_> {
    /// The call has ended. Answers whether its time was up: if it came back all the same, the next one is not stopped.
    pub(super) fn end(mut self) -> bool {
        self.watched.take().is_some_and(Watched::end)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        // A panic of the host's came out of it.
        self.watched.take().map(Watched::end);
    }
}

struct Watched {
    /// When somebody must look, on the watchdog's clock.
    due_ms: AtomicU64,
    stop: Arc<Stop>,
    state: Mutex<State>,
}

struct State {
    running: Option<Running>,
    byte: Byte,
}

struct Running {
    thread: Pid,
    /// The processor time of that thread at which the call's is up.
    stop_at: Duration,
}

/// The address of what a guest's checks read; `None` as soon as it may not be there any more.
struct Byte(Option<usize>);

impl Watched {
    /// Answers whether it is to stop and has not yet.
    fn look(&self, now_ms: u64) -> bool {
        if now_ms < self.due_ms.load(Ordering::Relaxed) {
            return false;
        }
        let state = self.state.lock();
        let Some(running) = &state.running else { return false };
        // A system that does not say is taken by the clock.
        let used = if self.stop.is_wanted() { None } else { cpu_time::of_thread(running.thread) };
        let left = used.map_or(Duration::ZERO, |used| running.stop_at.saturating_sub(used));
        if left.is_zero() {
            state.byte.write(1);
            // The lock keeps the call, and so its thread, from ending meanwhile.
            self.stop.want(running.thread);
        } else {
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(NEVER);
            self.due_ms.store(now_ms.saturating_add(left_ms), Ordering::Relaxed);
        }
        left.is_zero()
    }

    fn end(&self) -> bool {
        self.due_ms.store(NEVER, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.running = None;
        let stopped = self.stop.take();
        if stopped {
            state.byte.write(0);
        }
        stopped
    }
}

impl Byte {
    fn write(&self, value: u8) {
        let Some(address) = self.0 else { return };
        let byte = std::ptr::with_exposed_provenance_mut::<u8>(address);
        #[allow(unsafe_code, reason = "a byte of a guest's memory, which its compiled code reads")]
        // SAFETY: `watch`'s caller says that the byte is there and can be written to until the `Watch` is dropped, which
        // takes the address away under the lock that is held here. Rust code never reads it; compiled code of the guest
        // does, of which the memory model of Rust does not know: each read gives the old or the new value.
        unsafe { AtomicU8::from_ptr(byte) }.store(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(watchdog: &Arc<Watchdog>, byte: &AtomicU8) -> Watch {
        #[allow(unsafe_code, reason = "the test's own byte")]
        // SAFETY: an atomic can be written to through a shared reference, and it outlives the watch.
        unsafe {
            watchdog.watch(Arc::new(Stop::nowhere()), &*byte.as_ptr())
        }
    }

    fn begin(watch: &Watch, time: Duration) -> Watching<'_> {
        watch.begin(time, cpu_time::of_this_thread() + time)
    }

    #[test]
    fn only_who_has_used_up_its_time_is_stopped_and_only_once() {
        let watchdog = Watchdog::start().unwrap();
        let byte = AtomicU8::new(0);
        let read = || byte.load(Ordering::Relaxed);
        let watch = watched(&watchdog, &byte);
        let call = begin(&watch, Duration::from_millis(30));
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(read(), 0, "it slept: that is no processor time");
        let start = Instant::now();
        while read() == 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "it is not stopped");
        }
        assert!(call.end());
        assert_eq!(read(), 0);
        // Whether it is stopped meanwhile or not, however it ends.
        begin(&watch, Duration::ZERO).end();
        assert_eq!(read(), 0);
        drop(begin(&watch, Duration::ZERO));
        assert_eq!(read(), 0);
        drop(watch);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(read(), 0, "nobody writes any more");
    }
}
