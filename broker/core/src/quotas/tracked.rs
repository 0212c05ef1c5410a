//! A value for each of those who are measured, in bounded memory.
//!
//! Whoever was silent for [`INACTIVE_MS`] is forgotten, as in Kafka. Names are chosen by clients, so
//! there is a bound besides: beyond [`BYTES_MAX`] the half that was silent longest is forgotten at
//! once, which costs each newcomer little on average.

use std::collections::BTreeMap;

/// Kafka's: an hour.
const INACTIVE_MS: i64 = 3_600_000;

/// Names and values of all of one map: over ten thousand with names of usual length.
const BYTES_MAX: usize = 8 << 20;

/// About what an entry takes besides its name: a meter with all its samples.
const ENTRY_BYTES: usize = 512;

/// What a name takes beyond the usual.
pub trait Footprint {
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
pub struct Tracked<K, M> {
    entries: BTreeMap<K, Entry<M>>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<M> {
    value: M,
    used_ms: i64,
}

impl<K, M> Default for Tracked<K, M> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl<K: Ord + Clone + Footprint, M: Default> Tracked<K, M> {
    /// The value of `key`, made when there is none yet.
    pub fn of(&mut self, key: &K, now_ms: i64) -> &mut M {
        if !self.entries.contains_key(key) {
            let more = weight(key);
            if self.bytes + more > BYTES_MAX {
                self.forget_half();
            }
            self.bytes += more;
        }
        let fresh = || Entry {
            value: M::default(),
            used_ms: now_ms,
        };
        let entry = self.entries.entry(key.clone()).or_insert_with(fresh);
        entry.used_ms = now_ms;
        &mut entry.value
    }

    /// Forgets who was silent for long.
    pub fn forget_inactive(&mut self, now_ms: i64) {
        self.keep(|entry| now_ms - entry.used_ms < INACTIVE_MS);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget_half(&mut self) {
        let mut times: Vec<i64> = self.entries.values().map(|entry| entry.used_ms).collect();
        let middle = times.len() / 2;
        if middle < times.len() {
            let (_, &mut median, _) = times.select_nth_unstable(middle);
            self.keep(|entry| entry.used_ms > median);
        }
    }

    fn keep(&mut self, wanted: impl Fn(&Entry<M>) -> bool) {
        self.entries.retain(|_, entry| wanted(entry));
        self.bytes = self.entries.keys().map(weight).sum();
    }
}

fn weight<K: Footprint>(key: &K) -> usize {
    ENTRY_BYTES + key.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Footprint for String {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn any_number_of_names_takes_bounded_memory_and_the_busy_stay() {
        let mut tracked: Tracked<String, u32> = Tracked::default();
        let busy = "busy".to_owned();
        for number in 0..40_000_i32 {
            *tracked.of(&format!("client-{number}"), number.into()) += 1;
            *tracked.of(&busy, number.into()) += 1;
            assert!(tracked.bytes <= BYTES_MAX);
        }
        assert_eq!(*tracked.of(&busy, 40_000), 40_000);
        assert!(
            (1_000..20_000).contains(&tracked.len()),
            "{}",
            tracked.len()
        );
        let long = "x".repeat(30_000);
        for number in 0..1_000_i32 {
            tracked.of(&format!("{number}{long}"), 50_000 + i64::from(number));
            assert!(tracked.bytes <= BYTES_MAX);
        }
        assert!(tracked.len() < 300, "{}", tracked.len());
    }

    #[test]
    fn the_silent_are_forgotten() {
        let mut tracked: Tracked<String, u32> = Tracked::default();
        tracked.of(&"a".to_owned(), 0);
        tracked.of(&"b".to_owned(), 1);
        tracked.forget_inactive(INACTIVE_MS);
        assert_eq!((tracked.len(), tracked.bytes), (1, ENTRY_BYTES + 1));
        assert!(!tracked.is_empty());
    }
}
