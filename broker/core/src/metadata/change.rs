//! A change of metadata as it stands in the quorum's log: records that become true together.
//!
//! Every change says on what it was decided: by which controller, and behind which record. One
//! that comes to stand elsewhere (from a controller that has been replaced, or behind a change its
//! author had not seen) is a no-op for everyone who applies it (design, decision 6).

use super::{MetadataDelta, MetadataImage, MetadataRecord};

/// Records that become true together, or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataChange {
    /// Epoch of the controller that decided.
    pub controller_epoch: i64,
    /// Offset of the last record it had seen.
    pub expected_last_offset: i64,
    pub records: Vec<MetadataRecord>,
}

/// What a committed change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeVerdict {
    Applied,
    /// It was decided on another image than the one it met; nothing happened.
    Stale {
        controller_epoch: i64,
        last_offset: i64,
    },
}

impl MetadataImage {
    /// Applies a committed change, or leaves the image as it is.
    pub fn apply_change(
        &mut self,
        change: &MetadataChange,
        delta: &mut MetadataDelta,
    ) -> ChangeVerdict {
        let decided_on = (change.controller_epoch, change.expected_last_offset);
        if decided_on != (self.controller_epoch, self.offset) {
            return ChangeVerdict::Stale {
                controller_epoch: self.controller_epoch,
                last_offset: self.offset,
            };
        }
        for record in &change.records {
            self.apply(self.offset + 1, record, delta);
        }
        ChangeVerdict::Applied
    }
}
