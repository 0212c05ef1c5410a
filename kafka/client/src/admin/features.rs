//! Feature levels (KIP-584): what a broker says of them in ApiVersions, and UpdateFeatures 0-2.
//!
//! Each broker supports a range of levels; the cluster has one level, or none. A change is the
//! controller's.

use std::collections::BTreeMap;

use isthmus_wire::messages::update_features_request::FeatureUpdateKey;
use isthmus_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::Admin;
use crate::cluster::{Destination, RequestError, Verdict};

/// What one broker says of features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The levels this broker supports, from and to.
    pub supported: BTreeMap<String, (i16, i16)>,
    /// The levels of the cluster, as far as this broker has heard.
    pub finalized: BTreeMap<String, i16>,
    /// Grows with the levels; `None` while the broker has heard of none.
    pub epoch: Option<i64>,
}

impl From<ApiVersionsResponse> for Features {
    fn from(response: ApiVersionsResponse) -> Self {
        let supported = response.supported_features.into_iter();
        let finalized = response.finalized_features.into_iter();
        let epoch = response.finalized_features_epoch;
        Self {
            supported: supported
                .map(|it| (it.name, (it.min_version, it.max_version)))
                .collect(),
            finalized: finalized
                .map(|it| (it.name, it.max_version_level))
                .collect(),
            epoch: (epoch >= 0).then_some(epoch),
        }
    }
}

/// What may be done to a level; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    Upgrade = 1,
    SafeDowngrade = 2,
    UnsafeDowngrade = 3,
}

/// One level that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    pub feature: String,
    pub level: i16,
    pub upgrade_type: UpgradeType,
}

impl Admin {
    /// The levels that a broker supports, and those of its cluster.
    pub async fn broker_features(&self, broker: i32) -> Result<Features, RequestError> {
        let build = |_version| ApiVersionsRequest {
            client_software_name: env!("CARGO_PKG_NAME").to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let judge = |response: &ApiVersionsResponse| Verdict::from(response.error_code);
        let to = Destination::Broker(broker);
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        Ok(Features::from(request.await?))
    }

    /// Changes levels, all of them or none. `validate_only` cannot be said in version 0 (before
    /// Kafka 3.3), and fails there before anything is sent.
    pub async fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Result<(), RequestError> {
        let build = |version| UpdateFeaturesRequest {
            timeout_ms: self.broker_timeout_ms(),
            feature_updates: updates.iter().map(|it| to_wire(it, version)).collect(),
            validate_only,
        };
        let request = self.cluster.request(
            Destination::Controller,
            i16::MAX,
            self.deadline(),
            build,
            judge,
        );
        request.await.map(drop)
    }
}

/// Up to version 0 a flag says whether a level may be lowered.
fn to_wire(update: &FeatureUpdate, version: i16) -> FeatureUpdateKey {
    let mut key = FeatureUpdateKey {
        feature: update.feature.clone(),
        max_version_level: update.level,
        ..FeatureUpdateKey::default()
    };
    if version == 0 {
        key.allow_downgrade = update.upgrade_type != UpgradeType::Upgrade;
    } else {
        key.upgrade_type = update.upgrade_type as i8;
    }
    key
}

/// Up to version 1 each update has an answer of its own.
fn judge(response: &UpdateFeaturesResponse) -> Verdict {
    if response.error_code.is_error() {
        return Verdict {
            code: response.error_code,
            message: response.error_message.clone(),
        };
    }
    let refused = response
        .results
        .iter()
        .find(|result| result.error_code.is_error());
    refused.map_or(Verdict::DONE, |result| Verdict {
        code: result.error_code,
        message: result.error_message.clone(),
    })
}
