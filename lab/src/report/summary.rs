//! The runs of a cell in one row: the middle one, with the range.

use serde::Serialize;

use super::document::RunReport;
use crate::checker::{Latency, OutageKind, Verdict};

/// The least, the middle and the most of some runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Range {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Range {
    /// None if there is nothing.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = values[(values.len() - 1) / 2];
        Some(Self { min, median, max })
    }
}

/// What a table shows of a cell. None where no run has the number.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub runs: usize,
    pub void: usize,
    pub lost_records: Option<Range>,
    pub lost_seconds: Option<Range>,
    /// What failovers said: the least of the runs, and the most if all of them knew it.
    pub said_lost_at_least: Option<Range>,
    pub said_lost_at_most: Option<Range>,
    pub lost_for_a_time_records: Option<Range>,
    pub lost_for_a_time_seconds: Option<Range>,
    /// Of the client that waited longest.
    pub produce_outage_seconds: Option<Range>,
    pub fetch_outage_seconds: Option<Range>,
    /// Runs in which a client never succeeded again.
    pub not_recovered: usize,
    pub duplicates: Option<Range>,
    pub out_of_order: Option<Range>,
    /// Read and gone later, or read though refused.
    pub dirty: Option<Range>,
    /// Come back after they were gone, or never intended.
    pub strange: Option<Range>,
    pub latency_p50_ms: Option<Range>,
    pub latency_p99_ms: Option<Range>,
}

impl Summary {
    /// Runs that are void have no say.
    pub(super) fn of(runs: &[RunReport]) -> Self {
        let counting = runs.iter().filter(|run| run.verdict.void.is_empty());
        let said = counting.clone().filter_map(|run| run.said_lost);
        let at_most: Option<Vec<u64>> = said.clone().map(|it| it.at_most).collect();
        let sound: Vec<&Verdict> = counting.map(|run| &run.verdict).collect();
        let each = |value: &dyn Fn(&Verdict) -> Option<f64>| {
            Range::of(sound.iter().filter_map(|verdict| value(verdict)))
        };
        let count = |value: u64| Some(value as f64);
        let for_a_time = |it: &Verdict| it.lost_for_a_time.clone();
        Self {
            runs: runs.len(),
            void: runs.len() - sound.len(),
            lost_records: each(&|it| count(it.lost.records)),
            lost_seconds: each(&|it| Some(it.lost.seconds)),
            said_lost_at_least: Range::of(said.map(|it| it.at_least as f64)),
            said_lost_at_most: at_most.and_then(|all| Range::of(all.iter().map(|&it| it as f64))),
            lost_for_a_time_records: each(&|it| count(for_a_time(it)?.records)),
            lost_for_a_time_seconds: each(&|it| Some(for_a_time(it)?.seconds)),
            produce_outage_seconds: each(&|it| worst(it, OutageKind::Produce)),
            fetch_outage_seconds: each(&|it| worst(it, OutageKind::Fetch)),
            not_recovered: sound.iter().filter(|it| !recovered(it)).count(),
            duplicates: each(&|it| count(it.duplicates.count)),
            out_of_order: each(&|it| count(it.out_of_order.count + it.keys_moved.count)),
            dirty: each(&|it| count(it.read_then_gone.count + it.refused_yet_read.count)),
            strange: each(&|it| count(it.resurrected.count + it.phantom.count)),
            latency_p50_ms: each(&|it| latency(it).map(|latency| latency.p50_ms)),
            latency_p99_ms: each(&|it| latency(it).map(|latency| latency.p99_ms)),
        }
    }
}

/// If it is to be believed.
fn latency(verdict: &Verdict) -> Option<Latency> {
    verdict.latency.filter(|_| verdict.latency_void.is_empty())
}

fn worst(verdict: &Verdict, kind: OutageKind) -> Option<f64> {
    let outages = verdict.outages.iter().filter(|it| it.kind == kind);
    outages.map(|it| it.seconds).max_by(f64::total_cmp)
}

fn recovered(verdict: &Verdict) -> bool {
    verdict.outages.iter().all(|outage| outage.recovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_values_that_were_seen() {
        let range = |values: &[f64]| Range::of(values.iter().copied());
        assert_eq!(range(&[]), None);
        let expected = Range {
            min: 1.0,
            median: 2.0,
            max: 9.0,
        };
        assert_eq!(range(&[9.0, 1.0, 2.0]), Some(expected));
        assert_eq!(range(&[9.0, 1.0]).unwrap().median, 1.0);
    }
}
