//! Decisions on feature levels as a text table. The words were taken from Apache Kafka 4.2, asked
//! the same of `group.version`, but for what is said on going down.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

use isthmus_broker_core::metadata::{
    FeatureRange, FeatureUpdate, MetadataDelta, MetadataImage, MetadataRecord, update_features,
};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::register_broker_record::BrokerFeature;
use isthmus_wire::messages::{FeatureLevelRecord, RegisterBrokerRecord};

const LEVEL: &str = "isthmus.metadata.level";

/// What controller 7 supports; broker 7 the same, broker 8 one level less.
const SUPPORTED: &[FeatureRange] = &[
    FeatureRange {
        name: LEVEL,
        min: 1,
        max: 4,
    },
    FeatureRange {
        name: "other",
        min: 0,
        max: 1,
    },
];

/// `updates (feature level type) | what comes out`, at level 2.
const TABLE: &str = "
level 3 1          | level=3
level 2 1          | nothing
level 2 2          | nothing
level 3 1, level 3 1 | level=3 level=3
other 1 1          | other=1
other 1 1, level 3 1 | other=1 level=3
level 4 1          | level 4: Broker 8 only supports versions 1-3
level 5 1          | level 5: Local controller 7 only supports versions 1-4
level 0 3          | level 0: Local controller 7 only supports versions 1-4
level 1 1          | level 1: Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.
level 1 2          | level 1: Unsafe metadata downgrade is not supported in this version.
level 1 3          | level 1: Unsafe metadata downgrade is not supported in this version.
level 3 2          | level 3: Can't downgrade to a newer version.
level 3 3          | level 3: Can't downgrade to a newer version.
level -1 1         | level -1: A feature version cannot be less than 0.
level 3 0          | level 3: The controller does not support the given upgrade type.
level 3 9          | level 3: The controller does not support the given upgrade type.
nope 1 1           | nope 1: Local controller 7 does not support this feature.
nope 0 3           | nope 0: Feature nope not found.
level 3 1, nope 1 1 | nope 1: Local controller 7 does not support this feature.
";

fn full(name: &str) -> &str {
    if name == "level" { LEVEL } else { name }
}

fn broker(broker_id: i32, max: i16) -> MetadataRecord {
    let feature = |name: &str, min, max| BrokerFeature {
        name: name.to_owned(),
        min_supported_version: min,
        max_supported_version: max,
    };
    let body = RegisterBrokerRecord {
        broker_id,
        features: vec![feature(LEVEL, 1, max), feature("other", 0, 1)],
        ..Default::default()
    };
    body.into()
}

fn at_level_2() -> MetadataImage {
    let level = FeatureLevelRecord {
        name: LEVEL.to_owned(),
        feature_level: 2,
    };
    let mut image = MetadataImage::default();
    for record in [level.into(), broker(7, 4), broker(8, 3)] {
        image.apply(image.offset + 1, &record, &mut MetadataDelta::default());
    }
    image
}

fn update(text: &str) -> FeatureUpdate {
    let words: Vec<&str> = text.split_whitespace().collect();
    FeatureUpdate {
        feature: full(words[0]).to_owned(),
        level: words[1].parse().unwrap(),
        upgrade_type: words[2].parse().unwrap(),
    }
}

fn told(records: &[MetadataRecord]) -> String {
    let levels = records.iter().map(|record| match record {
        MetadataRecord::FeatureLevel(level) => {
            let name = if level.name == LEVEL {
                "level"
            } else {
                &level.name
            };
            format!("{name}={}", level.feature_level)
        }
        other => panic!("{other:?}"),
    });
    levels.collect::<Vec<String>>().join(" ")
}

#[test]
fn levels_go_up_within_what_everyone_supports() {
    let image = at_level_2();
    for row in TABLE.lines().filter(|row| !row.is_empty()) {
        let (updates, expected) = row.split_once('|').unwrap();
        let updates: Vec<FeatureUpdate> = updates.split(',').map(update).collect();
        let expected = expected.trim();
        match update_features(&image, 7, SUPPORTED, &updates) {
            Ok(records) if records.is_empty() => assert_eq!("nothing", expected, "{row}"),
            Ok(records) => assert_eq!(told(&records), expected, "{row}"),
            Err(error) => {
                assert_eq!(error.code, ErrorCode::INVALID_UPDATE_VERSION, "{row}");
                let (head, reason) = expected.split_once(": ").unwrap();
                let (name, level) = head.split_once(' ').unwrap();
                let whole = format!(
                    "The update failed for all features since the following feature had an \
                     error: Invalid update version {level} for feature {}. {reason}",
                    full(name)
                );
                assert_eq!(error.message, whole, "{row}");
            }
        }
    }
}
