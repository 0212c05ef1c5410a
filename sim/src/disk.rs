//! A broker's disk: what is in the page cache, and what of it would survive a loss of power.

use crate::random::Random;
use isthmus_broker_core::replica::EpochHistory;

/// One record, which stands for a batch. Its place in the log is its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) epoch: i32,
    /// Names it among all that clients ever sent.
    pub(crate) id: u64,
}

/// What a flush under way will have synced, unless the log is cut before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flush {
    upto: i64,
    truncations: u64,
}

/// A partition's log, its epochs and its checkpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    records: Vec<Record>,
    /// Epoch and first offset, both rising.
    epochs: Vec<(i32, i64)>,
    /// What a loss of power leaves, at least.
    durable: Vec<Record>,
    /// Up to where this process knows that of all records.
    synced: i64,
    truncations: u64,
    pub(crate) high_watermark_checkpoint: i64,
}

impl Log {
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// From `base` to before `end`, as far as there is any.
    pub(crate) fn read(&self, base: i64, end: i64) -> Vec<Record> {
        let at = |offset: i64| usize::try_from(offset).unwrap_or(0).min(self.records.len());
        self.records[at(base)..at(end).max(at(base))].to_vec()
    }

    pub(crate) fn append(&mut self, record: Record) {
        self.assign_epoch(record.epoch);
        self.records.push(record);
    }

    /// An epoch begins at the log end, unless it is known (rule 13: before its first record).
    pub(crate) fn assign_epoch(&mut self, epoch: i32) {
        if self.latest_epoch().is_none_or(|latest| latest < epoch) {
            self.epochs.push((epoch, self.log_end()));
        }
    }

    pub(crate) fn truncate(&mut self, to: i64) {
        let to = to.max(0);
        self.records.truncate(usize::try_from(to).unwrap_or(0));
        let end = self.log_end();
        self.epochs.retain(|(_, start)| *start < end);
        self.high_watermark_checkpoint = self.high_watermark_checkpoint.min(end);
        self.synced = self.synced.min(end);
        self.truncations += 1;
    }

    /// The process ended without a clean stop: its checkpoint is not believed.
    pub(crate) fn crash(&mut self) {
        self.high_watermark_checkpoint = 0;
        self.synced = 0;
    }

    /// The operating system writes back what it finds; nobody is told.
    pub(crate) fn write_back(&mut self) {
        self.durable.clone_from(&self.records);
    }

    /// All of it is synced.
    pub(crate) fn sync(&mut self) {
        self.write_back();
        self.synced = self.log_end();
    }

    /// Up to where a flush that begins now will have synced.
    pub(crate) fn plan_flush(&self) -> Flush {
        Flush {
            upto: self.log_end(),
            truncations: self.truncations,
        }
    }

    /// That flush is over. What was cut since is not there to be synced.
    pub(crate) fn flushed(&mut self, flush: Flush) {
        if flush.truncations != self.truncations {
            return;
        }
        let upto = usize::try_from(flush.upto).unwrap_or(0);
        if !self.is_durable(flush.upto) {
            self.durable = self.records[..upto].to_vec();
        }
        self.synced = self.synced.max(flush.upto);
    }

    /// That flush failed, and is taken for one that did not.
    pub(crate) fn believe(&mut self, flush: Flush) {
        if flush.truncations == self.truncations {
            self.synced = self.synced.max(flush.upto);
        }
    }

    /// What the process may count on.
    pub(crate) fn synced(&self) -> i64 {
        self.synced
    }

    /// Whether all before `end` survives a loss of power, known or not.
    pub(crate) fn is_durable(&self, end: i64) -> bool {
        let end = usize::try_from(end).unwrap_or(0);
        self.durable.len() >= end && self.durable[..end] == self.records[..end]
    }

    /// The process ended and another opens the log: epochs of no records are gone.
    pub(crate) fn reopen(&mut self) {
        let end = self.log_end();
        self.epochs.retain(|(_, start)| *start < end);
        self.high_watermark_checkpoint = self.high_watermark_checkpoint.min(end);
    }

    /// What was not synced is there or not, from some point on; a truncation that was not synced
    /// may be undone.
    pub(crate) fn lose_power(&mut self, random: &mut Random) {
        let mut same = self.records.iter().zip(&self.durable);
        let common = same.position(|(a, b)| a != b);
        let common = common.unwrap_or_else(|| self.records.len().min(self.durable.len()));
        if random.one_in(2) {
            let kept = common + random.below(self.records.len() - common + 1);
            self.records.truncate(kept);
        } else {
            let kept = common + random.below(self.durable.len() - common + 1);
            self.records = self.durable[..kept].to_vec();
        }
        self.durable.clone_from(&self.records);
        self.epochs.clear();
        for (offset, record) in (0..).zip(&self.records) {
            if self
                .epochs
                .last()
                .is_none_or(|(epoch, _)| *epoch < record.epoch)
            {
                self.epochs.push((record.epoch, offset));
            }
        }
        self.reopen();
    }
}

impl EpochHistory for Log {
    fn log_start(&self) -> i64 {
        0
    }

    fn log_end(&self) -> i64 {
        i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }

    fn latest_epoch(&self) -> Option<i32> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        let Some(&(latest, _)) = self.epochs.last() else {
            return (-1, -1);
        };
        if epoch > latest {
            return (-1, -1);
        }
        if epoch == latest {
            return (latest, self.log_end());
        }
        let above = self
            .epochs
            .iter()
            .position(|(it, _)| *it > epoch)
            .unwrap_or(0);
        let (_, end) = self.epochs[above];
        match above.checked_sub(1) {
            Some(below) => (self.epochs[below].0, end),
            None => (epoch, end),
        }
    }
}
