//! The last offset of each key, in memory of a fixed size.
//!
//! Owns: the table and the hash that stands for a key.
//! Must not know: records, batches, where keys come from.
//! Invariants: never more than `entries_max` keys, so a search always ends at a free slot; an offset
//! once put only grows. A key is known by 128 bits of a keyed hash: the secret comes from the shell,
//! so that no client can choose two keys that the table takes for one.

use std::hash::DefaultHasher;
use std::hash::Hasher as _;

/// Two words of hash, and the offset plus one: all zero is free, so that fresh memory is a table.
type Slot = [u64; 3];

/// Bytes of one slot; with `log.cleaner.dedupe.buffer.size` it gives the number of keys.
pub(super) const SLOT_BYTES: usize = size_of::<Slot>();

/// The table is full: the rest of the log is for another round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    entries: usize,
    entries_max: usize,
    secret: [u64; 2],
}

impl OffsetMap {
    /// A table for `keys_wanted` keys, or as many as fit `bytes` filled to `load`.
    pub(super) fn new(secret: [u64; 2], bytes: usize, load: f64, keys_wanted: u64) -> OffsetMap {
        let slots_max = (bytes / SLOT_BYTES).max(2);
        let entries_max = share(slots_max, load).clamp(1, slots_max - 1);
        let wanted = usize::try_from(keys_wanted).unwrap_or(usize::MAX);
        let (slots, entries_max) = if wanted < entries_max / 2 {
            // At most half full: a small log is quick and needs little memory.
            (wanted * 2 + 2, wanted)
        } else {
            (slots_max, entries_max)
        };
        OffsetMap {
            slots: vec![[0; 3]; slots],
            entries: 0,
            entries_max,
            secret,
        }
    }

    /// Notes that `key` was last seen at `offset`.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) -> Result<(), Full> {
        let hash = self.hash(key);
        let at = self.slot_of(hash);
        let slot = &mut self.slots[at];
        if slot[2] == 0 {
            if self.entries == self.entries_max {
                return Err(Full);
            }
            self.entries += 1;
            *slot = [hash[0], hash[1], 0];
        }
        slot[2] = slot[2].max(offset.unsigned_abs() + 1);
        Ok(())
    }

    /// The last offset of a key; `None` for one that was not put.
    pub(super) fn get(&self, key: &[u8]) -> Option<i64> {
        let slot = &self.slots[self.slot_of(self.hash(key))];
        slot[2]
            .checked_sub(1)
            .map(|offset| i64::try_from(offset).unwrap_or(i64::MAX))
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.secret.map(|secret| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(secret);
            hasher.write(key);
            hasher.finish()
        })
    }

    /// Where a key is, or would be.
    fn slot_of(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let start = usize::try_from(hash[0] % count as u64).unwrap_or(0);
        let probes = (start..count).chain(0..start);
        let is_it = |slot: &Slot| slot[2] == 0 || (slot[0] == hash[0] && slot[1] == hash[1]);
        let mut found = probes.filter(|at| is_it(&self.slots[*at]));
        let Some(at) = found.next() else {
            panic!("{} entries in {count} slots and none free", self.entries);
        };
        at
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a number of slots, from a factor in (0, 1]"
)]
fn share(slots: usize, load: f64) -> usize {
    (slots as f64 * load) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_last_offset_until_the_table_is_full() {
        let mut map = OffsetMap::new([1, 2], 10 * SLOT_BYTES, 0.5, u64::MAX);
        assert_eq!(map.get(b"a"), None);
        for (key, offset) in [("a", 0), ("b", 1), ("a", 7), ("c", 8), ("a", 5)] {
            map.put(key.as_bytes(), offset).unwrap();
        }
        assert_eq!(
            (map.get(b"a"), map.get(b"b"), map.get(b"")),
            (Some(7), Some(1), None)
        );
        map.put(b"d", 9).unwrap();
        map.put(b"", 10).unwrap();
        assert_eq!(map.put(b"e", 11), Err(Full));
        assert_eq!(
            map.put(b"d", i64::MAX - 1),
            Ok(()),
            "a known key needs no room"
        );
        assert_eq!(
            (map.get(b"d"), map.get(b"e"), map.len()),
            (Some(i64::MAX - 1), None, 5)
        );
    }

    #[test]
    fn a_small_log_needs_little_memory() {
        let mut map = OffsetMap::new([1, 2], 1 << 27, 0.9, 3);
        assert_eq!(map.slots.len(), 8);
        for (key, offset) in [("a", 0), ("b", 1), ("c", 2)] {
            map.put(key.as_bytes(), offset).unwrap();
        }
        let empty = OffsetMap::new([1, 2], 1 << 27, 0.9, 0);
        assert_eq!(empty.get(b"a"), None);
    }
}
