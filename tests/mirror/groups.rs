//! Groups' offsets, carried to the target: the same record there, and never over somebody's own.

use crate::content::{fill, wait_for};
use crate::copies::copy_of;
use crate::replicator::Daemon;
use crate::support::broker::DevBroker;
use crate::support::random::{Random, seed};
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use isthmus_wire::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};
use std::time::{Duration, Instant};

/// A round of groups each few seconds, and the machine may be busy.
const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_groups_offset_is_carried_and_its_own_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = DevBroker::on(&folder.path().join("a")).start();
    let target = DevBroker::on(&folder.path().join("b")).start();
    let mut from = Connection::open(source.address()).unwrap();
    let mut to = Connection::open(target.address()).unwrap();
    let mut random = Random::new(seed());
    assert_eq!(from.create_topic("bills", 1, &[]).unwrap(), ErrorCode::NONE);
    fill(&mut from, "bills", 0, &mut random, &mut 0, 500);
    for group in ["billing", "own"] {
        coordinate(&mut from, group);
        coordinate(&mut to, group);
    }
    commit(&mut from, "billing", "bills", 300);
    commit(&mut from, "own", "bills", 300);
    commit(&mut from, "console-consumer-1", "bills", 300);
    let flow = "topics = [\"bills\"]\ngroups = [\".*\"]";
    let daemon = Daemon::between(folder.path(), source.address(), target.address(), flow);
    let running = daemon.start();
    wait_for(&mut to, &copy_of("bills"), 0, 500);
    let copy = copy_of("bills");
    wait_for_offset(&mut to, "billing", &copy, 300);
    // Somebody reads at the target by now.
    wait_for_offset(&mut to, "own", &copy, 300);
    commit(&mut to, "own", &copy, 123);
    commit(&mut from, "own", "bills", 400);
    commit(&mut from, "billing", "bills", 400);
    wait_for_offset(&mut to, "billing", &copy, 400);
    running.stop().succeeded();
    assert_eq!(
        committed(&mut to, "own", &copy),
        123,
        "a value that is not ours stays"
    );
    assert_eq!(
        committed(&mut to, "console-consumer-1", &copy),
        -1,
        "excluded by default"
    );
}

/// The first who asks makes the group's partition.
pub(crate) fn coordinate(at: &mut Connection, group: &str) {
    let request = FindCoordinatorRequest {
        key_type: 0,
        coordinator_keys: vec![group.to_owned()],
        ..Default::default()
    };
    until(|| at.call(&request, 4).unwrap().coordinators[0].error_code);
}

pub(crate) fn commit(at: &mut Connection, group: &str, topic: &str, offset: i64) {
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    until(|| at.call(&request, 8).unwrap().topics[0].partitions[0].error_code);
}

/// A coordinator that loads its partition says so.
fn until(mut ask: impl FnMut() -> ErrorCode) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let code = ask();
        if code == ErrorCode::NONE {
            return;
        }
        assert!(code.is_retriable() && Instant::now() < deadline, "{code}");
    }
}

pub(crate) fn wait_for_offset(at: &mut Connection, group: &str, topic: &str, offset: i64) {
    let deadline = Instant::now() + LIMIT;
    while committed(at, group, topic) != offset {
        assert!(Instant::now() < deadline, "{group} is not at {offset}");
    }
}

/// In partition 0; -1 without one.
pub(crate) fn committed(at: &mut Connection, group: &str, topic: &str) -> i64 {
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: topic.to_owned(),
            partition_indexes: vec![0],
        }]),
        ..Default::default()
    };
    let answer = at.call(&request, 7).unwrap();
    assert_eq!(answer.error_code, ErrorCode::NONE);
    answer.topics[0].partitions[0].committed_offset
}
