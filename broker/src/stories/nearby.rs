//! Consumers that read from a replica in their own rack (KIP-392, rule 18, requirement S4-10).

use super::kit::{Layout, Story, batch, values_of};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use isthmus_wire::messages::DeleteRecordsRequest;
use isthmus_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use isthmus_wire::messages::fetch_response::PartitionData;
use std::time::Duration;

const RACK_AWARE: &str =
    "\"replica.selector.class\" = \"org.apache.kafka.common.replica.RackAwareReplicaSelector\"";

/// What one answer needs at most where nothing is waited for.
const AT_ONCE: Duration = Duration::from_millis(50);

const PATIENCE: Duration = Duration::from_millis(1_500);

/// Nodes 1, 2, 3 in racks a, b, c; `t` is led by node 1 and has values v0, v1, v2.
fn three(kafka: &'static str) -> Story {
    let mut story = Story::started(Layout {
        racks: &["a", "b", "c"],
        kafka,
        ..Layout::three()
    });
    story.until("a controller", |it| it.controller().is_some());
    story.create_topic(&[1, 2, 3]);
    for value in ["v0", "v1", "v2"] {
        produce(&mut story, value);
    }
    story.until_logs_are_equal(&[1, 2, 3]);
    story
}

fn produce(story: &mut Story, value: &'static str) {
    let mut client = story.client();
    let produced = story.run(async move {
        let record = batch(BatchParams::default(), value);
        client.produce(1, "t", -1, record).await
    });
    produced.unwrap().unwrap();
}

/// What a client in that rack is answered, who may wait.
fn fetch(story: &mut Story, node: i32, offset: i64, rack: &'static str) -> PartitionData {
    let mut client = story.client();
    let asked = async move { client.fetch(node, "t", offset, (rack, PATIENCE)).await };
    story.run(asked).expect("an answer")
}

/// Error, the replica named, and the values.
fn told(
    story: &mut Story,
    node: i32,
    offset: i64,
    rack: &'static str,
) -> (ErrorCode, i32, Vec<String>) {
    let data = fetch(story, node, offset, rack);
    let values = values_of(&data, offset);
    (data.error_code, data.preferred_read_replica, values)
}

#[test]
fn a_leader_names_the_replica_in_the_clients_rack_and_that_one_serves() {
    let mut story = three(RACK_AWARE);
    let all = vec!["v0".to_owned(), "v1".to_owned(), "v2".to_owned()];
    let began = story.now();
    let named = fetch(&mut story, 1, 0, "b");
    assert_eq!(named.preferred_read_replica, 2);
    assert_eq!(named.error_code, ErrorCode::NONE);
    assert!(
        values_of(&named, 0).is_empty(),
        "the records are to come from there"
    );
    assert_eq!((named.log_start_offset, named.high_watermark), (0, 3));
    assert!(
        story.now() - began < AT_ONCE,
        "whoever is sent on does not wait"
    );
    assert_eq!(
        told(&mut story, 2, 0, "b"),
        (ErrorCode::NONE, -1, all.clone())
    );
    // The leader stands there itself; nobody does; the client does not say.
    for rack in ["a", "d", ""] {
        assert_eq!(
            told(&mut story, 1, 0, rack),
            (ErrorCode::NONE, -1, all.clone()),
            "{rack}"
        );
    }
    let text = |id: i32| story.broker(id).metrics_text();
    let led_elsewhere = |id: i32| {
        let name = "isthmus_broker_follower_records_out_bytes_total ";
        let text = text(id);
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((led_elsewhere(1), led_elsewhere(3)), (0, 0));
    assert!(led_elsewhere(2) > 0);
}

#[test]
fn without_the_selector_everyone_reads_from_the_leader() {
    let mut story = three("");
    let (code, named, values) = told(&mut story, 1, 0, "b");
    assert_eq!((code, named, values.len()), (ErrorCode::NONE, -1, 3));
}

#[test]
fn a_fetch_that_waits_at_a_follower_hears_of_the_commit() {
    let mut story = three(RACK_AWARE);
    let mut client = story.client();
    let waiting = story.begin(async move { client.fetch(2, "t", 3, ("b", PATIENCE)).await });
    story.pass(AT_ONCE);
    let began = story.now();
    produce(&mut story, "v3");
    let found = story.end(waiting).expect("an answer");
    assert_eq!(values_of(&found, 3), ["v3"]);
    assert!(story.now() - began < AT_ONCE);
}

#[test]
fn what_a_follower_does_not_have_is_out_of_range_there() {
    let mut story = three(RACK_AWARE);
    // Beyond its log; at its end, where there is nothing yet.
    assert_eq!(
        told(&mut story, 2, 4, "b").0,
        ErrorCode::OFFSET_OUT_OF_RANGE
    );
    assert_eq!(
        told(&mut story, 2, 3, "b"),
        (ErrorCode::NONE, -1, Vec::new())
    );
    let mut client = story.client();
    let deleted = story.run(async move {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "t".to_owned(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset: 2,
                }],
            }],
            timeout_ms: 1_500,
        };
        client.ask(1, &request, 2).await
    });
    let deleted = &deleted.unwrap().topics[0].partitions[0];
    assert_eq!(
        (deleted.error_code, deleted.low_watermark),
        (ErrorCode::NONE, 2)
    );
    // All have heard of it, so nobody is sent where it would not help.
    for node in [1, 2] {
        let (code, named, _) = told(&mut story, node, 1, "b");
        assert_eq!(
            (code, named),
            (ErrorCode::OFFSET_OUT_OF_RANGE, -1),
            "node {node}"
        );
    }
    let named = fetch(&mut story, 1, 2, "b").preferred_read_replica;
    assert_eq!(named, 2);
    assert_eq!(
        told(&mut story, 2, 2, "b"),
        (ErrorCode::NONE, -1, vec!["v2".to_owned()])
    );
}

#[test]
fn who_is_out_of_sync_is_named_no_more() {
    let mut story = three(RACK_AWARE);
    story.cut(2, &[1, 3]);
    story.until_isr_is(&[1, 3], &[1, 3]);
    let (code, named, values) = told(&mut story, 1, 0, "b");
    assert_eq!((code, named, values.len()), (ErrorCode::NONE, -1, 3));
    // Whoever reads there still sees what it knew as committed, and no more.
    produce(&mut story, "v3");
    assert_eq!(told(&mut story, 2, 0, "b").2.len(), 3);
    story.heal(2, &[1, 3]);
    story.until_isr_is(&[1, 2, 3], &[1, 3]);
    assert_eq!(fetch(&mut story, 1, 0, "b").preferred_read_replica, 2);
}
