//! The leader epochs of a log, as a replica sees them, and where two histories part (KIP-101,
//! KIP-279, rule 13).

use super::fetch::DivergingEpoch;

/// What a replica asks of its log.
pub trait EpochHistory {
    fn log_start(&self) -> i64;

    fn log_end(&self) -> i64;

    /// The newest epoch, if any record or leadership left one.
    fn latest_epoch(&self) -> Option<i32>;

    /// The largest known epoch that is not above `epoch`, and where it ends; (-1, -1) when the
    /// log cannot say.
    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64);
}

/// Whether a follower with `log_end` and `last_fetched_epoch` has another history than `leader`.
pub(super) fn diverging(
    leader: &impl EpochHistory,
    log_end: i64,
    last_fetched_epoch: Option<i32>,
) -> Option<DivergingEpoch> {
    let last_fetched_epoch = last_fetched_epoch?;
    let (epoch, end_offset) = leader.end_offset_for_epoch(last_fetched_epoch);
    let known = epoch >= 0 && end_offset >= 0;
    let parts = epoch < last_fetched_epoch || end_offset < log_end;
    (known && parts).then_some(DivergingEpoch { epoch, end_offset })
}

/// Where a follower cuts its log, told that its leader's `diverging.epoch` ends at
/// `diverging.end_offset`: the end that both know of that epoch. When the follower never had that
/// epoch it goes back to the end of the one before, and asks again.
pub fn truncation_point(follower: &impl EpochHistory, diverging: DivergingEpoch) -> i64 {
    let log_end = follower.log_end();
    let (epoch, own_end) = follower.end_offset_for_epoch(diverging.epoch);
    let common = if epoch < 0 || own_end < 0 {
        // The follower's log begins later, or knows no epochs: the leader's word alone.
        diverging.end_offset
    } else if epoch == diverging.epoch {
        own_end.min(diverging.end_offset)
    } else {
        own_end
    };
    common.clamp(follower.log_start(), log_end.max(follower.log_start()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A log in a line of text: the epoch of each record from offset 0, `1 1 2 2 2`.
    pub(crate) struct Epochs(pub(crate) Vec<i32>);

    impl Epochs {
        pub(crate) fn of(text: &str) -> Self {
            let epochs = text.split_whitespace();
            Self(epochs.map(|epoch| epoch.parse().unwrap()).collect())
        }
    }

    impl EpochHistory for Epochs {
        fn log_start(&self) -> i64 {
            0
        }

        fn log_end(&self) -> i64 {
            self.0.len() as i64
        }

        fn latest_epoch(&self) -> Option<i32> {
            self.0.last().copied()
        }

        fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
            let Some(&latest) = self.0.last() else {
                return (-1, -1);
            };
            if epoch > latest {
                return (-1, -1);
            }
            let end = self.0.iter().filter(|it| **it <= epoch).count();
            match end {
                0 => (epoch, 0),
                _ => (self.0[end - 1], end as i64),
            }
        }
    }

    /// `leader | follower | truncations until both agree`
    const TABLE: &str = "
1 1 2 2     | 1 1 2 2       |
1 1 2 2     | 1 1 2         |
1 1         |               |
1 1 2 2     | 1 1 1 1       | 2
1 1 1 3     | 1 1 2 2 2     | 2
1 2 4 4     | 1 3 3         | 1
1 1 4       | 1 2 2 3 3     | 1
5 5         | 1 1 2         | 0
1 1 1 1     | 1 1           |
1 1 3 3     | 1 1 1 2 2 3   | 4 2
";

    #[test]
    fn a_follower_goes_back_to_the_point_where_histories_part() {
        for row in TABLE.lines().filter(|row| !row.is_empty()) {
            let cells: Vec<&str> = row.split('|').collect();
            let leader = Epochs::of(cells[0]);
            let mut follower = Epochs::of(cells[1]);
            let mut cuts = Vec::new();
            while let Some(diverging) =
                diverging(&leader, follower.log_end(), follower.latest_epoch())
            {
                let to = truncation_point(&follower, diverging);
                assert!(to < follower.log_end(), "{row}: no progress at {to}");
                follower.0.truncate(usize::try_from(to).unwrap());
                cuts.push(to.to_string());
            }
            assert_eq!(cuts.join(" "), cells[2].trim(), "{row}");
            assert!(leader.0.starts_with(&follower.0), "{row}");
        }
    }
}
