//! Which partition of `__consumer_offsets` coordinates a group.

/// Kafka's rule: Java's hash of the group id, its absolute value, modulo the partition count.
///
/// Java hashes UTF-16 code units, and its smallest int, which has no absolute value, counts as 0.
/// A mask of the sign bit would give other partitions for half of all ids.
pub fn partition_for(group_id: &str, partitions: u32) -> u32 {
    assert!(partitions > 0, "the offsets topic has no partitions");
    let hash = java_hash(group_id);
    hash.checked_abs().map_or(0, i32::unsigned_abs) % partitions
}

fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_of_kafka() {
        // id, its hash, its partition of 50 and of 7, as Kafka 4.2 computes them.
        for (id, hash, of_50, of_7) in [
            ("", 0, 0, 0),
            ("a", 97, 47, 6),
            ("my-group", -1_906_497_762, 12, 1),
            ("hello", 99_162_322, 22, 0),
            ("polygenelubricants", i32::MIN, 0, 0),
            ("\u{1f600}", 1_772_899, 49, 2),
            ("gr\u{fc}ppe", -1_233_264_812, 12, 3),
            ("console-consumer-12345", 158_455_506, 6, 6),
            ("connect-cluster", 1_440_343_063, 13, 5),
            ("Aa", 2112, 12, 5),
            ("BB", 2112, 12, 5),
        ] {
            assert_eq!(java_hash(id), hash, "{id}");
            assert_eq!(partition_for(id, 50), of_50, "{id}");
            assert_eq!(partition_for(id, 7), of_7, "{id}");
        }
    }
}
