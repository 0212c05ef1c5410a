//! A crash between the deletion of a topic and that of the offsets committed for it.
//!
//! The broker dies at the first append to a log after the deletion, which is that of the offsets'
//! tombstones; and again at each start, until a snapshot stands for the deletion and no record of it
//! is left to be replayed. The offsets must go all the same.

use super::{LIMIT, WARNINGS, broker};
use crate::deaths::{Death, Phase, Tally, has_ended, leave_no_core, stop_gracefully};
use crate::support::peers::not_run;
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use isthmus_wire::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};
use std::collections::BTreeSet;
use std::path::Path;

const GROUP: &str = "readers";

/// Each start asks for a snapshot; so many dying before theirs is whole is not to be believed.
const STARTS_MAX: usize = 50;

#[test]
fn offsets_go_with_their_topic_though_the_broker_dies_in_between() {
    if !cfg!(feature = "fault-points") {
        let reason = "built without the fault points (cargo xtask test gives them)";
        return not_run("a topic deleted in a crash", reason);
    }
    leave_no_core();
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let mut tally = Tally::default();
    let death = Death::AtPoint {
        point: "append",
        nth: 1,
    };
    let broken = eager(dir.path()).fault(death.plan()).start();
    let mut connection = Connection::open(broken.address()).unwrap();
    let answer = connection.delete_topics(&["gone".to_owned()]);
    assert!(answer.is_ok() || answer.is_err_and(|error| has_ended(&error)));
    tally.bury(&death, Phase::Loaded, &broken.wait(LIMIT), &WARNINGS);
    let before = snapshots(dir.path());
    let mut starts = 0;
    while snapshots(dir.path()).is_subset(&before) || starts < 2 {
        let ended = match eager(dir.path()).fault(death.plan()).try_start() {
            Ok(broker) => broker.wait(LIMIT),
            Err(ended) => *ended,
        };
        tally.bury(&death, Phase::Starting, &ended, &WARNINGS);
        starts += 1;
        assert!(starts < STARTS_MAX, "no snapshot after {starts} starts");
    }
    let mended = broker(dir.path()).start();
    let mut connection = Connection::open(mended.address()).unwrap();
    assert_eq!(committed(&mut connection), ["kept"]);
    stop_gracefully(mended);
    let again = broker(dir.path()).start();
    let mut connection = Connection::open(again.address()).unwrap();
    assert_eq!(committed(&mut connection), ["kept"], "for good");
    stop_gracefully(again);
}

/// One that takes a snapshot after every change.
fn eager(data: &Path) -> crate::support::broker::DevBroker {
    broker(data).set("metadata.log.max.record.bytes.between.snapshots", 1)
}

/// A group with offsets of two topics.
fn prepare(data: &Path) {
    let broker = broker(data).start();
    let mut connection = Connection::open(broker.address()).unwrap();
    let find = FindCoordinatorRequest {
        key: GROUP.to_owned(),
        ..Default::default()
    };
    assert_eq!(
        connection.call(&find, 3).unwrap().error_code,
        ErrorCode::NONE
    );
    for topic in ["kept", "gone"] {
        let error = connection.create_topic(topic, 1, &[]).unwrap();
        assert_eq!(error, ErrorCode::NONE, "{topic}");
    }
    let topic = |name: &str| OffsetCommitRequestTopic {
        name: name.to_owned(),
        partitions: vec![OffsetCommitRequestPartition {
            committed_offset: 5,
            ..Default::default()
        }],
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: GROUP.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: ["kept", "gone"].map(topic).to_vec(),
        ..Default::default()
    };
    for topic in connection.call(&commit, 9).unwrap().topics {
        assert_eq!(topic.partitions[0].error_code, ErrorCode::NONE, "{topic:?}");
    }
    assert_eq!(committed(&mut connection), ["gone", "kept"]);
    stop_gracefully(broker);
}

/// The topics for which the group has offsets.
fn committed(connection: &mut Connection) -> Vec<String> {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: GROUP.to_owned(),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = connection.call(&request, 8).unwrap();
    let topics = response.groups[0].topics.iter();
    topics.map(|topic| topic.name.clone()).collect()
}

fn snapshots(data: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(data.join("__cluster_metadata-0")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".checkpoint")).collect()
}
