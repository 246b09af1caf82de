//! Answers that are kept for a while. Only answers: that there is none for a key is asked again each time, for it may
//! come any moment, and a record that waits for it should not wait longer.

use hashlink::LruCache;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// What an entry takes besides its key and value, bytes.
const ENTRY_BYTES: usize = 128;

/// Answers by key, the ones used last; bounded in bytes and in time.
pub(super) struct Cache {
    age_max: Duration,
    bytes_max: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    answers: LruCache<Vec<u8>, (Instant, Vec<u8>)>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(age_max: Duration, bytes_max: usize) -> Self {
        let kept = Mutex::new(Kept { answers: LruCache::new_unbounded(), bytes: 0 });
        Cache { age_max, bytes_max, kept }
    }

    /// What is known of these keys.
    pub(super) fn get(&self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let mut kept = self.kept.lock();
        let now = Instant::now();
        let known = |key: &Vec<u8>| {
            let (since, answer) = kept.answers.get(key)?;
            (now.duration_since(*since) < self.age_max).then(|| answer.clone())
        };
        keys.iter().map(known).collect()
    }

    /// Keeps an answer that was asked for at `since`.
    pub(super) fn put(&self, key: &[u8], answer: &[u8], since: Instant) {
        let bytes = size(key, answer);
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.kept.lock();
        let before = kept.answers.insert(key.to_vec(), (since, answer.to_vec()));
        kept.bytes += bytes;
        kept.bytes -= before.map_or(0, |(_, before)| size(key, &before));
        while kept.bytes > self.bytes_max {
            let Some((key, (_, answer))) = kept.answers.remove_lru() else { break };
            kept.bytes -= size(&key, &answer);
        }
    }
}

fn size(key: &[u8], answer: &[u8]) -> usize {
    key.len() + answer.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_or_too_much_is_asked_again() {
        let cache = Cache::new(Duration::from_secs(60), 3 * (ENTRY_BYTES + 10));
        let now = Instant::now();
        let keys =
            |keys: &[&str]| -> Vec<Vec<u8>> { keys.iter().map(|key| key.as_bytes().to_vec()).collect() };
        for key in ["a", "b", "c"] {
            cache.put(key.as_bytes(), b"12345678", now);
        }
        assert_eq!(
            cache.get(&keys(&["a", "x", "c"])),
            [Some(b"12345678".to_vec()), None, Some(b"12345678".to_vec())]
        );
        // `b` was used least.
        cache.put(b"d", b"12345678", now);
        assert_eq!(cache.get(&keys(&["b"])), [None]);
        cache.put(b"a", b"new", now);
        assert_eq!(cache.get(&keys(&["a", "c", "d"])).into_iter().flatten().count(), 3);
        cache.put(b"huge", &[0; 1_000], now);
        assert_eq!(cache.get(&keys(&["huge", "a"])), [None, Some(b"new".to_vec())]);
        let old = Cache::new(Duration::ZERO, 1_000);
        old.put(b"a", b"1", now);
        assert_eq!(old.get(&keys(&["a"])), [None]);
    }
}
