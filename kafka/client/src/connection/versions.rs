//! What both sides of a connection speak, as ApiVersions told.

use std::collections::BTreeMap;

use isthmus_wire::messages::ApiVersionsResponse;
use isthmus_wire::{ApiKey, VersionRange};

/// The versions that the broker and this client have in common, by kind of request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommonVersions {
    common: BTreeMap<i16, VersionRange>,
    features: BTreeMap<String, i16>,
}

impl CommonVersions {
    /// Kinds of requests unknown here and ranges that do not meet ours are left out.
    pub fn of(response: &ApiVersionsResponse) -> Self {
        let mut common = BTreeMap::new();
        for theirs in &response.api_keys {
            let range = VersionRange::new(theirs.min_version, theirs.max_version);
            let known = ApiKey::try_from(theirs.api_key).ok();
            if let Some(both) = known.and_then(|key| key.versions().intersection(range)) {
                common.insert(theirs.api_key, both);
            }
        }
        let finalized = response.finalized_features.iter();
        let features = finalized.map(|feature| (feature.name.clone(), feature.max_version_level));
        Self {
            common,
            features: features.collect(),
        }
    }

    /// The common versions of a kind of request.
    pub fn range(&self, api: ApiKey) -> Option<VersionRange> {
        self.common.get(&api.into()).copied()
    }

    /// The highest common version that is not above `version_max`.
    pub fn highest(&self, api: ApiKey, version_max: i16) -> Option<i16> {
        let range = self.range(api)?;
        let version = range.max.min(version_max);
        range.contains(version).then_some(version)
    }

    /// Level of a feature that the cluster finalized, such as `transaction.version`.
    pub fn feature(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::messages::api_versions_response::ApiVersion;

    fn common(rows: &[(i16, i16, i16)]) -> CommonVersions {
        let row = |&(api_key, min_version, max_version)| ApiVersion {
            api_key,
            min_version,
            max_version,
        };
        let api_keys = rows.iter().map(row).collect();
        CommonVersions::of(&ApiVersionsResponse {
            api_keys,
            ..Default::default()
        })
    }

    #[test]
    fn the_highest_common_version_within_the_limit() {
        let ours = ApiKey::Fetch.versions();
        let versions = common(&[(1, 0, 12), (3, 5, 999), (2, 900, 901), (30_000, 0, 3)]);
        assert_eq!(versions.highest(ApiKey::Fetch, i16::MAX), Some(12));
        assert_eq!(versions.highest(ApiKey::Fetch, 7), Some(7));
        assert_eq!(versions.highest(ApiKey::Fetch, ours.min - 1), None);
        let metadata = ApiKey::Metadata.versions().max;
        assert_eq!(versions.highest(ApiKey::Metadata, i16::MAX), Some(metadata));
        assert_eq!(versions.highest(ApiKey::Metadata, 4), None);
        assert_eq!(versions.highest(ApiKey::ListOffsets, i16::MAX), None);
        assert_eq!(versions.highest(ApiKey::Produce, i16::MAX), None);
    }
}
