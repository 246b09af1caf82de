//! Tells whoever follows the catalog that it was changed.

use tokio::sync::watch;

/// Wakes all that listen: none of them takes the word away from the others, and none that is busy misses it.
#[derive(Clone, Debug)]
pub struct Wake(watch::Sender<u64>);

/// One that listens.
#[derive(Debug)]
pub struct Woken(watch::Receiver<u64>);

impl Default for Wake {
    fn default() -> Self {
        Wake(watch::Sender::new(0))
    }
}

impl Wake {
    /// Wakes all.
    pub fn all(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Somebody who listens from now on.
    pub fn listen(&self) -> Woken {
        Woken(self.0.subscribe())
    }
}

impl Woken {
    /// Waits until it is woken; at once if it was since the last time.
    pub async fn up(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could wake it.
            std::future::pending::<()>().await;
        }
    }
}
