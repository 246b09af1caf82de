//! librdkafka's transaction calls take a time limit, and now and then wait for ever all the same: when a broker goes
//! away between two steps of a call, its answer is lost, and the caller waits for it without a limit (seen in
//! `send_offsets_to_transaction` with librdkafka 2.12.1, a broker killed under it). A lane that hangs so cannot even be
//! given back, and the whole group waits for it. So these calls run on a thread beside the lane's, which is left
//! behind, with its producer, when patience is at its end.

use parking_lot::Mutex;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

/// How much longer than its own time limit a call is waited for.
const GRACE: Duration = Duration::from_secs(5);

type Call = Box<dyn FnOnce() + Send>;

/// A thread for calls that may hang.
#[derive(Default)]
pub(super) struct Patience {
    /// To the thread; none before the first call, and after one that hung.
    calls: Mutex<Option<Sender<Call>>>,
}

impl Patience {
    /// Makes a call with a time limit of its own; `None` if it hangs, or if there is no thread for it.
    pub(super) fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        let call: Call = Box::new(move || drop(answer.send(call())));
        let mut calls = self.calls.lock();
        let thread = match calls.take() {
            Some(thread) => thread,
            None => start()?,
        };
        thread.send(call).ok()?;
        let answer = answered.recv_timeout(limit + GRACE).ok()?;
        *calls = Some(thread);
        Some(answer)
    }
}

/// A thread that makes one call after the other until nobody can ask for more.
fn start() -> Option<Sender<Call>> {
    let (thread, calls) = mpsc::channel::<Call>();
    let started = std::thread::Builder::new().name("publish-calls".to_owned()).spawn(move || {
        for call in calls {
            call();
        }
    });
    started.ok().map(|_| thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_answered_and_what_hangs_is_left_behind() {
        let patience = Patience::default();
        assert_eq!(patience.call(Duration::from_secs(60), || 1), Some(1));
        let (_held, never) = mpsc::channel::<()>();
        let hangs = move || never.recv().is_ok();
        assert_eq!(patience.call(Duration::ZERO, hangs), None);
        assert_eq!(
            patience.call(Duration::from_secs(60), || 2),
            Some(2),
            "the next call has a thread of its own"
        );
    }
}
