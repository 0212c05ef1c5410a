//! Fetch: pitfalls 5, 6, 7, 8 and 14.

use crate::support::{
    TestBroker, batch, batch_with, fetch_request, only_partition, produce_request, values,
};
use isthmus_wire::batch::{BatchParams, split_batches};
use isthmus_wire::messages::FetchRequest;
use isthmus_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use isthmus_wire::{ErrorCode, Uuid};
use std::time::{Duration, Instant};

#[tokio::test]
async fn every_version_reads_the_same() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let id = connection.create_topic("t", 1, &[]).await;
    connection.produce("t", batch(&["a", "b"])).await;
    connection.produce("t", batch(&["c"])).await;
    for version in 4..=18 {
        let mut request = fetch_request("t", 0);
        request.topics[0].topic_id = id;
        let response = connection.call(&request, version).await;
        assert_eq!(response.error_code, ErrorCode::NONE);
        let data = only_partition(&response);
        assert_eq!(values(data), ["a", "b", "c"], "version {version}");
        assert_eq!((data.high_watermark, data.last_stable_offset), (3, 3));
    }
}

/// Pitfall 7: whole batches, the one that holds the offset first, the first even beyond the limit.
#[tokio::test]
async fn whole_batches_and_always_at_least_one() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for _ in 0..5 {
        connection
            .produce("t", batch(&[&"a".repeat(500), "b", "c"]))
            .await;
    }
    let batch_bytes = connection.fetch("t", 12).await.records.unwrap().len();
    for offset in 0..15 {
        for (max_bytes, batches) in [(1, 1), (batch_bytes, 1), (2 * batch_bytes + 1, 2)] {
            let mut request = fetch_request("t", offset);
            request.topics[0].partitions[0].partition_max_bytes = i32::try_from(max_bytes).unwrap();
            let response = connection.call(&request, 12).await;
            let bytes = only_partition(&response)
                .records
                .as_ref()
                .unwrap()
                .bytes()
                .unwrap()
                .clone();
            let found: Vec<i64> = split_batches(&bytes)
                .map(|batch| batch.unwrap().header().base_offset)
                .collect();
            assert_eq!(found[0], offset / 3 * 3, "the batch that holds {offset}");
            let left = 5 - usize::try_from(offset / 3).unwrap();
            assert_eq!(found.len(), batches.min(left), "{offset} {max_bytes}");
        }
    }
}

#[tokio::test]
async fn the_order_of_the_request_is_kept_and_the_limit_spans_partitions() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 3, &[]).await;
    for partition in 0..3 {
        let records = batch(&[&"x".repeat(1000)]);
        connection
            .call(&produce_request("t", partition, -1, records), 9)
            .await;
    }
    let ask = |order: [i32; 3], max_bytes: i32| FetchRequest {
        max_bytes,
        topics: vec![FetchTopic {
            topic: "t".to_owned(),
            partitions: order
                .map(|partition| FetchPartition {
                    partition,
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                })
                .to_vec(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for order in [[0, 1, 2], [2, 0, 1]] {
        let response = connection.call(&ask(order, 1 << 20), 12).await;
        let partitions = &response.responses[0].partitions;
        assert_eq!(
            partitions
                .iter()
                .map(|data| data.partition_index)
                .collect::<Vec<_>>(),
            order
        );
        assert!(
            partitions
                .iter()
                .all(|data| !data.records.as_ref().unwrap().is_empty())
        );
    }
    let response = connection.call(&ask([2, 1, 0], 1), 12).await;
    let sizes: Vec<usize> = response.responses[0]
        .partitions
        .iter()
        .map(|data| data.records.as_ref().unwrap().len())
        .collect();
    assert!(
        sizes[0] > 0 && sizes[1..] == [0, 0],
        "only the first, and whole: {sizes:?}"
    );
}

/// Pitfall 14: librdkafka takes null records for a broken answer.
#[tokio::test]
async fn empty_is_empty_and_not_null() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for version in [4, 11, 12] {
        let response = connection.call(&fetch_request("t", 0), version).await;
        assert!(
            only_partition(&response)
                .records
                .as_ref()
                .is_some_and(|bytes| bytes.is_empty())
        );
        let response = connection.call(&fetch_request("none", 0), version).await;
        let data = only_partition(&response);
        assert_eq!(data.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert!(data.records.as_ref().is_some_and(|bytes| bytes.is_empty()));
    }
}

#[tokio::test]
async fn offsets_outside_the_log_are_refused_without_its_bounds() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    connection.produce("t", batch(&["a", "b"])).await;
    for (offset, code, bounds) in [
        (-1, ErrorCode::OFFSET_OUT_OF_RANGE, (-1, -1)),
        (2, ErrorCode::NONE, (2, 0)),
        (3, ErrorCode::OFFSET_OUT_OF_RANGE, (-1, -1)),
    ] {
        let data = connection.fetch("t", offset).await;
        assert_eq!(data.error_code, code, "offset {offset}");
        assert_eq!(
            (data.high_watermark, data.log_start_offset),
            bounds,
            "offset {offset}"
        );
    }
}

/// Pitfall 8: fenced when old, unknown when newer than ours.
#[tokio::test]
async fn leader_epochs_are_compared() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for (epoch, code) in [
        (-1, ErrorCode::NONE),
        (0, ErrorCode::NONE),
        (1, ErrorCode::UNKNOWN_LEADER_EPOCH),
    ] {
        let mut request = fetch_request("t", 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = connection.call(&request, 12).await;
        assert_eq!(only_partition(&response).error_code, code, "epoch {epoch}");
    }
}

/// KIP-595: an epoch that the log cannot place leaves nothing to compare.
#[tokio::test]
async fn an_unknown_last_fetched_epoch_is_out_of_range() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    connection.produce("t", batch(&["a", "b"])).await;
    let mut request = fetch_request("t", 2);
    for (epoch, code) in [(5, ErrorCode::OFFSET_OUT_OF_RANGE), (0, ErrorCode::NONE)] {
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        let response = connection.call(&request, 12).await;
        let data = only_partition(&response);
        assert_eq!(data.error_code, code, "epoch {epoch}");
        assert_eq!(data.diverging_epoch.end_offset, -1);
    }
}

/// Pitfall 5: never data of the topic that was created anew.
#[tokio::test]
async fn an_old_topic_id_gets_no_data_of_the_new_topic() {
    use isthmus_wire::messages::DeleteTopicsRequest;
    use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let old = connection.create_topic("t", 1, &[]).await;
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("t".to_owned()),
            topic_id: Uuid::ZERO,
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    assert_eq!(
        connection.call(&delete, 6).await.responses[0].error_code,
        ErrorCode::NONE
    );
    let new = connection.create_topic("t", 1, &[]).await;
    assert_ne!(old, new);
    connection.produce("t", batch(&["new"])).await;
    for (id, code) in [(old, ErrorCode::UNKNOWN_TOPIC_ID), (new, ErrorCode::NONE)] {
        let mut request = fetch_request("", 0);
        request.topics[0].topic_id = id;
        let response = connection.call(&request, 13).await;
        assert_eq!(only_partition(&response).error_code, code);
    }
}

/// Pitfall 6: id 0 is always legal; a session that was never given is not found.
#[tokio::test]
async fn sessions_are_declined_in_the_legal_way() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    let mut request = fetch_request("t", 0);
    request.session_epoch = 0;
    assert_eq!(connection.call(&request, 12).await.session_id, 0);
    (request.session_id, request.session_epoch) = (5, 1);
    let response = connection.call(&request, 12).await;
    assert_eq!(response.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

/// Design, decision 20: a client must not be able to play follower.
#[tokio::test]
async fn a_fetch_as_replica_is_refused_on_a_client_listener() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let id = connection.create_topic("t", 1, &[]).await;
    connection.produce("t", batch(&["a"])).await;
    let mut old = fetch_request("t", 0);
    old.replica_id = 2;
    let mut new = fetch_request("t", 0);
    new.topics[0].topic_id = id;
    new.replica_state.replica_id = 2;
    for (request, version) in [(old, 11), (new, 17)] {
        let response = connection.call(&request, version).await;
        assert_eq!(
            only_partition(&response).error_code,
            ErrorCode::TOPIC_AUTHORIZATION_FAILED
        );
    }
}

#[tokio::test]
async fn a_waiting_fetch_is_woken_by_what_it_waits_for() {
    let broker = TestBroker::start().await;
    let (mut reader, mut writer) = (broker.connect().await, broker.connect().await);
    writer.create_topic("t", 1, &[]).await;
    let mut request = fetch_request("t", 0);
    (request.max_wait_ms, request.min_bytes) = (60_000, 200);
    let began = Instant::now();
    let sent = reader.send(&request, 12).await;
    writer.produce("t", batch(&["first"])).await;
    writer.produce("t", batch(&[&"second".repeat(100)])).await;
    let (answered, response) = reader.receive::<FetchRequest>(12).await;
    assert_eq!(answered, sent);
    assert_eq!(
        values(only_partition(&response)).len(),
        2,
        "it waited for min_bytes"
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "and not for max_wait"
    );
}

#[tokio::test]
async fn a_waiting_fetch_ends_with_max_wait_and_with_the_broker() {
    let broker = TestBroker::start().await;
    let mut reader = broker.connect().await;
    reader.create_topic("t", 1, &[]).await;
    let mut request = fetch_request("t", 0);
    request.max_wait_ms = 20;
    let response = reader.call(&request, 12).await;
    assert!(
        only_partition(&response)
            .records
            .as_ref()
            .unwrap()
            .is_empty()
    );
    request.max_wait_ms = 300_000;
    reader.send(&request, 12).await;
    broker
        .until_metrics_show("isthmus_broker_requests_total{api=\"Fetch\"} 2")
        .await;
    broker.running.stop().await;
    let (_, response) = reader.receive::<FetchRequest>(12).await;
    assert_eq!(only_partition(&response).error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn read_committed_reads_like_uncommitted_without_transactions() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    connection
        .produce("t", batch_with(BatchParams::default(), &["a"]))
        .await;
    let mut request = fetch_request("t", 0);
    request.isolation_level = 1;
    let response = connection.call(&request, 12).await;
    let data = only_partition(&response);
    assert_eq!(values(data), ["a"]);
    assert_eq!(data.aborted_transactions.as_deref(), Some(&[][..]));
}
