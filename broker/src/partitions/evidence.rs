//! Evidence of what is cut off: the suffix of a follower's log is a file before it is gone.
//!
//! Kept is what rule 13 takes away, and nothing else: not the log of a replica that is dropped, nor one
//! that is emptied because its leader's log begins later, whose records were committed and then deleted.
//! Where keeping fails the log is cut all the same, with a WARN line: a follower that waited for a full
//! disk would leave its partitions one replica short for as long. Steps: 1. handles on the suffix, under
//! the partition's lock; 2. it is copied and synced, outside of it; 3. the cut, which a new role may have
//! made void: then the file goes again. A crash between 2 and 3 leaves the file, and the log as it was:
//! it is cut again after the start, into a second file.

use super::following::Cut;
use super::{Partition, Partitions};
use crate::clocks;
use isthmus_log::disk::{Disk, ProcessDisk};
use isthmus_log::{CutOff, Evidence, ReadError, Suffix};
use std::io;

/// What a cut takes away, and where it is now.
pub(super) struct CutAway {
    suffix: Suffix<<ProcessDisk as Disk>::File>,
    records: u64,
    kept: Option<Evidence>,
}

#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("could not read what is cut: {0}")]
    Unreadable(#[from] ReadError),
    #[error("could not copy what is cut: {0}")]
    Copy(#[from] io::Error),
}

impl Partitions {
    /// Before a log is cut. `None` where nothing is cut away, or nothing can be known of it.
    pub(super) fn keep_evidence(&self, partition: &Partition, cut: &Cut) -> Option<CutAway> {
        match self.look_at(partition, cut) {
            Ok(away) => away,
            Err(error) => {
                not_kept(partition, cut, &error);
                None
            }
        }
    }

    fn look_at(&self, partition: &Partition, cut: &Cut) -> Result<Option<CutAway>, NotKept> {
        let Some(suffix) = partition.suffix_of(cut)? else {
            return Ok(None);
        };
        let records = suffix.records()?;
        let of = CutOff {
            topic: partition.topic(),
            partition: partition.index(),
            leader_epoch: cut.leader_epoch(),
            now_ms: clocks::wall_ms(),
        };
        let turn = self.keeping_evidence.lock();
        let bytes_max = self.settings.evidence_max_bytes;
        let kept = self.directory.keep_evidence(of, &suffix, bytes_max);
        drop(turn);
        let kept = kept.unwrap_or_else(|error| {
            not_kept(partition, cut, &error.into());
            None
        });
        Ok(Some(CutAway {
            suffix,
            records,
            kept,
        }))
    }

    /// The cut was made.
    pub(super) fn was_cut(&self, partition: &Partition, cut: &Cut, away: &CutAway) {
        let CutAway {
            suffix,
            records,
            kept,
        } = away;
        self.metrics.truncated_records.inc_by(*records);
        self.metrics.truncated_bytes.inc_by(suffix.bytes);
        let (file, kept_to) = match kept {
            Some(kept) => (kept.path.display().to_string(), kept.end_offset),
            None => ("none".to_owned(), suffix.first_offset),
        };
        tracing::info!(
            event = "records_truncated",
            topic = partition.topic(),
            partition = partition.index(),
            leader_epoch = cut.leader_epoch(),
            first_offset = suffix.first_offset,
            end_offset = suffix.end_offset,
            records,
            bytes = suffix.bytes,
            file,
            kept_to,
            "its leader does not have them"
        );
    }

    /// A new role has made the cut void: what was kept is in the log still.
    pub(super) fn was_not_cut(&self, away: &CutAway) {
        let Some(kept) = &away.kept else { return };
        if let Err(error) = self.directory.withdraw_evidence(kept) {
            let file = kept.path.display();
            tracing::warn!(event = "evidence_not_withdrawn", %file, %error, "nothing in it was cut off");
        }
    }
}

fn not_kept(partition: &Partition, cut: &Cut, error: &NotKept) {
    tracing::warn!(
        event = "evidence_not_kept",
        topic = partition.topic(),
        partition = partition.index(),
        leader_epoch = cut.leader_epoch(),
        %error,
        "what its leader does not have is cut off without a copy"
    );
}
