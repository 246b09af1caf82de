//! Clients that are done with. librdkafka and its binding wait in their destructors: for purged messages to be
//! reported, for a group to be left, for threads to end, and while a broker is away without an end. A lane that opens
//! its publisher again, and above all a take-over, for which the whole group waits, must not.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// How often a discarded client is looked at whether nobody else holds it any more: ever less often, for a call that
/// hangs holds it for good.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_secs(10);

/// A client that is destroyed on a thread of its own, on whatever path it is dropped.
pub(super) struct Aside<T: Send + Sync + 'static>(Arc<T>);

impl<T: Send + Sync + 'static> Aside<T> {
    pub(super) fn new(client: T) -> Self {
        Aside(Arc::new(client))
    }
}

impl<T: Send + Sync + 'static> Aside<T> {
    /// The client, for a call on another thread: it is not destroyed before that ends.
    pub(super) fn shared(&self) -> Arc<T> {
        self.0.clone()
    }
}

impl<T: Send + Sync + 'static> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        discard(self.0.clone());
    }
}

/// Destroys a client on a thread of its own, once nobody else holds it. Answers a channel that ends when it is gone.
pub(super) fn discard<T: Send + Sync + 'static>(client: Arc<T>) -> mpsc::Receiver<()> {
    let (alive, gone) = mpsc::channel();
    let destroying = std::thread::Builder::new().name("discard".to_owned()).spawn(move || {
        let _alive: mpsc::Sender<()> = alive;
        let mut look = LOOK_FIRST;
        while Arc::strong_count(&client) > 1 {
            std::thread::sleep(look);
            look = (look * 2).min(LOOK_LAST);
        }
        drop(client);
    });
    if let Err(error) = destroying {
        tracing::warn!(%error, "no thread to destroy a Kafka client on");
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::RecvTimeoutError;
    use std::time::Instant;

    /// Something whose destructor takes its time.
    struct Slow(Duration);

    impl Drop for Slow {
        fn drop(&mut self) {
            std::thread::sleep(self.0);
        }
    }

    #[test]
    fn nobody_waits_for_a_destructor_unless_he_wants_to() {
        let start = Instant::now();
        drop(Aside::new(Slow(Duration::from_secs(60))));
        let gone = discard(Arc::new(Slow(Duration::from_secs(60))));
        assert_eq!(gone.recv_timeout(Duration::from_millis(10)), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() < Duration::from_secs(30));
        let gone = discard(Arc::new(Slow(Duration::ZERO)));
        assert_eq!(gone.recv_timeout(Duration::from_secs(30)), Err(RecvTimeoutError::Disconnected));
    }
}
