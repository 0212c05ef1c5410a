//! `rack.placement=spread`: who may come, and where replicas may stand (requirements S0-06, S4-01 to S4-03).

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

use isthmus_broker_core::controller::{
    BrokerRegistrationRequest, Controller, ControllerConfig, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::metadata::{
    CreatePartitions, CreateTopic, MetadataDelta, MetadataImage, MetadataRecord, RackPlacement,
    Racks, TopicDefaults, TopicError, create_partitions, create_topics,
};
use isthmus_broker_core::rules::Rules;
use isthmus_wire::messages::{BrokerRegistrationChangeRecord, RegisterBrokerRecord};
use isthmus_wire::{ErrorCode, Uuid};
use std::time::Duration;

const SPREAD: TopicDefaults = TopicDefaults {
    num_partitions: 1,
    replication_factor: 3,
    rack_placement: RackPlacement::Spread,
};

/// The reference topology (requirement S4-02): two brokers in each of three racks.
const SIX: [&str; 6] = ["az-a", "az-a", "az-b", "az-b", "az-c", "az-c"];

fn commit(image: &mut MetadataImage, records: &[MetadataRecord]) {
    for record in records {
        image.apply(image.offset + 1, record, &mut MetadataDelta::default());
    }
}

fn broker(broker_id: i32, rack: Option<&str>) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id,
        rack: rack.map(str::to_owned),
        fenced: false,
        incarnation_id: Uuid([u8::try_from(broker_id).unwrap(); 16]),
        ..RegisterBrokerRecord::default()
    }
}

fn cluster(racks: &[&str]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for (id, rack) in (1..).zip(racks) {
        commit(&mut image, &[broker(id, Some(rack)).into()]);
    }
    image
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor,
        ..CreateTopic::default()
    }
}

fn by_hand(name: &str, replicas: &[i32], own: Option<&str>) -> CreateTopic {
    let own = own.map(|word| ("rack.placement".to_owned(), Some(word.to_owned())));
    CreateTopic {
        name: name.to_owned(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![(0, replicas.to_vec())],
        configs: own.into_iter().collect(),
    }
}

fn create(image: &mut MetadataImage, wish: CreateTopic) -> Result<(), TopicError> {
    let mut ids = image.topics().count();
    let id = || {
        ids += 1;
        Uuid([u8::try_from(ids).unwrap(); 16])
    };
    let (mut made, records) = create_topics(image, &[wish], SPREAD, id, &mut |_| true);
    commit(image, &records);
    made.remove(0).map(drop)
}

fn grow(
    image: &mut MetadataImage,
    count: i32,
    by_hand: Option<Vec<i32>>,
) -> Result<(), TopicError> {
    let wish = CreatePartitions {
        name: "t".to_owned(),
        count,
        assignments: by_hand.map(|list| vec![list]),
    };
    let placement = RackPlacement::Spread;
    let (mut made, records) = create_partitions(image, &[wish], placement, &mut |_| true);
    commit(image, &records);
    made.remove(0)
}

fn is_refused(verdict: &Result<(), TopicError>, words: &str) {
    let error = verdict.as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::POLICY_VIOLATION);
    assert!(error.message.contains(words), "{}", error.message);
}

#[test]
fn what_the_cluster_places_is_spread() {
    for (partitions, factor) in [(12, 3), (1_000, 3), (7, 2), (5, 4), (5, 5), (3, 6), (4, 1)] {
        let mut image = cluster(&SIX);
        create(&mut image, topic("t", partitions, factor)).unwrap();
        grow(&mut image, partitions + 9, None).unwrap();
        let racks = Racks::of(&image).unwrap();
        let placed = &image.topic("t").unwrap().partitions;
        assert_eq!(placed.len(), usize::try_from(partitions).unwrap() + 9);
        placed
            .iter()
            .for_each(|it| racks.check(&it.replicas).unwrap());
    }
}

#[test]
fn what_somebody_places_must_be_spread_unless_the_topic_says_otherwise() {
    let mut image = cluster(&SIX);
    let uneven = "rack az-a has 2 of them on 2 broker(s)";
    is_refused(&create(&mut image, by_hand("t", &[1, 2, 3], None)), uneven);
    create(&mut image, by_hand("t", &[1, 3, 5], None)).unwrap();
    is_refused(&grow(&mut image, 2, Some(vec![1, 2, 5])), uneven);
    grow(&mut image, 2, Some(vec![2, 4, 6])).unwrap();
    create(&mut image, by_hand("free", &[1, 2, 3], Some("any"))).unwrap();
}

#[test]
fn what_the_racks_do_not_allow_is_refused_with_the_remedy() {
    let mut image = cluster(&["az-a", "az-b", "az-b", "az-b"]);
    is_refused(
        &create(&mut image, topic("t", 1, 4)),
        "Add brokers in rack az-a, ask for fewer",
    );
    create(&mut image, topic("t", 4, 3)).unwrap();
    commit(&mut image, &[broker(5, None).into()]);
    is_refused(
        &create(&mut image, topic("u", 1, 2)),
        "broker 5 has no rack",
    );
}

#[test]
fn a_rack_whose_brokers_are_stopping_gets_its_replicas_all_the_same() {
    let mut image = cluster(&["az-a", "az-b", "az-c"]);
    let stopping = BrokerRegistrationChangeRecord {
        broker_id: 3,
        broker_epoch: image.broker(3).unwrap().epoch,
        in_controlled_shutdown: 1,
        ..BrokerRegistrationChangeRecord::default()
    };
    commit(&mut image, &[stopping.into()]);
    create(&mut image, topic("t", 6, 3)).unwrap();
    for partition in &image.topic("t").unwrap().partitions {
        assert!(partition.replicas.contains(&3), "{partition:?}");
        assert!(
            !partition.isr.contains(&3) && partition.leader != 3,
            "{partition:?}"
        );
    }
}

#[test]
fn the_controller_lets_nobody_in_without_a_rack_and_moves_nothing_out_of_balance() {
    let config = |rack_placement| ControllerConfig {
        rack_placement,
        ..ControllerConfig::default()
    };
    let mut image = cluster(&SIX);
    create(&mut image, by_hand("t", &[1, 3, 5], None)).unwrap();
    let topic_id = image.topic("t").unwrap().id;
    let register = |rack| {
        ControllerEvent::Register(BrokerRegistrationRequest {
            record: broker(7, rack),
            previous_broker_epoch: -1,
        })
    };
    let reassign = |replicas: Option<&[i32]>| ControllerEvent::Reassign {
        topic_id,
        partition: 0,
        replicas: replicas.map(<[i32]>::to_vec),
    };
    let ask = |placement, event: &ControllerEvent| {
        let mut controller = Controller::new(config(placement), Rules::ALL);
        controller.on_event(Duration::ZERO, &image, event).0
    };
    let refused = |code| ControllerReply::Refused(code);
    let (any, spread) = (RackPlacement::Any, RackPlacement::Spread);
    let is_registered =
        |reply: ControllerReply| matches!(reply, ControllerReply::Registered { .. });
    assert_eq!(
        ask(spread, &register(None)),
        refused(ErrorCode::INVALID_REGISTRATION)
    );
    assert!(is_registered(ask(spread, &register(Some("az-a")))));
    assert!(is_registered(ask(any, &register(None))), "as in Kafka");
    let uneven = reassign(Some(&[1, 2, 5]));
    assert_eq!(ask(spread, &uneven), refused(ErrorCode::POLICY_VIOLATION));
    assert_eq!(ask(any, &uneven), ControllerReply::Reassigned);
    assert_eq!(
        ask(spread, &reassign(Some(&[2, 4, 6]))),
        ControllerReply::Reassigned
    );
}
