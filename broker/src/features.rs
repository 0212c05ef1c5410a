//! Feature levels this build supports (KIP-584). A finalized level stands in metadata.

/// A feature and the range of its levels.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

/// Which metadata records may be written: a record above the level never is, and a directory of a
/// higher level is refused (design, frozen formats).
pub(crate) const METADATA_LEVEL: Feature = Feature {
    name: "isthmus.metadata.level",
    min: 1,
    max: 1,
};

pub(crate) const SUPPORTED: &[Feature] = &[METADATA_LEVEL];
