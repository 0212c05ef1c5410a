//! Decisions on feature levels (KIP-584): raised by the operator, within what everyone supports.
//!
//! Words and codes are Kafka's. One update that is refused refuses the whole request. A level is
//! never lowered: records of the higher one may stand in the log already.

use super::{MetadataImage, MetadataRecord};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::FeatureLevelRecord;

/// The feature that says which records may be written and which rules may be relied on
/// (docs/formats/README.md has what each level added).
pub const METADATA_LEVEL: &str = "isthmus.metadata.level";

/// From this level on topics may ask for racks (rule 21): builds before it know nothing of them, neither as
/// leaders nor as controllers.
pub const RACKS_LEVEL: i16 = 3;

/// The level that counts; a cluster that never had one is at the first.
pub fn metadata_level(image: &MetadataImage) -> i16 {
    let level = image.features().get(METADATA_LEVEL);
    level.copied().unwrap_or(1)
}

/// A feature and the range of levels that a node supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureRange {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
}

/// What a client may do to a level; the numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeType {
    Upgrade = 1,
    SafeDowngrade = 2,
    UnsafeDowngrade = 3,
}

impl UpgradeType {
    pub fn from_code(code: i8) -> Option<Self> {
        [Self::Upgrade, Self::SafeDowngrade, Self::UnsafeDowngrade]
            .into_iter()
            .find(|kind| *kind as i8 == code)
    }
}

/// One level that a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    pub feature: String,
    pub level: i16,
    /// As sent: what is none of Kafka's is refused here.
    pub upgrade_type: i8,
}

/// A refusal of a whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureError {
    pub code: ErrorCode,
    pub message: String,
}

/// The records of all updates, or the first reason against one. `node_id` is the controller that
/// decides, whose own ranges are `supported`.
pub fn update_features(
    image: &MetadataImage,
    node_id: i32,
    supported: &[FeatureRange],
    updates: &[FeatureUpdate],
) -> Result<Vec<MetadataRecord>, FeatureError> {
    let mut records = Vec::new();
    for update in updates {
        let current = image.features().get(&update.feature).copied();
        refusal(image, node_id, supported, update, current).map_or(Ok(()), |reason| {
            let FeatureUpdate { feature, level, .. } = update;
            Err(FeatureError {
                code: ErrorCode::INVALID_UPDATE_VERSION,
                message: format!(
                    "The update failed for all features since the following feature had an \
                     error: Invalid update version {level} for feature {feature}. {reason}"
                ),
            })
        })?;
        if current != Some(update.level) {
            let record = FeatureLevelRecord {
                name: update.feature.clone(),
                feature_level: update.level,
            };
            records.push(record.into());
        }
    }
    Ok(records)
}

/// Why an update cannot be, in the order in which Kafka looks.
fn refusal(
    image: &MetadataImage,
    node_id: i32,
    supported: &[FeatureRange],
    update: &FeatureUpdate,
    current: Option<i16>,
) -> Option<String> {
    let FeatureUpdate {
        feature,
        level,
        upgrade_type,
    } = update;
    let Some(upgrade_type) = UpgradeType::from_code(*upgrade_type) else {
        return Some("The controller does not support the given upgrade type.".to_owned());
    };
    if *level < 0 {
        return Some("A feature version cannot be less than 0.".to_owned());
    }
    if *level == 0 && current.is_none() {
        return Some(format!("Feature {feature} not found."));
    }
    let range = supported.iter().find(|range| range.name == feature);
    let local = range.map(|range| (range.min, range.max));
    let unsupported = unsupported(&format!("Local controller {node_id}"), local, *level)
        .or_else(|| unsupported_by_a_broker(image, feature, *level));
    if unsupported.is_some() {
        return unsupported;
    }
    let current = current.unwrap_or(0);
    match upgrade_type {
        UpgradeType::Upgrade if *level < current => Some(
            "Can't downgrade the version of this feature without setting the upgrade type to \
             either safe or unsafe downgrade."
                .to_owned(),
        ),
        UpgradeType::SafeDowngrade | UpgradeType::UnsafeDowngrade if *level > current => {
            Some("Can't downgrade to a newer version.".to_owned())
        }
        UpgradeType::SafeDowngrade | UpgradeType::UnsafeDowngrade if *level < current => {
            Some("Unsafe metadata downgrade is not supported in this version.".to_owned())
        }
        UpgradeType::Upgrade | UpgradeType::SafeDowngrade | UpgradeType::UnsafeDowngrade => None,
    }
}

fn unsupported_by_a_broker(image: &MetadataImage, feature: &str, level: i16) -> Option<String> {
    image.brokers().find_map(|broker| {
        let range = broker.features.get(feature).copied();
        unsupported(&format!("Broker {}", broker.id), range, level)
    })
}

fn unsupported(who: &str, range: Option<(i16, i16)>, level: i16) -> Option<String> {
    match range {
        None => Some(format!("{who} does not support this feature.")),
        Some((min, max)) if level < min || level > max => {
            Some(format!("{who} only supports versions {min}-{max}"))
        }
        Some(_) => None,
    }
}
