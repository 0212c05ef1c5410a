//! A log as the cores of replication ask it.

use isthmus_broker_core::replica::EpochHistory;
use isthmus_log::Log;
use isthmus_log::disk::ProcessDisk;
use std::ops::Range;

pub(super) struct ReplicaLog<'a>(pub(super) &'a Log<ProcessDisk>);

impl ReplicaLog<'_> {
    pub(super) fn range(&self) -> Range<i64> {
        self.log_start()..self.log_end()
    }
}

impl EpochHistory for ReplicaLog<'_> {
    fn log_start(&self) -> i64 {
        self.0.log_start_offset()
    }

    fn log_end(&self) -> i64 {
        self.0.log_end_offset()
    }

    fn latest_epoch(&self) -> Option<i32> {
        self.0.latest_epoch()
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        self.0.end_offset_for_epoch(epoch)
    }
}
