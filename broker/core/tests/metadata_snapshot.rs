//! The image as records, and changes that met another image than the one they were decided on.

use isthmus_broker_core::metadata::{
    ChangeVerdict, MetadataChange, MetadataDelta, MetadataImage, MetadataRecord,
};
use isthmus_wire::Uuid;
use isthmus_wire::messages::client_quota_record::EntityData;
use isthmus_wire::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use isthmus_wire::messages::{
    AccessControlEntryRecord, BrokerRegistrationChangeRecord, ClientQuotaRecord, ConfigRecord,
    ControllerStartedRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord,
    ProducerIdsRecord, RegisterBrokerRecord, RemoveAccessControlEntryRecord, RemoveTopicRecord,
    RemoveUserScramCredentialRecord, TopicRecord, UserScramCredentialRecord,
};

const KEPT: Uuid = Uuid([1; 16]);
const GONE: Uuid = Uuid([2; 16]);

fn apply(image: &mut MetadataImage, record: impl Into<MetadataRecord>) {
    let mut delta = MetadataDelta::default();
    image.apply(image.offset + 1, &record.into(), &mut delta);
}

/// An image that every kind of record has had its part in.
fn full() -> MetadataImage {
    let mut image = MetadataImage::default();
    apply(&mut image, ControllerStartedRecord::default());
    apply(&mut image, feature("isthmus.metadata.level", 1));
    brokers(&mut image);
    topics(&mut image);
    for name in ["alice", "bob"] {
        apply(&mut image, credential(name));
    }
    apply(
        &mut image,
        RemoveUserScramCredentialRecord {
            name: "bob".to_owned(),
            mechanism: 1,
        },
    );
    for id in [1, 2] {
        apply(&mut image, acl(id));
    }
    apply(
        &mut image,
        RemoveAccessControlEntryRecord { id: Uuid([2; 16]) },
    );
    for (user, remove) in [(Some("alice"), false), (None, false), (Some("alice"), true)] {
        apply(&mut image, quota("producer_byte_rate", user, remove));
    }
    apply(&mut image, quota("request_percentage", Some("bob"), false));
    apply(
        &mut image,
        ProducerIdsRecord {
            broker_id: 7,
            broker_epoch: 2,
            next_producer_id: 5000,
        },
    );
    image
}

fn feature(name: &str, feature_level: i16) -> FeatureLevelRecord {
    FeatureLevelRecord {
        name: name.to_owned(),
        feature_level,
    }
}

fn credential(name: &str) -> UserScramCredentialRecord {
    UserScramCredentialRecord {
        name: name.to_owned(),
        mechanism: 1,
        salt: vec![1; 16].into(),
        stored_key: vec![2; 32].into(),
        server_key: vec![3; 32].into(),
        iterations: 4096,
    }
}

fn quota(key: &str, user: Option<&str>, remove: bool) -> ClientQuotaRecord {
    ClientQuotaRecord {
        entity: vec![EntityData {
            entity_type: "user".to_owned(),
            entity_name: user.map(str::to_owned),
        }],
        key: key.to_owned(),
        value: 12.5,
        remove,
    }
}

fn acl(id: u8) -> AccessControlEntryRecord {
    AccessControlEntryRecord {
        id: Uuid([id; 16]),
        resource_type: 2,
        resource_name: format!("topic-{id}"),
        pattern_type: 3,
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
    }
}

fn brokers(image: &mut MetadataImage) {
    let registration = RegisterBrokerRecord {
        broker_id: 7,
        incarnation_id: Uuid([9; 16]),
        broker_epoch: 2,
        end_points: vec![BrokerEndpoint {
            name: "clients".to_owned(),
            host: "b7.example".to_owned(),
            port: 9092,
            security_protocol: 3,
        }],
        features: vec![BrokerFeature {
            name: "isthmus.metadata.level".to_owned(),
            min_supported_version: 1,
            max_supported_version: 4,
        }],
        rack: Some("az-a".to_owned()),
        fenced: true,
        log_dirs: vec![Uuid([8; 16])],
        ..Default::default()
    };
    apply(image, registration);
    let unfenced = BrokerRegistrationChangeRecord {
        broker_id: 7,
        fenced: -1,
        in_controlled_shutdown: 1,
        ..Default::default()
    };
    apply(image, unfenced);
}

fn topics(image: &mut MetadataImage) {
    for (name, topic_id) in [("kept", KEPT), ("gone", GONE)] {
        let name = name.to_owned();
        apply(image, TopicRecord { name, topic_id });
        for partition_id in 0..2 {
            apply(image, partition(topic_id, partition_id));
        }
    }
    let elected = PartitionChangeRecord {
        partition_id: 1,
        topic_id: KEPT,
        isr: Some(vec![7]),
        leader: 7,
        eligible_leader_replicas: Some(vec![8]),
        last_known_elr: Some(vec![6]),
        observers: Some(Vec::new()),
        ..Default::default()
    };
    apply(image, elected);
    for (resource_type, resource_name) in [(2, "kept"), (2, "gone"), (4, "7"), (4, "")] {
        let config = ConfigRecord {
            resource_type,
            resource_name: resource_name.to_owned(),
            name: "retention.ms".to_owned(),
            value: Some("5".to_owned()),
        };
        apply(image, config);
    }
    apply(image, RemoveTopicRecord { topic_id: GONE });
}

fn partition(topic_id: Uuid, partition_id: i32) -> PartitionRecord {
    PartitionRecord {
        partition_id,
        topic_id,
        replicas: vec![7, 8, 6],
        isr: vec![7, 8],
        leader: 8,
        leader_recovery_state: 1,
        leader_epoch: 4,
        partition_epoch: 5,
        directories: vec![Uuid([8; 16]); 3],
        observers: vec![6],
        ..Default::default()
    }
}

#[test]
fn what_an_image_gives_makes_it_again() {
    let image = full();
    // Through the bytes, as a file holds them.
    let records: Vec<MetadataRecord> = image
        .records()
        .iter()
        .map(|record| MetadataRecord::from_bytes(record.to_bytes().unwrap()).unwrap())
        .collect();
    let (restored, delta) = MetadataImage::restore(image.offset, image.controller_epoch, &records);
    assert_eq!(restored, image);
    assert!(delta.topics_changed.contains(&KEPT), "{delta:?}");
    assert_eq!(restored.records(), records, "and in the same order");
    assert!(
        records.len() < usize::try_from(image.offset).unwrap(),
        "what is gone is not in it"
    );
}

#[test]
fn an_empty_image_is_no_records() {
    assert_eq!(MetadataImage::default().records(), []);
    let (restored, _) = MetadataImage::restore(-1, -1, &[]);
    assert_eq!(restored, MetadataImage::default());
}

/// `controller epoch, expected last offset | verdict | offset after`, met by an image whose
/// controller began at 0 and whose last record is 1.
const MEETINGS: &str = "
 0  1 | applied | 2
 0  0 | stale   | 1
 0  2 | stale   | 1
-1  1 | stale   | 1
 1  1 | stale   | 1
";

#[test]
fn a_change_meets_the_image_it_was_decided_on_or_nothing_happens() {
    for row in MEETINGS.lines().filter(|row| !row.is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let decided_on: Vec<i64> = cells[0]
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        let mut image = MetadataImage::default();
        apply(&mut image, ControllerStartedRecord::default());
        apply(&mut image, feature("f", 1));
        let change = MetadataChange {
            controller_epoch: decided_on[0],
            expected_last_offset: decided_on[1],
            records: vec![feature("f", 2).into()],
        };
        let verdict = match image.apply_change(&change, &mut MetadataDelta::default()) {
            ChangeVerdict::Applied => "applied",
            ChangeVerdict::Stale {
                controller_epoch,
                last_offset,
            } => {
                assert_eq!((controller_epoch, last_offset), (0, 1), "{row}");
                "stale"
            }
        };
        let after = (verdict, image.offset, image.features()["f"]);
        let level = if verdict == "applied" { 2 } else { 1 };
        let expected = (cells[1], cells[2].parse().unwrap(), level);
        assert_eq!(after, expected, "{row}");
    }
}

/// The successor's first record makes every change of its predecessor stale.
#[test]
fn a_new_controller_ends_its_predecessor() {
    let mut image = MetadataImage::default();
    let mut delta = MetadataDelta::default();
    let mut started = |image: &mut MetadataImage| {
        let change = MetadataChange {
            controller_epoch: image.controller_epoch,
            expected_last_offset: image.offset,
            records: vec![ControllerStartedRecord::default().into()],
        };
        assert_eq!(
            image.apply_change(&change, &mut delta),
            ChangeVerdict::Applied
        );
        image.controller_epoch
    };
    let first = started(&mut image);
    let second = started(&mut image);
    assert_eq!((first, second), (0, 1));
    let late = MetadataChange {
        controller_epoch: first,
        expected_last_offset: image.offset,
        records: vec![feature("f", 1).into()],
    };
    let before = image.clone();
    let verdict = image.apply_change(&late, &mut MetadataDelta::default());
    assert!(matches!(verdict, ChangeVerdict::Stale { .. }));
    assert_eq!(image, before);
}
