//! The longest silence around what was done to a node, from the rows of one producer.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::clock::Micros;
use crate::ledger::{ENDING, LedgerError, Outcome, Row, read_file};

/// When acknowledgements came, by partition.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    partitions: BTreeMap<i32, Vec<Micros>>,
}

/// How long nothing was acknowledged in some partition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Silence {
    pub(crate) seconds: f64,
    pub(crate) partition: i32,
    /// Whether there was an acknowledgement after it.
    pub(crate) ended: bool,
}

impl Acknowledged {
    /// What a producer has written down so far, in its first start.
    pub(crate) fn read(ledgers: &Path, name: &str) -> Result<Self, LedgerError> {
        let mut ledger = read_file(&ledgers.join(format!("{name}-1.{ENDING}")))?;
        let mut acknowledged = Self::default();
        while let Some(row) = ledger.next_row()? {
            acknowledged.row(&row);
        }
        acknowledged.sort();
        Ok(acknowledged)
    }

    fn row(&mut self, row: &Row) {
        if let Row::Intended(record) = row
            && record.outcome == Outcome::Acked
            && let Some((partition, _)) = record.place
        {
            let times = self.partitions.entry(partition).or_default();
            times.push(record.done_us);
        }
    }

    /// Rows come in the order of answers, and these in about that of time.
    fn sort(&mut self) {
        for times in self.partitions.values_mut() {
            times.sort_unstable();
        }
    }

    /// How many partitions were answered after `since`.
    pub(crate) fn partitions_since(&self, since: Micros) -> usize {
        let last = self.partitions.values().filter_map(|times| times.last());
        last.filter(|&&last| last > since).count()
    }

    /// The first answer after `since`, in any partition.
    pub(crate) fn first_since(&self, since: Micros) -> Option<Micros> {
        let later = self.partitions.values().filter_map(|times| {
            let at = times.partition_point(|&time| time <= since);
            times.get(at)
        });
        later.min().copied()
    }

    /// The longest one that began before `back` and ended after `from`. None where nothing was ever
    /// acknowledged before.
    pub(crate) fn longest_silence(&self, from: Micros, back: Micros) -> Option<Silence> {
        let end = self.partitions.values().filter_map(|times| times.last());
        let end = end.copied().max().unwrap_or(0);
        let silences = self.partitions.iter().filter_map(|(&partition, times)| {
            longest(times, from, back, end).map(|(length, ended)| Silence {
                seconds: length as f64 / 1e6,
                partition,
                ended,
            })
        });
        silences.max_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}

/// Its length, and whether it ended; one that did not lasts until anything was last acknowledged.
fn longest(times: &[Micros], from: Micros, back: Micros, end: Micros) -> Option<(Micros, bool)> {
    let first = times.partition_point(|&time| time <= from).checked_sub(1)?;
    let pairs = times[first..].windows(2);
    let pairs = pairs.take_while(|pair| pair[0] < back);
    let lengths = pairs.map(|pair| (pair[1] - pair[0], true));
    let last = times[times.len() - 1];
    let open = (last < back && end > last).then(|| (end - last, false));
    lengths.chain(open).max_by_key(|it| it.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[Micros], from: Micros, back: Micros, expected: Option<(Micros, bool)>) {
        assert_eq!(longest(times, from, back, 1_000), expected, "{times:?}");
    }

    #[test]
    fn a_silence_counts_from_the_last_answer_before_the_kill() {
        check(&[10, 20, 120, 130], 25, 200, Some((870, false)));
        check(&[10, 20, 120, 130, 1_000], 25, 100, Some((100, true)));
    }

    #[test]
    fn silences_before_the_kill_and_after_the_return_are_none_of_its() {
        let times = [0, 400, 410, 450, 455, 990, 1_000];
        check(&times, 405, 452, Some((40, true)));
        check(&times, 405, 456, Some((535, true)));
    }

    #[test]
    fn a_second_silence_while_the_node_is_away_counts() {
        check(
            &[0, 10, 30, 40, 340, 350, 1_000],
            11,
            345,
            Some((300, true)),
        );
    }

    #[test]
    fn without_an_answer_before_there_is_no_gap() {
        check(&[500, 600], 100, 700, None);
        check(&[], 100, 700, None);
    }

    #[test]
    fn the_worst_partition_speaks_for_the_client() {
        let mut acknowledged = Acknowledged::default();
        let times = [
            (0, vec![0, 100, 5_000_000]),
            (1, vec![0, 2_000_000, 4_000_000]),
        ];
        acknowledged.partitions.extend(times);
        let found = acknowledged.longest_silence(200, 3_000_000).unwrap();
        assert_eq!((found.partition, found.ended), (0, true));
        assert!((found.seconds - 4.9999).abs() < 1e-9);
        let since = [0, 4_500_000, 5_000_000];
        let partitions = since.map(|since| acknowledged.partitions_since(since));
        assert_eq!(partitions, [2, 1, 0]);
        let firsts = [100, 4_000_000, 5_000_000].map(|since| acknowledged.first_since(since));
        assert_eq!(firsts, [Some(2_000_000), Some(5_000_000), None]);
    }
}
