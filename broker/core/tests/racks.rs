//! `min.insync.racks` (rule 21): what is refused when it is asked for, and what its change makes of
//! partitions.

use isthmus_broker_core::metadata::{
    AlterConfigs, ConfigChange, ConfigContext, ConfigOperation, ConfigResource, CreatePartitions,
    CreateTopic, METADATA_LEVEL, MIN_INSYNC_RACKS, MetadataDelta, MetadataImage, MetadataRecord,
    PartitionImage, RACKS_LEVEL, RackPlacement, TopicDefaults, alter_configs, create_partitions,
    create_topics,
};
use isthmus_broker_core::rules::Rules;
use isthmus_wire::messages::{FeatureLevelRecord, PartitionChangeRecord, RegisterBrokerRecord};
use isthmus_wire::{ErrorCode, Uuid};

const DEFAULTS: TopicDefaults = TopicDefaults {
    num_partitions: 1,
    replication_factor: 1,
    rack_placement: RackPlacement::Any,
};

fn commit(image: &mut MetadataImage, records: &[MetadataRecord]) {
    for record in records {
        image.apply(image.offset + 1, record, &mut MetadataDelta::default());
    }
}

fn raise_level(image: &mut MetadataImage, feature_level: i16) {
    let level = FeatureLevelRecord {
        name: METADATA_LEVEL.to_owned(),
        feature_level,
    };
    commit(image, &[level.into()]);
}

fn broker(image: &mut MetadataImage, broker_id: i32, rack: Option<&str>) {
    let record = RegisterBrokerRecord {
        broker_id,
        rack: rack.map(str::to_owned),
        fenced: false,
        ..Default::default()
    };
    commit(image, &[record.into()]);
}

/// Brokers 1 and 2 in rack a, 3 in b, 4 in none.
fn cluster() -> MetadataImage {
    let mut image = MetadataImage::default();
    raise_level(&mut image, RACKS_LEVEL);
    for (id, rack) in [(1, Some("a")), (2, Some("a")), (3, Some("b")), (4, None)] {
        broker(&mut image, id, rack);
    }
    image
}

fn by_hand(name: &str, lists: &[&[i32]], racks: &str) -> CreateTopic {
    let assignments = (0..).zip(lists).map(|(at, list)| (at, list.to_vec()));
    CreateTopic {
        assignments: assignments.collect(),
        configs: vec![(MIN_INSYNC_RACKS.to_owned(), Some(racks.to_owned()))],
        ..CreateTopic::with_defaults(name)
    }
}

type Told = Result<(), (ErrorCode, String)>;

fn create(image: &mut MetadataImage, topic: &CreateTopic) -> Told {
    let id = || Uuid([topic.name.as_bytes()[0]; 16]);
    let topics = std::slice::from_ref(topic);
    let (mut verdicts, records) = create_topics(image, topics, DEFAULTS, id, &mut |_| true);
    commit(image, &records);
    let verdict = verdicts.remove(0).map(drop);
    verdict.map_err(|it| (it.code, it.message))
}

fn set(image: &mut MetadataImage, resource: ConfigResource, key: &str, value: &str) -> Told {
    let asked = AlterConfigs {
        resource,
        replaces_all: false,
        changes: vec![ConfigChange {
            name: key.to_owned(),
            operation: Some(ConfigOperation::Set),
            value: Some(value.to_owned()),
        }],
    };
    let context = ConfigContext {
        node_id: 1,
        fixed: &|_| None,
        broker_default: &|_| None,
        rules: Rules::ALL,
    };
    let (mut verdicts, records) = alter_configs(image, &[asked], &context);
    commit(image, &records);
    verdicts.remove(0).map_err(|it| (it.code, it.message))
}

fn set_racks(image: &mut MetadataImage, racks: &str) -> Told {
    set(image, ConfigResource::topic("t"), MIN_INSYNC_RACKS, racks)
}

fn code(told: &Told) -> ErrorCode {
    told.as_ref().map_or_else(|it| it.0, |()| ErrorCode::NONE)
}

#[test]
fn it_waits_for_the_metadata_level() {
    let mut image = cluster();
    raise_level(&mut image, RACKS_LEVEL - 1);
    let plain = CreateTopic::with_defaults("t");
    assert_eq!(create(&mut image, &plain), Ok(()));
    let wish = by_hand("u", &[&[1, 3]], "2");
    for told in [create(&mut image, &wish), set_racks(&mut image, "1")] {
        let (code, words) = told.unwrap_err();
        assert_eq!(code, ErrorCode::INVALID_CONFIG);
        assert_eq!(
            words,
            "min.insync.racks needs isthmus.metadata.level 3, and it is 2: builds that know nothing of it \
             may be among the nodes. Once all run this build, raise it: isthmus level raise"
        );
    }
    raise_level(&mut image, RACKS_LEVEL);
    assert_eq!(create(&mut image, &wish), Ok(()));
}

#[test]
fn no_topic_is_created_that_asks_for_more_racks_than_it_gets() {
    let mut image = cluster();
    for (lists, racks, expected) in [
        (&[&[1, 2][..]][..], "2", ErrorCode::INVALID_CONFIG),
        (&[&[1, 4]], "2", ErrorCode::INVALID_CONFIG),
        (&[&[1, 3], &[1, 2]], "2", ErrorCode::INVALID_CONFIG),
        (&[&[1, 2, 3]], "3", ErrorCode::INVALID_CONFIG),
        (&[&[1, 3]], "0", ErrorCode::INVALID_CONFIG),
        (&[&[1, 3]], "two", ErrorCode::INVALID_CONFIG),
        (&[&[4]], "1", ErrorCode::NONE),
    ] {
        let told = create(&mut image, &by_hand("w", lists, racks));
        assert_eq!(code(&told), expected, "{lists:?} {racks}: {told:?}");
    }
    assert_eq!(
        create(&mut image, &by_hand("t", &[&[1, 2, 3]], "2")),
        Ok(())
    );
    // Placed by the cluster, over the racks that there are.
    let placed = |racks| CreateTopic {
        assignments: Vec::new(),
        num_partitions: 6,
        replication_factor: 2,
        ..by_hand("p", &[], racks)
    };
    assert_eq!(
        code(&create(&mut image, &placed("3"))),
        ErrorCode::INVALID_CONFIG
    );
}

#[test]
fn a_topic_is_not_made_to_ask_for_more_racks_than_it_has() {
    let mut image = cluster();
    let topic = by_hand("t", &[&[1, 3], &[3, 2]], "1");
    assert_eq!(create(&mut image, &topic), Ok(()));
    let (code, words) = set_racks(&mut image, "3").unwrap_err();
    assert_eq!(code, ErrorCode::INVALID_CONFIG);
    assert!(
        words.contains("partition 0 of topic 't' has its replicas on brokers 1, 3, which are in 2 rack(s) (a, b)"),
        "{words}"
    );
    assert_eq!(set_racks(&mut image, "2"), Ok(()));
    // A broker came back in another rack: it can neither be asked for again, nor is anything else refused.
    broker(&mut image, 3, Some("a"));
    let retention = ("retention.ms", "5");
    let topic = || ConfigResource::topic("t");
    assert_eq!(set(&mut image, topic(), retention.0, retention.1), Ok(()));
    assert_eq!(set_racks(&mut image, "1"), Ok(()));
    assert!(set_racks(&mut image, "2").is_err());
}

#[test]
fn it_is_a_key_of_topics() {
    let mut image = cluster();
    for resource in [ConfigResource::broker(""), ConfigResource::broker("1")] {
        let (_, words) = set(&mut image, resource, MIN_INSYNC_RACKS, "2").unwrap_err();
        assert!(words.contains("is a key of topics"), "{words}");
    }
}

#[test]
fn new_partitions_are_in_as_many_racks_as_are_asked_for() {
    let mut image = cluster();
    assert_eq!(create(&mut image, &by_hand("t", &[&[1, 3]], "2")), Ok(()));
    let more = |list: &[i32]| CreatePartitions {
        name: "t".to_owned(),
        count: 2,
        assignments: Some(vec![list.to_vec()]),
    };
    let (refused, records) =
        create_partitions(&image, &[more(&[1, 2])], RackPlacement::Any, &mut |_| true);
    let error = refused[0].as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert!(
        error.message.contains("partition 1 of topic 't'"),
        "{error:?}"
    );
    assert_eq!(records, []);
    let (made, _) = create_partitions(&image, &[more(&[2, 3])], RackPlacement::Any, &mut |_| true);
    assert_eq!(made, [Ok(())]);
}

/// Partition 0 has lost rack b and keeps 3 eligible; partition 1 is whole.
fn shrunk() -> MetadataImage {
    let mut image = cluster();
    let topic = by_hand("t", &[&[1, 2, 3], &[1, 2, 3]], "2");
    assert_eq!(create(&mut image, &topic), Ok(()));
    let shrink = PartitionChangeRecord {
        topic_id: image.topic("t").expect("a topic").id,
        partition_id: 0,
        isr: Some(vec![1, 2]),
        eligible_leader_replicas: Some(vec![3]),
        ..Default::default()
    };
    commit(&mut image, &[shrink.into()]);
    assert_eq!(create(&mut image, &by_hand("u", &[&[1, 3]], "2")), Ok(()));
    image
}

fn partitions<'a>(image: &'a MetadataImage, topic: &str) -> &'a [PartitionImage] {
    &image.topic(topic).expect("a topic").partitions
}

#[test]
fn which_isr_suffices_is_looked_at_again_in_the_change_itself() {
    for (key, value, left) in [
        // Lowered: rack a is enough, and the high watermark moves on without 3.
        (MIN_INSYNC_RACKS, "1", &[][..]),
        // Nothing else is asked for: nothing changes.
        (MIN_INSYNC_RACKS, "2", &[3]),
        ("retention.ms", "5", &[3]),
        // Kafka's rule, whatever the ISR is.
        ("min.insync.replicas", "3", &[]),
    ] {
        let (before, mut after) = (shrunk(), shrunk());
        assert_eq!(
            set(&mut after, ConfigResource::topic("t"), key, value),
            Ok(())
        );
        let (was, is) = (partitions(&before, "t"), partitions(&after, "t"));
        assert_eq!(is[0].eligible_leader_replicas, left, "{key}={value}");
        // A leader that has not heard of it gets no ISR accepted before it has.
        let asks_otherwise = key.starts_with("min.insync") && value != "2";
        for (was, is) in was.iter().zip(is) {
            let rose = is.partition_epoch - was.partition_epoch;
            assert_eq!(rose, i32::from(asks_otherwise), "{key}={value}");
            assert_eq!((is.leader_epoch, &is.isr), (was.leader_epoch, &was.isr));
        }
        assert_eq!(partitions(&after, "u"), partitions(&before, "u"));
    }
}

#[test]
fn who_is_eligible_stays_so_while_the_isr_does_not_suffice() {
    let mut image = shrunk();
    broker(&mut image, 2, Some("c"));
    assert_eq!(set_racks(&mut image, "3"), Ok(()));
    let first = &partitions(&image, "t")[0];
    assert_eq!(
        first.eligible_leader_replicas,
        [3],
        "racks a and c are two of three"
    );
    assert_eq!(set_racks(&mut image, "2"), Ok(()));
    let first = &partitions(&image, "t")[0];
    assert_eq!(first.eligible_leader_replicas, [], "and are enough now");
}
