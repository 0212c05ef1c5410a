//! The leader of a partition: which writes it takes, and up to where readers may see.
//!
//! Owns the leader epoch, the in-sync replicas with what is known of their logs, and the high
//! watermark. Knows nothing of files, of waiting requests or of time.
//!
//! Invariants, checked by [`Leader::check`] after every change:
//! - `high_watermark <= log_end` of this replica, and it never goes back within an epoch;
//! - this broker is a member of its own ISR.

use std::collections::BTreeMap;

/// Why an acks=all write is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendRefused {
    pub isr: usize,
    pub min_insync_replicas: usize,
}

/// The leader's view of one partition.
#[derive(Debug, Clone)]
pub struct Leader {
    broker_id: i32,
    epoch: i32,
    /// Log end offset per member of the ISR; this broker's own is the log's.
    isr: BTreeMap<i32, i64>,
    replicas: usize,
    min_insync_replicas: usize,
    high_watermark: i64,
}

impl Leader {
    /// Takes the lead in `epoch` with a log of [`log_start`, `log_end`).
    ///
    /// `high_watermark` comes from the checkpoint file, which is written rarely: it may lie before
    /// the log's start or, after a truncation, behind its end. Both are drawn into the log.
    pub fn new(
        broker_id: i32,
        epoch: i32,
        isr: &[i32],
        replicas: usize,
        min_insync_replicas: usize,
        log: std::ops::Range<i64>,
        high_watermark: i64,
    ) -> Self {
        let isr = isr
            .iter()
            .map(|&member| {
                (
                    member,
                    if member == broker_id {
                        log.end
                    } else {
                        log.start
                    },
                )
            })
            .collect();
        let mut leader = Self {
            broker_id,
            epoch,
            isr,
            replicas,
            min_insync_replicas,
            high_watermark: high_watermark.clamp(log.start, log.end),
        };
        leader.advance();
        leader.check();
        leader
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// A change of `min.insync.replicas`; returns whether the high watermark moved.
    pub fn set_min_insync_replicas(&mut self, min_insync_replicas: usize) -> bool {
        self.min_insync_replicas = min_insync_replicas;
        self.advance()
    }

    /// Rule 1 of the semantics: an acks=all write needs an ISR of at least
    /// min(`min.insync.replicas`, replication factor); acks 0 and 1 are not asked.
    pub fn admit_acks_all(&self) -> Result<(), AppendRefused> {
        if self.isr_suffices() {
            return Ok(());
        }
        Err(AppendRefused {
            isr: self.isr.len(),
            min_insync_replicas: self.min_insync_replicas,
        })
    }

    /// This replica's log now ends at `log_end`; returns whether the high watermark moved.
    pub fn appended(&mut self, log_end: i64) -> bool {
        let own = self
            .isr
            .get_mut(&self.broker_id)
            .expect("the leader is in its ISR");
        assert!(
            log_end >= *own,
            "the log went back under its leader: {log_end} < {own}"
        );
        *own = log_end;
        let moved = self.advance();
        self.check();
        moved
    }

    /// Records were deleted up to `log_start`: nothing before it is to be read any more.
    pub fn log_start_moved(&mut self, log_start: i64) {
        self.high_watermark = self.high_watermark.max(log_start);
        self.check();
    }

    /// Rules 3 and 4: the least log end of the ISR, and frozen while the ISR is too small.
    fn advance(&mut self) -> bool {
        if !self.isr_suffices() {
            return false;
        }
        let reached = self
            .isr
            .values()
            .copied()
            .min()
            .unwrap_or(self.high_watermark);
        let moved = reached > self.high_watermark;
        self.high_watermark = self.high_watermark.max(reached);
        moved
    }

    fn isr_suffices(&self) -> bool {
        self.isr.len() >= self.min_insync_replicas.min(self.replicas)
    }

    fn check(&self) {
        let own = self.isr.get(&self.broker_id).copied();
        assert!(
            own.is_some(),
            "broker {} leads outside its ISR {:?}",
            self.broker_id,
            self.isr
        );
        assert!(
            own >= Some(self.high_watermark),
            "high watermark {} is beyond the log end {own:?}",
            self.high_watermark
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(min_insync: usize, log_end: i64, high_watermark: i64) -> Leader {
        Leader::new(1, 0, &[1], 1, min_insync, 0..log_end, high_watermark)
    }

    #[test]
    fn the_only_replica_shows_what_it_has() {
        let mut leader = alone(1, 0, 0);
        assert!(leader.appended(7));
        assert_eq!(leader.high_watermark(), 7);
        assert!(!leader.appended(7));
    }

    #[test]
    fn min_insync_is_bounded_by_the_replication_factor() {
        let leader = alone(2, 5, 0);
        assert_eq!(leader.admit_acks_all(), Ok(()));
        assert_eq!(leader.high_watermark(), 5);
    }

    #[test]
    fn a_small_isr_freezes_the_high_watermark_and_refuses_acks_all() {
        let mut leader = Leader::new(1, 0, &[1], 3, 2, 0..5, 3);
        assert_eq!(
            leader.admit_acks_all(),
            Err(AppendRefused {
                isr: 1,
                min_insync_replicas: 2
            })
        );
        assert!(!leader.appended(9));
        assert_eq!(leader.high_watermark(), 3);
        assert!(leader.set_min_insync_replicas(1));
        assert_eq!(leader.high_watermark(), 9);
    }

    #[test]
    fn a_follower_in_the_isr_holds_the_high_watermark() {
        let mut leader = Leader::new(1, 4, &[1, 2], 2, 1, 10..20, 12);
        assert_eq!(leader.high_watermark(), 12);
        assert!(!leader.appended(30));
        assert_eq!(leader.high_watermark(), 12);
    }

    #[test]
    fn a_checkpoint_outside_the_log_is_drawn_into_it() {
        assert_eq!(
            Leader::new(1, 0, &[1, 2], 2, 1, 10..20, 99).high_watermark(),
            20
        );
        assert_eq!(
            Leader::new(1, 0, &[1, 2], 2, 1, 10..20, 3).high_watermark(),
            10
        );
    }
}
