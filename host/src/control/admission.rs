//! How much comes in at once: bytes under way, and records in a second. What is too much is refused at once (429)
//! and costs nothing.

use super::problem::Problem;
use super::state::IngestLimits;
use parking_lot::Mutex;
use std::time::Instant;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The gate of ingest.
pub(super) struct Admission {
    bytes: Semaphore,
    bytes_max: u32,
    rate: Option<Mutex<Bucket>>,
}

impl Admission {
    pub(super) fn new(limits: &IngestLimits) -> Self {
        let bytes_max = u32::try_from(limits.in_flight_bytes_max).unwrap_or(u32::MAX).max(1);
        let rate = limits.records_per_s_max.map(|rate| {
            let burst = f64::from(rate).max(limits.request_records_max as f64);
            Mutex::new(Bucket { rate: f64::from(rate.max(1)), burst, tokens: burst, at: Instant::now() })
        });
        Admission { bytes: Semaphore::new(bytes_max as usize), bytes_max, rate }
    }

    /// Room for a body of so many bytes, until the answer is dropped.
    pub(super) fn room(&self, bytes: usize) -> Result<Room<'_>, Problem> {
        let mut room = Room { admission: self, held: None, bytes: 0 };
        room.reach(bytes)?;
        Ok(room)
    }

    /// Takes so many records of this second's, or none.
    pub(super) fn records(&self, records: usize) -> Result<(), Problem> {
        let Some(bucket) = &self.rate else { return Ok(()) };
        bucket.lock().take(records as f64, Instant::now()).map_err(|wait_s| {
            Problem::busy("more records in a second than this host takes", wait_s.ceil() as u64)
        })
    }
}

/// Room for a body. One larger than all the room there is takes it all.
pub(super) struct Room<'a> {
    admission: &'a Admission,
    held: Option<SemaphorePermit<'a>>,
    bytes: u32,
}

impl Room<'_> {
    /// Grows to so many bytes, if it is smaller.
    pub(super) fn reach(&mut self, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.admission.bytes_max);
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let more = self
            .admission
            .bytes
            .try_acquire_many(more)
            .map_err(|_| Problem::busy("too many bytes are being worked on at the moment", 1))?;
        match &mut self.held {
            Some(held) => held.merge(more),
            held => *held = Some(more),
        }
        self.bytes = bytes;
        Ok(())
    }
}

/// A bucket of tokens that fills at a rate.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Takes tokens, or answers how many seconds to wait for them.
    fn take(&mut self, count: f64, now: Instant) -> Result<(), f64> {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + filled).min(self.burst);
        self.at = now;
        if count <= self.tokens {
            self.tokens -= count;
            return Ok(());
        }
        Err((count - self.tokens) / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_gives_its_rate_and_says_when_to_come_back() {
        let start = Instant::now();
        let mut bucket = Bucket { rate: 10.0, burst: 20.0, tokens: 20.0, at: start };
        assert_eq!(bucket.take(20.0, start), Ok(()));
        assert_eq!(bucket.take(5.0, start), Err(0.5));
        assert_eq!(bucket.take(5.0, start + Duration::from_millis(500)), Ok(()));
        // It never holds more than its burst.
        assert!(bucket.take(21.0, start + Duration::from_secs(60)).is_err());
        assert_eq!(bucket.take(20.0, start + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn bytes_come_back_when_the_work_is_done() {
        let admission = Admission::new(&IngestLimits { in_flight_bytes_max: 10, ..IngestLimits::default() });
        let mut held = admission.room(2).unwrap();
        held.reach(6).unwrap();
        assert!(admission.room(6).is_err());
        assert!(admission.room(4).is_ok());
        drop(held);
        drop(admission.room(1_000).unwrap());
        assert!(admission.room(10).is_ok());
    }
}
