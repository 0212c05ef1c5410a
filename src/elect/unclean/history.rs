//! A replica's epochs, learned from the newest back: each answer of OffsetForLeaderEpoch tells where one
//! epoch began, and which was before it.

use isthmus_broker_core::replica::KnownLog;

/// What was learned so far.
#[derive(Debug)]
pub(super) struct History {
    log: KnownLog,
    /// The newest first.
    epochs: Vec<(i32, i64)>,
    /// The epoch whose beginning is looked for.
    sought: Option<i32>,
}

impl History {
    /// `newest` is the newest epoch that the replica knows.
    pub(super) fn new(log_start: i64, log_end: i64, newest: Option<i32>) -> Self {
        let log = KnownLog {
            log_start,
            log_end,
            epochs: Vec::new(),
        };
        let mut history = Self {
            log,
            epochs: Vec::new(),
            sought: newest,
        };
        if history.asks().is_none() {
            history.begins_with_the_log();
        }
        history
    }

    /// The end of which epoch is to be asked for next; nothing once all is known.
    pub(super) fn asks(&self) -> Option<i32> {
        self.sought.map(|it| it - 1).filter(|it| *it >= 0)
    }

    /// The largest epoch that is not above the one asked for, and where it ends; nothing where the log
    /// cannot say.
    pub(super) fn told(&mut self, epoch: Option<i32>, end: Option<i64>) {
        let (Some(sought), Some(epoch), Some(begins)) = (self.sought, epoch, end) else {
            self.begins_with_the_log();
            return;
        };
        let newer = self.epochs.last().map(|(_, begins)| *begins);
        if newer.is_some_and(|newer| newer <= begins) {
            // Nothing was written in the one looked for: it is below all that the log knows.
            self.sought = None;
            return;
        }
        self.epochs.push((sought, begins));
        self.sought = Some(epoch).filter(|it| *it < sought && begins > self.log.log_start);
        if self.asks().is_none() {
            self.begins_with_the_log();
        }
    }

    fn begins_with_the_log(&mut self) {
        if let Some(sought) = self.sought.take() {
            self.epochs.push((sought, self.log.log_start));
        }
    }

    pub(super) fn into_log(self) -> KnownLog {
        KnownLog {
            epochs: self.epochs.into_iter().rev().collect(),
            ..self.log
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_broker_core::replica::EpochHistory;

    fn learned(log: &KnownLog) -> KnownLog {
        let mut history = History::new(log.log_start, log.log_end, log.latest_epoch());
        let mut rounds = 0;
        while let Some(asked) = history.asks() {
            let (epoch, end) = log.end_offset_for_epoch(asked);
            history.told(
                Some(epoch).filter(|it| *it >= 0),
                Some(end).filter(|it| *it >= 0),
            );
            rounds += 1;
            assert!(rounds <= log.epochs.len() + 1, "{log:?}");
        }
        history.into_log()
    }

    #[test]
    fn all_epochs_are_learned_whatever_their_gaps() {
        let stories: [(i64, &[(i32, i64)]); 8] = [
            (0, &[]),
            (0, &[(0, 0)]),
            (3, &[(7, 3)]),
            // What came before it has no epoch.
            (3, &[(7, 5)]),
            (0, &[(0, 0), (1, 4), (2, 9)]),
            (2, &[(3, 2), (9, 4), (10, 5), (40, 19)]),
            (2, &[(3, 4), (9, 6)]),
            // A leader that has written nothing yet.
            (0, &[(3, 0), (9, 4), (10, 20)]),
        ];
        for (log_start, epochs) in stories {
            let log = KnownLog {
                log_start,
                log_end: 20,
                epochs: epochs.to_vec(),
            };
            assert_eq!(learned(&log), log);
        }
    }
}
