//! Decisions on topics as a text table: what is asked for, what comes out.

use isthmus_broker_core::metadata::{
    CreatePartitions, CreateTopic, MetadataDelta, MetadataImage, MetadataRecord, RackPlacement,
    TopicDefaults, TopicKey, create_partitions, create_topics, delete_topics,
};
use isthmus_wire::messages::RegisterBrokerRecord;
use isthmus_wire::{ErrorCode, Uuid};

const DEFAULTS: TopicDefaults = TopicDefaults {
    num_partitions: 2,
    replication_factor: 1,
    rack_placement: RackPlacement::Any,
};

fn commit(image: &mut MetadataImage, records: &[MetadataRecord]) {
    for record in records {
        image.apply(image.offset + 1, record, &mut MetadataDelta::default());
    }
}

fn cluster(brokers: i32) -> MetadataImage {
    let mut image = MetadataImage::default();
    for broker_id in 1..=brokers {
        let body = RegisterBrokerRecord {
            broker_id,
            fenced: false,
            ..Default::default()
        };
        commit(&mut image, &[body.into()]);
    }
    image
}

/// The same broker again, fenced or not.
fn registered(image: &mut MetadataImage, broker_id: i32, fenced: bool) {
    let body = RegisterBrokerRecord {
        broker_id,
        fenced,
        ..Default::default()
    };
    commit(image, &[body.into()]);
}

#[test]
fn while_all_brokers_are_fenced_there_is_no_place() {
    let mut image = cluster(2);
    registered(&mut image, 1, true);
    let wish = [topic("a", 1, 2)];
    let (made, _) = create_topics(&image, &wish, DEFAULTS, ids(), &mut |_| true);
    assert!(
        made[0].is_ok(),
        "one serves; the other comes into the ISR later"
    );
    registered(&mut image, 2, true);
    let (refused, records) = create_topics(&image, &wish, DEFAULTS, ids(), &mut |_| true);
    let error = refused[0].as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::INVALID_REPLICATION_FACTOR);
    let words = "Unable to replicate the partition 2 time(s): All brokers are currently fenced.";
    assert_eq!((error.message.as_str(), records.len()), (words, 0));
}

fn ids() -> impl FnMut() -> Uuid {
    let mut next = 0_u8;
    move || {
        next += 1;
        Uuid([next; 16])
    }
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor,
        ..Default::default()
    }
}

/// One line: what happened to each topic, in order.
fn create(image: &mut MetadataImage, topics: &[CreateTopic]) -> String {
    let (verdicts, records) = create_topics(image, topics, DEFAULTS, ids(), &mut |_| true);
    commit(image, &records);
    let line = |verdict: &Result<_, isthmus_broker_core::metadata::TopicError>| match verdict {
        Ok(isthmus_broker_core::metadata::CreatedTopic {
            num_partitions,
            replication_factor,
            ..
        }) => {
            format!("{num_partitions}x{replication_factor}")
        }
        Err(error) => error.code.name().to_owned(),
    };
    verdicts.iter().map(line).collect::<Vec<_>>().join(" ")
}

#[test]
fn creation_is_judged_topic_by_topic() {
    let mut image = cluster(3);
    let asked = [
        topic("a", 3, 2),
        topic("defaults", -1, -1),
        topic("none", 0, 1),
        topic("negative", -2, 1),
        topic("factor-0", 1, 0),
        topic("factor-4", 1, 4),
        topic("bad name", 1, 1),
        topic("twice", 1, 1),
        topic("twice", 1, 1),
        topic("dot.ted", 1, 1),
        topic("dot_ted", 1, 1),
        topic("__cluster_metadata", 1, 1),
        topic("huge", 900_000, 1),
    ];
    assert_eq!(
        create(&mut image, &asked),
        "3x2 2x1 INVALID_PARTITIONS INVALID_PARTITIONS INVALID_REPLICATION_FACTOR \
         INVALID_REPLICATION_FACTOR INVALID_TOPIC_EXCEPTION INVALID_REQUEST INVALID_REQUEST 1x1 \
         INVALID_TOPIC_EXCEPTION INVALID_REQUEST POLICY_VIOLATION"
    );
    assert_eq!(
        create(&mut image, &[topic("a", 1, 1)]),
        "TOPIC_ALREADY_EXISTS"
    );
    assert_eq!(
        create(&mut image, &[topic("dot_ted", 1, 1)]),
        "INVALID_TOPIC_EXCEPTION"
    );
    assert_eq!(create(&mut image, &[topic("dot-ted", 1, 1)]), "1x1");
    assert_eq!(image.topics().count(), 4);
}

#[test]
fn assignments_by_hand_are_checked() {
    let by_hand = |assignments: &[(i32, &[i32])]| CreateTopic {
        name: "t".to_owned(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: assignments
            .iter()
            .map(|(index, list)| (*index, list.to_vec()))
            .collect(),
        ..Default::default()
    };
    let check = |asked: CreateTopic| create(&mut cluster(3), &[asked]);
    assert_eq!(check(by_hand(&[(0, &[1, 2]), (1, &[2, 3])])), "2x2");
    for bad in [
        by_hand(&[(0, &[1]), (0, &[2])]),
        by_hand(&[(0, &[1]), (2, &[2])]),
        by_hand(&[(0, &[1, 1])]),
        by_hand(&[(0, &[])]),
        by_hand(&[(0, &[9])]),
        by_hand(&[(0, &[1]), (1, &[1, 2])]),
    ] {
        assert_eq!(check(bad.clone()), "INVALID_REPLICA_ASSIGNMENT", "{bad:?}");
    }
    let both = CreateTopic {
        num_partitions: 1,
        ..by_hand(&[(0, &[1])])
    };
    assert_eq!(check(both), "INVALID_REQUEST");
}

#[test]
fn configs_are_checked_before_a_topic_exists() {
    let with = |name: &str, value: Option<&str>| CreateTopic {
        configs: vec![(name.to_owned(), value.map(str::to_owned))],
        ..topic("t", 1, 1)
    };
    let check = |asked: CreateTopic| create(&mut cluster(1), &[asked]);
    assert_eq!(check(with("retention.ms", Some("5"))), "1x1");
    for bad in [
        with("retention.ms", None),
        with("retention.ms", Some("x")),
        with("nope", Some("1")),
    ] {
        assert_eq!(check(bad.clone()), "INVALID_CONFIG", "{bad:?}");
    }
}

#[test]
fn a_topic_grows_and_never_shrinks() {
    let mut image = cluster(2);
    create(&mut image, &[topic("t", 2, 2)]);
    let grow =
        |image: &mut MetadataImage, name: &str, count, assignments: Option<Vec<Vec<i32>>>| {
            let asked = CreatePartitions {
                name: name.to_owned(),
                count,
                assignments,
            };
            let (verdicts, records) =
                create_partitions(image, &[asked], RackPlacement::Any, &mut |_| true);
            commit(image, &records);
            verdicts[0].clone().map_err(|error| error.code)
        };
    assert_eq!(
        grow(&mut image, "t", 2, None),
        Err(ErrorCode::INVALID_PARTITIONS)
    );
    assert_eq!(
        grow(&mut image, "t", 1, None),
        Err(ErrorCode::INVALID_PARTITIONS)
    );
    assert_eq!(
        grow(&mut image, "u", 3, None),
        Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    );
    let wrong = Some(vec![vec![1]]);
    assert_eq!(
        grow(&mut image, "t", 3, wrong),
        Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT)
    );
    assert_eq!(grow(&mut image, "t", 3, Some(vec![vec![2, 1]])), Ok(()));
    assert_eq!(grow(&mut image, "t", 5, None), Ok(()));
    let partitions = &image.topic("t").unwrap().partitions;
    assert_eq!(partitions.len(), 5);
    assert_eq!(partitions[2].leader, 2);
    assert!(partitions.iter().all(|partition| partition.isr.len() == 2));
}

#[test]
fn topics_are_deleted_by_name_or_id_once() {
    let mut image = cluster(1);
    create(&mut image, &[topic("a", 1, 1), topic("b", 1, 1)]);
    let id = image.topic("b").unwrap().id;
    let asked = [
        TopicKey::Name("a".to_owned()),
        TopicKey::Id(id),
        TopicKey::Name("b".to_owned()),
        TopicKey::Name("c".to_owned()),
        TopicKey::Id(Uuid([9; 16])),
    ];
    let (verdicts, records) = delete_topics(&image, &asked, &mut |_| true);
    let codes: Vec<_> = verdicts
        .iter()
        .map(|v| v.as_ref().map_or_else(|e| e.code, |_| ErrorCode::NONE))
        .collect();
    assert_eq!(
        codes,
        [
            ErrorCode::NONE,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::UNKNOWN_TOPIC_ID
        ]
    );
    commit(&mut image, &records);
    let left: Vec<&str> = image.topics().map(|topic| &*topic.name).collect();
    assert_eq!(left, ["b"], "named twice, so not deleted, as in Kafka");
}
