//! Which partition a key belongs to: the rule of Java's producers, so that every log and every producer agree.

/// The partition of a key among `partitions`: `(murmur2(key) & 0x7fffffff) % partitions`.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    let partitions = u32::try_from(partitions).unwrap_or(1).max(1);
    i32::try_from(positive % partitions).unwrap_or(0)
}

/// Kafka's variant of MurmurHash2 (32 bits, seed 0x9747b28c).
fn murmur2(data: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut word = word.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        word = word.wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_javas_producers_put_them() {
        let places: Vec<i32> = ["1", "2", "3", "4", "5"].map(|key| partition_of(key.as_bytes(), 3)).to_vec();
        assert_eq!(places, [0, 2, 2, 1, 0]);
    }

    #[test]
    fn the_hash_is_javas() {
        // From Kafka's own UtilsTest.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
