//! When a lane gives an instance back. Guests' memories never shrink: what one large batch took, or a backlog of them,
//! would be held for as long as the lane lives.

use std::time::{Duration, Instant};

/// An instance is not worth giving back before it has grown by a half: collectors of garbage let a heap grow by so much
/// between two collections, whatever its batches need.
fn is_grown(begun: u64, bytes: u64) -> bool {
    bytes > begun.saturating_add(begun / 2)
}

/// For so long no batch must have needed the memory: another instance costs milliseconds, of some languages a hundred.
const KEPT: Duration = Duration::from_secs(10);

/// What an instance began with, and what its batches needed.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    /// Its memory before its first batch, bytes.
    begun: u64,
    /// Bytes of its largest batch.
    largest: usize,
    /// When the last one was worked through that was at least half as large.
    needed: Option<Instant>,
}

impl Footprint {
    /// That of a new instance.
    pub(super) fn of(memory_bytes: u64) -> Self {
        Footprint { begun: memory_bytes, ..Footprint::default() }
    }

    /// A batch of so many bytes is worked through.
    pub(super) fn works(&mut self, bytes: usize, now: Instant) {
        if bytes >= self.largest / 2 {
            self.largest = self.largest.max(bytes);
            self.needed = Some(now);
        }
    }

    /// Whether an instance with so much memory has not needed that much for a while.
    pub(super) fn is_outgrown(&self, memory_bytes: u64, now: Instant) -> bool {
        is_grown(self.begun, memory_bytes)
            && self.needed.is_some_and(|needed| now.saturating_duration_since(needed) > KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_small_batches_do_not_need_is_given_back_after_a_while() {
        const BEGUN: u64 = 40 << 20;
        const LARGE: u64 = 2 * BEGUN;
        let (start, mut footprint) = (Instant::now(), Footprint::of(BEGUN));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!footprint.is_outgrown(LARGE, at(100)), "nothing was worked through");
        footprint.works(1_000_000, at(0));
        footprint.works(10, at(9));
        assert!(!footprint.is_outgrown(LARGE, at(9)), "too early");
        assert!(footprint.is_outgrown(LARGE, at(11)), "only a small batch since");
        assert!(
            !footprint.is_outgrown(BEGUN + BEGUN / 2, at(11)),
            "so little is kept: heaps of other languages grow by it between two collections"
        );
        footprint.works(500_000, at(12));
        assert!(!footprint.is_outgrown(LARGE, at(20)), "half as large needs about as much");
    }
}
