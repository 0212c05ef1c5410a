//! Feature levels this build supports (KIP-584). A finalized level stands in metadata.

use isthmus_broker_core::metadata::FeatureRange;

/// Which metadata records may be written: a record above the level never is, and a directory of a
/// higher level is refused (design, frozen formats).
pub(crate) const METADATA_LEVEL: FeatureRange = FeatureRange {
    name: "isthmus.metadata.level",
    min: 1,
    max: 1,
};

pub(crate) const SUPPORTED: &[FeatureRange] = &[METADATA_LEVEL];
