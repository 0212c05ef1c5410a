//! Feature levels this build supports (KIP-584). A finalized level stands in metadata.

use isthmus_broker_core::metadata::{self, FeatureRange, MetadataImage, metadata_level};

/// Which metadata records may be written: a record above the level never is, and a directory of a
/// higher level is refused (design, frozen formats). And which rules hold that all nodes must follow for
/// one to rely on them. What each level added: docs/formats/README.md.
pub(crate) const METADATA_LEVEL: FeatureRange = FeatureRange {
    name: metadata::METADATA_LEVEL,
    min: 1,
    max: metadata::RACKS_LEVEL,
};

/// From this level on leaders need a lease (rule 20): builds before it neither confirm heartbeats nor say
/// what they follow.
const LEASE_LEVEL: i16 = 2;

/// From this level on a recovery of the quorum may stand in the metadata.
pub(crate) const RECOVERY_LEVEL: i16 = 2;

pub(crate) fn leases_are_given(image: &MetadataImage) -> bool {
    metadata_level(image) >= LEASE_LEVEL
}

pub(crate) const SUPPORTED: &[FeatureRange] = &[METADATA_LEVEL];
