//! A log as its replica described it from afar: enough to say what it would cut off under a leader.
//!
//! Must not know: how it was asked. What it holds came from another node and is not trusted: nothing
//! here fails on it.

use super::epochs::{EpochHistory, diverging, truncation_point};

/// Where a log begins and ends, and when its epochs began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownLog {
    pub log_start: i64,
    pub log_end: i64,
    /// Each epoch and its first offset, both rising. Empty where the log knows none.
    pub epochs: Vec<(i32, i64)>,
}

impl EpochHistory for KnownLog {
    fn log_start(&self) -> i64 {
        self.log_start
    }

    fn log_end(&self) -> i64 {
        self.log_end
    }

    fn latest_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        if self.latest_epoch() == Some(epoch) {
            return (epoch, self.log_end);
        }
        let above = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let Some((_, begins)) = self.epochs.get(above) else {
            return (-1, -1);
        };
        let found = above.checked_sub(1).map_or(epoch, |at| self.epochs[at].0);
        (found, *begins)
    }
}

impl KnownLog {
    /// Where it will end once it follows `leader` in `leader_epoch`, an epoch that begins at the end
    /// of the leader's log: what is behind is cut off (rule 13).
    pub fn kept_under(&self, leader: &Self, leader_epoch: i32) -> i64 {
        let mut leader = leader.clone();
        leader.epochs.push((leader_epoch, leader.log_end));
        let mut own = self.clone();
        while let Some(diverging) = diverging(&leader, own.log_end, own.latest_epoch()) {
            let to = truncation_point(&own, diverging);
            if to >= own.log_end {
                break;
            }
            own.log_end = to;
            own.epochs.retain(|(_, begins)| *begins < to);
        }
        own.log_end.min(leader.log_end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::epochs::tests::Epochs;
    use super::*;

    /// From a line with the epoch of each record.
    fn known(text: &str) -> KnownLog {
        let of_records = Epochs::of(text).0;
        let mut epochs: Vec<(i32, i64)> = Vec::new();
        for (offset, epoch) in (0..).zip(&of_records) {
            if epochs.last().is_none_or(|(last, _)| last != epoch) {
                epochs.push((*epoch, offset));
            }
        }
        KnownLog {
            log_start: 0,
            log_end: of_records.len() as i64,
            epochs,
        }
    }

    /// `leader | follower | where the follower ends`
    const TABLE: &str = "
1 1 2 2     | 1 1 2 2       | 4
1 1 2 2     | 1 1 2         | 3
1 1         | 1 1 2 2       | 2
1 1         |               | 0
            | 1 1           | 0
1 1 2 2     | 1 1 1 1       | 2
1 1 1 3     | 1 1 2 2 2     | 2
1 2 4 4     | 1 3 3         | 1
1 1 4       | 1 2 2 3 3     | 1
5 5         | 1 1 2         | 0
1 1 1 1     | 1 1           | 2
1 1 3 3     | 1 1 1 2 2 3   | 2
";

    #[test]
    fn what_stays_is_what_both_have() {
        for row in TABLE.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').collect();
            let (leader, follower) = (known(cells[0]), known(cells[1]));
            let kept = follower.kept_under(&leader, 9);
            assert_eq!(kept.to_string(), cells[2].trim(), "{row}");
            let (leader, follower) = (Epochs::of(cells[0]).0, Epochs::of(cells[1]).0);
            let kept = usize::try_from(kept).unwrap();
            assert!(leader.starts_with(&follower[..kept]), "{row}");
        }
    }

    #[test]
    fn what_makes_no_sense_ends_all_the_same() {
        let odd = KnownLog {
            log_start: 70,
            log_end: 5,
            epochs: vec![(4, 90), (2, 3), (2, 1)],
        };
        let sound = known("1 1 2");
        assert!(odd.kept_under(&sound, 3) <= 5);
        assert!(sound.kept_under(&odd, -1) <= 3);
    }
}
