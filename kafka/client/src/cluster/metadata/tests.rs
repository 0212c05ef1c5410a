//! The merge, told as a sequence of answers.

use super::*;
use isthmus_wire::messages::metadata_response::MetadataResponseBroker;

const T: Uuid = Uuid([7; 16]);
const OTHER: Uuid = Uuid([8; 16]);

fn answer(id: Uuid, partitions: &[(i32, i32, i32)]) -> MetadataResponse {
    let rows = partitions
        .iter()
        .map(
            |&(partition_index, leader_id, leader_epoch)| MetadataResponsePartition {
                partition_index,
                leader_id,
                leader_epoch,
                ..Default::default()
            },
        );
    let topic = MetadataResponseTopic {
        name: Some("t".to_owned()),
        topic_id: id,
        partitions: rows.collect(),
        ..Default::default()
    };
    let broker = |node_id| MetadataResponseBroker {
        node_id,
        host: "h".to_owned(),
        port: 9000 + node_id,
        rack: None,
    };
    MetadataResponse {
        brokers: [1, 2].map(broker).to_vec(),
        cluster_id: Some("c".to_owned()),
        controller_id: 2,
        topics: vec![topic],
        ..Default::default()
    }
}

fn refused(code: ErrorCode) -> MetadataResponse {
    let mut answer = answer(Uuid::ZERO, &[]);
    answer.topics[0].error_code = code;
    answer
}

fn after(answers: Vec<MetadataResponse>) -> Metadata {
    let merge = |known: Metadata, answer| known.merged(answer, Scope::Named);
    answers.into_iter().fold(Metadata::default(), merge)
}

fn leader_after(answers: Vec<MetadataResponse>) -> Result<(i32, i32), ErrorCode> {
    after(answers)
        .leader("t", 0)
        .map(|leader| (leader.broker, leader.epoch))
}

#[test]
fn the_leader_epoch_never_goes_back() {
    assert_eq!(
        leader_after(vec![answer(T, &[(0, 1, 5)]), answer(T, &[(0, 2, 6)])]),
        Ok((2, 6))
    );
    assert_eq!(
        leader_after(vec![answer(T, &[(0, 1, 5)]), answer(T, &[(0, 2, 4)])]),
        Ok((1, 5))
    );
    assert_eq!(
        leader_after(vec![answer(T, &[(0, 1, 5)]), answer(T, &[(0, -1, 5)])]),
        { Err(ErrorCode::LEADER_NOT_AVAILABLE) }
    );
    // A broker that tells no epoch is believed, and yet nothing older is taken afterwards.
    let answers = vec![
        answer(T, &[(0, 1, 5)]),
        answer(T, &[(0, 2, -1)]),
        answer(T, &[(0, 1, 4)]),
    ];
    assert_eq!(leader_after(answers), Ok((2, -1)));
}

#[test]
fn an_old_answer_is_refused_partition_by_partition() {
    let known = after(vec![
        answer(T, &[(0, 1, 5), (1, 1, 5)]),
        answer(T, &[(0, 2, 4), (1, 2, 6)]),
    ]);
    assert_eq!(
        known.leader("t", 0),
        Ok(Leader {
            broker: 1,
            epoch: 5
        })
    );
    assert_eq!(
        known.leader("t", 1),
        Ok(Leader {
            broker: 2,
            epoch: 6
        })
    );
}

#[test]
fn a_topic_made_anew_starts_over_and_a_deleted_one_goes() {
    let remade = vec![
        answer(T, &[(0, 1, 5), (1, 1, 5)]),
        answer(OTHER, &[(0, 2, 0)]),
    ];
    let known = after(remade);
    assert_eq!(
        known.leader("t", 0),
        Ok(Leader {
            broker: 2,
            epoch: 0
        })
    );
    assert_eq!(
        known.leader("t", 1),
        Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    );
    assert!(known.topic_by_id(T).is_none() && known.topic_by_id(OTHER).is_some());

    let gone = vec![
        answer(T, &[(0, 1, 5)]),
        refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
    ];
    assert_eq!(
        leader_after(gone),
        Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
    );
    let back = vec![
        refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        answer(T, &[(0, 1, 0)]),
    ];
    assert_eq!(leader_after(back), Ok((1, 0)));

    let mut none = answer(T, &[]);
    none.topics.clear();
    let known = after(vec![answer(T, &[(0, 1, 5)])]);
    assert!(
        known
            .merged(none.clone(), Scope::Named)
            .leader("t", 0)
            .is_ok()
    );
    assert!(known.merged(none, Scope::All).topics.is_empty());
}

#[test]
fn an_answer_tells_of_a_newer_leader() {
    let known = after(vec![answer(T, &[(0, 1, 5)])]);
    let new = |broker: i32, epoch: i32, address: Option<Broker>| NewLeader {
        topic: "t".into(),
        partition: 0,
        leader: Leader { broker, epoch },
        broker: address,
    };
    let next = known.with_leaders(&[new(2, 6, None)]).unwrap();
    assert_eq!(
        next.leader("t", 0),
        Ok(Leader {
            broker: 2,
            epoch: 6
        })
    );
    assert!(next.generation > known.generation);
    assert_eq!(
        next.merged(answer(T, &[(0, 1, 5)]), Scope::Named)
            .leader("t", 0)
            .unwrap()
            .epoch,
        6
    );
    assert_eq!(known.with_leaders(&[new(2, 5, None)]), None, "not newer");
    assert_eq!(
        known.with_leaders(&[new(9, 6, None)]),
        None,
        "nobody knows broker 9"
    );
    let address = Address {
        host: "h9".to_owned(),
        port: 1,
    };
    let nine = Broker {
        id: 9,
        address,
        rack: None,
    };
    let next = known.with_leaders(&[new(9, 6, Some(nine))]).unwrap();
    assert_eq!(next.brokers[&9].address.host, "h9");
}

#[test]
fn brokers_and_the_controller_are_those_of_the_newest_answer() {
    let mut second = answer(T, &[(0, 1, 5)]);
    second.brokers.remove(0);
    second.brokers[0].port = 70_000;
    second.controller_id = -1;
    let known = after(vec![answer(T, &[(0, 1, 5)])]);
    assert_eq!((known.brokers.len(), known.controller), (2, Some(2)));
    let known = known.merged(second, Scope::Named);
    assert_eq!(
        (known.brokers.len(), known.controller),
        (0, None),
        "a wrong port is no broker"
    );
}
