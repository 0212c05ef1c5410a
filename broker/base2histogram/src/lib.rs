//! The histogram that the Raft library keeps of its own batches and latencies.
//!
//! Stands in for the crate of the same name, by `[patch.crates-io]` in the workspace: that one
//! fills tables for all sixteen precisions when the first histogram is made, 27 MB and 30 ms at
//! every start of a broker whose budget is 15 MB, and the library uses one precision. Here a
//! bucket's bounds are computed when they are asked for. Only what the library calls is offered.
//! Why, and when this may go: docs/decisions/2026-11-22-openraft-histogram-without-tables.md.
//!
//! A value below eight is its own bucket; above, each power of two is parted into four, so that a
//! percentile is at most a quarter too low.

mod chart;

pub use chart::{AsciiChart, Detailed};
use std::fmt;
use std::marker::PhantomData;

/// Buckets in one power of two, and the bits that number them.
const PARTS_BITS: u32 = 2;
const PARTS: usize = 1 << PARTS_BITS;

/// Counts of values in buckets of growing width. The parameter is the original's and unused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// As many as the highest value so far needs.
    counts: Vec<u64>,
    _slots: PhantomData<T>,
}

/// Lower bounds of the buckets in which the percentiles lie; all 0 without samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl<T> Histogram<T> {
    pub fn new() -> Self {
        Self {
            counts: Vec::new(),
            _slots: PhantomData,
        }
    }

    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Records the same value so many times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let bucket = bucket_of(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
    }

    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.samples();
        let at = |permille| self.percentile(samples, permille);
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    fn samples(&self) -> u64 {
        let add = |sum: u64, count: &u64| sum.saturating_add(*count);
        self.counts.iter().fold(0, add)
    }

    /// The first bucket at which that many thousandths of the samples are behind us.
    fn percentile(&self, samples: u64, permille: u64) -> u64 {
        let wanted = u128::from(samples) * u128::from(permille);
        let mut passed = 0_u128;
        for (bucket, &count) in self.counts.iter().enumerate() {
            passed += u128::from(count) * 1000;
            if count > 0 && passed >= wanted {
                return least_of(bucket);
            }
        }
        0
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples,
            p50,
            p90,
            p99,
            p99_9,
            ..
        } = self;
        write!(f, "n={samples} p50={p50} p90={p90} p99={p99} p99.9={p99_9}")
    }
}

fn bucket_of(value: u64) -> usize {
    if value < PARTS as u64 {
        return value as usize;
    }
    let power = value.ilog2();
    let part = (value >> (power - PARTS_BITS)) as usize & (PARTS - 1);
    PARTS * (power - PARTS_BITS + 1) as usize + part
}

fn least_of(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let (shift, part) = (bucket / PARTS - 1, bucket % PARTS);
    ((PARTS + part) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_join_without_gap_up_to_the_highest_value() {
        assert!((0..8).all(|value| least_of(bucket_of(value)) == value));
        let highest = bucket_of(u64::MAX);
        for bucket in 1..=highest {
            let least = least_of(bucket);
            assert_eq!(bucket_of(least), bucket);
            assert_eq!(bucket_of(least - 1), bucket - 1);
        }
        assert_eq!(highest, 63 * PARTS - 1);
    }

    #[test]
    fn a_percentile_is_at_most_a_quarter_too_low() {
        let mut histogram = Histogram::<()>::new();
        (1..=10_000).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        assert_eq!(stats.samples, 10_000);
        let told = [
            (stats.p0_1, 10),
            (stats.p1, 100),
            (stats.p5, 500),
            (stats.p10, 1_000),
            (stats.p50, 5_000),
            (stats.p90, 9_000),
            (stats.p99, 9_900),
            (stats.p99_9, 9_990),
        ];
        for (found, exact) in told {
            assert!(
                found <= exact && found * 5 >= exact * 4,
                "{found} of {exact}"
            );
        }
    }

    #[test]
    fn nothing_recorded_reads_as_zeros() {
        let stats = Histogram::<()>::new().percentile_stats();
        assert_eq!(stats.to_string(), "n=0 p50=0 p90=0 p99=0 p99.9=0");
    }

    #[test]
    fn counting_takes_as_much_as_its_values_need() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(u64::MAX, u64::MAX);
        histogram.record(u64::MAX);
        assert!(histogram.counts.len() < 256);
        assert_eq!(histogram.percentile_stats().samples, u64::MAX);
    }
}
