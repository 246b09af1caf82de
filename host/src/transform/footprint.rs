//! When a lane gives an instance back. Guests' memories never shrink: what one large batch took, or a backlog of them,
//! would be held for as long as the lane lives.

use std::time::{Duration, Instant};

/// How much of an instance's memory stays with the engine when the instance is gone, to make the next one quickly. An
/// instance that has no more than this is not worth giving back.
pub(super) const KEPT_RESIDENT_BYTES: usize = 4 << 20;

/// For so long no batch must have needed the memory. Another instance costs milliseconds at most.
const KEPT: Duration = Duration::from_secs(10);

/// What the batches of an instance needed.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    /// Bytes of the largest batch.
    largest: usize,
    /// When the last one was worked through that was at least half as large.
    needed: Option<Instant>,
}

impl Footprint {
    /// A batch of so many bytes is worked through.
    pub(super) fn works(&mut self, bytes: usize, now: Instant) {
        if bytes >= self.largest / 2 {
            self.largest = self.largest.max(bytes);
            self.needed = Some(now);
        }
    }

    /// Whether an instance with so much memory has not needed that much for a while.
    pub(super) fn is_outgrown(&self, memory_bytes: u64, now: Instant) -> bool {
        memory_bytes > KEPT_RESIDENT_BYTES as u64
            && self.needed.is_some_and(|needed| now.saturating_duration_since(needed) > KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u64 = 2 * KEPT_RESIDENT_BYTES as u64;

    #[test]
    fn what_small_batches_do_not_need_is_given_back_after_a_while() {
        let (start, mut footprint) = (Instant::now(), Footprint::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!footprint.is_outgrown(LARGE, at(100)), "nothing was worked through");
        footprint.works(1_000_000, at(0));
        footprint.works(10, at(9));
        assert!(!footprint.is_outgrown(LARGE, at(9)), "too early");
        assert!(footprint.is_outgrown(LARGE, at(11)), "only a small batch since");
        assert!(!footprint.is_outgrown(LARGE / 2, at(11)), "so little is kept");
        footprint.works(500_000, at(12));
        assert!(!footprint.is_outgrown(LARGE, at(20)), "half as large needs about as much");
    }
}
