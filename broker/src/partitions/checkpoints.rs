//! The checkpoint files of the data directory: an offset of each partition in each.

use super::partition::Checkpoint;
use super::{Cut, Partition, Partitions, PartitionsError};
use crate::clocks;
use isthmus_log::{CheckpointKind, OffsetCheckpoint};
use std::sync::Arc;

/// What the checkpoint files said when the directory was opened.
pub(super) struct Checkpoints {
    pub(super) recovery_points: OffsetCheckpoint,
    pub(super) log_starts: OffsetCheckpoint,
    pub(super) high_watermarks: OffsetCheckpoint,
    pub(super) cleaned: OffsetCheckpoint,
    pub(super) clean_shutdown: bool,
}

impl Checkpoints {
    /// What is known of a partition that is new here.
    pub(super) fn none() -> Self {
        Self {
            recovery_points: OffsetCheckpoint::new(),
            log_starts: OffsetCheckpoint::new(),
            high_watermarks: OffsetCheckpoint::new(),
            cleaned: OffsetCheckpoint::new(),
            clean_shutdown: false,
        }
    }
}

impl Partitions {
    /// Everything that was remembered; `clean_shutdown` says how far to believe it.
    pub(super) fn read_checkpoints(&self, clean_shutdown: bool) -> Checkpoints {
        Checkpoints {
            recovery_points: self.read_checkpoint(CheckpointKind::RecoveryPoint),
            log_starts: self.read_checkpoint(CheckpointKind::LogStartOffset),
            high_watermarks: self.read_checkpoint(CheckpointKind::HighWatermark),
            cleaned: self.read_checkpoint(CheckpointKind::Cleaner),
            clean_shutdown,
        }
    }

    /// An unreadable checkpoint counts as empty: more is read through again, nothing is lost.
    fn read_checkpoint(&self, kind: CheckpointKind) -> OffsetCheckpoint {
        self.directory
            .read_checkpoint(kind)
            .unwrap_or_else(|error| {
                tracing::warn!(event = "checkpoint_unreadable", ?kind, %error);
                OffsetCheckpoint::new()
            })
    }

    pub(crate) fn checkpoint_recovery_points(&self) -> Result<(), PartitionsError> {
        self.write_checkpoint(CheckpointKind::RecoveryPoint, |now| {
            Some(now.recovery_point)
        })
    }

    /// Only logs whose start has moved stand in this file.
    pub(crate) fn checkpoint_log_starts(&self) -> Result<(), PartitionsError> {
        self.write_checkpoint(CheckpointKind::LogStartOffset, |now| {
            Some(now.log_start_offset).filter(|&offset| offset > 0)
        })
    }

    pub(crate) fn checkpoint_high_watermarks(&self) -> Result<(), PartitionsError> {
        self.write_checkpoint(CheckpointKind::HighWatermark, |now| {
            Some(now.high_watermark)
        })
    }

    /// Only logs that were cleaned stand in this file.
    pub(crate) fn checkpoint_cleaned(&self) -> Result<(), PartitionsError> {
        self.write_checkpoint(CheckpointKind::Cleaner, |now| now.cleaned_to)
    }

    fn write_checkpoint(
        &self,
        kind: CheckpointKind,
        of: impl Fn(Checkpoint) -> Option<i64>,
    ) -> Result<(), PartitionsError> {
        let _turn = self.checkpointing.lock();
        let entry = |partition: Arc<Partition>| {
            let offset = of(partition.checkpoint()?)?;
            Some(((partition.topic().to_owned(), partition.index()), offset))
        };
        let offsets: OffsetCheckpoint = self.all().into_iter().filter_map(entry).collect();
        Ok(self.directory.write_checkpoint(kind, &offsets)?)
    }

    /// Cuts followers' logs where their leaders say. Both checkpoints come down before (rule 13): a
    /// crash in between must find neither a high watermark nor a recovery point beyond the cut. What is
    /// cut away is kept as far as it may be.
    pub(crate) fn cut(&self, cuts: &[(Arc<Partition>, Cut)]) -> Result<(), PartitionsError> {
        self.checkpoint_high_watermarks()?;
        self.checkpoint_recovery_points()?;
        for (partition, cut) in cuts {
            let away = self.keep_evidence(partition, cut);
            let made = partition.cut(cut, clocks::wall_ms())?;
            match away {
                Some(away) if made => self.was_cut(partition, cut, &away),
                Some(away) => self.was_not_cut(&away),
                None => {}
            }
        }
        Ok(())
    }
}
